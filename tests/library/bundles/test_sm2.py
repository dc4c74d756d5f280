"""SM2 in the off-line verifiers: the published example, a library that is not ours, and whole bundles under SM2 keys."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any, cast

import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.library.bundles import second, town
from tests.library.bundles.tampering import Case, flipped, of_kind
from tests.library.bundles.town import Members, bundle_of, pins
from xieban.keys import algorithm
from xieban.seal import SealKey
from xieban.verify import sm2
from xieban.verify.container import pack
from xieban.verify.verifier import verify

# The example of GB/T 32918.5, annex A, on the curve that it recommends.
PUBLIC = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
TEXT = b"message digest"


def test_the_published_example_holds_and_nothing_beside_it() -> None:
    good = encode_dss_signature(R, S)
    assert sm2.holds(PUBLIC, good, TEXT)
    off_the_curve = PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1])
    for public, signature, text in (
        (PUBLIC, good, TEXT + b"."), (off_the_curve, good, TEXT), (PUBLIC[:32], good, TEXT), (bytes(64), good, TEXT),
        (PUBLIC, encode_dss_signature(S, R), TEXT), (PUBLIC, encode_dss_signature(R + sm2.N, S), TEXT),
        (PUBLIC, encode_dss_signature(R, sm2.N - R), TEXT), (PUBLIC, encode_dss_signature(0, S), TEXT),
        (PUBLIC, b"\x30\x81" + good[1:], TEXT), (PUBLIC, good + b"\0", TEXT), (PUBLIC, b"", TEXT),
    ):  # fmt: skip
        assert not sm2.holds(public, signature, text)


def test_what_another_library_signs_holds_for_its_text_and_key_alone() -> None:
    rng = random.Random(3)
    keys = [gmssl_pyx.sm2_key_generate() for _ in range(2)]
    for size in (0, 1, 55, 56, 63, 64, 65, 1000):
        text = rng.randbytes(size)
        signed = gmssl_pyx.sm2_sign(keys[0][1], keys[0][0], text, sm2.SIGNER)
        assert sm2.holds(keys[0][0], signed, text)
        assert not sm2.holds(keys[0][0], signed, text + b"\0")
        assert not sm2.holds(keys[1][0], signed, text)
        assert not sm2.holds(keys[0][0], flipped(signed, rng), text)


@pytest.fixture
def national(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Members]:
    """A bundle of a city whose police and whose roots sign with SM2; the other agencies keep Ed25519."""
    made = algorithm("sm2+sm3").generate
    monkeypatch.setitem(town.SEALS, "police", SealKey(made()))
    monkeypatch.setitem(cast(dict[str, Any], town.chain.__kwdefaults__), "roots", tuple(made() for _ in range(5)))
    return lambda: bundle_of(0, "committee")


def test_a_bundle_under_sm2_keys_passes_every_check(national: Callable[[], Members]) -> None:
    report = verify(pack(national()), pins=pins())
    assert (report.verdict, [name for name, one in report.checks.items() if one.verdict in ("fail", "open")]) == (
        "pass",
        [],
    )


def forged(members: Members, rng: random.Random) -> Members:
    """A police statement whose signature is another one of the same key."""
    police = [name for name in of_kind(members, "statement") if len(_signature(members[name])) != 64]
    one, other = rng.sample(police, 2)
    row = json.loads(members[one])
    row["signatures"][0]["sig"] = json.loads(members[other])["signatures"][0]["sig"]
    return {**members, one: json.dumps(row, separators=(",", ":"), sort_keys=True).encode()}


def _signature(statement: bytes) -> bytes:
    return base64.b64decode(json.loads(statement)["signatures"][0]["sig"])


def test_a_false_sm2_signature_is_named(national: Callable[[], Members]) -> None:
    report = verify(pack(forged(national(), random.Random(4))), pins=pins())
    assert "seals" in {name for name, one in report.checks.items() if one.verdict == "fail"}


@pytest.mark.skipif(second.NODE is None, reason="no Node here")
async def test_node_and_python_say_the_same_of_sm2(national: Callable[[], Members]) -> None:
    rng, members = random.Random(5), national()
    chosen = [Case("honest", pack(members), pins(), honest=True)]
    chosen += [Case(f"forged-{number}", pack(forged(members, rng)), pins()) for number in range(3)]
    for number in range(20):
        name = rng.choice([*of_kind(members, "statement"), "trust.json"])
        chosen.append(Case(f"flipped-{number}", pack({**members, name: flipped(members[name], rng)}), pins()))
    told = await second.by_node(chosen)
    assert second.disagreements(chosen, second.by_python(chosen), told) == []
    assert told[0]["verdict"] == "pass"

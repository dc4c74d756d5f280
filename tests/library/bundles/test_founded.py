"""Bundles out of a log that was founded after another: both verifiers pass what begins with the former one, and refuse the same lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.library.bundles import second
from tests.library.bundles.tampering import Case
from tests.library.bundles.town import BEGIN, LIFE, LOG_KEY, NEW_ROOT, OTHER, OTHER_LOG, ROOTS, Town, chain, live, pins
from xieban import canonical
from xieban.errors import Reason, XiebanError
from xieban.keys import keyid
from xieban.proof.note import Algorithm, SigningKey
from xieban.seal import Sealed, Signature
from xieban.trust import Chain, Log, Signed, TrustList, parse
from xieban.trust.lists import Revocation, place
from xieban.verify.container import pack

KEPT, FIRST = 10, 15
NEW_LOG = SigningKey("xieban.lanzhou/log-2", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(b"N" * 32))


def entry(key: SigningKey, **fields: Any) -> Log:
    public = key.public
    return Log(name=public.name, algorithm="ed25519+sha256", public=public.public.hex(), **fields)


def ended(value: TrustList) -> list[Any]:
    """The entries of a list with the log's key ended where the new one begins."""
    lost = Revocation(index=FIRST, reason="lost")
    return [msgspec.structs.replace(one, revoked=lost) if isinstance(one, Log) else one for one in value.entries]


def following(*new: Log, spelled: Mapping[bytes, bytes] | None = None) -> Chain:
    """A fourth version that lists these, signed by enough roots, sound or not; `spelled` puts other bytes into it."""
    before = chain()
    entries = sorted([*ended(before.last.value), *new], key=place)
    issued = {"issued_at": BEGIN, "expires_at": BEGIN + 3 * LIFE, "version": 4, "previous": before.last.sealed.eid}
    value = msgspec.structs.replace(before.last.value, index=FIRST, entries=entries, **issued)
    payload = canonical.encode(value)
    for old, other in (spelled or {}).items():
        assert old in payload
        payload = payload.replace(old, other)
    bare = Sealed(type="trustlist", payload=payload, signatures=())
    made = [Signature(keyid=keyid(root.public), sig=root.sign(bare.signed)) for root in (*ROOTS[1:4], NEW_ROOT)]
    sealed = Sealed(type="trustlist", payload=payload, signatures=tuple(sorted(made, key=lambda one: one.keyid)))
    return Chain((*before.versions, Signed(sealed=sealed, value=value, quorums=())))


class Refounded(Town):
    """A town whose log was founded anew before its cases began; what was witnessed before bears the former name."""

    def note_of(self, size: int, times: Mapping[str, int]) -> bytes:
        self.log_key = LOG_KEY if size <= FIRST else NEW_LOG
        return super().note_of(size, times)


def told(trusted: Chain, *, town: type[Town] = Refounded) -> bytes:
    """The bundle of a case that was logged under the new name, with a mark from under the former one."""
    made = town(trusted=trusted)
    for number in range(KEPT):
        made.note("LODGED", f"{number:064x}", "arrest_request", case=OTHER)
    made.witness()
    for _ in range(KEPT, FIRST):
        made.note("LOST", detail=NEW_LOG.public.name, case="")
    made.note("REFOUNDED", detail=f"{KEPT}:{KEPT}:{NEW_LOG.public.name}", case="")
    live(made)
    return pack(made.export())


SOUND = {
    "founded": [entry(NEW_LOG, from_index=FIRST, keeps=KEPT)],
    "founded, all kept": [entry(NEW_LOG, from_index=FIRST, keeps=FIRST)],
    "founded, nothing kept": [entry(NEW_LOG, from_index=FIRST, keeps=0)],
}
RENAMED = SigningKey("xieban.lanzhou/log-2", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(b"O" * 32))
UNSOUND = {
    "more kept than came before": [entry(NEW_LOG, from_index=FIRST, keeps=FIRST + 1)],
    "another name and nothing said of what it keeps": [entry(NEW_LOG, from_index=FIRST)],
    "founded twice": [entry(NEW_LOG, from_index=FIRST, keeps=KEPT), entry(RENAMED, from_index=FIRST, keeps=KEPT)],
    "used before it was founded": [entry(NEW_LOG, from_index=FIRST + 1, keeps=KEPT), entry(RENAMED, from_index=FIRST)],
    "the former name again": [entry(OTHER_LOG, from_index=FIRST, keeps=KEPT)],
}
MISSPELLED = {
    "null": (b'"keeps":10', b'"keeps":null'),
    "text": (b'"keeps":10', b'"keeps":"10"'),
    "less": (b'"keeps":10', b'"keeps":-1'),
}


def cases() -> list[Case]:
    sound = [Case(name, told(following(*new)), pins(), honest=True) for name, new in SOUND.items()]
    unsound = [Case(name, told(following(*new)), pins()) for name, new in UNSOUND.items()]
    spelled = [
        Case(name, told(following(*SOUND["founded"], spelled={old: other})), pins())
        for name, (old, other) in MISSPELLED.items()
    ]
    return [*sound, *unsound, *spelled]


def failed(report: dict[str, Any]) -> list[str]:
    return [check["check"] for check in report["checks"] if check["verdict"] == "fail"]


def test_a_case_that_was_logged_anew_verifies_and_its_marks_may_bear_the_former_name() -> None:
    for report in second.by_python([case for case in cases() if case.honest]):
        assert report["verdict"] == "pass", report
    data = told(following(*SOUND["founded"]))
    assert b"marks/%012d-last" % KEPT in data


def test_the_former_key_cannot_sign_a_tree_that_is_the_new_logs() -> None:
    (report,) = second.by_python([Case("old key", told(following(*SOUND["founded"]), town=Town), pins())])
    assert "checkpoint" in failed(report)


@pytest.mark.parametrize("name", [*UNSOUND, *MISSPELLED])
def test_a_list_that_founds_a_log_as_it_must_not_is_refused_by_who_reads_it(name: str) -> None:
    (case,) = [one for one in cases() if one.name == name]
    (report,) = second.by_python([case])
    assert failed(report)[0] == "trust"
    file = (
        following(*UNSOUND[name]) if name in UNSOUND else following(*SOUND["founded"], spelled=dict([MISSPELLED[name]]))
    )
    with pytest.raises(XiebanError) as raised:
        parse(file.encode(), pins=None)
    assert raised.value.reason in (Reason.TRUST_BROKEN, Reason.PROOF_MALFORMED, Reason.PAYLOAD_NOT_CANONICAL)


@pytest.mark.skipif(second.NODE is None, reason="no Node here")
async def test_node_and_python_agree_on_founded_logs() -> None:
    chosen = [*cases(), Case("old key", told(following(*SOUND["founded"]), town=Town), pins())]
    assert second.disagreements(chosen, second.by_python(chosen), await second.by_node(chosen)) == []

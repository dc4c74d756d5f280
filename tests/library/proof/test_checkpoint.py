"""A checkpoint counts once the log and enough witnesses have signed those very bytes; nobody counts twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.proof.refusal import holds, reason_of
from xieban.errors import Reason, XiebanError
from xieban.proof import checkpoint
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.merkle import EMPTY_ROOT
from xieban.proof.note import Algorithm, Note, Signature, SigningKey, parse_vkey

ORIGIN = "lanzhou.example/log"


def key(name: str, algorithm: Algorithm, seed: int) -> SigningKey:
    return SigningKey(name, algorithm, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


LOG = key(ORIGIN, Algorithm.ED25519, 1)
WITNESSES = [key(f"{name}.example", Algorithm.COSIGNATURE_V1, seed) for seed, name in enumerate("pqrs", start=2)]
POLICY = Policy(LOG.public, tuple(witness.public for witness in WITNESSES), 3)
HEAD = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
TIMES = [1_772_500_000, 1_772_500_001, 1_772_500_002, 1_772_500_003]

# The example of C2SP tlog-checkpoint.
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def cosigned(count: int, head: Checkpoint = HEAD) -> list[Signature]:
    return [checkpoint.cosign(head, witness, at=at) for witness, at in zip(WITNESSES[:count], TIMES, strict=False)]


def carried(signatures: Sequence[Signature], head: Checkpoint = HEAD) -> bytes:
    return Note(head.text, tuple(signatures)).encode()


LOGGED = checkpoint.sign(HEAD, LOG)
SOUND = carried([LOGGED, *cosigned(3)])


def test_the_published_example_is_read_and_written_again() -> None:
    found = checkpoint.parse(SOFA)
    assert (found.origin, found.size, len(found.root)) == ("example.com/behind-the-sofa", 20852163, 32)
    assert found.text == SOFA


def test_further_lines_are_kept_and_are_part_of_what_is_signed() -> None:
    found = checkpoint.parse(SOFA + "more\nand more\n")
    assert found.extensions == ("more", "and more")
    assert found.text == SOFA + "more\nand more\n"
    longer = replace(HEAD, extensions=("more",))
    assert reason_of(POLICY.check, carried([LOGGED, *cosigned(3)], longer)) is Reason.SEAL_INVALID


@pytest.mark.parametrize(
    "text",
    ["", "\n", "\n\n\n", SOFA[:-1], SOFA + "\n", SOFA + "more", SOFA + "\nmore\n", SOFA.replace("example", "\nexample"),
     SOFA.replace("20852163", ""), SOFA.replace("20852163", "020852163"), SOFA.replace("20852163", "-1"),
     SOFA.replace("20852163", "9223372036854775808"), SOFA.replace("20852163", " 20852163"),
     SOFA.replace("20852163", "0"), SOFA.replace("2I=", "2J="), SOFA.replace("2I=", "2I"), SOFA.replace("CsUY", ""),
     "example.com/behind-the-sofa\n20852163\n", "\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"],
)  # fmt: skip
def test_what_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    assert reason_of(checkpoint.parse, text) is Reason.PROOF_MALFORMED


def test_no_checkpoint_is_made_that_could_not_be_read() -> None:
    makes: list[Callable[[], object]] = [
        lambda: Checkpoint("", 1, bytes(32)),
        lambda: Checkpoint("a\nb", 1, bytes(32)),
        lambda: Checkpoint("a", -1, bytes(32)),
        lambda: Checkpoint("a", 2**63, bytes(32)),
        lambda: Checkpoint("a", 1, bytes(31)),
        lambda: Checkpoint("a", 0, bytes(32)),
        lambda: Checkpoint("a", 1, bytes(32), ("",)),
    ]
    assert {reason_of(make) for make in makes} == {Reason.PROOF_MALFORMED}
    assert checkpoint.parse(Checkpoint("a", 0, EMPTY_ROOT).text).size == 0


@given(st.text(max_size=60) | st.lists(st.sampled_from([*SOFA.splitlines(), "0", "", "x"]), max_size=6).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_noise_is_a_checkpoint_of_its_own_spelling_or_refused(noise: str) -> None:
    for text in (noise, noise + "\n"):
        if holds(checkpoint.parse, text):
            assert checkpoint.parse(text).text == text


def test_the_log_and_three_of_four_witnesses_are_believed_with_the_times_they_state() -> None:
    found = POLICY.check(SOUND)
    assert found.checkpoint == HEAD
    assert found.times == {witness.public.name: at for witness, at in zip(WITNESSES[:3], TIMES, strict=False)}
    assert len(POLICY.check(carried([*cosigned(4), LOGGED])).times) == 4


@pytest.mark.parametrize("count", range(3))
def test_fewer_witnesses_are_not_enough(count: int) -> None:
    with pytest.raises(XiebanError) as raised:
        POLICY.check(carried([LOGGED, *cosigned(count)]))
    assert raised.value.reason is Reason.QUORUM_NOT_MET
    assert raised.value.metadata == {"what": "见证方联署", "count": str(count), "limit": "3"}


def test_all_witnesses_without_the_log_are_not_enough() -> None:
    with pytest.raises(XiebanError) as raised:
        POLICY.check(carried(cosigned(4)))
    assert raised.value.reason is Reason.QUORUM_NOT_MET
    assert raised.value.metadata["what"] == "日志签名"


def test_a_policy_of_no_witnesses_asks_for_the_log_alone() -> None:
    assert Policy(LOG.public, (), 0).check(carried([LOGGED])).times == {}
    assert Policy(LOG.public, (), 0).check(SOUND).times == {}


def test_strangers_do_not_count() -> None:
    stranger = key("stranger.example", Algorithm.COSIGNATURE_V1, 9)
    namesake = key(WITNESSES[2].public.name, Algorithm.COSIGNATURE_V1, 9)
    for other in (stranger, namesake):
        data = carried([LOGGED, *cosigned(2), checkpoint.cosign(HEAD, other, at=TIMES[2])])
        assert reason_of(POLICY.check, data) is Reason.QUORUM_NOT_MET


def test_a_witness_counts_once_at_whatever_times_it_cosigned() -> None:
    twice = [checkpoint.cosign(HEAD, WITNESSES[0], at=at) for at in TIMES[:2]]
    assert reason_of(POLICY.check, carried([LOGGED, *twice, *cosigned(2)[1:]])) is Reason.PROOF_MALFORMED


def test_a_cosignature_of_another_checkpoint_condemns_this_one() -> None:
    other = replace(HEAD, size=HEAD.size + 1)
    data = carried([LOGGED, *cosigned(3), *cosigned(4, other)[3:]])
    assert reason_of(POLICY.check, data) is Reason.SEAL_INVALID


def test_another_logs_name_over_this_logs_signature_is_refused() -> None:
    other = replace(HEAD, origin="jiuquan.example/log")
    data = carried([LOG.sign(other.text), *cosigned(3, other)], other)
    assert reason_of(POLICY.check, data) is Reason.QUORUM_NOT_MET


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    text = "lanzhou.example/log\nno size\n"
    signatures = (LOG.sign(text), *(witness.sign(text, at=1) for witness in WITNESSES))
    assert reason_of(POLICY.check, Note(text, signatures).encode()) is Reason.PROOF_MALFORMED


def test_each_key_signs_what_it_is_for() -> None:
    for act in (
        lambda: checkpoint.sign(HEAD, WITNESSES[0]),
        lambda: checkpoint.sign(replace(HEAD, origin="other.example"), LOG),
        lambda: checkpoint.cosign(HEAD, LOG, at=1),
        lambda: checkpoint.cosign(HEAD, WITNESSES[0], at=0),
    ):
        assert reason_of(act) is Reason.FIELD_INVALID


def test_a_policy_in_which_someone_could_count_twice_is_refused() -> None:
    one, two, *_ = POLICY.witnesses
    disguised = key("other.example", Algorithm.COSIGNATURE_V1, 2).public
    same_name = key(one.name, Algorithm.COSIGNATURE_V1, 9).public
    log_as_witness = key("w.example", Algorithm.COSIGNATURE_V1, 1).public
    makes: list[Callable[[], object]] = [
        lambda: Policy(LOG.public, (one, one), 1),
        lambda: Policy(LOG.public, (one, disguised), 1),
        lambda: Policy(LOG.public, (one, same_name), 1),
        lambda: Policy(LOG.public, (one, log_as_witness), 1),
        lambda: Policy(LOG.public, (one, two), 3),
        lambda: Policy(LOG.public, (one, two), -1),
        lambda: Policy(one, (two,), 1),
        lambda: Policy(LOG.public, (key("x.example", Algorithm.ED25519, 9).public,), 1),
    ]
    assert {reason_of(make) for make in makes} == {Reason.FIELD_INVALID}


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_no_change_of_a_byte_is_believed(position: int, difference: int) -> None:
    changed = bytearray(SOUND)
    changed[position] ^= difference
    assert not holds(POLICY.check, bytes(changed))


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_with_a_coded_error(noise: bytes) -> None:
    assert not holds(POLICY.check, noise)


def test_keys_can_come_as_text() -> None:
    texts = [POLICY.log.vkey, *(witness.vkey for witness in POLICY.witnesses)]
    log, *witnesses = map(parse_vkey, texts)
    assert Policy(log, tuple(witnesses), 3) == POLICY

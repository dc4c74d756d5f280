"""One text proves an entry to who holds the entry and a policy; any change of it, of the entry or of the policy does not pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.proof.refusal import holds, reason_of
from tests.library.proof.rfc import entries
from xieban.errors import Reason
from xieban.proof import checkpoint, merkle, tiles, tlogproof
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.merkle import Frontier, leaf_hash
from xieban.proof.note import Algorithm, Note, SigningKey
from xieban.proof.tiles import Tile
from xieban.proof.tlogproof import TlogProof

SIZE = 300
INDEX = 73
ENTRIES = entries(SIZE)
EDGE, STORED = tiles.grow(Frontier(), map(leaf_hash, ENTRIES), dict[Tile, bytes]().__getitem__)


def key(name: str, algorithm: Algorithm, seed: int) -> SigningKey:
    return SigningKey(name, algorithm, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


LOG = key("lanzhou.example/log", Algorithm.ED25519, 1)
WITNESSES = [key(f"{name}.example", Algorithm.COSIGNATURE_V1, seed) for seed, name in enumerate("pqrs", start=2)]
POLICY = Policy(LOG.public, tuple(witness.public for witness in WITNESSES), 3)
HEAD = Checkpoint(LOG.public.name, SIZE, EDGE.root())
SIGNED = Note(
    HEAD.text,
    (checkpoint.sign(HEAD, LOG), *(checkpoint.cosign(HEAD, witness, at=1_772_500_000) for witness in WITNESSES[:3])),
).encode()
HASHES = tuple(merkle.proof(merkle.inclusion_path(INDEX, SIZE), tiles.reader(SIZE, STORED.__getitem__)))
PROOF = TlogProof(INDEX, HASHES, SIGNED)
SOUND = PROOF.encode()
LEAF = leaf_hash(ENTRIES[INDEX])

HEADER = "c2sp.org/tlog-proof@v1\n"
HASH_LINE = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n"


def refused(data: str) -> bool:
    return reason_of(tlogproof.decode, data.encode()) is Reason.PROOF_MALFORMED


def test_an_entry_is_proven_from_its_bytes_to_the_witnesses() -> None:
    found = tlogproof.decode(SOUND).verify(LEAF, POLICY)
    assert found.checkpoint == HEAD
    assert found.times == {witness.public.name: 1_772_500_000 for witness in WITNESSES[:3]}


def test_a_proof_is_written_line_by_line_as_specified() -> None:
    one = tlogproof.decode(f"{HEADER}extra ZXh0cmE=\nindex 7\n{HASH_LINE}\norigin\n".encode())
    assert (one.index, len(one.hashes), one.extra, one.checkpoint) == (7, 1, b"extra", b"origin\n")
    assert one.encode().decode() == f"{HEADER}extra ZXh0cmE=\nindex 7\n{HASH_LINE}\norigin\n"
    none = tlogproof.decode(f"{HEADER}index 0\n\norigin\n\nmore\n".encode())
    assert none == TlogProof(0, (), b"origin\n\nmore\n")
    assert none.encode().decode() == f"{HEADER}index 0\n\norigin\n\nmore\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param(HEADER, id="a first line alone"),
        pytest.param("\n\n", id="blank lines"),
        pytest.param(f"{HEADER}\norigin\n", id="no index"),
        pytest.param("index 0\n\norigin\n", id="no first line"),
        pytest.param("c2sp.org/tlog-proof@v2\nindex 0\n\norigin\n", id="another version"),
        pytest.param(f"{HEADER}index 0\norigin\n", id="no blank line"),
        pytest.param(f"{HEADER}index 0", id="nothing behind the index"),
        pytest.param(f"{HEADER}0\n\norigin\n", id="a bare number"),
        pytest.param(f"{HEADER}index 00\n\norigin\n", id="an index with zeroes"),
        pytest.param(f"{HEADER}index -1\n\norigin\n", id="a negative index"),
        pytest.param(f"{HEADER}index 9223372036854775808\n\norigin\n", id="an index over 63 bits"),
        pytest.param(f"{HEADER}index \n\norigin\n", id="an empty index"),
        pytest.param(f"{HEADER}index  1\n\norigin\n", id="two spaces"),
        pytest.param(f"{HEADER}extra \nindex 0\n\norigin\n", id="an empty extra"),
        pytest.param(f"{HEADER}extra !\nindex 0\n\norigin\n", id="an extra that is no base64"),
        pytest.param(f"{HEADER}extra ZXh0cmE=\nextra ZXh0cmE=\nindex 0\n\norigin\n", id="two extras"),
        pytest.param(f"{HEADER}index 0\nextra ZXh0cmE=\n\norigin\n", id="the extra behind the index"),
        pytest.param(f"{HEADER}index 0\nZXh0cmE=\n\norigin\n", id="a hash of five bytes"),
        pytest.param(f"{HEADER}index 0\n{HASH_LINE[:-2]}\n\norigin\n", id="a hash without padding"),
        pytest.param(f"{HEADER}index 0\n{HASH_LINE * 64}\norigin\n", id="sixty-four hashes"),
        pytest.param(f"{HEADER}index 0\r\n\norigin\n", id="a carriage return"),
        pytest.param(f"{HEADER}index ０\n\norigin\n", id="a wide digit"),
        pytest.param("\ufeff" + f"{HEADER}index 0\n\norigin\n", id="a byte order mark"),
    ],
)
def test_what_is_not_exactly_a_proof_is_refused(data: str) -> None:
    assert refused(data)


def test_sixty_three_hashes_are_read_and_a_proof_over_the_limit_is_not() -> None:
    assert len(tlogproof.decode(f"{HEADER}index 0\n{HASH_LINE * 63}\norigin\n".encode()).hashes) == 63
    head = f"{HEADER}index 0\n\n".encode()
    assert holds(tlogproof.decode, head + b"x" * (tlogproof.MAX_PROOF - len(head)))
    over = head + b"x" * (tlogproof.MAX_PROOF - len(head) + 1)
    assert reason_of(tlogproof.decode, over) is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize(
    "proof",
    [
        replace(PROOF, index=-1),
        replace(PROOF, index=2**63),
        replace(PROOF, hashes=(b"short",)),
        replace(PROOF, hashes=HASHES * 8),
    ],
    ids=["a negative index", "an index over 63 bits", "a short hash", "too many hashes"],
)
def test_no_proof_is_written_that_could_not_be_read(proof: TlogProof) -> None:
    assert reason_of(proof.encode) is Reason.PROOF_MALFORMED


def test_another_entry_another_place_and_another_path_do_not_pass() -> None:
    for leaf, proof in (
        (leaf_hash(ENTRIES[INDEX + 1]), PROOF),
        (leaf_hash(b"invented"), PROOF),
        (LEAF, replace(PROOF, index=INDEX + 1)),
        (LEAF, replace(PROOF, index=SIZE)),
        (LEAF, replace(PROOF, hashes=HASHES[:-1])),
        (LEAF, replace(PROOF, hashes=HASHES[::-1])),
    ):
        assert reason_of(proof.verify, leaf, POLICY) is Reason.PROOF_INVALID


def test_the_path_proves_nothing_without_the_signatures() -> None:
    unsigned = replace(PROOF, checkpoint=HEAD.text.encode())
    assert reason_of(unsigned.verify, LEAF, POLICY) is Reason.PROOF_MALFORMED
    assert reason_of(PROOF.verify, LEAF, replace(POLICY, threshold=4)) is Reason.QUORUM_NOT_MET
    stranger = key(LOG.public.name, Algorithm.ED25519, 9).public
    assert reason_of(PROOF.verify, LEAF, replace(POLICY, log=stranger)) is Reason.QUORUM_NOT_MET


def test_extra_data_is_carried_and_not_believed() -> None:
    found = tlogproof.decode(replace(PROOF, extra=b"anything").encode())
    assert found.extra == b"anything"
    assert found.verify(LEAF, POLICY).checkpoint == HEAD


@given(st.integers(0, SIZE - 1))
@settings(max_examples=50, deadline=None)
def test_every_entry_has_a_proof(index: int) -> None:
    hashes = merkle.proof(merkle.inclusion_path(index, SIZE), tiles.reader(SIZE, STORED.__getitem__))
    data = TlogProof(index, tuple(hashes), SIGNED).encode()
    assert tlogproof.decode(data).encode() == data
    tlogproof.decode(data).verify(leaf_hash(ENTRIES[index]), POLICY)


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
@settings(max_examples=500, deadline=None)
def test_no_change_of_a_byte_is_believed(position: int, difference: int) -> None:
    changed = bytearray(SOUND)
    changed[position] ^= difference
    assert not holds(lambda: tlogproof.decode(bytes(changed)).verify(LEAF, POLICY))


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([HEADER, "extra ZXh0cmE=\n", "index 0\n", "index 18\n", HASH_LINE, "\n", "x", " "])).map(
        lambda parts: "".join(parts).encode()
    )
)
@settings(max_examples=500, deadline=None)
def test_noise_is_a_proof_of_its_own_spelling_or_refused(noise: bytes) -> None:
    if holds(tlogproof.decode, noise):
        assert tlogproof.decode(noise).encode() == noise
        assert not holds(lambda: tlogproof.decode(noise).verify(LEAF, POLICY))

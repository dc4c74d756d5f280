"""The tree agrees with the published vectors and with the RFC read literally; a proof holds for one leaf, place and tree."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.library.proof.refusal import holds, reason_of
from tests.library.proof.rfc import Tree, entries, power
from xieban.errors import Reason
from xieban.proof import merkle
from xieban.proof.merkle import EMPTY_ROOT, Frontier, Node, leaf_hash

MOST = 600
RFC = Tree(entries(MOST))
LEAVES = [leaf_hash(entry) for entry in entries(MOST)]
STORED: dict[Node, bytes] = {}
Frontier().append(LEAVES, STORED)
ROOTS = [RFC.head(0, size) for size in range(MOST + 1)]

SIZES = st.integers(1, MOST)

# The eight entries and the values that every Certificate Transparency implementation is held against.
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CT_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def inclusion(index: int, size: int) -> list[bytes]:
    return merkle.proof(merkle.inclusion_path(index, size), STORED.__getitem__)


def consistency(old: int, new: int) -> list[bytes]:
    return merkle.proof(merkle.consistency_path(old, new), STORED.__getitem__)


def is_in(leaf: bytes, index: int, size: int, root: bytes, proof: Iterable[bytes]) -> bool:
    return holds(merkle.verify_inclusion, leaf, index=index, size=size, root=root, proof=list(proof))


def is_grown(old: int, old_root: bytes, new: int, new_root: bytes, proof: Iterable[bytes]) -> bool:
    return holds(merkle.verify_consistency, old=old, old_root=old_root, new=new, new_root=new_root, proof=list(proof))


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mutations(proof: list[bytes], bit: int, others: list[bytes]) -> list[list[bytes]]:
    """Every proof one step away: a hash changed, left out, doubled, cut short, exchanged; one more at either end."""
    found = [[*proof, other] for other in others] + [[other, *proof] for other in others]
    for at, value in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        found += [
            [*before, flipped(value, bit), *after], [*before, *after], [*before, value, value, *after],
            [*before, value[:-1], *after], [*before, value + b"\x00", *after], [*before, b"", *after],
        ]  # fmt: skip
    found += [[*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]] for at in range(len(proof) - 1)]
    return found


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_published(size: int) -> None:
    assert merkle.root(map(leaf_hash, CT_ENTRIES[:size])).hex() == CT_ROOTS[size]


@pytest.mark.parametrize(("index", "size"), CT_INCLUSION)
def test_inclusion_proofs_are_those_published(index: int, size: int) -> None:
    stored: dict[Node, bytes] = {}
    root = Frontier().append(map(leaf_hash, CT_ENTRIES[:size]), stored).root()
    proof = merkle.proof(merkle.inclusion_path(index, size), stored.__getitem__)
    assert [value.hex() for value in proof] == CT_INCLUSION[index, size]
    merkle.verify_inclusion(leaf_hash(CT_ENTRIES[index]), index=index, size=size, root=root, proof=proof)


@pytest.mark.parametrize(("old", "new"), CT_CONSISTENCY)
def test_consistency_proofs_are_those_published(old: int, new: int) -> None:
    stored: dict[Node, bytes] = {}
    Frontier().append(map(leaf_hash, CT_ENTRIES), stored)
    proof = merkle.proof(merkle.consistency_path(old, new), stored.__getitem__)
    assert [value.hex() for value in proof] == CT_CONSISTENCY[old, new]
    old_root, new_root = bytes.fromhex(CT_ROOTS[old]), bytes.fromhex(CT_ROOTS[new])
    merkle.verify_consistency(old=old, old_root=old_root, new=new, new_root=new_root, proof=proof)


def test_the_root_of_every_size_is_the_rfcs() -> None:
    edge = Frontier()
    for size in range(MOST):
        assert edge.root() == ROOTS[size]
        edge = edge.append(LEAVES[size : size + 1])
    assert edge.root() == ROOTS[MOST]


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_how_leaves_were_batched_leaves_no_trace(size: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, size))
    first = Frontier().append(LEAVES[:cut])
    assert first.append(LEAVES[cut:size]) == Frontier().append(LEAVES[:size]) == Frontier.load(size, STORED.__getitem__)
    assert first.root() == ROOTS[cut]


def test_every_inclusion_proof_up_to_130_leaves_is_the_rfcs_and_holds() -> None:
    for size in range(1, 131):
        for index in range(size):
            proof = inclusion(index, size)
            assert proof == RFC.path(index, 0, size)
            assert is_in(LEAVES[index], index, size, ROOTS[size], proof)


@given(SIZES)
@example(255)
@example(256)
@example(257)
@example(511)
@example(512)
@example(513)
@settings(max_examples=60, deadline=None)
def test_every_inclusion_proof_of_a_larger_tree_is_the_rfcs_and_holds(size: int) -> None:
    for index in range(size):
        proof = inclusion(index, size)
        assert proof == RFC.path(index, 0, size)
        assert is_in(LEAVES[index], index, size, ROOTS[size], proof)


def test_every_consistency_proof_up_to_130_leaves_is_the_rfcs_and_holds() -> None:
    for new in range(1, 131):
        for old in range(1, new + 1):
            proof = consistency(old, new)
            assert proof == RFC.proof(old, new)
            assert is_grown(old, ROOTS[old], new, ROOTS[new], proof)


@given(SIZES)
@example(255)
@example(256)
@example(257)
@example(511)
@example(512)
@example(513)
@settings(max_examples=60, deadline=None)
def test_every_consistency_proof_to_a_larger_tree_is_the_rfcs_and_holds(new: int) -> None:
    for old in range(1, new + 1):
        proof = consistency(old, new)
        assert proof == RFC.proof(old, new)
        assert is_grown(old, ROOTS[old], new, ROOTS[new], proof)


@given(SIZES, st.data())
@settings(max_examples=300, deadline=None)
def test_an_inclusion_proof_holds_for_nothing_but_what_it_was_made_for(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    bit = data.draw(st.integers(0, 255))
    leaf, root, proof = LEAVES[index], ROOTS[size], inclusion(index, size)
    assert is_in(leaf, index, size, root, proof)
    assert not is_in(flipped(leaf, bit), index, size, root, proof)
    assert not is_in(leaf, index, size, flipped(root, bit), proof)
    for other in {-1, 0, index - 1, index + 1, index ^ 1, index ^ 2, index + size, size - 1, size} - {index}:
        assert not is_in(leaf, other, size, root, proof)
    for changed in mutations(proof, bit, [leaf, root, b"", EMPTY_ROOT]):
        assert changed == proof or not is_in(leaf, index, size, root, changed)


@given(SIZES, st.integers(0, 2**64))
@settings(max_examples=200, deadline=None)
def test_a_proof_holds_for_no_size_of_another_shape(size: int, other: int) -> None:
    """Sizes for which all siblings stand on the same sides share their proofs: it is the signature that binds size to root."""
    index = size // 2
    for claimed in {0, index, size - 1, size + 1, size * 2, other} - {size}:
        same_shape = claimed > index and sides(index, claimed) == sides(index, size)
        assert is_in(LEAVES[index], index, claimed, ROOTS[size], inclusion(index, size)) == same_shape
        if 0 < index < claimed:
            same_shape = sides(index - 1, claimed, up_to=index) == sides(index - 1, size, up_to=index)
            assert is_grown(index, ROOTS[index], claimed, ROOTS[size], consistency(index, size)) == same_shape


def test_a_leaf_of_a_larger_tree_does_not_pass_for_the_only_one() -> None:
    for size in (2, 4, 8, 600):
        assert not is_in(LEAVES[size - 1], 0, 1, ROOTS[size], inclusion(size - 1, size))
        assert not is_in(LEAVES[size - 1], size, size, ROOTS[size], inclusion(size - 1, size))


def test_no_byte_passes_from_one_hash_to_its_neighbour() -> None:
    (sibling,) = inclusion(0, 2)
    assert not is_in(LEAVES[0][:-1], 0, 2, ROOTS[2], [LEAVES[0][-1:] + sibling])
    assert not is_in(LEAVES[1][1:], 1, 2, ROOTS[2], [LEAVES[0] + LEAVES[1][:1]])
    (growth,) = consistency(1, 2)
    assert not is_grown(1, ROOTS[1][:-1], 2, ROOTS[2], [ROOTS[1][-1:] + growth])


def sides(index: int, size: int, *, up_to: int | None = None) -> list[bool]:
    """For each step down to leaf `index`, or to a subtree that ends at `up_to`, whether the sibling stands to the left."""
    found = []
    begin, end = 0, size
    while end - begin > 1 and end != up_to:
        k = begin + power(end - begin)
        found.append(index >= k)
        begin, end = (k, end) if index >= k else (begin, k)
    return found


@given(SIZES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_consistency_proof_holds_for_nothing_but_what_it_was_made_for(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    bit = data.draw(st.integers(0, 255))
    before, after, proof = ROOTS[old], ROOTS[new], consistency(old, new)
    assert is_grown(old, before, new, after, proof)
    assert not is_grown(old, flipped(before, bit), new, after, proof)
    assert not is_grown(old, before, new, flipped(after, bit), proof)
    assert (old == new) == is_grown(old, after, new, before, proof)
    for other in {-1, 0, old - 1, old + 1, old ^ 1, old ^ 2, old * 2} - {old}:
        assert not is_grown(other, before, new, after, proof)
    for changed in mutations(proof, bit, [before, after, b"", EMPTY_ROOT]):
        assert changed == proof or not is_grown(old, before, new, after, changed)


def test_from_the_empty_tree_and_to_itself_nothing_needs_proof() -> None:
    assert consistency(0, 0) == consistency(0, 7) == consistency(7, 7) == []
    assert is_grown(0, EMPTY_ROOT, 7, ROOTS[7], [])
    assert is_grown(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not is_grown(0, ROOTS[1], 7, ROOTS[7], [])
    assert not is_grown(0, EMPTY_ROOT, 0, ROOTS[7], [])
    assert not is_grown(0, EMPTY_ROOT, 7, ROOTS[7], [ROOTS[7]])
    assert not is_grown(7, ROOTS[7], 7, ROOTS[7], [ROOTS[7]])
    assert not is_grown(3, ROOTS[3], 7, ROOTS[7], [])


def test_a_leaf_never_passes_for_a_node() -> None:
    two = hashlib.sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()
    assert ROOTS[2] == two
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != two


def test_what_is_outside_the_tree_is_refused_with_its_field() -> None:
    for act in (
        lambda: merkle.inclusion_path(0, 0),
        lambda: merkle.inclusion_path(5, 5),
        lambda: merkle.inclusion_path(-1, 5),
        lambda: merkle.consistency_path(6, 5),
        lambda: merkle.consistency_path(-1, 5),
    ):
        assert reason_of(act) is Reason.FIELD_INVALID


def test_a_proof_that_does_not_hold_says_so() -> None:
    inclusion_of = merkle.verify_inclusion
    assert reason_of(inclusion_of, LEAVES[0], index=0, size=2, root=ROOTS[2], proof=[]) is Reason.PROOF_INVALID
    growth_of = merkle.verify_consistency
    reason = reason_of(growth_of, old=1, old_root=ROOTS[1], new=2, new_root=ROOTS[2], proof=[])
    assert reason is Reason.PROOF_INVALID


def test_the_verifier_needs_nothing_but_the_standard_library_and_cryptography() -> None:
    script = (
        "import sys; before = set(sys.modules)\n"
        "from xieban.proof import checkpoint, merkle, note, spelling, tiles, tlogproof\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    allowed = {"xieban", "cryptography", "_cffi_backend", "_openssl"}  # the last two are parts of cryptography
    assert set(loaded) - allowed == set()

"""The Merkle tree of RFC 6962 over SHA-256: roots, inclusion and consistency proofs, and their verification.

A proof is worked out in two steps. Its path says which complete subtrees make up each of its hashes; a reader, which a test keeps
in a dictionary and a log in its tiles, says what those subtrees hash to. Nobody needs all leaves, and there is one algorithm for
both. What leaves mean, and how hashes are stored, must not go in here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xieban.errors import Reason, failure

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()


class Node(NamedTuple):
    """A complete subtree of 2^level leaves: those from `number << level` up to, not including, `(number + 1) << level`."""

    level: int
    number: int


Hashes = Callable[[Node], bytes]
"""A reader: the hash (32 bytes) of a complete subtree that the tree at hand contains."""


def leaf_hash(entry: bytes) -> bytes:
    """The 32-byte hash of a log entry (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash over two child hashes (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The 32-byte root over leaf hashes (MTH of RFC 6962 §2.1); of none, the hash of nothing."""
    return Frontier().append(leaves).root()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that appending and the root need.

    `size` is the number of leaves; `hashes` are those of the complete subtrees of `nodes(0, size)`, left to right, one for each bit
    that is set in `size`. Appending gives another value, so that a transaction that fails leaves the old one standing.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, size: int, hashes: Hashes) -> Frontier:
        """The edge of a stored tree of `size` leaves, read through `hashes`. Errors: those of the reader."""
        return cls(size, tuple(map(hashes, nodes(0, size))))

    def append(self, leaves: Iterable[bytes], completed: dict[Node, bytes] | None = None) -> Frontier:
        """The edge after `leaves` (32-byte leaf hashes) were added.

        Every subtree that became complete on the way, the leaves themselves included, is entered in `completed` if it is given.
        """
        size, edge = self.size, list(self.hashes)
        for leaf in leaves:
            value, index, level = leaf, size, 0
            if completed is not None:
                completed[Node(0, index)] = value
            while index & 1:
                value = node_hash(edge.pop(), value)
                index >>= 1
                level += 1
                if completed is not None:
                    completed[Node(level, index)] = value
            edge.append(value)
            size += 1
        return Frontier(size, tuple(edge))

    def root(self) -> bytes:
        """The 32-byte root."""
        return fold(self.hashes) if self.hashes else EMPTY_ROOT


def nodes(begin: int, end: int) -> list[Node]:
    """The complete subtrees, left to right and ever smaller, that make up the leaves from `begin` up to, not including, `end`.

    `begin` is a multiple of a power of two that is not below `end - begin`, as it is of every part of a tree.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append(Node(level, begin >> level))
        begin += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees that stand side by side, each smaller than the one to its left; at least one."""
    *larger, value = hashes
    for left in reversed(larger):
        value = node_hash(left, value)
    return value


def inclusion_path(index: int, size: int) -> list[list[Node]]:
    """What the inclusion proof of leaf `index` in the tree of `size` leaves is made of (PATH of RFC 6962 §2.1.1).

    Each list folds to one hash of the proof; the leaf's sibling comes first. Errors: FIELD_INVALID (index outside the tree).
    """
    if not 0 <= index < size:
        raise failure(Reason.FIELD_INVALID, field="index", detail="不在日志范围内")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(nodes(middle, end))
            end = middle
        else:
            path.append(nodes(begin, middle))
            begin = middle
    return path[::-1]


def consistency_path(old: int, new: int) -> list[list[Node]]:
    """What the proof is made of that the first `old` of `new` leaves are unchanged (PROOF of RFC 6962 §2.1.2).

    Form and order as for `inclusion_path`. Empty if `old` is 0 or `new`. Errors: FIELD_INVALID (sizes reversed).
    """
    if not 0 <= old <= new:
        raise failure(Reason.FIELD_INVALID, field="size", detail="不在日志范围内")
    path = []
    begin, end = 0, new
    while old and old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(nodes(middle, end))
            end = middle
        else:
            path.append(nodes(begin, middle))
            begin = middle
    if begin:  # otherwise the last subtree is the whole old tree, whose root the verifier has
        path.append(nodes(begin, end))
    return path[::-1]


def proof(path: Iterable[Sequence[Node]], hashes: Hashes) -> list[bytes]:
    """The hashes (32 bytes each) of an inclusion or consistency path, read through `hashes`. Errors: those of the reader."""
    return [fold([hashes(node) for node in part]) for part in path]


def verify_inclusion(leaf: bytes, *, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that `leaf` (a leaf hash) is number `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).

    Errors: PROOF_INVALID.
    """
    what = "包含证明"
    _demand(0 <= index < size and _are_hashes(leaf, root, *proof), what)
    value = leaf
    for sibling, is_left in _climb(index, size - 1, proof, what=what):
        value = node_hash(sibling, value) if is_left else node_hash(value, sibling)
    _demand(value == root, what)


def verify_consistency(*, old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.2).

    From the empty tree, and from a tree to itself, the proof is empty (C2SP tlog-witness). Errors: PROOF_INVALID.
    """
    what = "一致性证明"
    _demand(0 <= old <= new and _are_hashes(old_root, new_root, *proof), what)
    _demand((old > 0 or old_root == EMPTY_ROOT) and (old < new or old_root == new_root), what)
    if old in (0, new):
        _demand(not proof, what)
        return
    # A tree of 2^k leaves is itself a subtree of the new one, and its hash is not repeated in the proof.
    start, *rest = [old_root, *proof] if old & (old - 1) == 0 else proof or [b""]
    below = (old & -old).bit_length() - 1
    before = after = start
    for sibling, is_left in _climb((old - 1) >> below, (new - 1) >> below, rest, what=what):
        if is_left:
            before = node_hash(sibling, before)
        after = node_hash(sibling, after) if is_left else node_hash(after, sibling)
    _demand(before == old_root and after == new_root, what)


def _split(size: int) -> int:
    """The largest power of two below `size` (k of RFC 6962 §2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _climb(inner: int, last: int, proof: Sequence[bytes], *, what: str) -> Iterator[tuple[bytes, bool]]:
    """Each sibling from the bottom up and whether it stands to the left; `last` is the last index on the level of `inner`.

    Refuses a proof that does not end at the root.
    """
    for sibling in proof:
        _demand(last > 0, what)
        is_left = bool(inner & 1) or inner == last
        while is_left and inner and not inner & 1:  # the right edge has no sibling on these levels
            inner, last = inner >> 1, last >> 1
        yield sibling, is_left
        inner, last = inner >> 1, last >> 1
    _demand(last == 0, what)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise failure(Reason.PROOF_INVALID, what=what, detail="推算结果与树根不符")

"""Reconciliation, without any network: which statements two nodes should both hold, how a set of them is summed up, what a difference is.

A series is all statements of one kind from one agency to another. Its leaves, in order of their eids, are hashed as a Merkle tree
(`xieban.proof.merkle`), whole and below any prefix of the eid, so that two nodes find one statement among many with a few questions.
What must not go in: where statements are kept, and how a node is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, failure
from xieban.handoff import LATEST, Code, Count, Digest, Micros, Node
from xieban.proof import merkle

SUMMARY_VERSION: Final = 1
FEW: Final = 32
"""A part of at most so many leaves is told leaf by leaf."""
DIGITS: Final = "0123456789abcdef"
LEAF_SIZE: Final = 33
ENDLESS: Final = LATEST - 1

What = Literal["handoff", "receipt", "notice", "reply"]


class Side(StrEnum):
    """Whose copy of a statement: its author's, its addressee's, or the gateway's archive of what others say to one another."""

    OUT = "out"
    IN = "in"
    ARCHIVE = "archive"


class Flaw(StrEnum):
    """What is wrong with a copy that is there: its bytes are not the statement's, or what it says is not in the tables beside it."""

    NONE = ""
    BYTES = "bytes"
    EFFECT = "effect"


_FLAWS: Final = tuple(Flaw)


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """All statements of one kind from one agency to another."""

    what: What
    sender: str
    receiver: str


@dataclass(frozen=True, slots=True)
class Window:
    """Statements whose own signed time lies from `since` up to and including `until`; microseconds."""

    since: int = 0
    until: int = ENDLESS


@dataclass(frozen=True, slots=True)
class Pair:
    """A series as two nodes compare it: whose copy each of them has."""

    series: Series
    mine: Side
    theirs: Side


class SeriesSum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One series in a summary: how many leaves, and the root over them in hex."""

    what: What
    sender: Code = msgspec.field(name="from")
    receiver: Code = msgspec.field(name="to")
    side: Literal["out", "in", "archive"]
    count: Count
    root: Digest


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's signed word on what it holds of everything it shares with another one, by signed time `since` to `until`."""

    v: Count
    sender: Node = msgspec.field(name="from")
    receiver: Node = msgspec.field(name="to")
    inc: Count
    at: Micros
    since: Micros
    until: Micros
    series: Annotated[list[SeriesSum], Meta(max_length=64)]


class Problem(StrEnum):
    """Why a statement is named. The last three are about the supervision log: a promise of the gateway that its log does not keep, a
    handoff that is not in it, a promise that another one contradicts."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNKEPT = "unkept"
    UNLOGGED = "unlogged"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One copy of a statement at one node, as that node says. Not `held`: it was refused there. `awaiting`: audiences that owe a word."""

    eid: str
    series: Series
    side: Side
    held: bool = True
    flaw: Flaw = Flaw.NONE
    kind: str = ""
    case_id: str = ""
    signed_at: int = 0
    awaiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A statement that is not where it should be, or not whole there. `at` is the node that lacks it, `held_by` those that do not.

    `entry` and `index` (from 0) are the kind and the promised place of an entry of the supervision log, where that is what is wrong.
    """

    problem: Problem
    eid: str
    series: Series
    kind: str
    case_id: str
    signed_at: int
    at: str
    held_by: tuple[str, ...] = ()
    flaw: Flaw = Flaw.NONE
    repairing: bool = False
    entry: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of comparing with one counterpart; `trouble` is the number of the reason for which it could not be asked."""

    counterpart: str
    trouble: str = ""
    held_here: int = 0
    held_there: int = 0
    summarized_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One run at one node. `in_flight`: statements on their way, which nobody counts as missing."""

    node: str
    until: int
    pairs: tuple[Compared, ...] = ()
    differences: tuple[Difference, ...] = ()
    left_out: int = 0
    in_flight: int = 0
    elapsed_ms: int = 0

    @property
    def agrees(self) -> bool:
        return not self.differences and not self.left_out

    @property
    def complete(self) -> bool:
        """Whether everybody could be asked."""
        return not any(pair.trouble for pair in self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDispute:
    """A tree of the supervision log that does not fit what the node's own witness has cosigned.

    `sender` says in its header `eid` that it has seen it; of what the log itself offered `eid` is empty and `sender` the gateway. With
    `is_signed` the log's signature is on it, and it is not of the history of the witness's tree `own_size`, `own_root`; without, the
    sender made it up. Roots in hex.
    """

    eid: str
    sender: str
    size: int
    root: str
    is_signed: bool
    own_size: int = 0
    own_root: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Everything of a series whose eid begins with a prefix and `digit`."""

    digit: str
    count: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Branch:
    """What lies below a prefix: parts, or the leaves when they are few."""

    parts: tuple[Part, ...] = ()
    leaves: tuple[bytes, ...] = field(default=())


def pairs(me: str, other: str) -> tuple[Pair, ...]:
    """Every series that `me` and `other` should hold alike. Two agencies share what they say to one another; the gateway shares with
    an agency all that is said by it or to it. A node compared with itself has what its own offices say to one another; the gateway's
    is alone and says nothing to itself."""
    if me == other == Agency.GATEWAY:
        return ()
    if other == Agency.GATEWAY:
        return tuple(Pair(pair.series, pair.theirs, pair.mine) for pair in pairs(other, me))
    if me == Agency.GATEWAY:
        said: list[What] = ["handoff", "receipt"]
        by = [Series(what, other, party) for what in said for party in PARTIES]
        to = [Series(what, party, other) for what in said for party in PARTIES]
        return (
            *(Pair(series, Side.ARCHIVE, Side.OUT) for series in by),
            *(Pair(series, Side.ARCHIVE, Side.IN) for series in to),
            Pair(Series("handoff", other, me), Side.ARCHIVE, Side.OUT),
            Pair(Series("reply", other, me), Side.ARCHIVE, Side.OUT),
            Pair(Series("notice", me, other), Side.OUT, Side.IN),
        )
    mine = tuple(Pair(Series(what, me, other), Side.OUT, Side.IN) for what in ("handoff", "receipt"))
    theirs = tuple(Pair(Series(what, other, me), Side.IN, Side.OUT) for what in ("handoff", "receipt"))
    return mine if me == other else mine + theirs


def copies(series: Series) -> tuple[tuple[str, Side], ...]:
    """Who should hold a statement of the series, its author first."""
    author, addressee = (series.sender, Side.OUT), (series.receiver, Side.IN)
    if series.what == "notice":
        return author, addressee
    archive = (str(Agency.GATEWAY), Side.ARCHIVE)
    return (author, archive) if series.receiver == Agency.GATEWAY else (author, addressee, archive)


def leaf(eid: str, flaw: Flaw) -> bytes:
    """33 bytes: the eid, and whether the copy is sound."""
    return bytes.fromhex(eid) + bytes([_FLAWS.index(flaw)])


def eid_of(value: bytes) -> str:
    return value[:32].hex()


def flaw_of(value: bytes) -> Flaw:
    """Errors: FIELD_INVALID for a leaf that is none."""
    if len(value) != LEAF_SIZE or value[32] >= len(_FLAWS):
        raise failure(Reason.FIELD_INVALID, field="leaves", detail="不是对账叶")
    return _FLAWS[value[32]]


def root(leaves: Iterable[bytes]) -> bytes:
    """The 32-byte root over leaves in order of their eids."""
    return merkle.root(map(merkle.leaf_hash, leaves))


def below(leaves: Sequence[bytes], prefix: str) -> Sequence[bytes]:
    """The leaves (sorted) whose eid begins with the hex digits of `prefix`."""
    if not prefix:
        return leaves
    first = bytes.fromhex(prefix.ljust(64, "0"))
    after = int(prefix, 16) + 1
    if after == 16 ** len(prefix):
        return leaves[bisect_left(leaves, first) :]
    last = bytes.fromhex(f"{after:0{len(prefix)}x}".ljust(64, "0"))
    return leaves[bisect_left(leaves, first) : bisect_left(leaves, last)]


def branch(leaves: Sequence[bytes], prefix: str) -> Branch:
    """What a node says of its leaves below `prefix`."""
    found = below(leaves, prefix)
    if len(found) <= FEW or len(prefix) >= 64:
        return Branch(leaves=tuple(found))
    parts = ((digit, below(found, prefix + digit)) for digit in DIGITS)
    return Branch(parts=tuple(Part(digit, len(some), root(some)) for digit, some in parts if some))


def differing(mine: Sequence[bytes], theirs: Branch, prefix: str) -> tuple[set[bytes], list[str]]:
    """Leaves that only one side has (as far as `theirs` lists leaves), and the prefixes to ask about next."""
    own = below(mine, prefix)
    if not theirs.parts:
        return set(own) ^ set(theirs.leaves), []
    told = {part.digit: part for part in theirs.parts}
    only_mine: set[bytes] = set()
    ask: list[str] = []
    for digit in DIGITS:
        some, part = below(own, prefix + digit), told.get(digit)
        if part is None:
            only_mine |= set(some)
        elif part.count != len(some) or part.root != root(some):
            ask.append(prefix + digit)
    return only_mine, ask

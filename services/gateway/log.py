"""The supervision log: entries that nobody can take back, as the leaves of a Merkle tree (RFC 6962, C2SP tiles).

An entry holds codes and identifiers, never content. Its leaf is the hash of its canonical JSON with a random nonce, so that whoever
is shown leaves learns nothing; entries, leaves and the subtrees they complete are written in the transaction of the fact they tell of.
Signing roots is `checkpoints`'; what must not go in here is any reading for pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.chassis.database import Row, Transaction, Value, placeholders
from xieban import canonical
from xieban.handoff import LADDER
from xieban.proof import merkle, tiles
from xieban.proof.merkle import Frontier, Hashes, Node
from xieban.proof.tiles import HEIGHT, WIDTH, Tile
from xieban.proof.tlogproof import TlogProof

INSERT = (
    "INSERT INTO log_entry (position, kind, recorded_at, case_id, eid, detail, nonce, leaf) VALUES (?,?,?,?,?,?,?,?)"
)
INSERT_NODE = "INSERT INTO log_node (level, number, hash) VALUES (?,?,?)"
NONCE_BYTES = 16
OF_HANDOFFS = ("LODGED", *(kind.upper() for kind in LADDER))


@dataclass(frozen=True, slots=True)
class Note:
    """Something to be logged. `kind` is a fact in capitals (LODGED, OVERDUE, …); `detail` a code: kind, rule or reason number."""

    kind: str
    case_id: str = ""
    eid: str = ""
    detail: str = ""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log entry. `position` counts from 1, `at` in microseconds, `nonce` in hex; its index in the tree is `position - 1`."""

    position: int
    kind: str
    at: int
    case: str
    eid: str
    detail: str
    nonce: str

    def leaf(self) -> bytes:
        """Its 32-byte leaf hash."""
        return merkle.leaf_hash(canonical.encode(self))


def append(transaction: Transaction, notes: Sequence[Note], *, at: int) -> None:
    """Add `notes` in their order, inside the caller's transaction."""
    if not notes:
        return
    edge = frontier(transaction)
    entries = [
        Entry(
            position=position, kind=note.kind, at=at, case=note.case_id, eid=note.eid, detail=note.detail,
            nonce=secrets.token_hex(NONCE_BYTES),
        )
        for position, note in enumerate(notes, start=edge.size + 1)
    ]  # fmt: skip
    leaves = [entry.leaf() for entry in entries]
    completed: dict[Node, bytes] = {}
    edge.append(leaves, completed)
    rows: list[tuple[Value, ...]] = [
        (e.position, e.kind, e.at, e.case, e.eid, e.detail, bytes.fromhex(e.nonce), leaf)
        for e, leaf in zip(entries, leaves, strict=True)
    ]
    transaction.many(INSERT, rows)
    higher = [(node.level // HEIGHT, node.number, value) for node, value in completed.items() if _is_kept(node)]
    transaction.many(INSERT_NODE, higher)


def append_once(transaction: Transaction, note: Note, *, at: int) -> None:
    """Add `note`, unless an entry of its kind says the same of the same statement."""
    known = "SELECT position FROM log_entry WHERE eid = ? AND kind = ? AND detail = ?"
    if transaction.one(known, (note.eid, note.kind, note.detail)) is None:
        append(transaction, [note], at=at)


def _is_kept(node: Node) -> bool:
    return node.level > 0 and node.level % HEIGHT == 0


def size(transaction: Transaction) -> int:
    """Number of entries."""
    row = transaction.one("SELECT COALESCE(MAX(position), 0) AS n FROM log_entry")
    return int(row["n"]) if row is not None else 0


def told(transaction: Transaction, eids: Collection[str]) -> set[tuple[str, str]]:
    """What the log has of the way of these handoffs: (kind, eid). Limits are not among it: they come and go."""
    if not eids:
        return set()
    rows = transaction.all(f"SELECT kind, eid FROM log_entry WHERE eid IN ({placeholders(len(eids))})", tuple(eids))
    return {(row["kind"], row["eid"]) for row in rows if row["kind"] in OF_HANDOFFS}


def frontier_at(transaction: Transaction, count: int) -> Frontier:
    """The right edge of the tree of the first `count` entries."""
    return Frontier.load(count, hashes(transaction, count))


def frontier(transaction: Transaction) -> Frontier:
    """The right edge of the tree as it stands."""
    count = size(transaction)
    return Frontier.load(count, hashes(transaction, count))


def hashes(transaction: Transaction, count: int) -> Hashes:
    """A reader of the tree of the first `count` entries."""
    return tiles.reader(count, lambda tile: tile_of(transaction, tile))


def tile_of(transaction: Transaction, tile: Tile) -> bytes:
    """The bytes of a tile; shorter than asked for when the tree is."""
    begin = tile.number * WIDTH
    if tile.level == 0:
        sql, params = "SELECT leaf FROM log_entry WHERE position > ? AND position <= ? ORDER BY position", []
    else:
        sql, params = (
            "SELECT hash FROM log_node WHERE level = ? AND number >= ? AND number < ? ORDER BY number",
            [tile.level],
        )
    return b"".join(row[0] for row in transaction.all(sql, [*params, begin, begin + tile.width]))


def inclusion(transaction: Transaction, position: int, *, count: int) -> list[bytes]:
    """The proof that entry `position` is in the tree of the first `count` entries. Errors: FIELD_INVALID."""
    return merkle.proof(merkle.inclusion_path(position - 1, count), hashes(transaction, count))


def consistency(transaction: Transaction, old: int, new: int) -> list[bytes]:
    """The proof that the first `old` entries begin the first `new`. Errors: FIELD_INVALID."""
    return merkle.proof(merkle.consistency_path(old, new), hashes(transaction, new))


def prove(transaction: Transaction, position: int, *, count: int, checkpoint: bytes) -> bytes:
    """The C2SP tlog-proof of an entry in the tree of `count` entries, whose signed checkpoint is given."""
    hashes = tuple(inclusion(transaction, position, count=count))
    return TlogProof(index=position - 1, hashes=hashes, checkpoint=checkpoint).encode()


def entry_of(row: Row | Mapping[str, Any]) -> Entry:
    return Entry(
        position=row["position"], kind=row["kind"], at=row["recorded_at"], case=row["case_id"], eid=row["eid"],
        detail=row["detail"], nonce=row["nonce"].hex(),
    )  # fmt: skip


def first_changed(rows: Iterable[Row | Mapping[str, Any]]) -> int | None:
    """The position of the first entry that is not what its leaf says, or is missing; rows in order from the first."""
    for expected, row in enumerate(rows, start=1):
        entry = entry_of(row)
        if entry.position != expected or entry.leaf() != row["leaf"]:
            return expected
    return None

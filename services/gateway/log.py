"""The writer of the append-only log: every entry carries the hash of the one before it.

An entry holds codes and identifiers, never content. Its hash is SHA-256 over its canonical JSON, which includes the hash of the
entry before, so that a changed, removed or inserted entry breaks every hash after it. Only `ingest` and `watch` write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.chassis.database import Row, Transaction, Value
from xieban import canonical

INSERT = (
    "INSERT INTO log_entry (position, kind, recorded_at, case_id, eid, detail, prev, hash) VALUES (?,?,?,?,?,?,?,?)"
)
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Note:
    """Something to be logged. `kind` is a fact in capitals (LODGED, OVERDUE, …); `detail` a code: kind, rule or reason number."""

    kind: str
    case_id: str = ""
    eid: str = ""
    detail: str = ""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the hash is taken over. `at` in microseconds."""

    position: int
    kind: str
    at: int
    case: str
    eid: str
    detail: str
    prev: str


def entry_hash(entry: Entry) -> str:
    return hashlib.sha256(canonical.encode(entry)).hexdigest()


def append(transaction: Transaction, notes: Sequence[Note], *, at: int) -> None:
    """Add `notes` in their order, inside the caller's transaction."""
    if not notes:
        return
    head = transaction.one("SELECT position, hash FROM log_entry ORDER BY position DESC LIMIT 1")
    position, prev = (int(head["position"]), str(head["hash"])) if head is not None else (0, GENESIS)
    rows: list[tuple[Value, ...]] = []
    for note in notes:
        position += 1
        entry = Entry(
            position=position, kind=note.kind, at=at, case=note.case_id, eid=note.eid, detail=note.detail, prev=prev
        )
        this = entry_hash(entry)
        rows.append((position, note.kind, at, note.case_id, note.eid, note.detail, prev, this))
        prev = this
    transaction.many(INSERT, rows)


def first_broken(rows: Iterable[Row | Mapping[str, Any]]) -> int | None:
    """The position of the first entry that does not fit the chain, reading rows in order from the first; None when all fit."""
    prev = GENESIS
    for expected, row in enumerate(rows, start=1):
        entry = Entry(
            position=row["position"], kind=row["kind"], at=row["recorded_at"], case=row["case_id"], eid=row["eid"],
            detail=row["detail"], prev=row["prev"],
        )  # fmt: skip
        if (row["position"], row["prev"], row["hash"]) != (expected, prev, entry_hash(entry)):
            return expected
        prev = row["hash"]
    return None

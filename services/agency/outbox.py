"""What this node owes to others: a row is written with the statement it tells of and done only by its audience's signed word.

Functions as in `store`. What must not go in: publishing, which is the relay's, and what the statements say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.chassis.database import Row, Statement, Transaction
from services.relay import Parcel
from xieban import subjects


def insert(rows: Sequence[tuple[str, str, str, str]]) -> Statement:
    """Rows of (eid, audience, what, receiver)."""
    return ("INSERT INTO outbox (eid, audience, what, receiver, done) VALUES (?, ?, ?, ?, 0)", rows)


def finish(rows: Sequence[tuple[str, str]]) -> Statement:
    """Rows of (eid, audience) whose audience has given its signed word."""
    return ("UPDATE outbox SET done = 1 WHERE eid = ? AND audience = ? AND done = 0", rows)


def reopen(rows: Sequence[tuple[str, str, str, str]]) -> Statement:
    """Rows of (eid, audience, what, receiver) whose audience turned out not to hold the statement after all."""
    sql = (
        "INSERT INTO outbox (eid, audience, what, receiver, done) VALUES (?, ?, ?, ?, 0)"
        " ON CONFLICT (eid, audience) DO UPDATE SET done = 0"
    )
    return (sql, rows)


def pending(tx: Transaction) -> list[Row]:
    """Everything unfinished: eid, audience, what, receiver, trace, sealed."""
    handoff = (
        "SELECT outbox.eid, audience, what, receiver, trace, sealed FROM outbox JOIN handoff"
        " ON handoff.eid = outbox.eid AND handoff.box = 'out' WHERE done = 0 AND what = 'handoff' ORDER BY handoff.seq"
    )
    receipt = (
        "SELECT outbox.eid, audience, what, receiver, trace, sealed FROM outbox JOIN receipt"
        " ON receipt.eid = outbox.eid AND receipt.box = 'out' WHERE done = 0 AND what = 'receipt' ORDER BY receipt.at"
    )
    reply = (
        "SELECT outbox.eid, audience, what, receiver, '' AS trace, sealed FROM outbox JOIN reply"
        " ON reply.eid = outbox.eid WHERE done = 0 AND what = 'reply' ORDER BY reply.seq"
    )
    return [*tx.all(handoff), *tx.all(receipt), *tx.all(reply)]


def unfinished(tx: Transaction) -> int:
    row = tx.one("SELECT COUNT(*) AS n FROM outbox WHERE done = 0")
    return int(row["n"]) if row else 0


def parcels(rows: Sequence[Row], *, city: str, agency: str) -> list[Parcel]:
    """What a fresh process owes, from its outbox rows; one parcel a statement."""
    make: dict[str, Callable[[str, str, str], str]] = {
        "handoff": subjects.handoff,
        "receipt": subjects.receipt,
        "reply": lambda city, sender, _: subjects.reply(city, sender),
    }
    found: dict[str, Parcel] = {}
    for row in rows:
        known = found.get(row["eid"])
        audiences = frozenset({row["audience"]}) | (known.audiences if known else frozenset())
        found[row["eid"]] = Parcel(
            eid=row["eid"],
            subject=make[row["what"]](city, agency, row["receiver"]),
            data=row["sealed"],
            audiences=audiences,
            trace=row["trace"],
        )
    return list(found.values())

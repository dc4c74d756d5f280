"""Silence: a receipt that does not come in time becomes a log entry, so that its absence can be shown as its coming could.

Each handoff in flight has a row that says when somebody should have answered. The row is made, moved on and taken away in the transaction
of the fact; the watch logs what has passed by, and the log itself says what it knows already, so nothing is told twice. What is settled
has no row: a look costs by what is in flight. Silence is no breach, and nobody is sent a notice of it. What must not go in: a judgement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from services.chassis.database import Database, Row, Transaction, placeholders
from services.gateway.log import Note
from services.gateway.record import Fact, Handoff
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import SETTLED, State

UNDELIVERED, UNOPENED = "UNDELIVERED", "UNOPENED"
MINUTE = 60_000_000
HOUR = 60 * MINUTE
LONGEST_MINUTES = 7 * 24 * 60
LONGEST_HOURS = 365 * 24
AT_ONCE = 500
NEVER = 2**63 - 1
_COLUMNS = "eid, case_id, kind, sent_at, delivered_at"
_IN_FLIGHT = """SELECT h.eid, h.case_id, h.kind, h.sent_at, (SELECT MIN(f.at) FROM receipt_fact f WHERE f.of_eid = h.eid
    AND f.from_agency = h.to_agency AND f.to_agency = h.from_agency) AS delivered_at FROM handoff h WHERE h.settled = 0"""


class Patience(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Table `[silence]`: minutes that a receiver's node has to say `delivered`, and hours after delivery at which it is told that its
    office has neither accepted nor returned. 0 and an empty list tell nothing."""

    undelivered_minutes: int = 15
    unopened_hours: tuple[int, ...] = (4, 24)


OFF = Patience(undelivered_minutes=0, unopened_hours=())


@dataclass(frozen=True, slots=True)
class Awaited:
    """A handoff in flight. `delivered_at`: since when its receiver's node has it, None while nothing says so. Microseconds."""

    eid: str
    case_id: str
    kind: str
    sent_at: int
    delivered_at: int | None

    def absences(self, patience: Patience) -> tuple[tuple[int, Note], ...]:
        """What is to be logged if nothing comes: from when, and the entry; earliest first."""
        if self.delivered_at is None:
            minutes = patience.undelivered_minutes
            note = Note(UNDELIVERED, self.case_id, self.eid, self.kind)
            return ((self.sent_at + minutes * MINUTE, note),) if minutes else ()
        return tuple(
            (self.delivered_at + hours * HOUR, Note(UNOPENED, self.case_id, self.eid, f"{self.kind}:{hours}"))
            for hours in patience.unopened_hours
        )


def checked(patience: Patience) -> Patience:
    """The operator's terms. Errors: CONFIG_INVALID."""
    hours = patience.unopened_hours
    if not 0 <= patience.undelivered_minutes <= LONGEST_MINUTES:
        detail = f"undelivered_minutes 应为 0 至 {LONGEST_MINUTES} 分钟"
        raise failure(Reason.CONFIG_INVALID, file="silence", detail=detail)
    if list(hours) != sorted(set(hours)) or not all(1 <= hour <= LONGEST_HOURS for hour in hours):
        detail = f"unopened_hours 应为由小到大、互不相同的小时数，1 至 {LONGEST_HOURS}"
        raise failure(Reason.CONFIG_INVALID, file="silence", detail=detail)
    return patience


def follow(
    transaction: Transaction,
    handoffs: Iterable[Handoff],
    states: Mapping[str, State],
    facts: Iterable[Fact],
    *,
    patience: Patience,
    now: int,
) -> None:
    """Wait for what is missing of these handoffs as they stand now. `facts`: what their own receivers have stated."""
    if patience == OFF:
        return
    delivered: dict[str, int] = {}
    for fact in facts:
        delivered[fact.of] = min(fact.at, delivered.get(fact.of, fact.at))
    # What is sent to the gateway itself gets no receipt: its ticket ends it.
    ours = [handoff for handoff in handoffs if handoff.receiver[0] != Agency.GATEWAY]
    settled = [handoff.eid for handoff in ours if states[handoff.eid] in SETTLED]
    transaction.many("DELETE FROM awaited WHERE eid = ?", [(eid,) for eid in settled])
    open_ones = [
        Awaited(one.eid, one.case_id, one.kind, one.sent_at, delivered.get(one.eid))
        for one in ours
        if states[one.eid] not in SETTLED
    ]
    _put(transaction, open_ones, patience, now)


def tell(transaction: Transaction, *, patience: Patience, now: int) -> list[Note]:
    """What has been missing long enough by `now` and is not in the log yet, earliest first."""
    rows = transaction.all(
        f"SELECT {_COLUMNS} FROM awaited WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?",
        (now, AT_ONCE),
    )
    if not rows:
        return []
    absences = {row["eid"]: _from(row).absences(patience) for row in rows}
    logged = _logged(transaction, absences.keys())
    passed = [one for found in absences.values() for one in found if one[0] <= now and one[1] not in logged]
    coming = {eid: min((at for at, _ in found if at > now), default=None) for eid, found in absences.items()}
    transaction.many(
        "UPDATE awaited SET told = 1, next_at = ? WHERE eid = ?", [(at, eid) for eid, at in coming.items()]
    )
    return [note for _, note in sorted(passed, key=lambda one: (one[0], one[1].eid))]


def next_at(transaction: Transaction) -> int | None:
    """When something may have to be told next."""
    row = transaction.one("SELECT next_at FROM awaited WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1")
    return None if row is None else int(row["next_at"])


async def silent(database: Database) -> int:
    """How many handoffs in flight have been told of in the step in which they still are."""
    row = await database.read(lambda transaction: transaction.one("SELECT COUNT(*) AS n FROM awaited WHERE told = 1"))
    return int(row["n"]) if row is not None else 0


async def renew(database: Database, *, patience: Patience, now: int) -> int:
    """Wait anew for everything in flight when the operator has changed the terms, or at the first start; how many handoffs that are.

    What the log has told stays told; what the new terms find missing already is told at the next look.
    """
    return await database.write(partial(_renew, patience=patience, now=now))


def _renew(transaction: Transaction, *, patience: Patience, now: int) -> int:
    terms = msgspec.json.encode(patience).decode()
    row = transaction.one("SELECT value FROM node WHERE name = 'silence'")
    if row is not None and row["value"] == terms:
        return 0
    transaction.run("DELETE FROM awaited")
    in_flight = transaction.all(_IN_FLIGHT) if patience != OFF else []
    _put(transaction, [_from(row) for row in in_flight], patience, now)
    sql = "INSERT INTO node (name, value) VALUES ('silence', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    transaction.run(sql, (terms,))
    return len(in_flight)


def _put(transaction: Transaction, rows: Sequence[Awaited], patience: Patience, now: int) -> None:
    """What was waited for before is waited for on, unless the handoff has gone on meanwhile.

    A stated time ahead of our clock counts as now: nobody puts off by a date what is told of him.
    """
    waits = [
        replace(
            one,
            sent_at=min(one.sent_at, now),
            delivered_at=None if one.delivered_at is None else min(one.delivered_at, now),
        )
        for one in rows
    ]
    transaction.many(
        f"INSERT INTO awaited ({_COLUMNS}, told, next_at) VALUES ({placeholders(5)}, 0, ?) ON CONFLICT (eid) DO UPDATE SET "
        "delivered_at = excluded.delivered_at, told = 0, next_at = excluded.next_at "
        f"WHERE excluded.delivered_at < COALESCE(awaited.delivered_at, {NEVER})",
        [
            (
                one.eid, one.case_id, one.kind, one.sent_at, one.delivered_at,
                next((at for at, _ in one.absences(patience)), None),
            )
            for one in waits
        ],
    )  # fmt: skip


def _logged(transaction: Transaction, eids: Collection[str]) -> set[Note]:
    rows = transaction.all(
        f"SELECT kind, case_id, eid, detail FROM log_entry WHERE eid IN ({placeholders(len(eids))}) AND kind IN (?, ?)",
        (*eids, UNDELIVERED, UNOPENED),
    )
    return {Note(row["kind"], row["case_id"], row["eid"], row["detail"]) for row in rows}


def _from(row: Row) -> Awaited:
    return Awaited(
        eid=row["eid"], case_id=row["case_id"], kind=row["kind"], sent_at=row["sent_at"],
        delivered_at=row["delivered_at"],
    )  # fmt: skip

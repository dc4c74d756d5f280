"""What the gateway says itself and owes to others: rows written with the fact they tell, published after the commit, done by a ticket.

`Post` reads what was committed and hands it to the relay, so that nothing has to be passed on in memory and a start is like any other
moment. What must not go in: what the statements say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.chassis.bell import Bell
from services.chassis.database import Database, Row, Transaction
from services.relay import Parcel, Relay
from services.tickets import Finished, Heard, finished
from xieban import subjects

PAGE = 500


def put(transaction: Transaction, owed: Sequence[tuple[str, str]]) -> None:
    """Statements (eid, audience) to be published until the audience has given its word."""
    transaction.many(
        "INSERT INTO outbox (position, eid, audience, done) VALUES "
        "((SELECT COALESCE(MAX(position), 0) + 1 FROM outbox), ?, ?, 0)",
        owed,
    )


def finish(transaction: Transaction, rows: Sequence[Finished]) -> None:
    """Rows whose audience has given its signed word."""
    transaction.many("UPDATE outbox SET done = 1 WHERE eid = ? AND audience = ? AND done = 0", rows)


def unfinished(transaction: Transaction) -> int:
    row = transaction.one("SELECT COUNT(*) AS n FROM outbox WHERE done = 0")
    return int(row["n"]) if row is not None else 0


def incarnation(transaction: Transaction) -> int:
    """The gateway's incarnation, 1 for a new database."""
    transaction.run("INSERT INTO node (name, value) VALUES ('incarnation', '1') ON CONFLICT (name) DO NOTHING")
    row = transaction.one("SELECT value FROM node WHERE name = 'incarnation'")
    return int(row["value"]) if row is not None else 1


def nothing_to_send() -> None:
    """In place of a bell, where nobody is told anything."""


class Post:
    """Takes what is owed from the database to the relay: all of it at start, then what each commit adds."""

    def __init__(self, database: Database, *, relay: Relay, city: str, committed: Bell) -> None:
        self._database = database
        self._relay = relay
        self._city = city
        self._committed = committed

    async def run(self) -> None:
        """For ever. There is one writer, so no row can be committed behind a position that was read."""
        position = 0
        while True:
            ringing = self._committed.next
            rows = await self._database.read(partial(_owed, after=position))
            if rows:
                position = rows[-1]["position"]
                self._relay.carry([self._parcel(row) for row in rows])
            if len(rows) < PAGE:
                await ringing.wait()

    def carry(self, rows: Sequence[Row]) -> None:
        """Take these rows (eid, audience, sealed) to the relay again."""
        self._relay.carry([self._parcel(row) for row in rows])

    def _parcel(self, row: Row) -> Parcel:
        return Parcel(
            eid=row["eid"],
            subject=subjects.notice(self._city, row["audience"]),
            data=row["sealed"],
            audiences=frozenset({row["audience"]}),
            trace="",
        )

    async def heard(self, tickets: Sequence[Heard]) -> None:
        """Tickets have come: nothing of this is published any more."""
        rows = finished(tickets)
        await self._database.write(partial(finish, rows=rows))
        self._relay.finished(rows)
        self._committed.ring()


def _owed(transaction: Transaction, *, after: int) -> list[Row]:
    return transaction.all(
        "SELECT o.position, o.eid, o.audience, s.sealed FROM outbox o JOIN statement s ON s.eid = o.eid "
        "WHERE o.done = 0 AND o.position > ? ORDER BY o.position LIMIT ?",
        (after, PAGE),
    )

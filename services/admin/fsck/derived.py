"""What follows from statements, worked out anew by the gateway's own code beside the stored rows: cases, limits, ledgers, violations.

Run limits are worked out by today's program and calendar. A limit that ended under another calendar or edition of the law stands as it
was, as it does in the gateway itself.
"""

from __future__ import annotations

import sqlite3

from services.admin.fsck import shadow
from services.admin.fsck.basis import Basis
from services.admin.fsck.report import Book
from services.admin.fsck.sealed import Held
from services.chassis.database import Transaction
from services.gateway.follow import Follower
from services.gateway.store import Store

AT_ONCE = 50
FOLLOWING = ("limit_clock", "limit_rung", "limit_event", "violation", "stated_due")


def check(connection: sqlite3.Connection, basis: Basis, book: Book, held: Held) -> None:
    """Findings into `book`. Handoffs and facts are already in the shadow tables."""
    with book.reading("case_file"):
        shadow.make(connection, ("case_file",), filled=False)
        shadow.make(connection, FOLLOWING, filled=True)
        follower = Follower(basis.reckoner, basis.ladder)
        (now,) = connection.execute("SELECT COALESCE(MAX(recorded_at), 0) FROM log_entry").fetchone()
        cases = sorted({case for case, _ in held.lodged.values()})
        for start in range(0, len(cases), AT_ONCE):
            _follow(connection, book, follower, cases[start : start + AT_ONCE], now)
            book.step("重新计算案件和期限", min(start + AT_ONCE, len(cases)), len(cases))
    for table in ("handoff", "case_file", *FOLLOWING):
        with book.reading(table):
            where, params = _as_they_stand(basis) if table == "limit_clock" else ("1", ())
            shadow.compare(connection, book, table, where=where, params=params)


def _follow(connection: sqlite3.Connection, book: Book, follower: Follower, cases: list[str], now: int) -> None:
    connection.execute("SAVEPOINT batch")
    try:
        follower.follow(Store(Transaction(connection)), cases, now=now)
    except Exception:
        connection.execute("ROLLBACK TO batch")
        if len(cases) == 1:
            raise
        for case in cases:
            with book.reading("case_file", case):
                _follow(connection, book, follower, [case], now)
    finally:
        connection.execute("RELEASE batch")


def _as_they_stand(basis: Basis) -> tuple[str, tuple[str, ...]]:
    """Rows that today's calendar can be held against: those that run, and those that ended under it."""
    return "(ended_at IS NULL OR calendar = ?)", (basis.reckoner.version,)

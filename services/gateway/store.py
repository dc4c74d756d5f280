"""The gateway's tables, as ingest and watch use them: batch reads with IN, batch writes with executemany.

Methods are named noun first. They run inside the caller's transaction and decide nothing. The log is written by `log`; what pages
and the API read is in `reading`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.chassis.database import Row, Transaction, placeholders
from services.gateway.clocks import DEFAULT, Action, Key, Limit, next_at
from services.gateway.course import Course, Violation
from services.gateway.dues import Compared
from services.gateway.ladder import Ladder
from services.gateway.ledger import Touch
from services.gateway.record import Fact, Handoff
from services.gateway.rows import (
    DUE_COLUMNS,
    EVENT_COLUMNS,
    FACT_COLUMNS,
    HANDOFF_COLUMNS,
    LIMIT_COLUMNS,
    RUNGS,
    compared_from,
    fact_from,
    handoff_from,
    limit_from,
    limit_values,
    limits_from,
    touches_standing,
    warnings_from,
)
from xieban.agency import Agency
from xieban.handoff import SETTLED, State

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A sealed statement and its name at its author: (type, agency, incarnation, id) is used once for ever."""

    eid: str
    type: str
    agency: str
    inc: int
    id: str
    sealed: bytes
    published_at: int
    equivocal: bool = False

    @property
    def name(self) -> tuple[str, str, int, str]:
        return self.type, self.agency, self.inc, self.id


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not taken: digest of its bytes (the eid of an equivocal one), subject, reason number. No content."""

    digest: str
    subject: str
    number: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is already there: eids, (type, agency, incarnation, id) → eid that holds the name, refused digests, header → case."""

    eids: frozenset[str]
    names: dict[tuple[str, str, int, str], str]
    refused: frozenset[str]
    cases: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of some cases."""

    handoffs: list[Handoff]
    facts: list[Fact]
    limits: dict[Key, Limit]
    warned: dict[Key, frozenset[tuple[str, str]]]
    touches: dict[str, set[Touch]]
    compared: dict[str, list[Compared]]
    violations: dict[str, set[Violation]]


class Store:
    """The tables within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @property
    def transaction(self) -> Transaction:
        """For whoever writes tables of his own in it."""
        return self._transaction

    def known(
        self, *, eids: Collection[str], ids: Collection[str], digests: Collection[str], of: Collection[str]
    ) -> Known:
        """What the database already has of a batch: statements by eid and by id, refusals by digest, headers that facts are about."""
        statements, names, refused, cases = self._together(
            ("SELECT eid FROM statement WHERE eid IN ({})", eids),
            ("SELECT eid, type, agency, inc, id FROM statement WHERE standing = 'held' AND id IN ({})", ids),
            ("SELECT digest FROM refused WHERE digest IN ({})", digests),
            ("SELECT eid, case_id FROM handoff WHERE eid IN ({})", of),
        )
        return Known(
            eids=frozenset(row["eid"] for row in statements),
            names={(row["type"], row["agency"], row["inc"], row["id"]): row["eid"] for row in names},
            refused=frozenset(row["digest"] for row in refused),
            cases={row["eid"]: row["case_id"] for row in cases},
        )

    def cases(self, cases: Collection[str], *, arriving: Collection[str]) -> Stored:
        """Everything stored of these cases, and what was said before about the headers that are just arriving."""
        handoffs, facts, early, limits, rungs, events, dues, violations = self._together(
            (f"SELECT {HANDOFF_COLUMNS} FROM handoff WHERE case_id IN ({{}})", cases),
            (
                f"SELECT {FACT_COLUMNS} FROM receipt_fact WHERE of_eid IN "
                "(SELECT eid FROM handoff WHERE case_id IN ({}))",
                cases,
            ),
            (f"SELECT {FACT_COLUMNS} FROM receipt_fact WHERE of_eid IN ({{}})", arriving),
            (f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE case_id IN ({{}})", cases),
            (RUNGS, cases),
            (f"SELECT {EVENT_COLUMNS}, undone FROM limit_event WHERE case_id IN ({{}}) ORDER BY position", cases),
            (f"SELECT case_id, {DUE_COLUMNS} FROM stated_due WHERE case_id IN ({{}})", cases),
            ("SELECT case_id, eid, number FROM violation WHERE case_id IN ({})", cases),
        )
        warned = warnings_from(rungs)
        found: dict[str, set[Violation]] = defaultdict(set)
        for row in violations:
            found[row["case_id"]].add(Violation(eid=row["eid"], number=row["number"]))
        compared: dict[str, list[Compared]] = defaultdict(list)
        for row in dues:
            compared[row["case_id"]].append(compared_from(row))
        return Stored(
            handoffs=[handoff_from(row) for row in handoffs],
            facts=[fact_from(row) for row in (*facts, *early)],
            limits={limit.key: limit for limit in (limit_from(row, warned) for row in limits)},
            warned=warned,
            touches=touches_standing(events),
            compared=compared,
            violations=found,
        )

    def statements_add(self, statements: Sequence[Statement]) -> None:
        self._transaction.many(
            "INSERT INTO statement (eid, type, agency, inc, id, standing, sealed, published_at) VALUES (?,?,?,?,?,?,?,?)",
            [
                (s.eid, s.type, s.agency, s.inc, s.id, "equivocal" if s.equivocal else "held", s.sealed, s.published_at)
                for s in statements
            ],
        )

    def handoffs_add(self, handoffs: Sequence[Handoff]) -> None:
        """Those that are here already stay as they are: a statement may come again after its own row was lost."""
        self._transaction.many(
            f"INSERT INTO handoff ({HANDOFF_COLUMNS}, settled) VALUES ({placeholders(21)}) ON CONFLICT DO NOTHING",
            [
                (
                    h.eid, h.case_id, h.kind, h.outcome, h.stage, *h.sender, *h.receiver, h.lane_seq, h.lane_prev,
                    _encode(h.refers).decode(), _encode(h.acts).decode(), h.files, h.pages, h.sent_at,
                    _encode(h.clocks).decode(), _encode(h.dues).decode(), h.state, h.unapproved,
                    int(h.receiver[0] == Agency.GATEWAY),
                )
                for h in handoffs
            ],
        )  # fmt: skip

    def handoff_states(self, states: Mapping[str, State]) -> None:
        self._transaction.many(
            "UPDATE handoff SET state = ?, settled = CASE WHEN to_agency = ? THEN 1 ELSE ? END WHERE eid = ?",
            [(state, Agency.GATEWAY, int(state in SETTLED), eid) for eid, state in states.items()],
        )

    def facts_add(self, facts: Sequence[Fact]) -> None:
        self._transaction.many(
            f"INSERT INTO receipt_fact ({FACT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            [
                (
                    f.receipt,
                    f.position,
                    f.of,
                    f.kind,
                    f.at,
                    _encode(f.defects).decode(),
                    f.answer,
                    f.author,
                    f.addressee,
                )
                for f in facts
            ],
        )

    def cases_put(self, courses: Mapping[str, Course]) -> None:
        self._transaction.many(
            "INSERT INTO case_file (case_id, stage, holder_agency, holder_office, returns, track, custody, in_custody, "
            "handoffs, opened_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (case_id) DO UPDATE SET "
            "stage = excluded.stage, holder_agency = excluded.holder_agency, holder_office = excluded.holder_office, "
            "returns = excluded.returns, track = excluded.track, custody = excluded.custody, "
            "in_custody = excluded.in_custody, handoffs = excluded.handoffs, opened_at = excluded.opened_at, "
            "updated_at = excluded.updated_at",
            [
                (
                    case, c.stage, *c.holder, c.returns, c.track, _encode(c.custody).decode(),
                    int(any(c.custody.values())), len(c.states), c.opened_at, c.updated_at,
                )
                for case, c in courses.items()
            ],
        )  # fmt: skip

    def limits_due(self, now: int, *, at_most: int) -> list[Limit]:
        """Limits that have to be looked at by `now`, earliest first."""
        rows = self._transaction.all(
            f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?",
            (now, at_most),
        )
        return limits_from(self._transaction, rows)

    def limits_of(self, cases: Collection[str]) -> dict[Key, Limit]:
        """All limits of these cases (at least one)."""
        sql = f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE case_id IN ({placeholders(len(cases))})"
        return {limit.key: limit for limit in limits_from(self._transaction, self._transaction.all(sql, tuple(cases)))}

    def limits_next(self) -> int | None:
        """When the next limit has to be looked at."""
        row = self._transaction.one(
            "SELECT next_at FROM limit_clock WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1"
        )
        return None if row is None else int(row["next_at"])

    def cases_of_other_calendar(self, version: str, *, after: str, at_most: int) -> list[str]:
        """Cases with a limit that still runs and was computed with another calendar, or by an older program."""
        rows = self._transaction.all(
            "SELECT DISTINCT case_id FROM limit_clock WHERE case_id > ? AND calendar <> ? "
            "AND (ended_at IS NULL OR calendar = '') ORDER BY case_id LIMIT ?",
            (after, version, at_most),
        )
        return [row["case_id"] for row in rows]

    def limits_put(self, limits: Iterable[Limit], *, ladder: Ladder = DEFAULT) -> None:
        columns = [*LIMIT_COLUMNS.split(", "), "urgency", "next_at"]
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns[4:])
        self._transaction.many(
            f"INSERT INTO limit_clock ({', '.join(columns)}) VALUES ({placeholders(len(columns))}) "
            f"ON CONFLICT (case_id, rule, start_eid, person) DO UPDATE SET {changes}",
            [(*limit_values(limit), limit.urgency, next_at(limit, ladder=ladder)) for limit in limits],
        )

    def limits_looked_at(self, limits: Iterable[Limit], *, ladder: Ladder = DEFAULT) -> None:
        """What the passing of time alone changes of limits."""
        self._transaction.many(
            "UPDATE limit_clock SET state = ?, overdue_logged = ?, urgency = ?, next_at = ? "
            "WHERE case_id = ? AND rule = ? AND start_eid = ? AND person = ?",
            [
                (limit.state, int(limit.overdue_logged), limit.urgency, next_at(limit, ladder=ladder), *limit.key)
                for limit in limits
            ],
        )

    def limits_drop(self, keys: Sequence[Key]) -> None:
        self._transaction.many(
            "DELETE FROM limit_clock WHERE case_id = ? AND rule = ? AND start_eid = ? AND person = ?", keys
        )

    def rungs_add(self, actions: Iterable[Action], *, at: int) -> None:
        """Warnings given. A rung that was given before for the same date breaks the transaction: it must not be told twice."""
        self._transaction.many(
            "INSERT INTO limit_rung (case_id, rule, start_eid, person, rung, safe_due, due_at, recorded_at) "
            "VALUES (?,?,?,?,?,?,?,?)",
            [(*a.limit.key, a.rung, a.limit.safe_due, a.at, at) for a in actions if a.kind == "CLOCK_WARN"],
        )

    def touches_add(self, rows: Sequence[tuple[str, Touch, bool]], *, at: int) -> None:
        """Lines of ledgers: (case, line, undone)."""
        self._transaction.many(
            f"INSERT INTO limit_event (position, {EVENT_COLUMNS}, undone, recorded_at) VALUES "
            f"((SELECT COALESCE(MAX(position), 0) + 1 FROM limit_event), {placeholders(17)})",
            [
                (
                    case, t.rule, t.start_eid, t.person, t.kind, t.event, t.at, t.until, t.detail, t.document, t.eid, *t.by,
                    t.standing, t.number, int(undone), at,
                )
                for case, t, undone in rows
            ],
        )  # fmt: skip

    def compared_change(self, case: str, *, new: Sequence[Compared], gone: Sequence[tuple[str, str, str, str]]) -> None:
        """The last words of agencies about limits of one case."""
        self._transaction.many(
            "DELETE FROM stated_due WHERE case_id = ? AND rule = ? AND start_eid = ? AND person = ? AND agency = ?",
            [(case, *key) for key in gone],
        )
        self._transaction.many(
            f"INSERT INTO stated_due (case_id, {DUE_COLUMNS}) VALUES ({placeholders(9)}) "
            "ON CONFLICT (case_id, rule, start_eid, person, agency) DO UPDATE SET office = excluded.office, "
            "eid = excluded.eid, due = excluded.due, differs = excluded.differs",
            [(case, c.rule, c.start_eid, c.person, *c.by, c.eid, c.due, int(c.differs)) for c in new],
        )

    def violations_change(self, *, new: Sequence[tuple[str, Violation]], gone: Sequence[tuple[str, Violation]]) -> None:
        self._transaction.many(
            "DELETE FROM violation WHERE case_id = ? AND eid = ? AND number = ?",
            [(case, item.eid, item.number) for case, item in gone],
        )
        self._transaction.many(
            "INSERT INTO violation (case_id, eid, number) VALUES (?,?,?)",
            [(case, item.eid, item.number) for case, item in new],
        )

    def refused_add(self, refusals: Sequence[Refusal], *, at: int) -> None:
        self._transaction.many(
            "INSERT INTO refused (digest, subject, number, refused_at) VALUES (?,?,?,?)",
            [(item.digest, item.subject, item.number, at) for item in refusals],
        )

    def _together(self, *queries: tuple[str, Collection[str]]) -> list[list[Row]]:
        """Each query with its `{}` filled for its values; none is asked that has no values."""
        return [
            self._transaction.all(sql.format(placeholders(len(values))), tuple(values)) if values else []
            for sql, values in queries
        ]

"""What pages and API read: committed rows, in pages, never a write.

A page token is the place after the last row shown; it is opaque to callers. What must not go in: anything that changes a table.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from services.chassis.database import Database, Row, Transaction, Value, placeholders
from services.gateway.clocks import DEFAULT, Key, Limit
from services.gateway.course import course, fact_order
from services.gateway.dues import Compared
from services.gateway.forecast import PLACE_TYPES, Foreseen, foresee
from services.gateway.ladder import Ladder
from services.gateway.ledger import Touch
from services.gateway.lines import CaseLine, LedgerLine, LogLine, Overview, Summary, Timeline
from services.gateway.paging import page_size, place_of, token_of
from services.gateway.reckoning import Reckoner
from services.gateway.record import Fact, Handoff
from services.gateway.rows import (
    DUE_COLUMNS,
    EVENT_COLUMNS,
    FACT_COLUMNS,
    HANDOFF_COLUMNS,
    LIMIT_COLUMNS,
    compared_from,
    fact_from,
    handoff_from,
    limits_from,
    touch_from,
)
from xieban.errors import Reason, failure
from xieban.procedure import table

FORESEEN_AT_ONCE = 500
WORST_FIRST = "urgency, severity, overdue_from"
LIMIT_STATES = ("running", "overdue", "met", "late", "lapsed")


class Reading:
    """Reads of the gateway's database, each one snapshot."""

    def __init__(self, database: Database, *, reckoner: Reckoner | None = None, ladder: Ladder = DEFAULT) -> None:
        self._database = database
        self._reckoner = reckoner or Reckoner()
        self._ladder = ladder

    async def summary(self) -> Summary:
        return await self._database.read(_summary)

    async def overview(self, *, rows: int) -> Overview:
        """At most `rows` rows a list: the longest in flight, limits with the worst first; half as many of what is over."""
        return await self._database.read(lambda transaction: _overview(transaction, rows))

    async def cases(self, *, size: int = 0, token: str = "") -> tuple[list[CaseLine], str]:
        """Cases, last changed first, and the token of the next page (empty at the end). Errors: FIELD_INVALID."""
        size = page_size(size)
        where, params = "1 = 1", list[Value]()
        if token:
            at, case = place_of(token, (int, str))
            where, params = "(updated_at < ? OR (updated_at = ? AND case_id > ?))", [at, at, case]

        def page(transaction: Transaction) -> tuple[list[CaseLine], bool]:
            rows = transaction.all(
                f"SELECT * FROM case_file WHERE {where} ORDER BY updated_at DESC, case_id LIMIT ?", [*params, size + 1]
            )
            return _case_lines(transaction, rows[:size]), len(rows) > size

        lines, more = await self._database.read(page)
        return lines, token_of(lines[-1].updated_at, lines[-1].case_id) if more else ""

    async def limits(self, *, state: str = "", size: int = 0, token: str = "") -> tuple[list[Limit], str]:
        """Limits in order of due date, and the token of the next page. Errors: FIELD_INVALID."""
        size = page_size(size)
        if state and state not in LIMIT_STATES:
            raise failure(Reason.FIELD_INVALID, field="state", detail=f"应为 {'、'.join(LIMIT_STATES)} 之一")
        where, params = ("state = ?", list[Value]([state])) if state else ("1 = 1", list[Value]())
        if token:
            due, *key = place_of(token, (int, str, str, str, str))
            where += (
                " AND (overdue_from > ? OR (overdue_from = ? AND (case_id, rule, start_eid, person) > (?, ?, ?, ?)))"
            )
            params += [due, due, *key]
        found = await self._database.read(lambda transaction: _limits(transaction, where, params, size + 1))
        last = found[size - 1] if len(found) > size else None
        return found[:size], token_of(last.overdue_from, *last.key) if last else ""

    async def forecast(
        self, *, until: int, case_id: str = "", size: int = 0, token: str = ""
    ) -> tuple[list[Foreseen], str]:
        """What the passing of time alone will have recorded by `until` (microseconds), in order of time, and the token of the next page.

        Errors: FIELD_INVALID, CASE_NOT_FOUND.
        """
        size = page_size(size)
        after = tuple(place_of(token, PLACE_TYPES)) if token else ()

        def page(transaction: Transaction) -> list[Foreseen]:
            known = "SELECT case_id FROM case_file WHERE case_id = ?"
            if case_id and transaction.one(known, (case_id,)) is None:
                raise failure(Reason.CASE_NOT_FOUND, case=case_id[:32])
            return _coming(transaction, case_id, after, until=until, rows=size + 1, ladder=self._ladder)

        found = await self._database.read(page)
        return found[:size], token_of(*found[size - 1].place) if len(found) > size else ""

    async def log(self, *, after: int = 0, size: int = 0) -> list[LogLine]:
        """Entries of the log behind position `after`, in order. Errors: FIELD_INVALID."""
        size = page_size(size)
        sql = "SELECT * FROM log_entry WHERE position > ? ORDER BY position LIMIT ?"
        rows = await self._database.read(lambda transaction: transaction.all(sql, (after, size)))
        return [_log_line(row) for row in rows]

    async def timeline(self, case_id: str) -> Timeline:
        """One case. Errors: CASE_NOT_FOUND."""
        return await self._database.read(lambda transaction: self._timeline(transaction, case_id))

    def _timeline(self, transaction: Transaction, case_id: str) -> Timeline:
        rows = transaction.all("SELECT * FROM case_file WHERE case_id = ?", (case_id,))
        if not rows:
            raise failure(Reason.CASE_NOT_FOUND, case=case_id[:32])
        handoffs = [
            handoff_from(row)
            for row in transaction.all(
                f"SELECT {HANDOFF_COLUMNS} FROM handoff WHERE case_id = ? ORDER BY sent_at, lane_seq, eid",
                (case_id,),
            )
        ]
        facts: dict[str, list[Fact]] = defaultdict(list)
        for row in transaction.all(
            f"SELECT {', '.join('f.' + name for name in FACT_COLUMNS.split(', '))} FROM receipt_fact f "
            "JOIN handoff h ON h.eid = f.of_eid WHERE h.case_id = ?",
            (case_id,),
        ):
            fact = fact_from(row)
            facts[fact.of].append(fact)
        log = transaction.all("SELECT * FROM log_entry WHERE case_id = ? ORDER BY position", (case_id,))
        limits = transaction.all(
            f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE case_id = ? ORDER BY started_at, rule, person, start_eid",
            (case_id,),
        )
        found = tuple(limits_from(transaction, limits))
        events = transaction.all(
            f"SELECT {EVENT_COLUMNS}, undone, recorded_at FROM limit_event WHERE case_id = ? ORDER BY position",
            (case_id,),
        )
        ledgers, loose = _ledgers(case_id, events)
        dues = transaction.all(
            f"SELECT {DUE_COLUMNS} FROM stated_due WHERE case_id = ? ORDER BY rule, person, agency", (case_id,)
        )
        stated: dict[Key, list[Compared]] = defaultdict(list)
        for one in map(compared_from, dues):
            stated[case_id, one.rule, one.start_eid, one.person].append(one)
        everything = [fact for told in facts.values() for fact in told]
        return Timeline(
            case=(_case_lines(transaction, rows))[0],
            handoffs=tuple(_in_order(handoffs)),
            facts={handoff.eid: _told(handoff, facts[handoff.eid]) for handoff in handoffs},
            limits=found,
            ledgers={limit.key: ledgers.get(limit.key, ()) for limit in found},
            loose=loose,
            derivations=self._reckoner.derive(case_id, course(handoffs, everything, table()).spans),
            stated={key: tuple(told) for key, told in stated.items()},
            unmatched=tuple(one for (_, _, start_eid, _), told in stated.items() if not start_eid for one in told),
            log=tuple(_log_line(row) for row in log),
        )

    async def facts_waiting(self) -> int:
        """Facts whose header has not come yet. What its receiver rejected may have been refused here too, and never comes."""
        row = await self._database.read(
            lambda transaction: transaction.one(
                "SELECT COUNT(*) AS n FROM receipt_fact f LEFT JOIN handoff h ON h.eid = f.of_eid WHERE h.eid IS NULL "
                "AND f.kind <> 'rejected'"
            )
        )
        return int(row["n"]) if row is not None else 0


def _coming(
    transaction: Transaction, case_id: str, after: tuple[Value, ...], *, until: int, rows: int, ladder: Ladder
) -> list[Foreseen]:
    """The first `rows` that time will bring by `until` behind the place `after`, in order."""
    found: list[Foreseen] = []
    place: tuple[Value, ...] = ()
    while True:
        looked_at = transaction.all(*_looked_at(until, case_id, place, since=after[0] if after else None))
        for row, limit in zip(looked_at, limits_from(transaction, looked_at), strict=True):
            coming = foresee(limit, looked_at=row["next_at"], until=until, ladder=ladder)
            found += [one for one in coming if one.place > after]
        found = heapq.nsmallest(rows, found, key=lambda one: one.place)
        # Limits that are looked at later bring nothing earlier, so what is full then stays as it is.
        if len(looked_at) < FORESEEN_AT_ONCE or (len(found) == rows and found[-1].due_at < looked_at[-1]["next_at"]):
            return found
        place = tuple(looked_at[-1][name] for name in _LOOKED_AT)


_LOOKED_AT = ("next_at", "case_id", "rule", "start_eid", "person")


def _looked_at(until: int, case_id: str, place: tuple[Value, ...], *, since: Value) -> tuple[str, tuple[Value, ...]]:
    """The next limits the watch would look at by `until`, after `place`; only those that bring something at `since` or later."""
    where, params = "next_at IS NOT NULL AND next_at <= ?", list[Value]([until])
    if case_id:
        where, params = f"{where} AND case_id = ?", [*params, case_id]
    if since is not None:
        # The end of a limit is the last that time brings to it.
        where, params = f"{where} AND overdue_from >= ?", [*params, since]
    order = ", ".join(_LOOKED_AT)
    if place:
        where, params = f"{where} AND ({order}) > ({placeholders(len(place))})", [*params, *place]
    sql = f"SELECT {LIMIT_COLUMNS}, next_at FROM limit_clock WHERE {where} ORDER BY {order} LIMIT {FORESEEN_AT_ONCE}"
    return sql, tuple(params)


def _ledgers(case_id: str, rows: Sequence[Row]) -> tuple[dict[Key, tuple[LedgerLine, ...]], tuple[LedgerLine, ...]]:
    """Lines by limit in order of legal time; what was taken back is one line that says so."""
    lines: dict[Touch, LedgerLine] = {}
    first: dict[Touch, int] = {}
    for row in rows:
        touch = touch_from(row)
        recorded_at = first.setdefault(_act(touch), row["recorded_at"])
        if touch in lines and row["undone"]:
            lines[touch] = replace(lines[touch], undone=True)
        elif touch not in lines or lines[touch].undone:
            lines[touch] = LedgerLine(touch=touch, recorded_at=recorded_at, undone=bool(row["undone"]))
    # An act that is only judged differently now is shown as it stands now.
    standing = {_act(line.touch) for line in lines.values() if not line.undone}
    shown = [line for line in lines.values() if not line.undone or _act(line.touch) not in standing]
    found: dict[Key, list[LedgerLine]] = defaultdict(list)
    loose: list[LedgerLine] = []
    for line in sorted(shown, key=lambda line: (line.touch.at, line.recorded_at, line.touch.until)):
        touch = line.touch
        (found[case_id, touch.rule, touch.start_eid, touch.person] if touch.start_eid else loose).append(line)
    return {key: tuple(told) for key, told in found.items()}, tuple(line for line in loose if not line.undone)


def _act(touch: Touch) -> Touch:
    return replace(touch, start_eid="", standing="effective", number="")


def _in_order(handoffs: Sequence[Handoff]) -> list[Handoff]:
    """By time; of one instant (a frozen clock makes many), an answer after what it answers."""
    depth: dict[str, int] = {}
    known = {handoff.eid: handoff for handoff in handoffs}

    def deep(handoff: Handoff) -> int:
        if handoff.eid not in depth:
            depth[handoff.eid] = 0  # a header cannot name its own descendants; a forged ring ends here
            same = [known[eid] for eid in handoff.refers if eid in known and known[eid].sent_at == handoff.sent_at]
            depth[handoff.eid] = 1 + max((deep(one) for one in same), default=-1)
        return depth[handoff.eid]

    return sorted(handoffs, key=lambda item: (item.sent_at, deep(item), item.lane_seq, item.eid))


def _told(handoff: Handoff, facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts its receiver stated, each kind once, the first time it was said."""
    first: dict[str, Fact] = {}
    for fact in sorted(facts, key=fact_order):
        if (fact.author, fact.addressee) == (handoff.receiver[0], handoff.sender[0]):
            first.setdefault(fact.kind, fact)
    return tuple(first.values())


def _overview(transaction: Transaction, rows: int) -> Overview:
    flight = transaction.all(
        f"SELECT {HANDOFF_COLUMNS} FROM handoff WHERE settled = 0 ORDER BY sent_at, eid LIMIT ?", (rows,)
    )
    due = _limits(transaction, "state = 'running'", (), rows, order=WORST_FIRST)
    overdue = _limits(transaction, "state = 'overdue'", (), rows, order=WORST_FIRST)
    late = transaction.one("SELECT COUNT(*) AS n FROM limit_clock WHERE state = 'late'")
    ended = transaction.all(
        f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE state = 'late' ORDER BY ended_at DESC, case_id, rule LIMIT ?",
        (rows // 2,),
    )
    changed = transaction.all("SELECT * FROM case_file ORDER BY updated_at DESC, case_id LIMIT ?", (rows // 2,))
    cases = sorted({row["case_id"] for row in flight})
    held: list[Row] = []
    if cases:
        held = transaction.all(
            f"SELECT case_id FROM case_file WHERE in_custody = 1 AND case_id IN ({placeholders(len(cases))})",
            cases,
        )
    return Overview(
        summary=_summary(transaction),
        in_flight=tuple(map(handoff_from, flight)),
        due_next=tuple(due),
        overdue=tuple(overdue),
        late=tuple(limits_from(transaction, ended)),
        changed=tuple(_case_lines(transaction, changed)),
        limits_late=late["n"] if late is not None else 0,
        held=frozenset(row["case_id"] for row in held),
    )


def _summary(transaction: Transaction) -> Summary:
    row = transaction.one(
        "SELECT (SELECT COUNT(*) FROM case_file) AS cases, (SELECT COUNT(*) FROM handoff) AS handoffs, "
        "(SELECT COUNT(*) FROM handoff WHERE settled = 0) AS in_flight, "
        "(SELECT COUNT(*) FROM limit_clock WHERE state = 'running') AS limits_running, "
        "(SELECT COUNT(*) FROM limit_clock WHERE state IN ('overdue', 'late')) AS limits_overdue, "
        "(SELECT COUNT(*) FROM limit_clock) AS limits_started, "
        "(SELECT COALESCE(MAX(position), 0) FROM log_entry) AS log_entries, "
        "(SELECT COUNT(*) FROM refused) AS refused"
    )
    assert row is not None
    return Summary(**{name: int(row[name]) for name in Summary.__slots__})


def _limits(
    transaction: Transaction, where: str, params: Sequence[Value], rows: int, *, order: str = "overdue_from"
) -> list[Limit]:
    found = transaction.all(
        f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE {where} ORDER BY {order}, case_id, rule, start_eid, person LIMIT ?",
        [*params, rows],
    )
    return limits_from(transaction, found)


def _case_lines(transaction: Transaction, rows: Sequence[Row]) -> list[CaseLine]:
    if not rows:
        return []
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in transaction.all(
        f"SELECT case_id, state, COUNT(*) AS n FROM limit_clock WHERE case_id IN ({placeholders(len(rows))}) "
        "GROUP BY case_id, state",
        [row["case_id"] for row in rows],
    ):
        counts[row["case_id"]][row["state"]] = row["n"]
    return [
        CaseLine(
            case_id=row["case_id"],
            stage=row["stage"],
            holder=(row["holder_agency"], row["holder_office"]),
            returns=row["returns"],
            track=row["track"],
            in_custody=bool(row["in_custody"]),
            persons_held=sum(msgspec.json.decode(row["custody"], type=dict[str, bool]).values()),
            handoffs=row["handoffs"],
            limits_running=counts[row["case_id"]].get("running", 0),
            limits_overdue=counts[row["case_id"]].get("overdue", 0) + counts[row["case_id"]].get("late", 0),
            opened_at=row["opened_at"],
            updated_at=row["updated_at"],
        )
        for row in rows
    ]


def _log_line(row: Row) -> LogLine:
    return LogLine(
        position=row["position"], kind=row["kind"], recorded_at=row["recorded_at"], case_id=row["case_id"],
        eid=row["eid"], detail=row["detail"], hash=row["leaf"].hex(),
    )  # fmt: skip

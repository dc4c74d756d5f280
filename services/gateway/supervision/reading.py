"""What pages and API read of supervisions: committed rows and what was sealed, never a write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.chassis.database import Database, Row, Transaction, Value, placeholders
from services.gateway import outbox
from services.gateway.paging import page_size, place_of, token_of
from services.gateway.supervision.steps import Rules, Supervision
from services.gateway.supervision.store import COLUMNS, Step, step_from, supervision_from
from xieban import canonical
from xieban.errors import Reason, failure
from xieban.marshal import stored_payload
from xieban.notice import Notice, Reply
from xieban.supervision import FINAL, OPEN, State, days_over

_ORDER = "CASE WHEN v.state IN ('closed', 'discarded') THEN 1 ELSE 0 END, v.severity, v.overdue_from, v.id"
_SELECT = (
    f"SELECT {', '.join(f'v.{name}' for name in COLUMNS)}, l.state AS limit_state, l.ended_at AS limit_ended_at "
    "FROM supervision v LEFT JOIN limit_clock l ON l.case_id = v.case_id AND l.rule = v.rule "
    "AND l.start_eid = v.start_eid AND l.person = v.person"
)


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step with what its statement says. `held`: the agency's node has given its word that it has the notice."""

    step: Step
    remark: str
    reason: str
    held: bool
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Matter:
    """A supervision with the limit it is about as that stands now (empty state: it does not exist any more)."""

    supervision: Supervision
    whom: str
    limit_state: str
    limit_ended_at: int | None
    steps: tuple[StepLine, ...] = ()

    def days_over(self, now: int) -> int:
        """Until now, or until the limit ended."""
        ended = self.limit_ended_at
        return days_over(self.supervision.overdue_from, now=now if ended is None else min(ended, now))

    def is_reply_over(self, now: int) -> bool:
        """A reply is owed and was not given in time."""
        over = self.supervision.reply_over_from
        return self.supervision.state in OPEN and over is not None and over <= now

    @property
    def explained(self) -> StepLine | None:
        """The newest explanation."""
        return next((line for line in reversed(self.steps) if line.reply is not None and line.reply.cause), None)


class SupervisionReading:
    """Reads of the gateway's database, each one snapshot."""

    def __init__(self, database: Database, *, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    async def page(
        self, *, state: State | None = None, case_id: str = "", size: int = 0, token: str = ""
    ) -> tuple[list[Matter], str]:
        """Those that wait for somebody first, the worst of them first, and the token of the next page. Errors: FIELD_INVALID."""
        size = page_size(size)
        where, params = "1 = 1", list[Value]()
        if state is not None:
            where, params = f"{where} AND v.state = ?", [*params, state]
        if case_id:
            where, params = f"{where} AND v.case_id = ?", [*params, case_id]
        if token:
            where, params = f"{where} AND ({_ORDER}) > (?,?,?,?)", [*params, *place_of(token, (int, int, int, str))]
        sql = f"{_SELECT} WHERE {where} ORDER BY {_ORDER} LIMIT ?"
        found = await self._database.read(
            lambda transaction: self._matters(transaction, transaction.all(sql, (*params, size + 1)))
        )
        if len(found) <= size:
            return found, ""
        last = found[size - 1].supervision
        return found[:size], token_of(int(last.state in FINAL), last.severity, last.overdue_from, last.id)

    async def one(self, id: str) -> Matter:
        """With its steps. Errors: SUPERVISION_NOT_FOUND."""
        found = await self._database.read(
            lambda transaction: self._matters(
                transaction, transaction.all(f"{_SELECT} WHERE v.id = ?", (id,)), steps=True
            )
        )
        if not found:
            raise failure(Reason.SUPERVISION_NOT_FOUND, supervision=id)
        return found[0]

    async def of_case(self, case_id: str) -> list[Matter]:
        """All of a case with their steps, oldest first."""
        sql = f"{_SELECT} WHERE v.case_id = ? ORDER BY v.drafted_at, v.id"
        return await self._database.read(
            lambda transaction: self._matters(transaction, transaction.all(sql, (case_id,)), steps=True)
        )

    async def counts(self) -> dict[State, int]:
        """How many stand in each state."""
        rows = await self._database.read(
            lambda transaction: transaction.all("SELECT state, COUNT(*) AS n FROM supervision GROUP BY state")
        )
        return {State(row["state"]): row["n"] for row in rows}

    async def unfinished(self) -> int:
        """Statements of the gateway whose audience has not given its word."""
        return await self._database.read(outbox.unfinished)

    def _matters(self, transaction: Transaction, rows: Sequence[Row], *, steps: bool = False) -> list[Matter]:
        lines = _steps(transaction, [row["id"] for row in rows]) if steps and rows else {}
        matters = []
        for row in rows:
            supervision = supervision_from(row)
            matters.append(
                Matter(
                    supervision=supervision,
                    whom=self._rules.whom(supervision),
                    limit_state=row["limit_state"] or "",
                    limit_ended_at=row["limit_ended_at"],
                    steps=tuple(lines.get(supervision.id, ())),
                )
            )
        return matters


def _steps(transaction: Transaction, ids: Collection[str]) -> dict[str, list[StepLine]]:
    rows = transaction.all(
        "SELECT t.*, s.type, s.sealed, o.done FROM supervision_step t JOIN statement s ON s.eid = t.eid "
        f"LEFT JOIN outbox o ON o.eid = t.eid WHERE t.supervision IN ({placeholders(len(ids))}) ORDER BY t.step",
        tuple(ids),
    )
    found: dict[str, list[StepLine]] = defaultdict(list)
    for row in rows:
        payload = stored_payload(row["sealed"])
        if row["type"] == "reply":
            line = StepLine(step_from(row), "", "", held=False, reply=canonical.read(payload, Reply))
        else:
            demand = canonical.read(payload, Notice).demand
            remark, reason = (demand.remark, demand.reason) if demand is not None else ("", "")
            line = StepLine(step_from(row), remark, reason, held=bool(row["done"]), reply=None)
        found[row["supervision"]].append(line)
    return found

"""The gateway's tables, as ingest and watch use them: batch reads with IN, batch writes with executemany.

Methods are named noun first. They run inside the caller's transaction and decide nothing. The log is written by `log`; what pages
and the API read is in `reading`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.chassis.database import Row, Transaction, Value, placeholders
from services.gateway.clocks import Limit
from services.gateway.course import Course, Fact, Handoff, Violation
from xieban.handoff import SETTLED, Act, Defect, State

_encode = msgspec.json.Encoder(order="sorted").encode
_acts = msgspec.json.Decoder(tuple[Act, ...]).decode
_defects = msgspec.json.Decoder(tuple[Defect, ...]).decode
_texts = msgspec.json.Decoder(tuple[str, ...]).decode

LIMIT_COLUMNS = (
    "case_id, rule, start_eid, bearer_agency, bearer_office, start_event, started_at, due, safe_due, overdue_from, "
    "provisional, in_custody, edition, calendar, state, ended_at, end_eid, overdue_logged"
)
HANDOFF_COLUMNS = (
    "eid, case_id, kind, outcome, stage, from_agency, from_office, to_agency, to_office, lane_seq, lane_prev, refers, acts, "
    "files, pages, sent_at, state"
)
FACT_COLUMNS = "receipt, position, of_eid, kind, at, defects, answer, from_agency, to_agency"


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


class Store:
    """The tables within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def statements_known(self, eids: Collection[str]) -> set[str]:
        rows = await self._among("SELECT eid FROM statement WHERE eid IN ({})", eids)
        return {row["eid"] for row in rows}

    async def statements_named(self, ids: Collection[str]) -> dict[tuple[str, str, int, str], str]:
        """Names in use by held statements that have one of these ids, with the eid that holds each."""
        rows = await self._among(
            "SELECT eid, type, agency, inc, id FROM statement WHERE standing = 'held' AND id IN ({})", ids
        )
        return {(row["type"], row["agency"], row["inc"], row["id"]): row["eid"] for row in rows}

    async def statements_add(self, statements: Sequence[Statement]) -> None:
        await self._transaction.many(
            "INSERT INTO statement (eid, type, agency, inc, id, standing, sealed, published_at) VALUES (?,?,?,?,?,?,?,?)",
            [
                (s.eid, s.type, s.agency, s.inc, s.id, "equivocal" if s.equivocal else "held", s.sealed, s.published_at)
                for s in statements
            ],
        )

    async def handoffs_add(self, handoffs: Sequence[Handoff]) -> None:
        await self._transaction.many(
            f"INSERT INTO handoff ({HANDOFF_COLUMNS}, settled) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                (
                    h.eid, h.case_id, h.kind, h.outcome, h.stage, *h.sender, *h.receiver, h.lane_seq, h.lane_prev,
                    _encode(h.refers).decode(), _encode(h.acts).decode(), h.files, h.pages, h.sent_at, h.state, 0,
                )
                for h in handoffs
            ],
        )  # fmt: skip

    async def handoffs_cases(self, eids: Collection[str]) -> dict[str, str]:
        """The case of each of these headers that is here."""
        rows = await self._among("SELECT eid, case_id FROM handoff WHERE eid IN ({})", eids)
        return {row["eid"]: row["case_id"] for row in rows}

    async def handoffs_of(self, cases: Collection[str]) -> dict[str, list[Handoff]]:
        rows = await self._among(f"SELECT {HANDOFF_COLUMNS} FROM handoff WHERE case_id IN ({{}})", cases)
        found: dict[str, list[Handoff]] = defaultdict(list)
        for row in rows:
            found[row["case_id"]].append(handoff_from(row))
        return found

    async def handoff_states(self, states: Mapping[str, State]) -> None:
        await self._transaction.many(
            "UPDATE handoff SET state = ?, settled = ? WHERE eid = ?",
            [(state, int(state in SETTLED), eid) for eid, state in states.items()],
        )

    async def facts_add(self, facts: Sequence[Fact]) -> None:
        await self._transaction.many(
            f"INSERT INTO receipt_fact ({FACT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",
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

    async def facts_about(self, eids: Collection[str]) -> list[Fact]:
        rows = await self._among(f"SELECT {FACT_COLUMNS} FROM receipt_fact WHERE of_eid IN ({{}})", eids)
        return [fact_from(row) for row in rows]

    async def cases_put(self, courses: Mapping[str, Course]) -> None:
        await self._transaction.many(
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

    async def limits_of(self, cases: Collection[str]) -> dict[tuple[str, str, str], Limit]:
        rows = await self._among(f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE case_id IN ({{}})", cases)
        return {limit.key: limit for limit in map(limit_from, rows)}

    async def limits_due(self, now: int, *, at_most: int) -> list[Limit]:
        """Running limits that are overdue at `now` and not yet recorded so, earliest first."""
        rows = await self._transaction.all(
            f"SELECT {LIMIT_COLUMNS} FROM limit_clock WHERE state = 'running' AND overdue_from <= ? "
            "ORDER BY overdue_from LIMIT ?",
            (now, at_most),
        )
        return [limit_from(row) for row in rows]

    async def limits_next(self) -> int | None:
        """When the next running limit becomes overdue."""
        row = await self._transaction.one("SELECT MIN(overdue_from) AS next FROM limit_clock WHERE state = 'running'")
        return None if row is None or row["next"] is None else int(row["next"])

    async def limits_put(self, limits: Iterable[Limit]) -> None:
        columns = LIMIT_COLUMNS.split(", ")
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns[3:])
        await self._transaction.many(
            f"INSERT INTO limit_clock ({LIMIT_COLUMNS}) VALUES ({placeholders(len(columns))}) "
            f"ON CONFLICT (case_id, rule, start_eid) DO UPDATE SET {changes}",
            [_limit_values(limit) for limit in limits],
        )

    async def limits_drop(self, keys: Sequence[tuple[str, str, str]]) -> None:
        await self._transaction.many("DELETE FROM limit_clock WHERE case_id = ? AND rule = ? AND start_eid = ?", keys)

    async def violations_of(self, cases: Collection[str]) -> dict[str, set[Violation]]:
        rows = await self._among("SELECT case_id, eid, number FROM violation WHERE case_id IN ({})", cases)
        found: dict[str, set[Violation]] = defaultdict(set)
        for row in rows:
            found[row["case_id"]].add(Violation(eid=row["eid"], number=row["number"]))
        return found

    async def violations_change(
        self, *, new: Sequence[tuple[str, Violation]], gone: Sequence[tuple[str, Violation]]
    ) -> None:
        await self._transaction.many(
            "DELETE FROM violation WHERE case_id = ? AND eid = ? AND number = ?",
            [(case, item.eid, item.number) for case, item in gone],
        )
        await self._transaction.many(
            "INSERT INTO violation (case_id, eid, number) VALUES (?,?,?)",
            [(case, item.eid, item.number) for case, item in new],
        )

    async def refused_known(self, digests: Collection[str]) -> set[str]:
        return {row["digest"] for row in await self._among("SELECT digest FROM refused WHERE digest IN ({})", digests)}

    async def refused_add(self, refusals: Sequence[Refusal], *, at: int) -> None:
        await self._transaction.many(
            "INSERT INTO refused (digest, subject, number, refused_at) VALUES (?,?,?,?)",
            [(item.digest, item.subject, item.number, at) for item in refusals],
        )

    async def _among(self, sql: str, values: Collection[Value]) -> list[Row]:
        """`sql` with its `{}` filled for `values`; nothing is asked when there are none."""
        if not values:
            return []
        return await self._transaction.all(sql.format(placeholders(len(values))), tuple(values))


def handoff_from(row: Row) -> Handoff:
    return Handoff(
        eid=row["eid"],
        case_id=row["case_id"],
        kind=row["kind"],
        outcome=row["outcome"],
        stage=row["stage"],
        sender=(row["from_agency"], row["from_office"]),
        receiver=(row["to_agency"], row["to_office"]),
        lane_seq=row["lane_seq"],
        lane_prev=row["lane_prev"],
        refers=_texts(row["refers"]),
        acts=_acts(row["acts"]),
        files=row["files"],
        pages=row["pages"],
        sent_at=row["sent_at"],
        state=State(row["state"]),
    )


def fact_from(row: Row) -> Fact:
    return Fact(
        receipt=row["receipt"],
        position=row["position"],
        of=row["of_eid"],
        kind=row["kind"],
        at=row["at"],
        defects=_defects(row["defects"]),
        answer=row["answer"],
        author=row["from_agency"],
        addressee=row["to_agency"],
    )


def limit_from(row: Row) -> Limit:
    values = {name: row[name] for name in LIMIT_COLUMNS.split(", ")}
    for flag in ("provisional", "in_custody", "overdue_logged"):
        values[flag] = bool(values[flag])
    return Limit(**values)


def _limit_values(limit: Limit) -> tuple[Value, ...]:
    return tuple(
        int(value) if isinstance(value := getattr(limit, name), bool) else value for name in LIMIT_COLUMNS.split(", ")
    )

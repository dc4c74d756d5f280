"""The gateway's rows as values: by which columns a table is read, and what they say. Nothing is decided and nothing is written here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

import msgspec

from services.chassis.database import Row, Transaction, Value, placeholders
from services.gateway.clocks import Key, Limit
from services.gateway.dues import Compared
from services.gateway.ledger import Touch
from services.gateway.record import Fact, Handoff
from xieban.handoff import Act, ClockAct, Defect, State, StatedDue

_acts = msgspec.json.Decoder(tuple[Act, ...]).decode
_clocks = msgspec.json.Decoder(tuple[ClockAct, ...]).decode
_dues = msgspec.json.Decoder(tuple[StatedDue, ...]).decode
_defects = msgspec.json.Decoder(tuple[Defect, ...]).decode
_texts = msgspec.json.Decoder(tuple[str, ...]).decode

LIMIT_COLUMNS = (
    "case_id, rule, start_eid, person, bearer_agency, bearer_office, start_event, started_at, due, safe_due, overdue_from, "
    "safe_from, provisional, in_custody, stopped, duty, consequence, severity, edition, calendar, state, ended_at, end_eid, "
    "overdue_logged"
)
_LIMIT_COLUMNS = tuple(LIMIT_COLUMNS.split(", "))
_limit_of = attrgetter(*_LIMIT_COLUMNS)
_FLAGS = ("provisional", "in_custody", "stopped", "duty", "overdue_logged")
HANDOFF_COLUMNS = (
    "eid, case_id, kind, outcome, stage, from_agency, from_office, to_agency, to_office, lane_seq, lane_prev, refers, acts, "
    "files, pages, sent_at, clocks, dues, state, unapproved"
)
EVENT_COLUMNS = (
    "case_id, rule, start_eid, person, kind, event, at, until, detail, document, eid, agency, office, standing, number"
)
DUE_COLUMNS = "rule, start_eid, person, agency, office, eid, due, differs"
FACT_COLUMNS = "receipt, position, of_eid, kind, at, defects, answer, from_agency, to_agency"


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
        clocks=_clocks(row["clocks"]),
        dues=_dues(row["dues"]),
        state=State(row["state"]),
        unapproved=row["unapproved"],
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


RUNGS = "SELECT case_id, rule, start_eid, person, rung, safe_due FROM limit_rung WHERE case_id IN ({})"


def warnings_from(rows: Iterable[Row]) -> dict[Key, frozenset[tuple[str, str]]]:
    """Warnings given, by limit."""
    found: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        key = (row["case_id"], row["rule"], row["start_eid"], row["person"])
        found[key].add((row["rung"], row["safe_due"]))
    return {key: frozenset(rungs) for key, rungs in found.items()}


def limits_from(transaction: Transaction, rows: Sequence[Row]) -> list[Limit]:
    """Limits with the warnings given of them."""
    cases = sorted({row["case_id"] for row in rows})
    if not cases:
        return []
    warned = warnings_from(transaction.all(RUNGS.format(placeholders(len(cases))), cases))
    return [limit_from(row, warned) for row in rows]


def limit_from(row: Row, warned: Mapping[Key, frozenset[tuple[str, str]]]) -> Limit:
    values = dict(zip(_LIMIT_COLUMNS, row, strict=False))  # the row may go on with columns of the query's own
    for flag in _FLAGS:
        values[flag] = bool(values[flag])
    key = (values["case_id"], values["rule"], values["start_eid"], values["person"])
    return Limit(**values, warned=warned.get(key, frozenset()))


def touches_standing(rows: Iterable[Row]) -> dict[str, set[Touch]]:
    """Lines of ledgers that stand, by case; rows in the order of their position."""
    found: dict[str, set[Touch]] = defaultdict(set)
    for row in rows:
        lines = found[row["case_id"]]
        (lines.discard if row["undone"] else lines.add)(touch_from(row))
    return found


def touch_from(row: Row) -> Touch:
    return Touch(
        rule=row["rule"], start_eid=row["start_eid"], person=row["person"], kind=row["kind"], event=row["event"],
        at=row["at"], until=row["until"], detail=row["detail"], document=row["document"], eid=row["eid"],
        by=(row["agency"], row["office"]), standing=row["standing"], number=row["number"],
    )  # fmt: skip


def compared_from(row: Row) -> Compared:
    return Compared(
        rule=row["rule"], start_eid=row["start_eid"], person=row["person"], by=(row["agency"], row["office"]),
        eid=row["eid"], due=row["due"], differs=bool(row["differs"]),
    )  # fmt: skip


def limit_values(limit: Limit) -> tuple[Value, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in _limit_of(limit))

"""From a course to limits with dates: the one place of the gateway that asks `xieban.timelimits`.

Agencies and gateway compute a date from the same code and the same facts. Pure; nothing is stored here.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from services.gateway.clocks import SHANGHAI, Limit, overdue_from
from services.gateway.course import Span
from xieban.marshal import moment
from xieban.timelimits import Calendar, CustodyChange, Due, Facts, RuleId, compute


@lru_cache(maxsize=8192)
def due_of(rule: str, started_at: int, custody: bool, changes: tuple[tuple[int, bool], ...]) -> Due:
    """The due date of `rule`; the same facts are asked about again and again while a case is gone through."""
    facts = Facts(
        start=moment(started_at).astimezone(SHANGHAI),
        custody=custody,
        custody_changes=tuple(CustodyChange(at=moment(at).astimezone(SHANGHAI), custody=held) for at, held in changes),
    )
    return compute(RuleId(rule), facts, calendar=Calendar.published())


def limit_of(case_id: str, span: Span) -> Limit:
    """The limit of a span, without regard to the present time (its state is left to `clocks.standing`)."""
    due = due_of(span.rule, span.started_at, span.custody, span.changes)
    return Limit(
        case_id=case_id,
        rule=span.rule,
        start_eid=span.start_eid,
        bearer_agency=span.bearer[0],
        bearer_office=span.bearer[1],
        start_event=span.start_event,
        started_at=span.started_at,
        due=_text(due.due),
        safe_due=_text(due.safe_due),
        overdue_from=overdue_from(due.due),
        provisional=due.provisional,
        in_custody=due.custody,
        edition=due.edition,
        calendar=due.calendar_version,
        ended_at=span.ended_at,
        end_eid=span.end_eid,
    )


def _text(value: date | datetime) -> str:
    return value.astimezone(SHANGHAI).isoformat() if isinstance(value, datetime) else value.isoformat()

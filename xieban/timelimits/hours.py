"""Limits in hours: the hour in which the act fell is not counted, holidays do not matter (刑诉105②).

The one exception, the longest time a summons may hold a person, is exact to the minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from xieban.errors import Reason, failure
from xieban.timelimits.calendar import Calendar
from xieban.timelimits.custody import in_custody
from xieban.timelimits.derivation import interval_steps
from xieban.timelimits.due import Due, Step, StepKind
from xieban.timelimits.events import events
from xieban.timelimits.facts import Facts
from xieban.timelimits.grants import Granted, anchors, excluded, settle
from xieban.timelimits.intervals import Shift, shift
from xieban.timelimits.local_time import ARTICLE, local_time, next_hour, shanghai
from xieban.timelimits.table import Rule

_HOUR = timedelta(hours=1)


def due_in_hours(rule: Rule, facts: Facts, *, calendar: Calendar) -> Due:
    """A limit in hours; `due` and `safe_due` are timestamps. Raises the refusals of `grants` and EXTENSION_LATE."""
    restarts = anchors(rule, facts)
    if facts.start is None and not restarts:
        raise failure(Reason.LIMIT_FACT_MISSING, field="start", article=rule.article)
    moment = local_time(restarts[-1].at if restarts else facts.start or date.min, field="start")
    granted = settle(rule, facts.extensions, fallback=False)
    intervals = excluded(rule, facts.suspensions)
    spans = [(_timestamp(item.begin), _timestamp(item.end)) for item in intervals if item.end is not None]
    first = moment if rule.exact else next_hour(moment)
    for index, item in enumerate(granted):
        _check_in_time(item, first + _hours(rule, granted[:index]) * _HOUR)
    length = _hours(rule, granted) * _HOUR
    due, shifts = _end(first + length, spans, moment, facts)
    safe, _ = _end(moment + length, spans, moment, facts)
    steps = [
        Step(StepKind.START, moment, rule.article, (rule.starts,)),
        *(
            Step(StepKind.RESTART, item.at, events()[item.event].article, (events()[item.event].name,))
            for item in restarts
        ),
        Step(
            StepKind.BASE,
            first + rule.base * _HOUR,
            rule.article if rule.exact else "刑诉105②",
            (0, rule.base, rule.unit, False),
        ),
        *_extension_steps(rule, first, granted),
        *interval_steps(first + length, shifts, intervals),
    ]
    if facts.travel_hours:
        steps.append(Step(StepKind.TRAVEL, due, "刑诉105③", (facts.travel_hours, "小时")))
    steps.append(Step(StepKind.UNMOVED, due, ARTICLE))
    if safe != due:
        steps.append(Step(StepKind.SAFE, safe, ARTICLE, ("A2",)))
    readings = [*rule.readings, *(["A19"] if rule.receipt else []), *([] if rule.exact else ["A2"])]
    return Due(
        rule=rule.id,
        due=due,
        safe_due=safe,
        last_day=due,
        custody=in_custody(rule, facts, due.date()),
        stopped=any(item.end is None and _timestamp(item.begin) <= due for item in intervals),
        provisional=False,
        calendar_version=calendar.version,
        edition=rule.edition,
        readings=tuple(dict.fromkeys(readings)),
        steps=tuple(steps),
    )


def _hours(rule: Rule, granted: Sequence[Granted]) -> int:
    base, added = rule.base, 0
    for item in granted:
        if item.extension.kind == "total":
            base = item.extension.hours
        else:
            added += item.extension.hours
    return base + added


def _end(
    point: datetime, spans: Sequence[tuple[datetime, datetime]], floor: datetime, facts: Facts
) -> tuple[datetime, list[Shift]]:
    # Whole elapsed hours only.
    whole = [(begin, begin + (end - begin) // _HOUR * _HOUR) for begin, end in spans]
    point, shifts = shift(point, whole, floor=floor)
    return point + facts.travel_hours * _HOUR, shifts


def _check_in_time(item: Granted, due: datetime) -> None:
    granted_at = item.extension.granted_at
    if granted_at is not None and local_time(granted_at, field="extensions.granted_at") > due:
        raise failure(
            Reason.EXTENSION_LATE, due=due.isoformat(), granted=granted_at.isoformat(), article=item.grant.article
        )


def _extension_steps(rule: Rule, first: datetime, granted: Sequence[Granted]) -> list[Step]:
    return [
        Step(
            StepKind.EXTENSION,
            first + _hours(rule, granted[:index]) * _HOUR,
            item.grant.article,
            (item.extension.kind, 0, 0, item.extension.hours, item.extension.by, item.grant.ground),
        )
        for index, item in enumerate(granted, 1)
    ]


def _timestamp(moment: date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), shanghai())

"""The derivation of a limit in days or months, as steps: what `explain` later puts into words.

Repeats no arithmetic: it is told what was found and asks the same functions for the dates in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from xieban.timelimits.due import Step, StepKind
from xieban.timelimits.events import events
from xieban.timelimits.facts import Facts
from xieban.timelimits.grants import Excluded, Granted, anchors
from xieban.timelimits.intervals import Shift
from xieban.timelimits.local_time import ARTICLE, local, local_day
from xieban.timelimits.stages import Begun, Ended, Length
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import MonthRule, Policy, Unit

HOLIDAY_ARTICLE = "刑诉105④"
MONTH_ARTICLES = {MonthRule.JS202: "解释202①", MonthRule.GA17: "公通字〔2006〕17号4"}


def period_steps(
    rule: Rule,
    facts: Facts,
    begun: Begun,
    ended: Ended,
    *,
    granted: Sequence[Granted],
    lengths: Sequence[Length],
    intervals: Sequence[Excluded],
    travel: int,
    safe: tuple[date, str],
    plain: date,
    add: Callable[[int, int], date],
) -> tuple[Step, ...]:
    """Start, restarts, base, extensions, intervals, travel, last day, safe day.

    `plain`: base and extensions added; `lengths`: before and after each of them; `add` moves from the start.
    """
    steps = []
    if facts.start is not None:
        steps.append(Step(StepKind.START, local(facts.start, field="start"), rule.article, (rule.starts,)))
    if facts.restarts or facts.suspensions:
        for each in anchors(rule, facts):
            event = events()[each.event]
            steps.append(Step(StepKind.RESTART, each.at, event.article, (event.name,)))
    months, days = (begun.months, begun.days)
    month_article = MONTH_ARTICLES[rule.month_rule] if months else ARTICLE + "②"
    value = add(months, days) if granted else plain
    steps.append(Step(StepKind.BASE, value, month_article, (months, days, rule.unit, begun.fallback)))
    for so_far, item in zip(lengths[1:], granted, strict=True):
        value = plain if so_far is lengths[-1] else add(so_far.months, so_far.days)
        extension = item.extension
        steps.append(
            Step(
                StepKind.EXTENSION,
                value,
                item.grant.article,
                (extension.kind, extension.months, extension.days, 0, extension.by, item.grant.ground),
            )
        )
    if rule.or_days and value > begun.day + timedelta(days=rule.or_days):
        value = begun.day + timedelta(days=rule.or_days)
        steps.append(Step(StepKind.EARLIER_ARTICLE, value, rule.article, (rule.or_days,)))
    steps += interval_steps(value, ended.shifts, intervals)
    if travel:
        steps.append(Step(StepKind.TRAVEL, ended.last_day, "刑诉105③", (travel, "日")))
    steps.append(_last_step(rule, ended))
    if safe[1]:
        steps.append(Step(StepKind.SAFE, safe[0], ARTICLE, (safe[1],)))
    return tuple(steps)


def interval_steps(value: date, shifts: Sequence[Shift], intervals: Sequence[Excluded]) -> list[Step]:
    """The steps of the excluded intervals, those that still run included."""
    steps = []
    for item in shifts:
        sources = [each for each in intervals if each.end is not None and _touch(each, item)]
        article = "; ".join(dict.fromkeys(each.event.article for each in sources)) or ARTICLE
        names = "、".join(dict.fromkeys(each.event.name for each in sources))
        capped = any(each.capped for each in sources)
        if item.counts:
            value += item.moved
        kind = StepKind.INTERVAL if item.counts else StepKind.INTERVAL_VOID
        steps.append(Step(kind, value, article, (names, item.begin, item.end, item.moved, capped)))
    for each in intervals:
        if each.end is None:
            steps.append(Step(StepKind.STOPPED, value, each.event.article, (each.event.name, each.begin)))
    return steps


def _touch(each: Excluded, item: Shift) -> bool:
    begin, end = local_day(each.begin, field="from"), local_day(each.end or each.begin, field="to")
    return begin <= local_day(item.end, field="to") and end >= local_day(item.begin, field="from")


def _last_step(rule: Rule, ended: Ended) -> Step:
    if rule.policy is Policy.FIXED:
        return Step(StepKind.UNMOVED, ended.due, rule.article)
    if rule.policy is Policy.STATE and ended.custody:
        return Step(StepKind.HELD, ended.due, HOLIDAY_ARTICLE)
    if ended.due != ended.last_day:
        return Step(StepKind.HOLIDAY, ended.due, HOLIDAY_ARTICLE, (ended.last_day, ended.custody, ended.provisional))
    return Step(StepKind.WORKDAY, ended.due, HOLIDAY_ARTICLE, (ended.provisional,))


def readings_taken(rule: Rule, facts: Facts, length: Length, ended: Ended) -> list[str]:
    found = ["A19"] if rule.receipt else []
    if length.months:
        found.append("A4" if rule.month_rule is MonthRule.GA17 else "A3")
    if rule.unit is Unit.YEAR:
        found.append("A29")
    if len(length.pieces) > 1:
        found.append("A6")
    if length.months and length.days:
        found.append("A7")
    if length.alarm is not None:
        found.append("A16")
    if ended.due != ended.last_day:
        found.append("A8")
    if ended.custody and rule.policy in (Policy.STATE, Policy.RIGHTS):
        found.append("A9")
    if len(facts.persons) > 1:
        found.append("A10")
    if facts.custody_changes:
        found.append("A11")
    if ended.shifts and any(item.counts for item in ended.shifts):
        found.append("A12")
    if ended.shifts and any(item.on_last_day for item in ended.shifts):
        found.append("A13")
    if facts.travel_hours:
        found.append("A35")
    return found

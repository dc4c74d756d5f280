"""Limits in days, months and years that run forward: start, base, extensions, excluded intervals, the last day, the safe day.

Order of operations: months first in one step from the event, then days, then what is excluded, then the holiday step once, on
the last day only. Hours, lead times, sentence terms and effectiveness are in `hours` and `special`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from xieban.errors import Reason, failure
from xieban.timelimits.calendar import Calendar
from xieban.timelimits.custody import in_custody
from xieban.timelimits.due import Due, Step, StepKind
from xieban.timelimits.events import events
from xieban.timelimits.facts import Facts
from xieban.timelimits.grants import Excluded, Granted, anchors, excluded, settle
from xieban.timelimits.intervals import Shift, shift
from xieban.timelimits.local_time import ARTICLE, local, local_day
from xieban.timelimits.months import add_months
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import MonthRule, Policy, Unit

HOLIDAY_ARTICLE = "刑诉105④"
MONTH_ARTICLES = {MonthRule.JS202: "解释202①", MonthRule.GA17: "公通字〔2006〕17号4"}


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a limit starts: the moment and day of the act (or of the last restart), and its base in months and days."""

    moment: date
    day: date
    months: int
    days: int
    fallback: bool


@dataclass(frozen=True, slots=True)
class Length:
    """Base and extensions summed. `pieces`: the parts in order, for the chained reading (A6); `alarm`: without what A16 says."""

    months: int
    days: int
    pieces: tuple[tuple[int, int], ...]
    alarm: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A last day before and after the holiday step."""

    last_day: date
    due: date
    custody: bool
    provisional: bool
    shifts: tuple[Shift, ...]


def begin(rule: Rule, facts: Facts) -> Begun:
    """The start: the act, or the last event that restarts or anchors the limit. Raises LIMIT_FACT_MISSING."""
    found = anchors(rule, facts) if facts.restarts or facts.suspensions else []
    if facts.start is None and not found:
        raise failure(Reason.LIMIT_FACT_MISSING, field="start", article=rule.article)
    moment = found[-1].at if found else local(facts.start, field="start") if facts.start is not None else date.min
    months, days, _ = rule.span
    if facts.fast_track_dropped:
        dropped = events()[EventId.FAST_TRACK_DROPPED]
        if not dropped.touches(rule.id):
            raise failure(Reason.RESTART_NOT_ALLOWED, event=dropped.name, rule=rule.id, article=dropped.article)
        months, days = dropped.fallback_months, 0
    return Begun(moment, local_day(moment, field="start"), months, days, facts.fast_track_dropped)


def measure(begun: Begun, granted: Sequence[Granted]) -> Length:
    """Sum base and extensions: a total replaces the base, a whole total everything before it."""
    base, alarm, added = (begun.months, begun.days), None, []
    for item in granted:
        amount = (item.extension.months, item.extension.days)
        if item.extension.kind == "add":
            added.append(amount)
            continue
        if item.grant.alarm:
            alarm = base
        if item.grant.whole:
            added.clear()
        base = amount
    pieces = (base, *added)
    months, days = sum(piece[0] for piece in pieces), sum(piece[1] for piece in pieces)
    return Length(months, days, pieces, alarm if alarm is not None and not added else None)


class Reckoner:
    """One rule, one set of facts, one calendar: ends a limit of any length by the same steps."""

    __slots__ = ("_begun", "_calendar", "_excluded", "_facts", "_rule", "_spans", "_travel")

    def __init__(self, rule: Rule, facts: Facts, *, calendar: Calendar) -> None:
        self._rule = rule
        self._facts = facts
        self._calendar = calendar
        self._begun = begin(rule, facts)
        self._excluded = excluded(rule, facts.suspensions) if facts.suspensions else []
        # An interval still running excludes nothing yet: `stopped` says that the date will move.
        self._spans = [
            (local_day(item.begin, field="suspensions.from"), local_day(item.end, field="suspensions.to"))
            for item in self._excluded
            if item.end is not None
        ]
        # Whole days of travel only (A35).
        self._travel = facts.travel_hours // 24

    def due(self) -> Due:
        """The limit with its derivation. Raises the refusals of `grants` and EXTENSION_LATE."""
        rule, begun = self._rule, self._begun
        granted = self._granted()
        length = measure(begun, granted)
        ended = self._end(self._add(length.months, length.days))
        safe, reading = self._safe(length, ended, reduced=bool(granted))
        stopped = any(
            item.end is None and local_day(item.begin, field="from") <= ended.last_day for item in self._excluded
        )
        provisional = ended.provisional
        readings = [*rule.readings, *_readings(rule, self._facts, length, ended)]
        if reading:
            readings.append(reading)
        if provisional:
            readings.append("A40")
        return Due(
            rule=rule.id,
            due=ended.due,
            safe_due=safe,
            last_day=ended.last_day,
            custody=ended.custody,
            stopped=stopped,
            provisional=provisional,
            calendar_version=self._calendar.version,
            edition=rule.edition,
            readings=tuple(dict.fromkeys(readings)),
            steps=self._steps(granted, length, ended, safe, reading),
        )

    def _granted(self) -> list[Granted]:
        if not self._facts.extensions:
            return []
        # An extension of an earlier run of the limit died with the restart.
        alive = [
            item
            for item in self._facts.extensions
            if item.granted_at is None
            or not self._facts.restarts
            or local_day(item.granted_at, field="extensions.granted_at") >= self._begun.day
        ]
        granted = settle(self._rule, alive, fallback=self._begun.fallback)
        for index, item in enumerate(granted):
            if item.extension.granted_at is not None:
                earlier = measure(self._begun, granted[:index])
                self._check_in_time(item, self._end(self._add(earlier.months, earlier.days)).due)
        return granted

    def _check_in_time(self, item: Granted, due: date) -> None:
        if item.extension.granted_at is None:
            return
        day = local_day(item.extension.granted_at, field="extensions.granted_at")
        if day > due:
            raise failure(
                Reason.EXTENSION_LATE,
                due=due.isoformat(),
                granted=day.isoformat(),
                article=f"{item.grant.article}; 检规309",
            )

    def _add(self, months: int, days: int) -> date:
        day = self._begun.day
        if months:
            day = add_months(day, months, rule=self._rule.month_rule)
        if self._rule.unit is Unit.WORKDAY:
            return self._calendar.plus_working(day, days)[0]
        return day + timedelta(days=days) if days else day

    def _end(self, last_day: date) -> Ended:
        rule, facts = self._rule, self._facts
        if rule.or_days:
            last_day = min(last_day, self._begun.day + timedelta(days=rule.or_days))
        shifts: tuple[Shift, ...] = ()
        if self._spans:
            last_day, found = shift(last_day, self._spans, floor=self._begun.day)
            shifts = tuple(found)
        if self._travel:
            last_day += timedelta(days=self._travel)
        custody = in_custody(rule, facts, last_day)
        if rule.policy is Policy.FIXED or (rule.policy is Policy.STATE and custody):
            return Ended(last_day, last_day, custody, False, shifts)
        due, provisional = self._calendar.next_working(last_day)
        return Ended(last_day, due, custody, provisional, shifts)

    def _safe(self, length: Length, ended: Ended, *, reduced: bool) -> tuple[date, str]:
        """The earlier date a cautious reading gives, and that reading; the due date itself when none is earlier."""
        best, reading = ended.due, ""
        for candidate, name in self._cautious(length) if reduced or self._facts.received is not None else ():
            other = self._end(candidate).due
            if other < best:
                best, reading = other, name
        if self._rule.policy is Policy.RIGHTS and ended.last_day < best:
            best, reading = ended.last_day, "A9"
        moment = self._begun.moment
        if "A5" in self._rule.readings and isinstance(moment, datetime) and ended.last_day <= best:
            return datetime.combine(ended.last_day, moment.timetz()), "A5"
        return best, reading

    def _cautious(self, length: Length) -> list[tuple[date, str]]:
        """Last days under other readings: chained extensions (A6), days before months (A7), the alarm (A16), receipt (A14)."""
        rule, begun, found = self._rule, self._begun, []
        if len(length.pieces) > 1 and length.months:
            day = begun.day
            for months, days in length.pieces:
                day = (add_months(day, months, rule=rule.month_rule) if months else day) + timedelta(days=days)
            found.append((day, "A6"))
        if length.months and length.days:
            found.append(
                (add_months(begun.day + timedelta(days=length.days), length.months, rule=rule.month_rule), "A7")
            )
        if length.alarm is not None:
            found.append((self._add(*length.alarm), "A16"))
        if self._facts.received is not None and not self._facts.restarts:
            received = local_day(self._facts.received, field="received")
            day = add_months(received, length.months, rule=rule.month_rule) if length.months else received
            found.append((day + timedelta(days=length.days), "A14"))
        return found

    def _steps(
        self, granted: Sequence[Granted], length: Length, ended: Ended, safe: date, reading: str
    ) -> tuple[Step, ...]:
        rule, begun = self._rule, self._begun
        steps = (
            [Step(StepKind.START, local(self._facts.start, field="start"), rule.article, (rule.starts,))]
            if self._facts.start is not None
            else []
        )
        steps += [
            Step(StepKind.RESTART, item.at, events()[item.event].article, (events()[item.event].name,))
            for item in (anchors(rule, self._facts) if self._facts.restarts or self._facts.suspensions else ())
        ]
        months, days = (begun.months, begun.days)
        month_article = MONTH_ARTICLES[rule.month_rule] if months else ARTICLE + "②"
        value = self._add(months, days)
        steps.append(Step(StepKind.BASE, value, month_article, (months, days, rule.unit, begun.fallback)))
        for index, item in enumerate(granted, 1):
            so_far = measure(begun, granted[:index])
            value = self._add(so_far.months, so_far.days)
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
        steps += interval_steps(value, ended.shifts, self._excluded)
        if self._travel:
            steps.append(Step(StepKind.TRAVEL, ended.last_day, "刑诉105③", (self._travel, "日")))
        steps.append(_last_step(rule, ended))
        if safe != ended.due or type(safe) is not type(ended.due):
            steps.append(Step(StepKind.SAFE, safe, ARTICLE, (reading,)))
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


def _readings(rule: Rule, facts: Facts, length: Length, ended: Ended) -> list[str]:
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
    if any(item.counts for item in ended.shifts):
        found.append("A12")
    if any(item.on_last_day for item in ended.shifts):
        found.append("A13")
    if facts.travel_hours:
        found.append("A35")
    return found

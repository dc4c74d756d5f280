"""Limits in days, months and years that run forward: start, base, extensions, excluded intervals, the last day, the safe day.

Order of operations: months first in one step from the event, then days, then what is excluded, then the holiday step once, on
the last day only. Hours, lead times, sentence terms and effectiveness are in `hours` and `special`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from xieban.errors import Reason, failure
from xieban.timelimits.calendar import Calendar
from xieban.timelimits.custody import in_custody
from xieban.timelimits.derivation import period_steps, readings_taken
from xieban.timelimits.due import Due
from xieban.timelimits.facts import Facts
from xieban.timelimits.grants import Granted, excluded, settle
from xieban.timelimits.intervals import Shift, shift
from xieban.timelimits.local_time import local_day
from xieban.timelimits.months import add_months
from xieban.timelimits.stages import Ended, Length, begin, measure, prefixes
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Policy, Unit


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
        lengths = prefixes(begun, granted)
        length = lengths[-1]
        plain = self._add(length.months, length.days)
        ended = self._end(plain)
        safe, reading = self._safe(length, ended, reduced=bool(granted))
        stopped = bool(self._excluded) and any(
            item.end is None and local_day(item.begin, field="from") <= ended.last_day for item in self._excluded
        )
        provisional = ended.provisional
        readings = [*rule.readings, *readings_taken(rule, self._facts, length, ended)]
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
            steps=period_steps(
                rule,
                self._facts,
                begun,
                ended,
                granted=granted,
                lengths=lengths,
                intervals=self._excluded,
                travel=self._travel,
                safe=(safe, reading),
                plain=plain,
                add=self._add,
            ),
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

"""The stages a limit in days or months passes: begun, measured, ended. Values, and the two steps that need no calendar.

Holidays and excluded intervals are applied in `period`; the words are made in `derivation` and `explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from xieban.errors import Reason, failure
from xieban.timelimits.events import events
from xieban.timelimits.facts import Facts
from xieban.timelimits.grants import Granted, anchors
from xieban.timelimits.intervals import Shift
from xieban.timelimits.local_time import local, local_day
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Rule


class Begun(Struct, frozen=True):
    """Where a limit starts: the moment and day of the act (or of the last restart), and its base in months and days."""

    moment: date
    day: date
    months: int
    days: int
    fallback: bool


class Length(Struct, frozen=True):
    """Base and extensions summed. `pieces`: the parts in order, for the chained reading (A6); `alarm`: without what A16 says."""

    months: int
    days: int
    pieces: tuple[tuple[int, int], ...]
    alarm: tuple[int, int] | None


class Ended(Struct, frozen=True):
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
    return prefixes(begun, granted)[-1]


def prefixes(begun: Begun, granted: Sequence[Granted]) -> list[Length]:
    """The length before any extension, after the first, after the second, …"""
    base, alarm = (begun.months, begun.days), None
    months, days = base
    pieces: tuple[tuple[int, int], ...] = (base,)
    found = [Length(months, days, pieces, None)]
    for item in granted:
        amount = (item.extension.months, item.extension.days)
        if item.extension.kind == "add":
            months, days, pieces = months + amount[0], days + amount[1], (*pieces, amount)
        else:
            if item.grant.alarm:
                alarm = base
            if item.grant.whole:
                months, days, pieces = *amount, (amount,)
            else:
                months, days = months - base[0] + amount[0], days - base[1] + amount[1]
                pieces = (amount, *pieces[1:])
            base = amount
        found.append(Length(months, days, pieces, alarm if len(pieces) == 1 else None))
    return found

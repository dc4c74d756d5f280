"""A second calculator that walks day by day over a hand-typed calendar. Shares no code with the library: it reads only the TOML rows.

Slow and plain on purpose. It knows nothing of refusals, several persons, or derivations.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

DAY = timedelta(days=1)
ROWS = {
    row["id"]: row
    for row in tomllib.loads(
        (Path(__file__).parents[3] / "xieban/timelimits/statutes.toml").read_text(encoding="utf-8")
    )["rule"]
}
OFF = """
2024-01-01 2024-02-10/17 2024-04-04/06 2024-05-01/05 2024-06-10 2024-09-15/17 2024-10-01/07
2025-01-01 2025-01-28/31 2025-02-01/04 2025-04-04/06 2025-05-01/05 2025-05-31 2025-06-01/02 2025-10-01/08
2026-01-01/03 2026-02-15/23 2026-04-04/06 2026-05-01/05 2026-06-19/21 2026-09-25/27 2026-10-01/07
"""
MAKE_UP = """
2024-02-04 2024-02-18 2024-04-07 2024-04-28 2024-05-11 2024-09-14 2024-09-29 2024-10-12
2025-01-26 2025-02-08 2025-04-27 2025-09-28 2025-10-11
2026-01-04 2026-02-14 2026-02-28 2026-05-09 2026-09-20 2026-10-10
"""


def _typed(text: str) -> set[date]:
    days = set()
    for item in text.split():
        first, _, last = item.partition("/")
        for number in range(int(first[8:]), int(last or first[8:]) + 1):
            days.add(date.fromisoformat(f"{first[:8]}{number:02d}"))
    return days


HOLIDAYS, WORKDAYS = _typed(OFF), _typed(MAKE_UP)


@dataclass
class Walk:
    """One question for the walker: local start, custody, (kind, months, days, hours) extensions, (from, to) intervals."""

    rule: str
    start: datetime
    custody: bool = False
    released: date | None = None
    extensions: list[tuple[str, int, int, int]] = field(default_factory=list)
    intervals: list[tuple[date, date]] = field(default_factory=list)


def is_free(day: date) -> bool:
    return day in HOLIDAYS or (day.isoweekday() in (6, 7) and day not in WORKDAYS)


def due(walk: Walk) -> tuple[date, date]:
    """The due and the safe date or time."""
    row = ROWS[walk.rule]
    if row["policy"] == "hours":
        return _hours(row, walk)
    start = walk.start.date()
    if row["policy"] == "lead":
        return _lead(row["base"], start)
    lengths = _lengths(row, walk)
    last = _intervals(start, _end(row, start, *lengths), walk.intervals)
    held = walk.custody and not (walk.released is not None and walk.released <= last)
    moved = _moved(row["policy"], held, last)
    safe = last if row["policy"] == "rights" else moved
    return moved, safe


def _lengths(row: dict[str, object], walk: Walk) -> tuple[int, int, int]:
    """Months, days and working days of base and extensions."""
    base, unit = row["base"], row["unit"]
    assert isinstance(base, int)
    months, days, working = 0, 0, 0
    if unit == "月":
        months = base
    elif unit == "年":
        months = sum(12 for _ in range(base))
    elif unit == "日":
        days = base
    else:
        working = base
    more_months = more_days = 0
    for kind, extra_months, extra_days, _ in walk.extensions:
        if kind == "total":
            months, days = extra_months, extra_days
        else:
            more_months += extra_months
            more_days += extra_days
    return months + more_months, days + more_days, working


def _end(row: dict[str, object], start: date, months: int, days: int, working: int) -> date:
    day = _walk_months(start, months, jumps=row.get("month_rule", "js202") == "js202")
    if row.get("or_days"):
        other = start
        for _ in range(int(str(row["or_days"]))):
            other += DAY
        day = min(day, other)
    for _ in range(days):
        day += DAY
    while working:
        day += DAY
        working -= 0 if is_free(day) else 1
    return day


def _walk_months(start: date, months: int, *, jumps: bool) -> date:
    """Step into the target month, then on to the same day number or the month's last day."""
    if not months:
        return start
    day, crossed = start, 0
    while crossed < months:
        day += DAY
        crossed += day.day == 1
    to_the_end = jumps and (start + DAY).day == 1
    while (to_the_end or day.day < start.day) and (day + DAY).day != 1:
        day += DAY
    return day


def _intervals(start: date, end: date, intervals: list[tuple[date, date]]) -> date:
    """Count off the days of the limit, passing over excluded ones; an interval open on the last day still carries it on."""
    needed = (end - start).days
    day, counted = start, 0
    while counted < needed or any(begin <= day < stop and stop > start for begin, stop in intervals):
        day += DAY
        if not any(max(begin, start) < day <= stop for begin, stop in intervals):
            counted += 1
    return day


def _moved(policy: str, held: bool, last: date) -> date:
    if policy == "fixed" or (policy == "state" and held):
        return last
    while is_free(last):
        last += DAY
    return last


def _lead(base: int, anchor: date) -> tuple[date, date]:
    day = anchor
    for _ in range(base):
        day -= DAY
    safe = day - DAY
    while is_free(safe):
        safe -= DAY
    return day, safe


def _hours(row: dict[str, object], walk: Walk) -> tuple[datetime, datetime]:
    base = row["base"]
    assert isinstance(base, int)
    added = 0
    for kind, _, _, hours in walk.extensions:
        if kind == "total":
            base = hours
        else:
            added += hours
    point = walk.start
    if not row.get("exact"):
        # Minute by minute to the end of the starting hour, which is not counted.
        point = point.replace(second=0, microsecond=0) + timedelta(minutes=1)
        while point.minute:
            point += timedelta(minutes=1)
    safe = walk.start
    for _ in range(base + added):
        point += timedelta(hours=1)
        safe += timedelta(hours=1)
    return point, safe

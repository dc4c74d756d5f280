"""Working days: which date is a holiday in the sense of 刑诉105④, and what the next working day is.

Published years come from the `chinesecalendar` library; an operator's file replaces or amends years; any later year counts plain
weekends and marks what rests on it provisional (A40). The caller reads files: this module sees text and dates, no disk, no clock.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import chinese_calendar

from xieban.errors import Reason, failure

_DAY = timedelta(days=1)
# A due date further off than this is a slip of the pen, not a limit.
_HORIZON_YEARS = 30


@dataclass(frozen=True, slots=True)
class Overlay:
    """An operator's calendar file: whole years, and single days on top of what is published."""

    name: str
    years: Mapping[int, frozenset[date]]
    days: Mapping[date, bool]


class Calendar:
    """An immutable working-day calendar with memory for answers already given.

    `published()` is the library's; `overlaid(read_overlay(...))` puts an operator's file over it.
    """

    __slots__ = ("_first", "_free", "_last", "_memo", "_overlay", "version")

    def __init__(self, version: str, *, first: int, last: int, overlay: Overlay | None = None) -> None:
        self.version = version
        self._first = first
        self._last = last
        self._overlay = overlay
        self._free: dict[int, frozenset[date]] = {}
        self._memo: dict[date, tuple[date, bool]] = {}

    @staticmethod
    def published() -> Calendar:
        """The years whose State Council notice the installed library holds."""
        return _published()

    def overlaid(self, overlay: Overlay) -> Calendar:
        """This calendar with an operator's file over it; the version names both."""
        if self._overlay is not None:
            years = {**self._overlay.years, **overlay.years}
            # A whole year replaces the days amended before it.
            days = {day: free for day, free in self._overlay.days.items() if day.year not in overlay.years}
            overlay = Overlay(overlay.name, years, {**days, **overlay.days})
        return Calendar(f"{self.version}+{overlay.name}", first=self._first, last=self._last, overlay=overlay)

    def is_published(self, year: int) -> bool:
        """Whether the holidays of this year are known."""
        return self._first <= year <= self._last or (self._overlay is not None and year in self._overlay.years)

    def is_working(self, day: date) -> bool:
        """Weekday or declared make-up day, and not a holiday."""
        return day not in self._year(day)

    def next_working(self, day: date) -> tuple[date, bool]:
        """The first working day on or after `day`, and whether that is provisional."""
        answer = self._memo.get(day)
        if answer is None:
            answer = self._memo[day] = self._walk(day, _DAY)
        return answer

    def previous_working(self, day: date) -> tuple[date, bool]:
        """The last working day on or before `day`, and whether that is provisional."""
        return self._walk(day, -_DAY)

    def plus_working(self, day: date, count: int) -> tuple[date, bool]:
        """The `count`-th working day after `day`, which is not counted."""
        provisional = False
        for _ in range(count):
            day, unknown = self.next_working(day + _DAY)
            provisional = provisional or unknown
        return day, provisional

    def _walk(self, day: date, step: timedelta) -> tuple[date, bool]:
        provisional = not self.is_published(day.year)
        while day in self._year(day):
            day += step
            provisional = provisional or not self.is_published(day.year)
        return day, provisional

    def _year(self, day: date) -> frozenset[date]:
        free = self._free.get(day.year)
        if free is None:
            free = self._free[day.year] = self._build(day)
        return free

    def _build(self, day: date) -> frozenset[date]:
        year, overlay = day.year, self._overlay
        if overlay is not None and year in overlay.years:
            free = set(overlay.years[year])
        elif self._first <= year <= self._last:
            free = {each for each in _days(year) if not chinese_calendar.is_workday(each)}
        elif self._last < year <= self._last + _HORIZON_YEARS:
            free = {each for each in _days(year) if each.weekday() >= 5}
        else:
            raise failure(Reason.CALENDAR_OUT_OF_RANGE, day=day.isoformat(), version=self.version)
        for each, is_free in (overlay.days if overlay is not None else {}).items():
            if each.year == year:
                (free.add if is_free else free.discard)(each)
        return frozenset(free)


@cache
def _published() -> Calendar:
    years = {day.year for day in chinese_calendar.constants.holidays}
    first, last = min(years), max(years)
    return Calendar(f"chinesecalendar-{chinese_calendar.__version__}({first}-{last})", first=first, last=last)


def _days(year: int) -> Iterator[date]:
    day = date(year, 1, 1)
    while day.year == year:
        yield day
        if day == date.max:
            return
        day += _DAY


def read_overlay(text: str, *, name: str) -> Overlay:
    """Parse an operator's calendar file (TOML, or JSON when it begins with a brace).

    [[year]] year, days_off, working_days: the whole year as its notice sets it. [[day]] date, working: one day on top.
    Raises CALENDAR_INVALID. The overlay's name gets a digest, so that a changed file is another calendar version.
    """
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        if not isinstance(content, dict) or set(content) - {"version", "source", "year", "day"}:
            raise ValueError("只能有 version、source、year、day 四项")
        years = dict(_read_year(row) for row in content.get("year", ()))
        days = {_read_date(row["date"]): not _flag(row["working"]) for row in content.get("day", ())}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise failure(Reason.CALENDAR_INVALID, file=name, detail=error) from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Overlay(f"{content.get('version', name)}@{digest}", years, days)


def _read_year(row: Mapping[str, object]) -> tuple[int, frozenset[date]]:
    if set(row) - {"year", "days_off", "working_days", "source"}:
        raise ValueError("year 中有不认识的项")
    year = row["year"]
    if not isinstance(year, int) or isinstance(year, bool) or not 1979 <= year <= 2200:
        raise ValueError(f"年份 {year} 不合要求")
    off, working = _read_dates(row.get("days_off", [])), _read_dates(row.get("working_days", []))
    if off & working:
        raise ValueError(f"{min(off & working)} 既放假又上班")
    if stray := [day for day in off | working if day.year != year]:
        raise ValueError(f"{stray[0]} 不在 {year} 年")
    return year, frozenset({day for day in _days(year) if day.weekday() >= 5} - working | off)


def _read_dates(value: object) -> set[date]:
    if not isinstance(value, list):
        raise ValueError("日期应写成列表")
    days: set[date] = set()
    for item in value:
        first, _, last = str(item).partition("..")
        day, end = _read_date(first), _read_date(last or first)
        if end < day:
            raise ValueError(f"{item} 的止日早于起日")
        while day <= end:
            days.add(day)
            day += _DAY
    return days


def _read_date(value: object) -> date:
    return value if type(value) is date else date.fromisoformat(str(value))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("working 应为 true 或 false")
    return value

"""Excluded intervals: joining those that overlap and walking them against a running due date.

First day not counted, last day counted (A12, after 刑诉105②); an interval that begins after the limit has expired repairs nothing.
Whether an event may exclude time at all is decided in `grants`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

Point = TypeVar("Point", date, datetime)


@dataclass(frozen=True, slots=True)
class Shift:
    """One joined interval and what it did: `moved` time excluded, `counts` False when it began after expiry."""

    begin: date
    end: date
    moved: timedelta
    counts: bool
    on_last_day: bool


def union(spans: Iterable[tuple[Point, Point]], *, floor: Point) -> list[tuple[Point, Point]]:
    """Join overlapping spans in time order; what lies before the limit began is cut off."""
    joined: list[tuple[Point, Point]] = []
    for begin, end in sorted((max(begin, floor), max(end, floor)) for begin, end in spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def shift(due: Point, spans: Iterable[tuple[Point, Point]], *, floor: Point) -> tuple[Point, list[Shift]]:
    """Move `due` by every span that begins on or before the running due point."""
    shifts: list[Shift] = []
    for begin, end in union(spans, floor=floor):
        counts = begin <= due
        length = end - begin
        shifts.append(Shift(begin, end, length, counts, counts and begin == due))
        if counts:
            due += length
    return due, shifts

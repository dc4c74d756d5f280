"""Short spellings for facts: tests read as the case they tell. No arithmetic."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from xieban.timelimits import (
    Calendar,
    CustodyChange,
    Due,
    EventId,
    Extension,
    Facts,
    Office,
    Restart,
    Suspension,
    compute,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
CALENDAR = Calendar.published()


def at(text: str) -> datetime:
    """An aware local time; nine o'clock when only a day is given."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T09:00").replace(tzinfo=SHANGHAI)


def day(text: str) -> date:
    return date.fromisoformat(text)


def add(by: Office, *, months: int = 0, days: int = 0, granted: str | None = None) -> Extension:
    return Extension(kind="add", by=by, months=months, days=days, granted_at=at(granted) if granted else None)


def total(by: Office, *, months: int = 0, days: int = 0, hours: int = 0) -> Extension:
    return Extension(kind="total", by=by, months=months, days=days, hours=hours)


def appraisal(begin: str, end: str | None, event: EventId = EventId.PSYCHIATRIC_APPRAISAL) -> Suspension:
    return Suspension(begin=day(begin), end=day(end) if end else None, event=event)


def again(when: str, event: EventId) -> Restart:
    return Restart(at=at(when), event=event)


def released(when: str, person: str | None = None) -> CustodyChange:
    return CustodyChange(at=day(when), custody=False, person=person)


def due(rule_id: str, facts: Facts, calendar: Calendar = CALENDAR) -> Due:
    return compute(rule_id, facts, calendar=calendar)

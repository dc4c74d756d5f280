"""Times and durations as a person types them. Whatever could be read in two ways is refused."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from xieban.errors import Reason, XiebanError, failure

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DURATION: Final = re.compile(
    r"(?:(\d{1,6})(?:d|天|日))?(?:(\d{1,6})(?:h|小时))?(?:(\d{1,6})(?:m|分钟))?(?:(\d{1,6})(?:s|秒))?", re.ASCII
)
_UNITS: Final = ((86_400, "天"), (3_600, "小时"), (60, "分钟"), (1, "秒"))


def moment(text: str, *, field: str) -> datetime:
    """An RFC 3339 time with its offset, in Asia/Shanghai. Errors: FIELD_INVALID, for a time without offset with that word."""
    written = _MOMENT.fullmatch(text.strip())
    if written is None:
        raise _bad(field, f"不能识别“{text[:40]}”，写法如 2026-03-02T10:00:00+08:00")
    if written[2] is None:
        raise _bad(field, "时间必须带时区，例如 2026-03-02T10:00:00+08:00")
    try:
        return datetime.fromisoformat(written[0].upper()).astimezone(SHANGHAI)
    except (ValueError, OverflowError) as error:
        raise _bad(field, f"没有“{text[:40]}”这个时间") from error


def day(text: str, *, field: str) -> datetime:
    """The beginning of a day (`2026-03-01`) in Asia/Shanghai, or a time as `moment` takes it. Errors: FIELD_INVALID."""
    if not _DAY.fullmatch(text.strip()):
        return moment(text, field=field)
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=SHANGHAI)
    except ValueError as error:
        raise _bad(field, f"没有“{text[:40]}”这一天") from error


def duration(text: str, *, field: str) -> timedelta:
    """`3d`, `36h`, `10m`, `1d12h`, `3天`, `36小时`: longer than nothing, greater units first. Errors: FIELD_INVALID."""
    written = _DURATION.fullmatch(text.strip().lower())
    days, hours, minutes, seconds = (int(part or 0) for part in written.groups()) if written else (0, 0, 0, 0)
    found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not found:
        raise _bad(field, f"不能识别“{text[:40]}”，写法如 3d（天）、36h（小时）、10m（分钟）、1d12h，须大于零")
    return found


def later(begin: datetime, by: timedelta, *, field: str) -> datetime:
    """Errors: FIELD_INVALID behind the end of the calendar."""
    try:
        return begin + by
    except OverflowError as error:
        raise _bad(field, "超出可以表示的时间") from error


def spoken(length: timedelta) -> str:
    """`3天12小时`: the two greatest units, without a sign."""
    left, parts = abs(length) // timedelta(seconds=1), list[str]()
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size}{unit}")
            left %= size
        elif parts:
            break
    return "".join(parts) or "不到1秒"


def exact(at: datetime) -> str:
    """A time to the second with its offset, as commands take it."""
    return at.isoformat(timespec="microseconds" if at.microsecond else "seconds")


def _bad(field: str, detail: str) -> XiebanError:
    return failure(Reason.FIELD_INVALID, field=field, detail=detail)

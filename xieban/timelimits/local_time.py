"""Legal moments in Asia/Shanghai: the local day and hour of an act (A1), refusing times without a zone.

The only place that knows the zone. Zone data matters for old timestamps only: China kept summer time in 1986–1991 (A39).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from xieban.errors import Reason, failure

ARTICLE = "刑诉105"


@cache
def shanghai() -> ZoneInfo:
    """Asia/Shanghai."""
    return ZoneInfo("Asia/Shanghai")


def local(moment: date | datetime, *, field: str) -> date | datetime:
    """The moment in Asia/Shanghai; a plain date stays one. Raises LIMIT_TIME_NAIVE."""
    if not isinstance(moment, datetime):
        return moment
    zone = shanghai()
    if moment.tzinfo is zone:
        return moment
    if moment.utcoffset() is None:
        raise failure(Reason.LIMIT_TIME_NAIVE, field=field, article=ARTICLE)
    return moment.astimezone(zone)


def local_day(moment: date | datetime, *, field: str) -> date:
    """The local calendar day of a moment."""
    moment = local(moment, field=field)
    return moment.date() if isinstance(moment, datetime) else moment


def local_time(moment: date | datetime, *, field: str) -> datetime:
    """The local timestamp; a limit in hours cannot start from a plain date. Raises LIMIT_FACT_INVALID."""
    moment = local(moment, field=field)
    if not isinstance(moment, datetime):
        raise failure(Reason.LIMIT_FACT_INVALID, field=field, detail="以时计算的期限须写明时刻", article=ARTICLE)
    return moment


def next_hour(moment: datetime) -> datetime:
    """The full hour from which a limit in hours runs: the hour in which it began is not counted (刑诉105②)."""
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

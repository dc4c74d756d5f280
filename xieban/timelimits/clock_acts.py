"""Stated acts (`ClockAct`) read into the facts the arithmetic takes: what an office says a legal act did to a limit.

Both ends use this, so that they can only differ in the statements they know: the gateway adds acts one by one and leaves out what the
law forbids, a sender is refused before it seals. Where acts come from, and which run of a limit one belongs to, is not known here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from xieban.errors import Reason, failure
from xieban.handoff import ClockAct
from xieban.timelimits.facts import Extension, Facts, Restart, Suspension
from xieban.timelimits.local_time import shanghai
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Grant, Rule
from xieban.timelimits.terms import Office

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS_AT_MOST = 30 * 366 * 24
"""Longer than any limit there is: what is above is a slip of the pen and would leave the calendar."""


def moment_of(at: int) -> datetime:
    """The Shanghai time of microseconds since the epoch."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(shanghai())


def statutory(row: Rule) -> tuple[Extension, ...]:
    """What the law itself lengthens without anybody's decision: the base stays the alarm, the total is the limit (A16)."""
    grant = _by_law(row)
    if grant is None:
        return ()
    return (Extension(kind=grant.kind, by=Office.STATUTE, months=grant.months, days=grant.days, article=grant.article),)


def repeats_statute(row: Rule, act: ClockAct) -> bool:
    """Whether the act only says what the law says already."""
    grant = _by_law(row)
    return (
        grant is not None
        and act.effect == "extend"
        and act.by in {str(office) for office in grant.by}
        and (act.kind, act.months, act.days, act.hours) == (grant.kind, grant.months, grant.days, grant.hours)
    )


def with_act(row: Rule, facts: Facts, act: ClockAct) -> Facts:
    """The facts with one act more; starts and stops are no facts of the arithmetic and change nothing.

    Raises EXTENSION_NOT_ALLOWED, EXTENSION_TOO_LONG, INTERVAL_NOT_EXCLUDED, RESTART_NOT_ALLOWED for what no row of law knows at all;
    the rest is refused by `compute`.
    """
    if act.effect == "extend":
        return replace(facts, extensions=(*facts.extensions, extension_of(row, act)))
    if act.effect == "exclude":
        return replace(facts, suspensions=(*facts.suspensions, suspension_of(row, act)))
    if act.effect == "restart":
        restart = restart_of(row, act)
        if restart.event is EventId.FAST_TRACK_DROPPED:
            return replace(facts, fast_track_dropped=True)
        return replace(facts, restarts=(*facts.restarts, restart))
    return facts


def extension_of(row: Rule, act: ClockAct) -> Extension:
    """Raises EXTENSION_NOT_ALLOWED for an unknown office, EXTENSION_TOO_LONG for an amount no law could mean."""
    if act.by not in Office._value2member_map_:
        raise failure(
            Reason.EXTENSION_NOT_ALLOWED, rule=row.id, by=act.by or "—", detail="没有这种批准机关", article=row.article
        )
    if (act.months * 31 + act.days) * 24 + act.hours > _HOURS_AT_MOST:
        size = f"{act.months}月{act.days}日{act.hours}小时"
        raise failure(Reason.EXTENSION_TOO_LONG, rule=row.id, detail=size, article=row.article)
    return Extension(
        kind=act.kind,
        by=Office(act.by),
        months=act.months,
        days=act.days,
        hours=act.hours,
        granted_at=moment_of(act.at),
        document=act.document,
    )


def suspension_of(row: Rule, act: ClockAct) -> Suspension:
    """Raises INTERVAL_NOT_EXCLUDED for an event the data does not name."""
    if act.event not in EventId._value2member_map_:
        raise failure(Reason.INTERVAL_NOT_EXCLUDED, event=act.event or "—", rule=row.id, article=row.article)
    end = moment_of(act.until) if act.until else None
    return Suspension(begin=moment_of(act.at), end=end, event=EventId(act.event), document=act.document)


def restart_of(row: Rule, act: ClockAct) -> Restart:
    """Raises RESTART_NOT_ALLOWED for an event the data does not name."""
    if act.event not in EventId._value2member_map_:
        raise failure(Reason.RESTART_NOT_ALLOWED, event=act.event or "—", rule=row.id, article=row.article)
    return Restart(at=moment_of(act.at), event=EventId(act.event), document=act.document)


def _by_law(row: Rule) -> Grant | None:
    return next((grant for grant in row.extensions if grant.alarm and Office.STATUTE in grant.by), None)

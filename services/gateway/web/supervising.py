"""How the pages say things about supervisions 督办: states, terms, steps. Pure functions from values to Chinese."""

from __future__ import annotations

from services.gateway.supervision.reading import Matter, StepLine
from services.gateway.web.wording import Badge
from xieban.notice import SCOPE
from xieban.supervision import (
    ACT_NAMES,
    CAUSE_NAMES,
    DROPPED_NAMES,
    LIMIT_NAMES,
    MEASURE_NAMES,
    STATE_NAMES,
    Dropped,
    State,
    document_number,
)

__all__ = ["ORDER", "SCOPE", "STATES", "act", "document_number", "facts", "limit_now", "reply_limit", "who"]

STATES = {
    State.DRAFTED: Badge("◇", STATE_NAMES[State.DRAFTED], "soon"),
    State.DISCARDED: Badge("—", STATE_NAMES[State.DISCARDED], "plain"),
    State.ISSUED: Badge("○", STATE_NAMES[State.ISSUED], "wait"),
    State.ACKNOWLEDGED: Badge("◔", STATE_NAMES[State.ACKNOWLEDGED], "wait"),
    State.EXPLAINED: Badge("◑", STATE_NAMES[State.EXPLAINED], "soon"),
    State.RETURNED: Badge("◆", STATE_NAMES[State.RETURNED], "soon"),
    State.ESCALATED: Badge("▲", STATE_NAMES[State.ESCALATED], "urgent"),
    State.CLOSED: Badge("●", STATE_NAMES[State.CLOSED], "good"),
}
ORDER = tuple(STATES)


def limit_now(matter: Matter, *, now: int) -> str:
    """`超期 3 天，仍未办结`; nothing of days when it was not missed after all."""
    if matter.supervision.lifted:
        return "查明没有超期"
    return f"超期 {matter.days_over(now)} 天，{LIMIT_NAMES[matter.limit_state]}"


def reply_limit(matter: Matter, *, now: int) -> str:
    """By when a reply is owed; a dash while nothing is."""
    found = matter.supervision
    if not found.reply_by or found.lifted:
        return "—"
    return f"{found.reply_by} 24:00{'，逾期未回复' if matter.is_reply_over(now) else ''}"


def who(line: StepLine) -> str:
    """Who did a step: an officer by number, or the platform itself."""
    return line.step.by or "系统"


def facts(line: StepLine) -> list[str]:
    """What a step says besides its name: reason, remark, and the parts of an explanation."""
    told = [DROPPED_NAMES[Dropped(line.reason)]] if line.reason else []
    reply = line.reply
    if reply is not None and reply.cause is not None:
        told.append(f"原因：{CAUSE_NAMES[reply.cause]}")
        told.append(f"措施：{'、'.join(MEASURE_NAMES[measure] for measure in reply.measures)}")
        told.append(f"预计完成：{reply.expected}")
        told.append(f"说明：{reply.text}")
    return [*told, *([f"要求：{line.remark}"] if line.remark else [])]


def act(line: StepLine) -> str:
    return ACT_NAMES[line.step.act]

"""Supervision 督办 of a missed limit: its states, every legal step, the codes of cause and measure, and when a reply is due.

Data and functions of their arguments; `now` is one of them. State moves by the table below and by nothing else. What must not go in: the
sealed words (`xieban.notice`), who may call what, and anything about the substance of a case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from xieban.errors import Reason, failure
from xieban.timelimits import Calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY: Final = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
_MICROSECOND = timedelta(microseconds=1)


class State(StrEnum):
    """Where a supervision stands."""

    DRAFTED = "drafted"
    DISCARDED = "discarded"
    ISSUED = "issued"
    ACKNOWLEDGED = "acknowledged"
    EXPLAINED = "explained"
    RETURNED = "returned"
    ESCALATED = "escalated"
    CLOSED = "closed"


OPEN: Final = frozenset({State.ISSUED, State.ACKNOWLEDGED, State.RETURNED, State.ESCALATED})
"""The agency owes something: its reply limit runs."""
FINAL: Final = frozenset({State.DISCARDED, State.CLOSED})


class Act(StrEnum):
    """What moves a supervision: an officer of the committee, a person at the agency, time, or the limit itself."""

    DRAFT = "draft"
    ISSUE = "issue"
    DISCARD = "discard"
    CLOSE = "close"
    RETURN = "return"
    ESCALATE = "escalate"
    ACKNOWLEDGE = "acknowledge"
    EXPLAIN = "explain"
    REMIND = "remind"
    MISS = "miss"
    LIFT = "lift"
    RESTORE = "restore"


# Every step there is. A pair that is not here is refused. LIFT: the limit turned out not to be missed; RESTORE: it was, after all.
TRANSITIONS: Final[dict[tuple[State, Act], State]] = {
    (State.DRAFTED, Act.ISSUE): State.ISSUED,
    (State.DRAFTED, Act.DISCARD): State.DISCARDED,
    (State.ISSUED, Act.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.ACKNOWLEDGED, Act.EXPLAIN): State.EXPLAINED,
    (State.EXPLAINED, Act.CLOSE): State.CLOSED,
    (State.EXPLAINED, Act.RETURN): State.RETURNED,
    (State.EXPLAINED, Act.ESCALATE): State.ESCALATED,
    (State.RETURNED, Act.EXPLAIN): State.EXPLAINED,
    (State.ESCALATED, Act.ACKNOWLEDGE): State.ACKNOWLEDGED,
    **{(state, Act.REMIND): state for state in OPEN},
    **{(state, Act.MISS): State.ESCALATED for state in OPEN},
    **{(state, Act.LIFT): state for state in State if state not in FINAL},
}
# While a supervision is lifted nobody owes a reply: it is not issued, not reminded of and not escalated, and may be closed as it stands.
_PRESSING = frozenset({Act.ISSUE, Act.RETURN, Act.ESCALATE, Act.REMIND, Act.MISS, Act.LIFT})
LIFTED_TRANSITIONS: Final[dict[tuple[State, Act], State]] = {
    **{pair: target for pair, target in TRANSITIONS.items() if pair[1] not in _PRESSING},
    **{(state, Act.CLOSE): State.CLOSED for state in OPEN},
    **{(state, Act.RESTORE): state for state in State if state not in FINAL},
}
# What a reader makes of a reply, which may overtake another or cross an escalation on the way. An explanation implies a signature; a
# signature counts only for the demand it names.
HEARD: Final[dict[Act, frozenset[State]]] = {
    Act.ACKNOWLEDGE: frozenset({State.ISSUED, State.ESCALATED}),
    Act.EXPLAIN: OPEN,
}

STATE_NAMES: Final = {
    State.DRAFTED: "拟稿", State.DISCARDED: "不予发出", State.ISSUED: "已发出", State.ACKNOWLEDGED: "已签收",
    State.EXPLAINED: "已说明", State.RETURNED: "退回补充", State.ESCALATED: "已升级", State.CLOSED: "办结",
}  # fmt: skip
ACT_NAMES: Final = {
    Act.DRAFT: "拟稿", Act.ISSUE: "发出", Act.DISCARD: "不予发出", Act.CLOSE: "办结", Act.RETURN: "退回补充", Act.ESCALATE: "升级",
    Act.ACKNOWLEDGE: "签收", Act.EXPLAIN: "说明", Act.REMIND: "提醒", Act.MISS: "逾期升级", Act.LIFT: "注明未超期",
    Act.RESTORE: "恢复督办",
}  # fmt: skip


class Cause(StrEnum):
    """Why a limit was missed, as the agency states it. Codes of procedure only."""

    ENTERED_LATE = "entered_late"
    AWAITING_MATERIAL = "awaiting_material"
    AWAITING_OFFICE = "awaiting_office"
    APPRAISAL = "appraisal"
    WORKLOAD = "workload"
    HANDOVER = "handover"
    SYSTEM_FAULT = "system_fault"
    MISRECKONED = "misreckoned"
    NEGLECT = "neglect"
    OTHER = "other"


class Measure(StrEnum):
    """What the agency does about it."""

    DONE = "done"
    EXPEDITE = "expedite"
    RELEASE = "release"
    REGISTER = "register"
    CORRECT = "correct"
    REINFORCE = "reinforce"
    REPORT_UP = "report_up"


class Dropped(StrEnum):
    """Why a draft is not issued. The first two need the gateway's own record that the limit is not missed."""

    MET_IN_TIME = "met_in_time"
    RECKONED_ANEW = "reckoned_anew"
    DUPLICATE = "duplicate"
    OTHER_WAY = "other_way"


CAUSE_NAMES: Final = {
    Cause.ENTERED_LATE: "已按期办理，登记或者流转迟延", Cause.AWAITING_MATERIAL: "等待补送材料",
    Cause.AWAITING_OFFICE: "等待其他机关答复", Cause.APPRAISAL: "鉴定、检验尚未完成", Cause.WORKLOAD: "办案力量不足",
    Cause.HANDOVER: "承办人员变动、交接", Cause.SYSTEM_FAULT: "系统或者网络故障", Cause.MISRECKONED: "对期限的起算或者计算有异议",
    Cause.NEGLECT: "疏于期限管理", Cause.OTHER: "其他程序原因",
}  # fmt: skip
MEASURE_NAMES: Final = {
    Measure.DONE: "已经办结并补送", Measure.EXPEDITE: "限期办结", Measure.RELEASE: "依法释放或者变更强制措施",
    Measure.REGISTER: "补登期限变动事项", Measure.CORRECT: "更正登记", Measure.REINFORCE: "增加办案力量",
    Measure.REPORT_UP: "报请上级协调",
}  # fmt: skip
DROPPED_NAMES: Final = {
    Dropped.MET_IN_TIME: "期限内已经办结，材料迟到", Dropped.RECKONED_ANEW: "期限已经变更或者撤销",
    Dropped.DUPLICATE: "与另一件督办重复", Dropped.OTHER_WAY: "已经以其他方式提醒",
}  # fmt: skip
LIMIT_NAMES: Final = {
    "running": "计算中", "met": "如期办结", "overdue": "仍未办结", "late": "超期后已办结", "lapsed": "期满", "": "期限已撤销",
}  # fmt: skip
"""How the limit stands that a supervision is about; empty: it does not exist any more."""
UNFOUNDED_UNLESS_LIFTED: Final = frozenset({Dropped.MET_IN_TIME, Dropped.RECKONED_ANEW})


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a reply may take and who answers next: working days, days of the reminder before the last one, levels from the lowest."""

    reply_days: int = 3
    remind_days: int = 1
    levels: tuple[str, ...] = ("经办机关", "机关负责人", "政法委协调会")


@dataclass(frozen=True, slots=True)
class ReplyTerm:
    """A reply limit: its last day (in time until 24:00), when it reminds (None: not at all), the first moment too late (microseconds)."""

    last_day: date
    remind_at: int | None
    over_from: int


REMIND_HOUR: Final = time(9)


def step(state: State, act: Act, *, lifted: bool, supervision: str) -> State:
    """The state after `act`. Errors: SUPERVISION_LIFTED when only its being lifted forbids it, SUPERVISION_STATE."""
    target = (LIFTED_TRANSITIONS if lifted else TRANSITIONS).get((state, act))
    if target is not None:
        return target
    if lifted and (state, act) in TRANSITIONS:
        raise failure(Reason.SUPERVISION_LIFTED, supervision=supervision, act=ACT_NAMES[act])
    raise failure(Reason.SUPERVISION_STATE, supervision=supervision, state=STATE_NAMES[state], act=ACT_NAMES[act])


def heard(state: State, act: Act, *, of_latest: bool) -> State:
    """The state after a reply as a reader takes it; the same state when it is older news."""
    if state not in HEARD[act] or (act is Act.ACKNOWLEDGE and not of_latest):
        return state
    return State.ACKNOWLEDGED if act is Act.ACKNOWLEDGE else State.EXPLAINED


def reply_term(at: int, *, days: int, remind_days: int, calendar: Calendar) -> ReplyTerm:
    """The term of `days` working days (at least 1) from `at`, whose own day is not counted.

    The reminder comes at nine in the morning, `remind_days` working days before the last; none when that is not after `at`.
    Errors: CALENDAR_OUT_OF_RANGE.
    """
    last_day, _ = calendar.plus_working((_EPOCH + at * _MICROSECOND).astimezone(SHANGHAI).date(), days)
    remind = last_day
    for _ in range(remind_days):
        remind, _ = calendar.previous_working(remind - timedelta(days=1))
    remind_at = _micros(datetime.combine(remind, REMIND_HOUR, tzinfo=SHANGHAI))
    over_from = _micros(datetime.combine(last_day + timedelta(days=1), time(), tzinfo=SHANGHAI))
    return ReplyTerm(last_day=last_day, remind_at=remind_at if remind_at > at else None, over_from=over_from)


def days_over(overdue_from: int, *, now: int) -> int:
    """Days a limit is over, the first one counted as 1; 0 before."""
    return 0 if now < overdue_from else (now - overdue_from) // DAY + 1


_OFFICER = re.compile(r"[A-Z0-9]{2,16}")
_SUPERVISION = re.compile(r"(20[0-9]{2})-([1-9][0-9]{0,6})|督办〔(20[0-9]{2})〕([1-9][0-9]{0,6})号")


def officer(text: str) -> str:
    """Check an officer number (警号, 工号); never a name. Errors: FIELD_INVALID."""
    if not _OFFICER.fullmatch(text):
        raise failure(
            Reason.FIELD_INVALID, field="by", detail="应为 2 至 16 位数字和大写字母的工号或者警号，不得使用姓名"
        )
    return text


def supervision_id(text: str) -> str:
    """The number of a supervision from `2026-3` or 督办〔2026〕3号. Errors: FIELD_INVALID."""
    found = _SUPERVISION.fullmatch(text.strip())
    if found is None:
        raise failure(Reason.FIELD_INVALID, field="supervision_id", detail="应如 2026-3 或者 督办〔2026〕3号")
    return "-".join(part for part in found.groups() if part)


def document_number(supervision: str) -> str:
    """How the number of a supervision is printed: 督办〔2026〕3号."""
    year, _, serial = supervision.partition("-")
    return f"督办〔{year}〕{serial}号"


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND

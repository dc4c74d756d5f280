"""How the pages say things: times, remaining time, states, offices. Pure functions from values to Chinese.

Times are always Asia/Shanghai, whatever the browser believes. Colour never stands alone: every state has a sign and a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from services.gateway.clocks import SHANGHAI, Limit, LimitState, overdue_from, standing
from xieban.agency import NAMES, Agency, office
from xieban.errors import Reason
from xieban.handoff import State
from xieban.marshal import moment
from xieban.procedure import table
from xieban.timelimits import RULES

HOUR = 3_600_000_000
DAY = 24 * HOUR
SOON = 3 * DAY
URGENT = DAY


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as sign, word and tone (a CSS class)."""

    sign: str
    word: str
    tone: str


HANDOFF_STATES = {
    State.SENT: Badge("○", "已发出", "wait"),
    State.DELIVERED: Badge("◔", "已送达", "wait"),
    State.COMPLETE: Badge("◑", "案卷齐备", "wait"),
    State.ACCEPTED: Badge("●", "已接收", "good"),
    State.ANSWERED: Badge("●", "已答复", "good"),
    State.RETURNED: Badge("◆", "退回补正", "soon"),
    State.REJECTED: Badge("✕", "已拒收", "urgent"),
    State.WITHDRAWN: Badge("—", "已撤回", "plain"),
}
LIMIT_STATES: dict[LimitState, Badge] = {
    "running": Badge("○", "计算中", "plain"),
    "met": Badge("●", "如期办结", "good"),
    "overdue": Badge("■", "已超期", "overdue"),
    "late": Badge("■", "超期办结", "overdue"),
}
FACTS = {
    "delivered": "送达", "complete": "案卷齐备", "accepted": "接收", "returned": "退回补正", "answered": "答复",
    "rejected": "拒收", "withdrawn": "撤回",
}  # fmt: skip
LOG_KINDS = {
    "LODGED": "收到流转", "DELIVERED": "送达", "COMPLETE": "案卷齐备", "ACCEPTED": "接收", "RETURNED": "退回补正",
    "ANSWERED": "答复", "REJECTED": "拒收", "WITHDRAWN": "撤回", "CLOCK_START": "期限起算", "CLOCK_STOP": "期限终止",
    "CLOCK_CHANGE": "期限变更", "CLOCK_RESUME": "恢复计算", "CLOCK_VOID": "期限撤销", "OVERDUE": "超期",
    "OVERDUE_LIFTED": "超期更正", "VIOLATION": "程序异常", "VIOLATION_LIFTED": "异常解除", "EQUIVOCATION": "一号两文",
    "REFUSED": "报文拒收",
}  # fmt: skip
LOG_ALARMS = frozenset({"OVERDUE", "VIOLATION", "EQUIVOCATION", "REFUSED", "REJECTED"})
TRACKS = {"ordinary": "普通程序", "summary": "简易程序", "fast": "速裁程序"}
OUTCOMES = {
    "approved": "批准", "not_approved": "不批准", "executed": "已执行", "not_executed": "未执行", "released": "已释放",
    "accepted": "受理", "supplement": "补送材料", "refused": "不予受理", "affirmed": "维持", "changed": "改判",
}  # fmt: skip
STARTS = {"sent": "发出", "delivered": "收到", "accepted": "接收"}
_NUMBERS = {reason.number: reason for reason in Reason}


def at(value: int) -> str:
    """`2026-03-05 14:20`."""
    return f"{moment(value).astimezone(SHANGHAI):%Y-%m-%d %H:%M}"


def at_after(value: int, *, earlier: int) -> str:
    """A time that stands beside an earlier one: the year is left out where it is the same."""
    local, before = moment(value).astimezone(SHANGHAI), moment(earlier).astimezone(SHANGHAI)
    return f"{local:%m-%d %H:%M}" if local.year == before.year else at(value)


def iso(value: int) -> str:
    return moment(value).astimezone(SHANGHAI).isoformat(timespec="seconds")


def span(microseconds: int) -> str:
    """`4天3小时`; within a day `3小时5分`; nothing that is zero except when all is."""
    days, rest = divmod(max(0, microseconds), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes = rest // 60_000_000
    parts = [(days, "天"), (hours, "小时")] if days else [(hours, "小时"), (minutes, "分")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0分"


def due(text: str) -> str:
    """A due date as written on the page: a last day, or a last moment to the minute."""
    value = _due_value(text)
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else f"{value:%Y-%m-%d} 24:00"


def remaining(limit: Limit, *, now: int) -> str:
    """What is left of a running limit, how far over an overdue one is, or how it ended."""
    if limit.ended_at is not None:
        over = limit.ended_at - limit.overdue_from
        return f"超期 {span(over)}" if over >= 0 else f"提前 {span(-over)}"
    left = limit.overdue_from - now
    return f"剩余 {span(left)}" if left > 0 else f"超期 {span(-left)}"


def urgency(limit: Limit, *, now: int) -> Badge:
    """How pressing a limit is. Warnings go by the cautious date, breaches by the statutory one."""
    state = standing(limit, now=now)
    if state != "running":
        return LIMIT_STATES[state]
    left = overdue_from(_due_value(limit.safe_due)) - now
    if left <= URGENT:
        return Badge("▲", "一日内", "urgent")
    if left <= SOON:
        return Badge("◆", "三日内", "soon")
    return LIMIT_STATES["running"]


def article(text: str) -> str:
    """`刑诉172; 检规351` with the separator of the pages."""
    return text.replace("; ", "、").replace(";", "、")


def kind(name: str) -> str:
    known = table().kinds.get(name)
    return known.name if known is not None else name


def document(name: str) -> str:
    known = table().kinds.get(name)
    return known.document if known is not None else "—"


def stage(name: str) -> str:
    known = table().stages.get(name)
    return known.name if known is not None else name


def agency(name: str) -> str:
    return NAMES[Agency(name)] if name in set(Agency) else name


def office_name(end: tuple[str, str]) -> str:
    return office(*end).name


def log_detail(kind_of_entry: str, detail: str) -> str:
    """The code of an entry in words where there are words for it."""
    if detail in _NUMBERS:
        return f"{detail} {_NUMBERS[detail].value.happened}"
    if kind_of_entry.startswith(("CLOCK_", "OVERDUE")):
        return limit_name(detail)
    return kind(detail)


def limit_name(rule_id: str) -> str:
    """The name of a limit with Chinese brackets."""
    name = RULES[rule_id].name if rule_id in RULES else rule_id
    return name.replace("(", "（").replace(")", "）")


def start_event(name: str) -> str:
    """What started a limit: a moment of the handoff, or a legal act."""
    acts = table().acts
    return acts[name].name if name in acts else STARTS.get(name, name)


def _due_value(text: str) -> date | datetime:
    return datetime.fromisoformat(text).astimezone(SHANGHAI) if "T" in text else date.fromisoformat(text)

"""How the pages say things: times, remaining time, states, offices. Pure functions from values to Chinese.

Times are always Asia/Shanghai, whatever the browser believes. Colour never stands alone: every state has a sign and a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from services.gateway.clocks import SHANGHAI, Limit, LimitState, standing
from services.gateway.ledger import Touch
from services.gateway.record import Handoff
from services.gateway.targets import Aim
from xieban import lookup
from xieban.agency import NAMES, Agency, office
from xieban.errors import Reason
from xieban.handoff import State
from xieban.lookup import PURPOSE_NAMES, LookUp
from xieban.marshal import moment
from xieban.notice import OCCASION_NAMES, Occasion, colour
from xieban.procedure import table
from xieban.supervision import ACT_NAMES, Act, document_number
from xieban.timelimits import RULES, EventId, Office
from xieban.timelimits.events import events
from xieban.timelimits.terms import BEARER_TEXTS, CONSEQUENCE_TEXTS, OFFICE_TEXTS, Consequence

HOUR = 3_600_000_000
DAY = 24 * HOUR


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
REGISTERED = Badge("●", "已登记", "good")
LIMIT_STATES: dict[LimitState, Badge] = {
    "running": Badge("○", "计算中", "plain"),
    "met": Badge("●", "如期办结", "good"),
    "overdue": Badge("■", "已超期", "overdue"),
    "late": Badge("■", "超期办结", "overdue"),
    "lapsed": Badge("—", "期满", "plain"),
}
STOPPED = Badge("‖", "不计入期间", "plain")
RED = Badge("▲", "红", "urgent")
YELLOW = Badge("◆", "黄", "soon")
FACTS = {
    "delivered": "送达", "complete": "案卷齐备", "accepted": "接收", "returned": "退回补正", "answered": "答复",
    "rejected": "拒收", "withdrawn": "撤回",
}  # fmt: skip
LOG_KINDS = {
    "LODGED": "收到流转", "DELIVERED": "送达", "COMPLETE": "案卷齐备", "ACCEPTED": "接收", "RETURNED": "退回补正",
    "ANSWERED": "答复", "REJECTED": "拒收", "WITHDRAWN": "撤回", "CLOCK_START": "期限起算", "CLOCK_STOP": "期限终止",
    "CLOCK_CHANGE": "期限变更", "CLOCK_RESUME": "恢复计算", "CLOCK_VOID": "期限撤销", "OVERDUE": "超期",
    "CLOCK_WARN": "期限预警", "CLOCK_WARN_LIFTED": "预警解除", "CLOCK_LAPSED": "期满",
    "CLOCK_DIFFERS": "所报不一致", "CLOCK_DIFFERS_LIFTED": "所报已一致",
    "OVERDUE_LIFTED": "超期更正", "VIOLATION": "程序异常", "VIOLATION_LIFTED": "异常解除", "EQUIVOCATION": "一号两文",
    "UNDELIVERED": "未送达", "UNOPENED": "未开启",
    "REFUSED": "报文拒收", "RECONCILE_DIFF": "对账差异", "LOOKUP": "查看案件", "NOTICE": "通知", "REPLY": "督办回复", "SUPERVISION": "督办",
    "LOST": "条目灭失", "REFOUNDED": "另行设立日志",
}  # fmt: skip
LOG_ALARMS = frozenset({"OVERDUE", "VIOLATION", "EQUIVOCATION", "REFUSED", "REJECTED", "RECONCILE_DIFF", "UNDELIVERED"})
DIFFERS = Badge("▲", "与平台所算不一致", "urgent")
AGREES = Badge("●", "一致", "good")
UNDONE = Badge("—", "已撤销", "plain")
TRACKS = {"ordinary": "普通程序", "summary": "简易程序", "fast": "速裁程序"}
OUTCOMES = {
    "approved": "批准", "not_approved": "不批准", "executed": "已执行", "not_executed": "未执行", "released": "已释放",
    "accepted": "受理", "supplement": "补送材料", "refused": "不予受理", "affirmed": "维持", "changed": "改判",
}  # fmt: skip
STARTS = {"sent": "发出", "delivered": "收到", "accepted": "接收", "start": "登记", "restart": "重新计算"}
TOUCHES = {
    "start": "起算", "extension": "延长", "exclusion": "不计入期间", "restart": "重新计算", "custody": "强制措施变更", "stop": "终止",
}  # fmt: skip
STANDINGS = {
    "effective": Badge("●", "计入", "good"),
    "superseded": Badge("○", "重复或者已更正", "plain"),
    "refused": Badge("✕", "未采用", "urgent"),
    "loose": Badge("○", "未对应期限", "plain"),
}
SUPERVISION = re.compile(r"20[0-9]{2}-[1-9][0-9]{0,6}")
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


def stated_due(text: str) -> str:
    """A due date as an office stated it; one that no calendar has is shown as it was written."""
    try:
        return due(text)
    except ValueError:
        return text


def remaining(limit: Limit, *, now: int) -> str:
    """What is left of a running limit, how far over an overdue one is, or how it ended."""
    if limit.ended_at is not None:
        over = limit.ended_at - limit.overdue_from
        if over >= 0 and limit.state == "met":
            return "已终止"
        return f"超期 {span(over)}" if over >= 0 else f"提前 {span(-over)}"
    left = limit.overdue_from - now
    if limit.stopped:
        return "停止计算"
    return f"剩余 {span(left)}" if left > 0 else f"{'超期' if limit.duty else '期满'} {span(-left)}"


def handoff_state(handoff: Handoff) -> Badge:
    """Where a handoff stands; what was sent to the gateway itself is done with when it is held here."""
    return REGISTERED if handoff.receiver[0] == Agency.GATEWAY else HANDOFF_STATES[handoff.state]


def urgency(limit: Limit, *, now: int) -> Badge:
    """How pressing a limit is: breached, or warned of for the date that stands (by the cautious date)."""
    state = standing(limit, now=now)
    if state != "running":
        return LIMIT_STATES[state]
    if limit.stopped:
        return STOPPED
    return (RED, YELLOW, LIMIT_STATES["running"])[limit.urgency]


def consequence(limit: Limit) -> str:
    """What follows when the limit is missed; people held too long by their own name."""
    if limit.severity == 1:
        return "超期羁押"
    return CONSEQUENCE_TEXTS.get(Consequence(limit.consequence), "—")


def bearer(limit: Limit) -> str:
    """The office that must act, or who else the statute names."""
    if limit.bearer_agency:
        return office_name((limit.bearer_agency, limit.bearer_office))
    return "、".join(BEARER_TEXTS[name] for name in RULES[limit.rule].bearer)


def touch_what(touch: Touch) -> str:
    """What a line of the ledger did: `延长 1个月（上一级人民检察院）`, `不计入期间 精神病鉴定`, `起算 收到`."""
    kind_name = TOUCHES[touch.kind]
    if touch.kind == "extension":
        how, months, days, hours, by = touch.detail.split(":", 4)
        parts = ((months, "个月"), (days, "日"), (hours, "小时"))
        size = "".join(f"{number}{unit}" for number, unit in parts if number != "0") or "—"
        granted_by = OFFICE_TEXTS[Office(by)] if by in set(Office) else by
        return f"{kind_name}{'至共' if how == 'total' else ''} {size}（{granted_by}）"
    if touch.kind == "custody":
        return f"{kind_name}：{'羁押' if touch.detail == 'held' else '未羁押'}"
    return f"{kind_name} {start_event(touch.event)}" if touch.event else kind_name


def log_detail(kind_of_entry: str, detail: str) -> str:
    """The code of an entry in words where there are words for it."""
    if detail in _NUMBERS:
        return f"{detail} {_NUMBERS[detail].value.happened}"
    if kind_of_entry.startswith(("CLOCK_", "OVERDUE")):
        rule_id, _, more = detail.partition(":")
        if not more:
            return limit_name(rule_id)
        if kind_of_entry.startswith("CLOCK_WARN"):
            days = f"（{more[1:]}日）" if more.startswith("d") else ""
            return f"{limit_name(rule_id)} {'红' if colour(more) == 'red' else '黄'}色预警{days}"
        if kind_of_entry.startswith("CLOCK_DIFFERS"):
            return f"{limit_name(rule_id)} 机关所报 {stated_due(more)}"
        return f"{limit_name(rule_id)}（按工作日历 {more} 重新计算）"
    if kind_of_entry == "UNOPENED":
        name, _, hours = detail.rpartition(":")
        return f"{kind(name)}（送达后 {hours} 小时）"
    if kind_of_entry == lookup.KIND:
        return looked(lookup.read(detail))
    if kind_of_entry in ("NOTICE", "REPLY", "SUPERVISION"):
        return _said(detail)
    return kind(detail)


def looked(look: LookUp) -> str:
    """`日常监督 · 监督页面 · 工号 ZF0012`."""
    parts = [PURPOSE_NAMES[look.purpose], lookup.caller_name(look.caller)]
    return " · ".join([*parts, *([f"工号 {look.officer}"] if look.officer else [])])


def _said(detail: str) -> str:
    """`rule:red`, `rule:overdue`, `2026-3:issued`, or of a reply without effect `2026-3:explain:XB-7003`."""
    about, _, more = detail.partition(":")
    what, _, number = more.partition(":")
    if not SUPERVISION.fullmatch(about):
        rung = f"{'红' if colour(what) == 'red' else '黄'}色预警"
        return f"{limit_name(about)} {OCCASION_NAMES[Occasion(what)] if what in set(Occasion) else rung}"
    told = OCCASION_NAMES[Occasion(what)] if what in set(Occasion) else ACT_NAMES[Act(what)]
    return f"{document_number(about)} {told}{f'（未采用，{number}）' if number else ''}"


def aim_state(aim: Aim, *, now: int) -> Badge:
    """How a service target stands; never in the words of a statutory limit."""
    if aim.kept_at is not None:
        return Badge("●", "已办" if aim.kept_at <= aim.aim_at else "已办，晚于目标", "good")
    return Badge("○", "待办" if now <= aim.aim_at else "待办，晚于目标", "plain" if now <= aim.aim_at else "soon")


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


def limit_name(rule_id: str) -> str:
    """The name of a limit with Chinese brackets."""
    name = RULES[rule_id].name if rule_id in RULES else rule_id
    return name.replace("(", "（").replace(")", "）")


def start_event(name: str) -> str:
    """What started a limit: a moment of the handoff, a legal act, or an event of the law."""
    acts = table().acts
    if name in acts:
        return acts[name].name
    return events()[EventId(name)].name if name in set(EventId) else STARTS.get(name, name)


def _due_value(text: str) -> date | datetime:
    return datetime.fromisoformat(text).astimezone(SHANGHAI) if "T" in text else date.fromisoformat(text)

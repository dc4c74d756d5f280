"""A derivation in words: every step in Chinese with its article, the readings taken, and where the row itself is uncertain.

Words only. The dates were computed before; a sentence here must never be the only place that knows a number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from xieban.timelimits.due import Due, Step, StepKind
from xieban.timelimits.table import Rule, rule, statutes
from xieban.timelimits.terms import BEARER_TEXTS, CONSEQUENCE_TEXTS, OFFICE_TEXTS, POLICY_TEXTS, Office

_WEEKDAYS = "一二三四五六日"

# The readings taken where the text leaves a question open, in one line each.
READING_TEXTS = {
    "A2": "以时计算的，开始的小时不算，从下一小时起算；预警按实足小时",
    "A3": "以月计算的，自行为之日对应下月同日",
    "A4": "侦查羁押期限按对应日计算，月末不跳至月末",
    "A5": "违限按日计；预警按实足二十四小时为一日",
    "A6": "延长与原期限合计，自原起算日一次推算；逐段推算的较早日期作稳妥日",
    "A7": "先月后日；先日后月得出的较早日期作稳妥日",
    "A8": "节假日包括法定节假日、调休放假日和普通周末；调休上班日不是节假日",
    "A9": "在押期间机关义务不顺延；当事人权利照样顺延",
    "A10": "案件期限，有一人在押即按在押处理",
    "A11": "以期限最后一日的羁押状态为准",
    "A12": "不计入的天数为止日减起日",
    "A13": "最后一日开始的不计入期间有效；届满后开始的无效",
    "A14": "自受理之日起算；自收案之日推算的作稳妥日",
    "A15": "其他延期审理照常计算，人民法院另有决定的提请复核",
    "A16": "二个月为预警，至迟三个月为违限，无需批准",
    "A18": "向前推算至第N日；再前一日之前的工作日为稳妥日",
    "A19": "收到以送达接收方系统并通过校验之时为准",
    "A21": "自收到不批准逮捕决定书起算",
    "A23": "一个月与三十日取较早者",
    "A24": "自最后一方上诉期满起算；直接向第二审法院上诉的自收到起算",
    "A25": "最晚的上诉、抗诉期限最后一日届满即生效",
    "A26": "各机关分别计算，另行显示累计时间",
    "A27": "抗诉期限与上诉期限同样顺延；内部预警按未顺延日期",
    "A28": "公告期不变，申请参加的权利顺延",
    "A29": "一年按十二个月计算",
    "A32": "第十五日止，按不计入当日计算",
    "A34": "作出决定之日不计入",
    "A35": "路途时间只扣整日，须有证据",
    "A36": "是否可能判处一年以上由检察官判断并留痕",
    "A37": "两项期限同时计算，十四（十七）日为最长期限",
    "A38": "重大、复杂由承办人标注、负责人批准并留痕",
    "A40": "该年度放假安排尚未公布，按普通周末推算，公布后重新计算",
}
_SAFE_TEXTS = {
    "A9": "末日虽顺延，未顺延的日期才无争议",
    "A18": "净日读法，且应为工作日",
}


def explain(due: Due) -> list[str]:
    """The derivation, one sentence a line."""
    row = rule(due.rule)
    edition = statutes()[1][due.edition]
    lines = [
        f"{row.name}（{row.id}）：{row.article}",
        f"承担者：{'、'.join(BEARER_TEXTS[item] for item in row.bearer)}",
    ]
    lines += [f"{number}. {_WRITERS[step.kind](step)}【{step.article}】" for number, step in enumerate(due.steps, 1)]
    lines.append(f"期满：{when(due.due)}{_until(due)}")
    if due.safe_due != due.due:
        lines.append(f"稳妥日：{when(due.safe_due)}（预警以此为准）")
    if due.stopped:
        lines.append("注意：不计入期间尚未结束，期满日期还会后移")
    if due.provisional:
        lines.append("注意：所涉年度放假安排尚未公布，本日期为暂定")
    lines += [f"读法 {item}：{READING_TEXTS[item]}" for item in due.readings if item in READING_TEXTS]
    lines += [f"存疑（{_KINDS[item.kind]}）：{item.note}" for item in row.uncertain]
    lines.append(f"节假日规则：{POLICY_TEXTS[row.policy]}")
    lines.append(f"逾期后果：{_consequence(row, due)}")
    lines.append(
        f"依据版本：{edition.law}（{edition.id}，自 {row.in_force_from.isoformat()} 施行）；工作日历：{due.calendar_version}"
    )
    return lines


def when(moment: date | datetime) -> str:
    """2025-04-28（周一）, with the time where there is one."""
    weekday = f"（周{_WEEKDAYS[moment.weekday()]}）"
    if isinstance(moment, datetime):
        clock = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
        return f"{moment.date().isoformat()}{weekday}{clock}"
    return f"{moment.isoformat()}{weekday}"


_KINDS = {"outside": "所附法律文本以外", "unverified": "未核实"}


def _until(due: Due) -> str:
    return "" if isinstance(due.due, datetime) else " 24时止"


def _consequence(row: Rule, due: Due) -> str:
    consequence = row.consequence if due.custody else row.consequence_free
    text = CONSEQUENCE_TEXTS[consequence]
    return f"{consequence} {text}" + (f"；{row.missed}" if row.missed else "")


def _amount(months: object, days: object, hours: object = 0) -> str:
    parts = [f"{value}{unit}" for value, unit in ((months, "个月"), (days, "日"), (hours, "小时")) if value]
    return "".join(parts)


def _start(step: Step) -> str:
    return f"起算：{step.detail[0]}，{when(step.value)}；当时、当日不计入"


def _restart(step: Step) -> str:
    return f"{step.detail[0]}，自 {when(step.value)} 起重新（开始）计算"


def _base(step: Step) -> str:
    months, days, unit, fallback = step.detail
    if isinstance(days, int) and days < 0:
        return f"向前推算 {-days}{unit}，至 {when(step.value)}"
    size = f"{months}个月" if months else f"{days}{unit}"
    return f"{'转为普通期限' if fallback else '法定期限'} {size}，至 {when(step.value)}"


def _extension(step: Step) -> str:
    kind, months, days, hours, by, ground = step.detail
    size = _amount(months, days, hours)
    how = f"期限改为共 {size}" if kind == "total" else f"延长 {size}"
    office = OFFICE_TEXTS[by] if isinstance(by, Office) else by
    return f"{office}：{how}（{ground}），自原起算日合计推算至 {when(step.value)}"


def _earlier(step: Step) -> str:
    return f"另有 {step.detail[0]} 日的规定，取较早者 {when(step.value)}"


def _interval(step: Step) -> str:
    names, begin, end, moved, capped = step.detail
    limit = "（已按法定最长期间截止）" if capped else ""
    return f"{names} {_day(begin)} 至 {_day(end)} 不计入{limit}，扣除 {_span(moved)}，至 {when(step.value)}"


def _interval_void(step: Step) -> str:
    names, begin, *_ = step.detail
    return f"{names} 自 {_day(begin)} 开始时期限已经届满，不能补救，仍为 {when(step.value)}"


def _stopped(step: Step) -> str:
    return f"{step.detail[0]} 自 {_day(step.detail[1])} 起尚未结束，期限停止计算"


def _travel(step: Step) -> str:
    return f"路途时间 {step.detail[0]}{step.detail[1]} 不计入，至 {when(step.value)}"


def _holiday(step: Step) -> str:
    last_day, custody, provisional = step.detail
    return (
        f"最后一日 {_day(last_day)} 为节假日，{'虽在押，属当事人权利，' if custody else ''}顺延至节假日后第一日 {when(step.value)}"
        f"{'（暂定）' if provisional else ''}"
    )


def _workday(step: Step) -> str:
    return f"最后一日 {when(step.value)} 为工作日，不顺延{'（暂定）' if step.detail[0] else ''}"


def _held(step: Step) -> str:
    return f"最后一日 {when(step.value)} 有人在押，至期满之日为止，不因节假日延长"


def _unmoved(step: Step) -> str:
    return f"{when(step.value)}，不因节假日变动"


def _service(step: Step) -> str:
    party, received, last_day = step.detail
    return f"{party} 于 {_day(received)} 收到，最后一日 {_day(last_day)}，期满 {when(step.value)}"


def _term(step: Step) -> str:
    years, months, days = step.detail
    parts = [f"{value}{unit}" for value, unit in ((years, "年"), (months, "个月"), (days, "日")) if value]
    return f"刑期 {''.join(parts)}，第一日计入，至 {when(step.value)}"


def _safe(step: Step) -> str:
    reading = str(step.detail[0])
    return f"稳妥日 {when(step.value)}：{_SAFE_TEXTS.get(reading) or READING_TEXTS[reading]}（{reading}）"


def _day(value: object) -> str:
    return when(value) if isinstance(value, date) else str(value)


def _span(value: object) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    hours = value.seconds // 3600
    return (
        "".join(part for part in (f"{value.days}日" if value.days else "", f"{hours}小时" if hours else "") if part)
        or "0日"
    )


_WRITERS: dict[StepKind, Callable[[Step], str]] = {
    StepKind.START: _start,
    StepKind.RESTART: _restart,
    StepKind.BASE: _base,
    StepKind.EXTENSION: _extension,
    StepKind.EARLIER_ARTICLE: _earlier,
    StepKind.INTERVAL: _interval,
    StepKind.INTERVAL_VOID: _interval_void,
    StepKind.STOPPED: _stopped,
    StepKind.TRAVEL: _travel,
    StepKind.HOLIDAY: _holiday,
    StepKind.WORKDAY: _workday,
    StepKind.HELD: _held,
    StepKind.UNMOVED: _unmoved,
    StepKind.SERVICE: _service,
    StepKind.TERM: _term,
    StepKind.SAFE: _safe,
}

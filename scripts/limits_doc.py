"""Prints docs/limits.md from the statutory clock's data, so that the page a lawyer reads and the numbers that run cannot differ.

`make docs` writes the page, a test compares it. What must not go in: any number of law that the data does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xieban.procedure import table
from xieban.procedure.table import Kind, LimitRow
from xieban.timelimits import RULES, Rule
from xieban.timelimits.events import Event, events
from xieban.timelimits.explain import READING_TEXTS
from xieban.timelimits.table import Grant, statutes
from xieban.timelimits.terms import (
    BEARER_TEXTS,
    CONSEQUENCE_TEXTS,
    OFFICE_TEXTS,
    POLICY_TEXTS,
    Consequence,
    Effect,
    MonthRule,
    Per,
    Unit,
)

SECTIONS = {
    "A": "立案与立案监督",
    "B": "传唤、拘留、逮捕",
    "C": "侦查羁押与侦查",
    "D": "审查起诉",
    "E": "第一审",
    "F": "上诉、抗诉与第二审",
    "G": "交付执行",
    "H": "监督、特别程序与通则",
}

EFFECTS = {
    Effect.EXCLUDE: "不计入",
    Effect.RESTART: "重新计算",
    Effect.ANCHOR: "改变起算日",
    Effect.CUSTODY: "羁押结束",
    Effect.DECIDED: "以决定为准",
    Effect.NONE: "照常计算",
}

HEAD = """\
# 法定期限 Statutory limits

<!-- Generated from xieban/timelimits/*.toml by `make docs`; edit the data, not this page. -->

Every limit of criminal procedure the platform computes, as its data holds them (`statutes.toml`, `events.toml`). A limit starts at the
legal act, in Asia/Shanghai local time; the day or hour of the act is not counted. A date is in time until 24:00. `due` is the limit;
`safe_due` is the earlier date a cautious reading gives: alarms fire on it, breaches are recorded on `due`.

Order of computing: the start event (or the last restart); months in one step from it, then days, extensions summed with the base; excluded
intervals (to minus from, joined where they overlap, void when they begin after expiry); the holiday step once, on the last day only.
"""

STARTED = """\
## 平台自动起算的期限 Limits the procedure starts by itself

From the tables of the procedure (`handoffs.toml`, `acts.toml`): a limit is here only if the platform sees its beginning and its end, or if
it lapses by itself. An act counts at its own legal time, whichever handoff tells of it: an arrest request that carries the detention
starts and judges the time before the first handoff; a case is opened by such a handoff and never by a registration. Stops of handoffs that
come back do not stand unless an act was done by them. Every other limit begins and ends with the clock acts (`clocks`) that offices state.
"""
MOMENTS = {"sent": "发出", "delivered": "送达", "accepted": "接收"}
TRACKS = {"ordinary": "普通程序", "summary": "简易程序", "fast": "速裁程序"}

FORMAT = """\
## 算例格式 Worked examples

`xieban limits check FILE.jsonl` reads one JSON object a line and exits 0 only when every line agrees with the rule's own row.

| field | meaning |
|---|---|
| `id`, `rule`, `article` | name of the line, id of the limit, the article it was worked from |
| `input.start` | date or timestamp with zone of the starting act; the anchor day of a lead time; absent where nothing is dated |
| `input.custody`, `custody_changes` | in custody at the start; `[{at, custody, person?}]` |
| `input.persons` | `[{id, custody}]`; a case-level limit counts as custody while anybody is held |
| `input.extensions` | `[{kind: add or total, months, days, hours, by, granted_at?}]` |
| `input.suspensions` | `[{from, to, reason, excluded?}]`; `to` null: still running; `excluded` false: does not stop the clock |
| `input.restart` | `{at, event}` or a list of them |
| `input.travel_hours` | hours (whole days for limits in days) on the road |
| `input.filed` | `{mode, at, posted_at, accepted_at, arrived_at, outage}` → `expected.on_time` |
| `input.expiry`, `requested_at` | a request against an expiry → `expected.accepted`, `warning`, `error` |
| `input.prior_returns`, `trial_adjournments` | a number, or a list of `{n}` summed over agencies → `expected.allowed`, `error` |
| `input.services` | `[{party, received, document?}]` for `judgment_effective` → `expected.effective_on` |
| `input.years`, `months`, `days` | the term, for `sentence_term_end` |
| `input.base`, `unit`, `policy`, `month_rule` | optional repetition of the row: compared and reported, never used |
| `expected_due`, `safe_due`, `weekday` | what must come out; null where only a yes or no is asked |

## 工作日历 Calendar file

`--calendar FILE` (TOML or JSON) overrides and extends the published years. A year not published counts plain weekends and its dates are
marked provisional.

```toml
version = "2027"
[[year]]                      # the whole year as its notice sets it
year = 2027
days_off = ["2027-01-01", "2027-02-05..2027-02-11"]
working_days = ["2027-02-14"]
[[day]]                       # one day on top of what is published
date = 2027-03-01
working = false
```
"""


def page() -> Iterator[str]:
    """The page, line by line."""
    yield from HEAD.splitlines()
    yield from ("", "## 依据版本 Editions", "", "| id | 法律 | 施行 |", "|---|---|---|")
    for edition in statutes()[1].values():
        yield _row((edition.id, f"{edition.law}（{edition.short}）", edition.in_force_from.isoformat()))
    yield from ("", "## 节假日规则 Policies", "", "| policy | 规则 |", "|---|---|")
    yield from (_row((f"`{policy}`", text)) for policy, text in POLICY_TEXTS.items())
    yield from ("", "## 逾期后果 Consequences", "", "| code | 后果 |", "|---|---|")
    yield from (_row((code, text)) for code, text in CONSEQUENCE_TEXTS.items() if code is not Consequence.NONE)
    yield from ("", f"## 期限 Limits ({len(RULES)})")
    for section, title in SECTIONS.items():
        yield from ("", f"### {section} {title}", "")
        yield "| # | id · 名称 | 起算 | 期限 | 节假日 | 承担者 | 延长 | 逾期 | 说明 | 依据 |"
        yield "|---|---|---|---|---|---|---|---|---|---|"
        yield from (_limit(rule) for rule in RULES.values() if rule.section == section)
    yield ""
    yield from STARTED.splitlines()
    yield from ("", "| id · 名称 | 起算 | 终止 |", "|---|---|---|")
    for name, rule in RULES.items():
        starts, stops = list(_starts(name)), list(_stops(name))
        if starts:
            yield _row((f"`{name}` {rule.name}", "<br>".join(starts), "<br>".join(stops) or "期满"))
    yield from (
        "",
        "## 事件 Events",
        "",
        "| id · 名称 | 效果 | 期限 | 起止 | 凭据 | 依据 |",
        "|---|---|---|---|---|---|",
    )
    yield from (_event(event) for event in events().values())
    yield from ("", "## 读法 Readings taken where the text is open", "", "| # | 读法 |", "|---|---|")
    yield from (_row((name, text)) for name, text in READING_TEXTS.items())
    yield ""
    yield from FORMAT.splitlines()


def _limit(rule: Rule) -> str:
    holder = "按人" if rule.per is Per.PERSON else "按案"
    size = "见刑期" if rule.unit is Unit.TERM else f"{rule.base}{'个' if rule.unit is Unit.MONTH else ''}{rule.unit}"
    if rule.month_rule is not MonthRule.JS202:
        size += f" `{rule.month_rule}`"
    if rule.exact:
        size += "（实足）"
    if rule.or_days:
        size += f"，或{rule.or_days}日取较早"
    missed = rule.consequence.value.replace("none", "—")
    if rule.consequence_free is not rule.consequence:
        missed += f"（未在押 {rule.consequence_free}）"
    kinds = {"outside": "所附文本以外", "unverified": "未核实"}
    notes = [rule.note, *(f"存疑·{kinds[item.kind]}：{item.note}" for item in rule.uncertain)]
    notes += [f"{item.what}以{item.max}次为限（{item.article}）" for item in rule.counters]
    if rule.readings:
        notes.append("读法 " + " ".join(rule.readings))
    return _row(
        (
            str(rule.number),
            f"`{rule.id}` {rule.name}",
            rule.starts,
            size,
            f"{rule.policy}·{holder}",
            "、".join(BEARER_TEXTS[item] for item in rule.bearer),
            "<br>".join(_grant(grant) for grant in rule.extensions) or "—",
            f"{missed} {rule.missed}".strip(),
            "<br>".join(note for note in notes if note) or "—",
            rule.article,
        )
    )


def _starts(rule: str) -> Iterator[str]:
    for act in table().acts.values():
        for row in act.limits:
            if row.start == rule:
                stages = "、".join(table().stages[stage].name for stage in row.stages)
                yield f"法律行为 {act.name}" + (f"（{stages}阶段）" if stages else "")
    yield from (_moment(kind, row) for kind in table().kinds.values() for row in kind.limits if row.start == rule)


def _stops(rule: str) -> Iterator[str]:
    yield from (f"法律行为 {act.name}" for act in table().acts.values() for row in act.limits if rule in row.stop)
    yield from (_moment(kind, row) for kind in table().kinds.values() for row in kind.limits if rule in row.stop)


def _moment(kind: Kind, row: LimitRow) -> str:
    when = [table().acts[row.act].name + "之时"] if row.act else []
    when += [f"结果 `{row.outcome}`"] if row.outcome else []
    when += [TRACKS[row.track]] if row.track else []
    when += [] if row.custody is None else ["有人在押" if row.custody else "无人在押"]
    when += [f"答复{table().kinds[row.answers].name}"] if row.answers else []
    when += [f"发往{BEARER_TEXTS[row.receiver]}"] if row.receiver else []
    return f"{kind.name} {MOMENTS[row.on]}" + (f"（{'，'.join(when)}）" if when else "")


def _grant(grant: Grant) -> str:
    parts = ((grant.months, "个月"), (grant.days, "日"), (grant.hours, "小时"))
    size = "".join(f"{value}{unit}" for value, unit in parts if value) or "以决定为准"
    times = "，可多次" if grant.times == 0 else ""
    offices = "、".join(OFFICE_TEXTS[office] for office in grant.by)
    return f"{'共' if grant.kind == 'total' else '+'}{size}{times}：{offices}；{grant.ground}（{grant.article}）"


def _event(event: Event) -> str:
    touched = "全部" if event.rules is None else " ".join(f"`{rule}`" for rule in RULES if rule in event.rules)
    effect = EFFECTS[event.effect]
    if event.cap_days or event.cap_months:
        effect += f"，最长{f'{event.cap_months}个月' if event.cap_months else f'{event.cap_days}日'}"
    return _row((f"`{event.id}` {event.name}", effect, touched, event.span, event.proof, event.article))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    for line in page():
        print(line)

"""What the law lets happen to a limit: which extension may be granted by whom, which interval excluded, which event restarts it.

Refuses what the statutes do not know, naming the article. Nothing here moves a date.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from xieban.errors import Reason, failure
from xieban.timelimits.events import Event, events
from xieban.timelimits.facts import Extension, Facts, Restart, Suspension
from xieban.timelimits.local_time import local, local_day
from xieban.timelimits.months import add_months
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Grant, Rule
from xieban.timelimits.terms import OFFICE_TEXTS, Effect, MonthRule, Office

# First match wins. A full office name carries its province and city, so a level counts only right before the kind of office.
_OFFICE_WORDS: tuple[tuple[str, Office], ...] = (
    ("^法定|^依法|^法律|^statut", Office.STATUTE),
    ("全国人.*常委|npcsc", Office.NPCSC),
    ("最高人民检察院|最高检|supreme.*procurat", Office.SUPREME_PROCURATORATE),
    ("最高人民法院|最高法|supreme.*court|^spc$", Office.SUPREME_COURT),
    ("省级?(人民)?检|自治区(人民)?检|直辖市(人民)?检|provincial.*procurat", Office.PROVINCIAL_PROCURATORATE),
    ("高级人民法院|高级法院|高院|省高|high.*court", Office.HIGH_COURT),
    ("上一?级.*检|upper.*procurat", Office.UPPER_PROCURATORATE),
    ("上一?级.*法院|中级人民法院|中院|upper.*court", Office.UPPER_COURT),
    ("原批准|原决定|original", Office.ORIGINAL_APPROVER),
    ("检察长|检委会|chief.*procurat", Office.CHIEF_PROCURATOR),
    ("检察院|procurat", Office.PROCURATORATE),
    ("公安.*分局", Office.COUNTY_POLICE_HEAD),
    ("设区的市|市公安局(负责人|局长)?$|市级.*公安|city", Office.CITY_POLICE_HEAD),
    ("县级以上|县.*公安|公安.*局长|公安机关负责人|county", Office.COUNTY_POLICE_HEAD),
    ("办案部门|部门负责人|department", Office.POLICE_DEPARTMENT_HEAD),
    ("公安|派出所|police", Office.POLICE),
    ("法院|院长|合议庭|审判|court", Office.COURT),
    ("法定|statut", Office.STATUTE),
)


@dataclass(frozen=True, slots=True)
class Granted:
    """An extension with the row of law that allows it."""

    extension: Extension
    grant: Grant


@dataclass(frozen=True, slots=True)
class Excluded:
    """A lawful excluded interval, in local time; `end` None while it runs. `capped`: cut to what the law excludes at most."""

    begin: date
    end: date | None
    event: Event
    capped: bool


def find_office(text: str) -> Office | None:
    """The granting office named in a document or data line."""
    if text in Office._value2member_map_:
        return Office(text)
    return next((office for words, office in _OFFICE_WORDS if re.search(words, text.strip(), re.IGNORECASE)), None)


def settle(
    rule: Rule, extensions: Sequence[Extension], *, fallback: bool, already: Sequence[str] = ()
) -> list[Granted]:
    """Match every extension, in order, with a grant of the rule's own row. `already`: articles of grants made before these.

    Raises EXTENSION_NOT_ALLOWED, EXTENSION_TOO_LONG.
    """
    used = [event.article for event in (events()[EventId.FAST_TRACK_DROPPED],) if fallback]
    used += already
    exclusive: Grant | None = None
    settled: list[Granted] = []
    for extension in extensions:
        grant = _match(rule, extension, used, exclusive)
        if grant.whole:
            exclusive = grant
        used.append(grant.article)
        settled.append(Granted(extension, grant))
    return settled


def _match(rule: Rule, extension: Extension, used: Sequence[str], exclusive: Grant | None) -> Grant:
    if not extension.article:  # the common case, without the lists that a refusal needs
        for grant in rule.extensions:
            named_so = grant.kind == extension.kind and extension.by in grant.by
            if named_so and _is_open(grant, used, exclusive) and _fits(rule, extension, grant):
                return grant
    named = [grant for grant in rule.extensions if grant.kind == extension.kind]
    if not named:
        raise _refuse(rule, extension, "法律没有规定这种延长", rule.article)
    hinted = [grant for grant in named if extension.article and extension.article in grant.article] or named
    allowed = [grant for grant in hinted if extension.by in grant.by]
    if not allowed:
        offices = "、".join(dict.fromkeys(OFFICE_TEXTS[office] for grant in hinted for office in grant.by))
        raise _refuse(rule, extension, f"应由{offices}批准或者决定", hinted[0].article)
    open_ = [grant for grant in allowed if _is_open(grant, used, exclusive)]
    for grant in open_:
        if _fits(rule, extension, grant):
            return grant
    if not open_ or any(_fits(rule, extension, grant) for grant in allowed):
        raise _too_long(rule, "次数已满，或者尚未经过前一次延长", allowed[0].article)
    size = f"{extension.months}月{extension.days}日{extension.hours}小时"
    for grant in hinted:
        bounded = grant.months or grant.days or grant.hours
        if bounded and grant not in allowed and _fits(rule, extension, grant):
            offices = "、".join(OFFICE_TEXTS[office] for office in grant.by)
            raise _refuse(rule, extension, f"延长{size}应由{offices}批准或者决定", grant.article)
    raise _too_long(rule, size, open_[0].article)


def _is_open(grant: Grant, used: Sequence[str], exclusive: Grant | None) -> bool:
    return (
        (not grant.after or grant.after in used)
        and (exclusive is None or grant.whole or grant.after == exclusive.article)
        and (grant.times == 0 or used.count(grant.article) < grant.times)
    )


def _fits(rule: Rule, extension: Extension, grant: Grant) -> bool:
    amounts = (extension.months, extension.days, extension.hours)
    if min(amounts) < 0 or not any(amounts):
        return False
    if extension.kind == "total" and _rough(*amounts) < _rough(*rule.span):
        return False
    if not (grant.months or grant.days or grant.hours):
        return True
    # Days may stand in for part of a month, never the other way round (A30).
    spare = 28 * (grant.months - extension.months) + grant.days
    return extension.months <= grant.months and extension.days <= spare and extension.hours <= grant.hours


def _rough(months: int, days: int, hours: int) -> int:
    return (months * 30 + days) * 24 + hours


def _refuse(rule: Rule, extension: Extension, detail: str, article: str) -> Exception:
    return failure(
        Reason.EXTENSION_NOT_ALLOWED, rule=rule.id, by=OFFICE_TEXTS[extension.by], detail=detail, article=article
    )


def _too_long(rule: Rule, detail: str, article: str) -> Exception:
    return failure(Reason.EXTENSION_TOO_LONG, rule=rule.id, detail=detail, article=article)


def excluded(rule: Rule, suspensions: Sequence[Suspension]) -> list[Excluded]:
    """The lawful excluded intervals in local time. Raises INTERVAL_REVERSED, INTERVAL_NOT_EXCLUDED.

    An interval of an anchoring event (identity unknown) is not excluded but moves the start: see `anchors`.
    """
    found: list[Excluded] = []
    for item in suspensions:
        event = events()[item.event]
        if not event.touches(rule.id) or event.effect not in (Effect.EXCLUDE, Effect.ANCHOR):
            raise failure(Reason.INTERVAL_NOT_EXCLUDED, event=event.name, rule=rule.id, article=event.article)
        begin = local(item.begin, field="suspensions.from")
        end = None if item.end is None else local(item.end, field="suspensions.to")
        if end is not None and _before(end, begin):
            raise failure(Reason.INTERVAL_REVERSED, begin=begin.isoformat(), end=end.isoformat(), article=event.article)
        if event.effect is Effect.EXCLUDE:
            found.append(_capped(begin, end, event))
    return found


def _before(end: date, begin: date) -> bool:
    if type(end) is type(begin):
        return end < begin
    return local_day(end, field="suspensions.to") < local_day(begin, field="suspensions.from")


def _capped(begin: date, end: date | None, event: Event) -> Excluded:
    if event.cap_days or event.cap_months:
        limit = local_day(begin, field="suspensions.from")
        limit = add_months(limit, event.cap_months, rule=MonthRule.JS202) + timedelta(days=event.cap_days)
        if end is not None and local_day(end, field="suspensions.to") > limit:
            return Excluded(begin, limit, event, True)
    return Excluded(begin, end, event, False)


def anchors(rule: Rule, facts: Facts) -> list[Restart]:
    """The events the limit runs anew from, in time order. Raises RESTART_NOT_ALLOWED, LIMIT_FACT_INVALID."""
    found = [Restart(at=local(item.at, field="restart.at"), event=item.event) for item in facts.restarts]
    found += [
        Restart(at=local(item.end, field="suspensions.to"), event=item.event)
        for item in facts.suspensions
        if item.end is not None
        and events()[item.event].effect is Effect.ANCHOR
        and events()[item.event].touches(rule.id)
    ]
    for item in found:
        event = events()[item.event]
        if not event.touches(rule.id) or event.effect not in (Effect.RESTART, Effect.ANCHOR):
            raise failure(Reason.RESTART_NOT_ALLOWED, event=event.name, rule=rule.id, article=event.article)
        if facts.start is not None and local_day(item.at, field="restart.at") < local_day(facts.start, field="start"):
            raise failure(Reason.LIMIT_FACT_INVALID, field="restart.at", detail="早于期限的开始", article=event.article)
    return sorted(found, key=lambda item: local_day(item.at, field="restart.at"))

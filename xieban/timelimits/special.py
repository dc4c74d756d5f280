"""The three limits that do not simply run forward: lead times, sentence terms, and the day a judgment takes effect."""

from __future__ import annotations

from datetime import date, timedelta

from xieban.errors import Reason, failure
from xieban.timelimits.calendar import Calendar
from xieban.timelimits.due import Due, Step, StepKind
from xieban.timelimits.facts import Facts, Service
from xieban.timelimits.local_time import ARTICLE, local_day
from xieban.timelimits.months import sentence_end
from xieban.timelimits.names import RuleId
from xieban.timelimits.period import Reckoner
from xieban.timelimits.table import Rule, rule


def lead_time(row: Rule, facts: Facts, *, calendar: Calendar) -> Due:
    """N days before the anchor day, never moved forward; safe is a working day one clear day earlier (A18)."""
    if facts.start is None:
        raise failure(Reason.LIMIT_FACT_MISSING, field="start", article=row.article)
    anchor = local_day(facts.start, field="start")
    due = anchor - timedelta(days=row.base)
    safe, provisional = calendar.previous_working(due - timedelta(days=1))
    steps = (
        Step(StepKind.START, anchor, row.article, (row.starts,)),
        Step(StepKind.BASE, due, row.article, (0, -row.base, row.unit, False)),
        Step(StepKind.UNMOVED, due, row.article),
        Step(StepKind.SAFE, safe, ARTICLE, ("A18",)),
    )
    return _due(row, due, safe, due, calendar, ("A18",), steps, custody=facts.custody, provisional=provisional)


def sentence(row: Rule, facts: Facts, *, calendar: Calendar) -> Due:
    """The last day of a sentence term (解释202②); holidays and custody do not matter."""
    if facts.start is None:
        raise failure(Reason.LIMIT_FACT_MISSING, field="start", article=row.article)
    if facts.term is None or not (facts.term.years or facts.term.months or facts.term.days):
        raise failure(Reason.LIMIT_FACT_MISSING, field="years、months、days", article=row.article)
    if min(facts.term.years, facts.term.months, facts.term.days) < 0:
        raise failure(Reason.LIMIT_FACT_INVALID, field="years、months、days", detail="不能为负", article=row.article)
    first = local_day(facts.start, field="start")
    term = facts.term
    end = sentence_end(first, years=term.years, months=term.months, days=term.days)
    steps = (
        Step(StepKind.START, first, row.article, (row.starts,)),
        Step(StepKind.TERM, end, "解释202②", (term.years, term.months, term.days)),
    )
    return _due(row, end, end, end, calendar, (), steps, custody=True, provisional=False)


def effectiveness(row: Rule, facts: Facts, *, calendar: Calendar) -> Due:
    """The day a first-instance judgment takes effect: the last day of the latest appeal or protest period (A25)."""
    ends: list[tuple[Service, Due]] = []
    for service in facts.services:
        if service.received is None:
            raise failure(Reason.LIMIT_FACT_MISSING, field=f"services.{service.party}.received", article=row.article)
        period = rule(_period_of(service))
        ends.append(
            (service, Reckoner(period, Facts(start=service.received, custody=facts.custody), calendar=calendar).due())
        )
    steps = tuple(
        Step(StepKind.SERVICE, each.due, rule(each.rule).article, (service.party, service.received, each.last_day))
        for service, each in ends
    )
    latest = max((each for _, each in ends), key=lambda each: (each.due, each.last_day))
    provisional = any(each.provisional for _, each in ends)
    return _due(
        row,
        latest.due,
        latest.due,
        latest.last_day,
        calendar,
        ("A25", "A27"),
        steps,
        custody=facts.custody,
        provisional=provisional,
    )


def _period_of(service: Service) -> RuleId:
    prosecutor = "procurat" in service.party.lower() or "检察" in service.party
    if service.ruling:
        return RuleId.PROTEST_RULING if prosecutor else RuleId.APPEAL_RULING
    return RuleId.PROTEST_JUDGMENT if prosecutor else RuleId.APPEAL_JUDGMENT


def _due(
    row: Rule,
    due: date,
    safe: date,
    last_day: date,
    calendar: Calendar,
    readings: tuple[str, ...],
    steps: tuple[Step, ...],
    *,
    custody: bool,
    provisional: bool,
) -> Due:
    taken = (*row.readings, *readings, *(("A40",) if provisional else ()))
    return Due(
        rule=row.id,
        due=due,
        safe_due=safe,
        last_day=last_day,
        custody=custody,
        stopped=False,
        provisional=provisional,
        calendar_version=calendar.version,
        edition=row.edition,
        readings=tuple(dict.fromkeys(taken)),
        steps=steps,
    )

"""From a course to limits with dates: the one place of the gateway that has dates computed by `xieban.timelimits`.

Agencies and gateway compute a date from the same code and the same facts. What the law forbids is left out of the computation, act by
act in the order of their legal time, with the number of the reason; the rest still counts. Pure; nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from services.gateway.clocks import SHANGHAI, Key, Limit, overdue_from
from services.gateway.ledger import Touch, lines
from services.gateway.spans import NOBODY, Span
from xieban.errors import XiebanError
from xieban.handoff import ClockAct
from xieban.timelimits import Calendar, CustodyChange, Due, Facts, RuleId, compute, rule
from xieban.timelimits.clock_acts import moment_of, repeats_statute, statutory, with_act
from xieban.timelimits.explain import explain
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Consequence, Policy

# What is worst when missed comes first: people held too long, then duties of office, then what only ends.
_SEVERITY = {Consequence.RELEASE: 2, Consequence.VIOLATION: 3, Consequence.INTERNAL: 4}
_LEAST = 5


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A computed limit: its date, or None where nothing can be computed; `refused`: reason number by place of the act."""

    due: Due | None
    refused: dict[int, str]
    number: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one span comes to: the limit (None: cannot be computed), the lines of its ledger, and (eid, number) of what is forbidden."""

    limit: Limit | None
    touches: tuple[Touch, ...]
    forbidden: tuple[tuple[str, str], ...]


_Changes = tuple[tuple[int, bool], ...]


class Reckoner:
    """Computes with one calendar; the same facts are asked about again and again while a case is gone through."""

    def __init__(self, calendar: Calendar | None = None) -> None:
        self._calendar = calendar or Calendar.published()
        self._reckon: Callable[[str, int, int, bool, _Changes, tuple[ClockAct, ...]], Reckoned]
        self._reckon = lru_cache(maxsize=8192)(self._compute)

    @property
    def version(self) -> str:
        """Of the calendar."""
        return self._calendar.version

    def reckon(self, span: Span) -> Reckoned:
        return self._reckon(
            span.rule,
            span.started_at,
            span.received_at,
            span.custody,
            span.changes,
            tuple(item.act for item in span.acts),
        )

    def draw(self, case_id: str, span: Span) -> Drawn:
        """The limit of a span, without regard to the present time (its state is left to `clocks.standing`)."""
        reckoned = self.reckon(span)
        written = tuple(lines(span, reckoned.refused))
        if reckoned.due is None:
            return Drawn(None, written, ((span.start_eid, reckoned.number),))
        forbidden = tuple((span.acts[index].eid, number) for index, number in reckoned.refused.items())
        return Drawn(_limit(case_id, span, reckoned.due), written, forbidden)

    def derive(self, case_id: str, spans: Iterable[Span]) -> dict[Key, tuple[str, ...]]:
        """How each limit's date comes about, in sentences with articles."""
        found: dict[Key, tuple[str, ...]] = {}
        for span in spans:
            due = self.reckon(span).due
            if due is not None:
                found[case_id, span.rule, span.start_eid, span.person] = tuple(explain(due))
        return found

    def _compute(
        self,
        rule_id: str,
        started_at: int,
        received_at: int,
        custody: bool,
        changes: _Changes,
        acts: tuple[ClockAct, ...],
    ) -> Reckoned:
        row = rule(rule_id)
        facts = Facts(
            start=moment_of(started_at),
            custody=custody,
            custody_changes=tuple(CustodyChange(at=moment_of(at), custody=held) for at, held in changes),
            extensions=statutory(row),
            received=moment_of(received_at) if received_at else None,
        )
        refused: dict[int, str] = {}
        try:
            due = compute(RuleId(rule_id), facts, calendar=self._calendar)
        except XiebanError as error:
            return Reckoned(None, refused, error.reason.number)
        for index, act in enumerate(acts):
            if repeats_statute(row, act):
                continue
            try:
                more = with_act(row, facts, act)
                due = compute(RuleId(rule_id), more, calendar=self._calendar)
                facts = more
            except XiebanError as error:
                refused[index] = error.reason.number
        return Reckoned(due, refused)


def _limit(case_id: str, span: Span, due: Due) -> Limit:
    row = rule(span.rule)
    consequence = row.consequence if due.custody else row.consequence_free
    worst = consequence is Consequence.RELEASE and due.custody
    return Limit(
        case_id=case_id,
        rule=span.rule,
        start_eid=span.start_eid,
        person=span.person,
        bearer_agency=span.bearer[0],
        bearer_office=span.bearer[1],
        start_event=span.start_event,
        started_at=span.started_at,
        due=_text(due.due),
        safe_due=_text(due.safe_due),
        overdue_from=overdue_from(due.due),
        safe_from=overdue_from(due.safe_due),
        provisional=due.provisional,
        in_custody=due.custody,
        stopped=due.stopped,
        duty=_is_duty(row, consequence, office=span.bearer != NOBODY),
        consequence=str(consequence),
        severity=1 if worst else _SEVERITY.get(consequence, _LEAST),
        edition=due.edition,
        calendar=due.calendar_version,
        ended_at=span.ended_at,
        end_eid=span.end_eid,
    )


def _is_duty(row: Rule, consequence: Consequence, *, office: bool) -> bool:
    """Whether missing it is somebody's breach. A right, of a party or of an office that may ask for more (复议), a term and an
    authorisation only end."""
    if row.policy in (Policy.RIGHTS, Policy.SENTENCE) or consequence is Consequence.LAPSE:
        return False
    return consequence in _SEVERITY or (office and row.policy is not Policy.FIXED)


def _text(value: date | datetime) -> str:
    return value.astimezone(SHANGHAI).isoformat() if isinstance(value, datetime) else value.isoformat()

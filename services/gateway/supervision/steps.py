"""A supervision and how a step changes it: pure. Which steps are legal is `xieban.supervision`'s; here is what each does to its terms.

While a reply is owed its limit runs: a reminder, then the next level, each once, because a step takes its own moment away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.gateway.clocks import Key, Limit
from xieban.errors import Reason, failure
from xieban.notice import LONGEST_LEVEL_NAME, short_text
from xieban.supervision import OPEN, Act, State, Terms, heard, reply_term, step
from xieban.timelimits import Calendar

LONGEST_REPLY = 30
"""Working days that an officer or an operator may set for a reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """One supervision, named as its columns. Times in microseconds; `reply_by` an ISO date, empty while nothing is owed."""

    id: str
    case_id: str
    rule: str
    start_eid: str
    person: str
    agency: str
    office: str
    started_at: int
    due: str
    safe_due: str
    overdue_from: int
    edition: str
    calendar: str
    severity: int
    in_custody: bool
    drafted_at: int
    updated_at: int
    state: State = State.DRAFTED
    level: int = 1
    step: int = 1
    reply_by: str = ""
    reply_over_from: int | None = None
    remind_at: int | None = None
    lifted_at: int | None = None
    demanded: str = ""

    @property
    def key(self) -> Key:
        """Of the limit."""
        return self.case_id, self.rule, self.start_eid, self.person

    @property
    def lifted(self) -> bool:
        return self.lifted_at is not None


def drafted(limit: Limit, *, id: str, now: int) -> Supervision:
    """The draft that a breach of `limit` makes."""
    return Supervision(
        id=id, case_id=limit.case_id, rule=limit.rule, start_eid=limit.start_eid, person=limit.person,
        agency=limit.bearer_agency, office=limit.bearer_office, started_at=limit.started_at, due=limit.due,
        safe_due=limit.safe_due, overdue_from=limit.overdue_from, edition=limit.edition, calendar=limit.calendar,
        severity=limit.severity, in_custody=limit.in_custody, drafted_at=now, updated_at=now,
    )  # fmt: skip


def checked(terms: Terms) -> Terms:
    """The operator's terms. Errors: CONFIG_INVALID."""
    names = [short_text(name, field="levels", limit=LONGEST_LEVEL_NAME) for name in terms.levels]
    if tuple(names) != terms.levels or not all(names) or not names:
        raise failure(Reason.CONFIG_INVALID, file="supervision", detail="levels 至少一级，名称不得为空或者首尾有空白")
    if not 1 <= terms.reply_days <= LONGEST_REPLY or not 0 <= terms.remind_days < terms.reply_days:
        detail = f"reply_days 应为 1 至 {LONGEST_REPLY} 个工作日，remind_days 应少于 reply_days"
        raise failure(Reason.CONFIG_INVALID, file="supervision", detail=detail)
    return terms


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gateway goes by: the operator's terms, and the calendar that limits are reckoned with."""

    terms: Terms
    calendar: Calendar

    def moved(self, before: Supervision, act: Act, *, now: int, days: int = 0) -> Supervision:
        """After a step of the gateway, an officer or time. `days`: another reply limit than the usual one.

        Errors: SUPERVISION_STATE, SUPERVISION_LIFTED, CALENDAR_OUT_OF_RANGE.
        """
        state = step(before.state, act, lifted=before.lifted, supervision=before.id)
        after = replace(before, state=state, step=before.step + 1, updated_at=now)
        if act is Act.REMIND:
            return replace(after, remind_at=None)
        if act in (Act.ESCALATE, Act.MISS):
            after = replace(after, level=before.level + 1)
        if act in (Act.LIFT, Act.RESTORE):
            after = replace(after, lifted_at=now if act is Act.LIFT else None)
        return self._owing(after, now=now, days=days) if state in OPEN and not after.lifted else _owing_nothing(after)

    def replied(self, before: Supervision, act: Act, *, of_latest: bool, now: int) -> Supervision:
        """After a reply has been heard; a signature leaves the reply limit as it is."""
        state = heard(before.state, act, of_latest=of_latest)
        after = replace(before, state=state, step=before.step + 1, updated_at=now)
        return after if state in OPEN else _owing_nothing(after)

    def is_at_top(self, supervision: Supervision) -> bool:
        return supervision.level >= len(self.terms.levels)

    def whom(self, supervision: Supervision) -> str:
        """Who has to answer at the level it stands at."""
        return self.terms.levels[min(supervision.level, len(self.terms.levels)) - 1]

    def next_at(self, supervision: Supervision) -> int | None:
        """When time brings the next step; None when only somebody's act can."""
        if supervision.state not in OPEN or supervision.lifted:
            return None
        over = None if self.is_at_top(supervision) else supervision.reply_over_from
        return min((at for at in (supervision.remind_at, over) if at is not None), default=None)

    def due(self, supervision: Supervision, *, now: int) -> Act | None:
        """The step that time has brought by `now`. What has gone up a level already is not reminded of."""
        at = self.next_at(supervision)
        if at is None or at > now:
            return None
        over = supervision.reply_over_from
        return Act.MISS if over is not None and over <= now and not self.is_at_top(supervision) else Act.REMIND

    def _owing(self, supervision: Supervision, *, now: int, days: int) -> Supervision:
        term = reply_term(
            now, days=days or self.terms.reply_days, remind_days=self.terms.remind_days, calendar=self.calendar
        )
        return replace(
            supervision,
            reply_by=term.last_day.isoformat(),
            reply_over_from=term.over_from,
            remind_at=term.remind_at,
        )


def _owing_nothing(supervision: Supervision) -> Supervision:
    return replace(supervision, reply_by="", reply_over_from=None, remind_at=None)

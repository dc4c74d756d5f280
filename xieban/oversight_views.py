"""What the committee and an agency see of the oversight gateway: frozen values of its public API, and how the generated messages are read.

The counterpart of `xieban.views`, which is what an agency system sees of its own node; times and words are the same there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from xieban import marshal
from xieban.agency import Agency, Office
from xieban.handoff import State
from xieban.views import FactView, fact_from_pb, state_from_pb, time_from_pb
from xieban.wire.v1 import handoff_pb2, oversight_pb2, sandbox_pb2


@dataclass(frozen=True, slots=True)
class ComparedDueView:
    """A due date that an agency stated; `differs` from what the gateway computes, or the gateway knows no such limit."""

    rule: str
    person: str
    by: Office | None
    due: str
    eid: str
    differs: bool


@dataclass(frozen=True, slots=True)
class OverseenCaseView:
    """A case as the gateway sees it. `holder` is None until a stage has one."""

    case_id: str
    stage: str
    holder: Office | None
    in_custody: bool
    handoffs: int
    limits_running: int
    limits_overdue: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LimitEventView:
    """A line of the ledger of a limit. `standing` is effective, superseded, refused (see `number`) or loose; `detail` a code."""

    kind: str
    at: datetime
    until: datetime | None
    event: str
    detail: str
    document: str
    eid: str
    by: Office | None
    recorded_at: datetime
    standing: str
    number: str
    undone: bool


@dataclass(frozen=True, slots=True)
class LimitView:
    """A statutory limit. `due` and `safe_due` are an ISO date (in time until 24:00) or an RFC 3339 moment.

    `severity` 1 is the worst; `warned` are the rungs fired for the date that stands; `events` and `explanation` come with a timeline.
    """

    rule: str
    name: str
    article: str
    case_id: str
    bearer: Office | None
    started_at: datetime
    due: str
    safe_due: str
    state: str
    ended_at: datetime | None
    provisional: bool
    in_custody: bool
    person: str = ""
    consequence: str = ""
    severity: int = 0
    stopped: bool = False
    warned: tuple[str, ...] = ()
    events: tuple[LimitEventView, ...] = ()
    explanation: tuple[str, ...] = ()
    stated: tuple[ComparedDueView, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntryView:
    """One entry of the append-only supervision log."""

    index: int
    kind: str
    recorded_at: datetime
    case_id: str
    eid: str
    detail: str
    hash: str


@dataclass(frozen=True, slots=True)
class OverseenHandoffView:
    """A handoff in the eyes of the gateway."""

    eid: str
    kind: str
    name: str
    sender: Office
    receiver: Office
    outcome: str
    state: State
    sent_at: datetime
    receipts: tuple[FactView, ...]
    stage: str


@dataclass(frozen=True, slots=True)
class TimelineView:
    """One case with everything the gateway knows of it, in order of time."""

    case: OverseenCaseView
    handoffs: tuple[OverseenHandoffView, ...]
    limits: tuple[LimitView, ...]
    log: tuple[LogEntryView, ...]
    loose: tuple[LimitEventView, ...] = ()
    stated: tuple[ComparedDueView, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryView:
    """Counts of the whole city. `now` is the gateway's legal time."""

    cases: int
    handoffs: int
    in_flight: int
    limits_running: int
    limits_overdue: int
    limits_started: int
    log_entries: int
    refused: int
    now: datetime
    sandbox: bool


@dataclass(frozen=True, slots=True)
class ForecastView:
    """An entry that time alone will bring to the log: `kind` CLOCK_WARN (with `rung` and `colour`), OVERDUE or CLOCK_LAPSED.

    `limit` is as it will stand after the entry.
    """

    due_at: datetime
    kind: str
    rung: str
    colour: str
    limit: LimitView


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What a node's sandbox clock shows, beside the machine's own time at the same moment; `frozen` until somebody moves it."""

    now: datetime
    machine_now: datetime
    frozen: bool

    @property
    def offset(self) -> timedelta:
        """How far legal time is ahead of the machine's; negative when it is behind."""
        return self.now - self.machine_now


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a process has still to finish: statements without a signed answer, handoffs without their dossier."""

    unacknowledged: int
    incomplete: int

    @property
    def clear(self) -> bool:
        return self.unacknowledged == 0 and self.incomplete == 0


def overseen_case_from_pb(value: oversight_pb2.OverseenCase) -> OverseenCaseView:
    return OverseenCaseView(
        case_id=value.case_id,
        stage=value.stage,
        holder=_optional_office(value.holder),
        in_custody=value.in_custody,
        handoffs=value.handoffs,
        limits_running=value.limits_running,
        limits_overdue=value.limits_overdue,
        updated_at=time_from_pb(value.updated_time),
    )


def limit_from_pb(value: oversight_pb2.Limit) -> LimitView:
    return LimitView(
        rule=value.rule,
        name=value.name,
        article=value.article,
        case_id=value.case_id,
        bearer=_optional_office(value.bearer),
        started_at=time_from_pb(value.start_time),
        due=value.due,
        safe_due=value.safe_due,
        state=value.state,
        ended_at=time_from_pb(value.end_time) if value.HasField("end_time") else None,
        provisional=value.provisional,
        in_custody=value.in_custody,
        person=value.person,
        consequence=value.consequence,
        severity=value.severity,
        stopped=value.stopped,
        warned=tuple(value.warned),
        events=tuple(limit_event_from_pb(event) for event in value.events),
        explanation=tuple(value.explanation),
        stated=tuple(compared_due_from_pb(due) for due in value.stated),
    )


def compared_due_from_pb(value: oversight_pb2.ComparedDue) -> ComparedDueView:
    return ComparedDueView(
        rule=value.rule,
        person=value.person,
        by=_optional_office(value.by),
        due=value.due,
        eid=value.eid,
        differs=value.differs,
    )


def limit_event_from_pb(value: oversight_pb2.LimitEvent) -> LimitEventView:
    return LimitEventView(
        kind=value.kind,
        at=time_from_pb(value.at),
        until=time_from_pb(value.until) if value.HasField("until") else None,
        event=value.event,
        detail=value.detail,
        document=value.document,
        eid=value.eid,
        by=_optional_office(value.by),
        recorded_at=time_from_pb(value.recorded_time),
        standing=value.standing,
        number=value.number,
        undone=value.undone,
    )


def timeline_from_pb(value: oversight_pb2.GetTimelineResponse) -> TimelineView:
    return TimelineView(
        case=overseen_case_from_pb(value.case),
        handoffs=tuple(_overseen_handoff(handoff) for handoff in value.handoffs),
        limits=tuple(limit_from_pb(limit) for limit in value.limits),
        log=tuple(log_entry_from_pb(entry) for entry in value.log),
        loose=tuple(limit_event_from_pb(event) for event in value.loose),
        stated=tuple(compared_due_from_pb(due) for due in value.stated),
    )


def forecast_from_pb(value: oversight_pb2.ForecastEntry) -> ForecastView:
    return ForecastView(
        due_at=time_from_pb(value.due_time),
        kind=value.kind,
        rung=value.rung,
        colour=value.colour,
        limit=limit_from_pb(value.limit),
    )


def clock_reading_from_pb(value: sandbox_pb2.GetClockResponse) -> ClockReading:
    return ClockReading(now=time_from_pb(value.now), machine_now=time_from_pb(value.machine_time), frozen=value.frozen)


def summary_from_pb(value: oversight_pb2.GetSummaryResponse) -> SummaryView:
    return SummaryView(
        cases=value.cases,
        handoffs=value.handoffs,
        in_flight=value.in_flight,
        limits_running=value.limits_running,
        limits_overdue=value.limits_overdue,
        limits_started=value.limits_started,
        log_entries=value.log_entries,
        refused=value.refused,
        now=time_from_pb(value.now),
        sandbox=value.sandbox,
    )


def _overseen_handoff(value: oversight_pb2.OverseenHandoff) -> OverseenHandoffView:
    return OverseenHandoffView(
        eid=value.eid,
        kind=value.kind,
        name=value.name,
        sender=marshal.office_from_pb(getattr(value, "from")),
        receiver=marshal.office_from_pb(value.to),
        outcome=value.outcome,
        state=state_from_pb(value.state),
        sent_at=time_from_pb(value.sent_time),
        receipts=tuple(fact_from_pb(fact) for fact in value.receipts),
        stage=value.stage,
    )


def log_entry_from_pb(value: oversight_pb2.LogEntry) -> LogEntryView:
    return LogEntryView(
        index=value.index,
        kind=value.kind,
        recorded_at=time_from_pb(value.recorded_time),
        case_id=value.case_id,
        eid=value.eid,
        detail=value.detail,
        hash=value.hash,
    )


@marshal.answered
def _optional_office(value: handoff_pb2.Office) -> Office | None:
    """The gateway leaves the office empty where nobody bears or holds anything."""
    return Office(agency=Agency(value.agency), division=value.division) if value.division else None

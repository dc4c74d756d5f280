"""What an agency system sees: frozen values of the public API, and their conversions from and to the generated messages in pairs.

A system of records binds to these and never to generated code. Times are aware datetimes in Asia/Shanghai, enumerations are the
library's own words. What must not go in: calls (`xieban.client`), and anything of the sealed statements (`xieban.handoff`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from xieban import marshal
from xieban.agency import Agency, Office
from xieban.dossier import CaseNumbers, Dossier
from xieban.errors import Reason, failure
from xieban.handoff import ClockEffect, State
from xieban.wire.v1 import case_pb2, handoff_pb2, oversight_pb2, sandbox_pb2

SHANGHAI = ZoneInfo("Asia/Shanghai")
Secrecy = Literal["none", "internal"]

_SECRECY: dict[Secrecy, handoff_pb2.Secrecy.ValueType] = {
    "none": handoff_pb2.SECRECY_NONE,
    "internal": handoff_pb2.SECRECY_INTERNAL,
}
_STATES = {state: handoff_pb2.HandoffState.Value(f"HANDOFF_STATE_{state.name}") for state in State}
_STATES_FROM_PB = {number: state for state, number in _STATES.items()}


@dataclass(frozen=True, slots=True)
class ActView:
    """A legal event. `person` is a tag (P1, …) or empty for the whole case; `derived` marks a time got by a published rule."""

    what: str
    at: datetime
    person: str = ""
    derived: bool = False


@dataclass(frozen=True, slots=True)
class ClockView:
    """What a legal act does to one statutory limit. `rule`, `event` and `by` are ids of `xieban.timelimits`; times are aware.

    `effect` is start, stop, extend, exclude or restart; `kind` "add" or "total" for an extension; `until` the end of an exclusion.
    """

    effect: ClockEffect
    rule: str
    at: datetime
    until: datetime | None = None
    event: str = ""
    by: str = ""
    kind: str = ""
    months: int = 0
    days: int = 0
    hours: int = 0
    person: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class DueView:
    """The last day of a limit as the sender computes it: an ISO date, or a moment such as 2026-03-02T16:00:00+08:00."""

    rule: str
    due: str
    person: str = ""


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
class DefectView:
    """A coded defect: rule or reason, article, item."""

    code: str
    article: str = ""
    item: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A handoff about to be sent. `client_ref` is the sender's own document number and makes sending idempotent for ever."""

    client_ref: str
    kind: str
    case_id: str
    sender: Office
    receiver: Office
    dossier: Dossier
    outcome: str = ""
    acts: tuple[ActView, ...] = ()
    secrecy: Secrecy = "none"
    re: tuple[str, ...] = ()
    clocks: tuple[ClockView, ...] = ()
    dues: tuple[DueView, ...] = ()


@dataclass(frozen=True, slots=True)
class FactView:
    """One signed fact of the receiver. `answer` is the eid of the answering handoff, or empty."""

    kind: str
    at: datetime
    receipt: str
    defects: tuple[DefectView, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class HandoffView:
    """A handoff as one of its parties sees it; `incoming` tells which. `sent_at` is when it was sealed."""

    eid: str
    handoff_id: str
    client_ref: str
    kind: str
    case_id: str
    stage: str
    sender: Office
    receiver: Office
    outcome: str
    state: State
    sent_at: datetime
    receipts: tuple[FactView, ...]
    re: tuple[str, ...]
    acts: tuple[ActView, ...]
    incoming: bool
    lane_seq: int
    clocks: tuple[ClockView, ...] = ()
    dossier: Dossier | None = None


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """Something that happened to a handoff. Watch again from `cursor` to go on after it."""

    cursor: int
    handoff: HandoffView


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as one agency knows it."""

    case_id: str
    stage: str
    returns: int
    opened_at: datetime
    updated_at: datetime
    numbers: CaseNumbers
    handoffs: int


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


def time_to_pb(value: datetime) -> Timestamp:
    """Errors: FIELD_INVALID for a naive time."""
    return marshal.time_to_pb(marshal.micros(value))


def time_from_pb(value: Timestamp) -> datetime:
    return marshal.moment(marshal.time_from_pb(value)).astimezone(SHANGHAI)


def state_to_pb(value: State) -> handoff_pb2.HandoffState.ValueType:
    return _STATES[value]


def state_from_pb(value: handoff_pb2.HandoffState.ValueType) -> State:
    """Errors: DEFECT when the server speaks of a state this library does not know."""
    found = _STATES_FROM_PB.get(value)
    if found is None:
        raise failure(Reason.DEFECT, trace=f"state:{value}")
    return found


def act_to_pb(value: ActView) -> handoff_pb2.Act:
    return handoff_pb2.Act(what=value.what, at=time_to_pb(value.at), person=value.person, derived=value.derived)


def act_from_pb(value: handoff_pb2.Act) -> ActView:
    return ActView(what=value.what, at=time_from_pb(value.at), person=value.person, derived=value.derived)


def clock_to_pb(value: ClockView) -> handoff_pb2.ClockAct:
    return handoff_pb2.ClockAct(
        effect=handoff_pb2.ClockEffect.Value(f"CLOCK_EFFECT_{value.effect.upper()}"),
        rule=value.rule,
        event=value.event,
        at=time_to_pb(value.at),
        until=time_to_pb(value.until) if value.until else None,
        by=value.by,
        kind=value.kind,
        months=value.months,
        days=value.days,
        hours=value.hours,
        person=value.person,
        document=value.document,
    )


def clock_from_pb(value: handoff_pb2.ClockAct) -> ClockView:
    effect = handoff_pb2.ClockEffect.Name(value.effect).removeprefix("CLOCK_EFFECT_").lower()
    return ClockView(
        effect=cast(ClockEffect, effect),
        rule=value.rule,
        at=time_from_pb(value.at),
        until=time_from_pb(value.until) if value.HasField("until") else None,
        event=value.event,
        by=value.by,
        kind=value.kind,
        months=value.months,
        days=value.days,
        hours=value.hours,
        person=value.person,
        document=value.document,
    )


def defect_to_pb(value: DefectView) -> handoff_pb2.Defect:
    return handoff_pb2.Defect(code=value.code, article=value.article, item=value.item)


def defect_from_pb(value: handoff_pb2.Defect) -> DefectView:
    return DefectView(code=value.code, article=value.article, item=value.item)


def draft_to_pb(value: Draft) -> handoff_pb2.Draft:
    """Errors: FIELD_INVALID for a naive time."""
    message = handoff_pb2.Draft(
        client_ref=value.client_ref,
        kind=value.kind,
        case_id=value.case_id,
        to=marshal.office_to_pb(value.receiver),
        outcome=value.outcome,
        acts=[act_to_pb(act) for act in value.acts],
        secrecy=_SECRECY[value.secrecy],
        dossier=marshal.dossier_to_pb(value.dossier),
        re=value.re,
        clocks=[clock_to_pb(clock) for clock in value.clocks],
        dues=[handoff_pb2.StatedDue(rule=due.rule, person=due.person, due=due.due) for due in value.dues],
    )
    getattr(message, "from").CopyFrom(marshal.office_to_pb(value.sender))
    return message


def fact_from_pb(value: handoff_pb2.ReceiptFact) -> FactView:
    return FactView(
        kind=value.kind,
        at=time_from_pb(value.at),
        receipt=value.receipt,
        defects=tuple(defect_from_pb(defect) for defect in value.defects),
        answer=value.answer,
    )


def handoff_from_pb(value: handoff_pb2.Handoff, *, dossier: Dossier | None = None) -> HandoffView:
    return HandoffView(
        eid=value.eid,
        handoff_id=value.handoff_id,
        client_ref=value.client_ref,
        kind=value.kind,
        case_id=value.case_id,
        stage=value.stage,
        sender=marshal.office_from_pb(getattr(value, "from")),
        receiver=marshal.office_from_pb(value.to),
        outcome=value.outcome,
        state=state_from_pb(value.state),
        sent_at=time_from_pb(value.sent_time),
        receipts=tuple(fact_from_pb(fact) for fact in value.receipts),
        re=tuple(value.re),
        acts=tuple(act_from_pb(act) for act in value.acts),
        incoming=value.incoming,
        lane_seq=value.lane_seq,
        clocks=tuple(clock_from_pb(clock) for clock in value.clocks),
        dossier=dossier,
    )


def case_from_pb(value: case_pb2.Case) -> CaseView:
    return CaseView(
        case_id=value.case_id,
        stage=value.stage,
        returns=value.returns,
        opened_at=time_from_pb(value.opened_time),
        updated_at=time_from_pb(value.updated_time),
        numbers=CaseNumbers(
            police=value.numbers.police, procuratorate=value.numbers.procuratorate, court=value.numbers.court
        ),
        handoffs=value.handoffs,
    )


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


def _optional_office(value: handoff_pb2.Office) -> Office | None:
    """The gateway leaves the office empty where nobody bears or holds anything."""
    return Office(agency=Agency(value.agency), division=value.division) if value.division else None

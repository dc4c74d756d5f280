"""Notices and supervisions as systems and officers see them: frozen values and their conversions from and to the generated messages.

As in `xieban.views`: times are aware datetimes in Asia/Shanghai, enumerations the library's own words. What must not go in: calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from xieban import marshal, views
from xieban.agency import Office, office
from xieban.notice import Notice, Occasion, Reply, colour
from xieban.supervision import Act, Cause, Dropped, Measure, State
from xieban.timelimits import RULES
from xieban.wire.v1 import handoff_pb2, notice_pb2, supervision_pb2

_OCCASIONS = {occasion: notice_pb2.Occasion.Value(f"OCCASION_{occasion.name}") for occasion in Occasion}
_OCCASIONS_FROM_PB = {number: occasion for occasion, number in _OCCASIONS.items()}
STATES = {state: notice_pb2.SupervisionState.Value(f"SUPERVISION_STATE_{state.name}") for state in State}
STATES_FROM_PB = {number: state for state, number in STATES.items()}
CAUSES = {cause: notice_pb2.Cause.Value(f"CAUSE_{cause.name}") for cause in Cause}
CAUSES_FROM_PB = {number: cause for cause, number in CAUSES.items()}
MEASURES = {measure: notice_pb2.Measure.Value(f"MEASURE_{measure.name}") for measure in Measure}
MEASURES_FROM_PB = {number: measure for measure, number in MEASURES.items()}
DROPPED = {reason: supervision_pb2.DiscardReason.Value(f"DISCARD_REASON_{reason.name}") for reason in Dropped}
DROPPED_FROM_PB = {number: reason for reason, number in DROPPED.items()}
VERDICTS = {
    Act.CLOSE: supervision_pb2.VERDICT_CLOSE,
    Act.RETURN: supervision_pb2.VERDICT_RETURN,
    Act.ESCALATE: supervision_pb2.VERDICT_ESCALATE,
}
VERDICTS_FROM_PB = {number: act for act, number in VERDICTS.items()}


@dataclass(frozen=True, slots=True)
class DemandView:
    """The supervision a notice belongs to, as it stood when that was written. `by` is empty for a step of the gateway itself."""

    supervision_id: str
    state: State
    step: int
    level: int
    whom: str
    severity: int
    days_over: int
    reply_by: str
    by: str
    reason: str
    remark: str


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice as the agency holds it. `rung` and `colour` of a warning; `demand` of a supervision."""

    eid: str
    occasion: Occasion
    case_id: str
    office: Office
    rule: str
    name: str
    article: str
    start: str
    started_at: datetime
    person: str
    due: str
    safe_due: str
    rung: str
    colour: str
    sent_at: datetime
    received_at: datetime
    cursor: int
    demand: DemandView | None
    scope: str


@dataclass(frozen=True, slots=True)
class ReplyView:
    """What a person of the agency did: signed (no cause) or explained."""

    eid: str
    supervision_id: str
    act: Act
    by: str
    sent_at: datetime
    cause: Cause | None
    measures: tuple[Measure, ...]
    expected: str
    text: str
    of: str


@dataclass(frozen=True, slots=True)
class MatterView:
    """A supervision as the supervised agency sees it. Notices and replies are there when one was asked for by itself."""

    supervision_id: str
    state: State
    level: int
    whom: str
    reply_by: str
    lifted: bool
    notices: tuple[NoticeView, ...] = ()
    replies: tuple[ReplyView, ...] = ()


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a supervision in the committee's eyes; `held`: the agency's node has given its word that it has the notice."""

    step: int
    act: Act
    state: State
    level: int
    at: datetime
    recorded_at: datetime
    by: str
    eid: str
    remark: str
    reason: str
    held: bool
    reply: ReplyView | None


@dataclass(frozen=True, slots=True)
class SupervisionView:
    """A supervision in the committee's eyes. `limit_state` is empty when the limit does not exist any more."""

    supervision_id: str
    state: State
    case_id: str
    office: Office
    rule: str
    name: str
    article: str
    start: str
    started_at: datetime
    person: str
    due: str
    safe_due: str
    edition: str
    calendar: str
    severity: int
    in_custody: bool
    days_over: int
    limit_state: str
    drafted_at: datetime
    updated_at: datetime
    level: int
    whom: str
    reply_by: str
    reply_over: bool
    lifted_at: datetime | None
    scope: str
    steps: tuple[StepView, ...]
    explanation: tuple[str, ...]


def notice_to_pb(notice: Notice, *, eid: str, received_at: int, cursor: int) -> notice_pb2.Notice:
    basis, demand = notice.basis, notice.demand
    return notice_pb2.Notice(
        eid=eid,
        occasion=_OCCASIONS[notice.occasion],
        case_id=notice.case,
        office=handoff_pb2.Office(agency=notice.receiver.agency, division=notice.receiver.office),
        rule=basis.rule,
        name=RULES[basis.rule].name if basis.rule in RULES else basis.rule,
        article=basis.article,
        start=basis.start,
        start_time=marshal.time_to_pb(basis.started_at),
        person=basis.person,
        due=basis.due,
        safe_due=basis.safe_due,
        rung=notice.rung,
        colour=colour(notice.rung) if notice.rung else "",
        sent_time=marshal.time_to_pb(notice.at),
        received_time=marshal.time_to_pb(received_at),
        cursor=cursor,
        demand=notice_pb2.Demand(
            supervision_id=demand.id, state=STATES[demand.state], step=demand.step, level=demand.level, whom=demand.whom,
            severity=demand.severity, days_over=demand.days_over, reply_by=demand.reply_by, by=demand.by,
            reason=demand.reason, remark=demand.remark,
        ) if demand is not None else None,
        scope=notice.scope,
    )  # fmt: skip


@marshal.answered
def notice_from_pb(message: notice_pb2.Notice) -> NoticeView:
    """Errors: OFFICE_UNKNOWN, DEFECT for a word that this library does not know; so do those below."""
    demand = message.demand
    return NoticeView(
        eid=message.eid,
        occasion=_OCCASIONS_FROM_PB[message.occasion],
        case_id=message.case_id,
        office=office(message.office.agency, message.office.division),
        rule=message.rule,
        name=message.name,
        article=message.article,
        start=message.start,
        started_at=views.time_from_pb(message.start_time),
        person=message.person,
        due=message.due,
        safe_due=message.safe_due,
        rung=message.rung,
        colour=message.colour,
        sent_at=views.time_from_pb(message.sent_time),
        received_at=views.time_from_pb(message.received_time),
        cursor=message.cursor,
        demand=DemandView(
            supervision_id=demand.supervision_id, state=STATES_FROM_PB[demand.state], step=demand.step, level=demand.level,
            whom=demand.whom, severity=demand.severity, days_over=demand.days_over, reply_by=demand.reply_by, by=demand.by,
            reason=demand.reason, remark=demand.remark,
        ) if message.HasField("demand") else None,
        scope=message.scope,
    )  # fmt: skip


def reply_to_pb(reply: Reply, *, eid: str) -> notice_pb2.NoticeReply:
    return notice_pb2.NoticeReply(
        eid=eid,
        supervision_id=reply.supervision,
        act=reply.act,
        by=reply.by,
        sent_time=marshal.time_to_pb(reply.at),
        cause=CAUSES[reply.cause] if reply.cause is not None else notice_pb2.CAUSE_UNSPECIFIED,
        measures=[MEASURES[measure] for measure in reply.measures],
        expected_date=reply.expected,
        text=reply.text,
        of=reply.of,
    )


@marshal.answered
def reply_from_pb(message: notice_pb2.NoticeReply) -> ReplyView:
    return ReplyView(
        eid=message.eid,
        supervision_id=message.supervision_id,
        act=Act(message.act),
        by=message.by,
        sent_at=views.time_from_pb(message.sent_time),
        cause=CAUSES_FROM_PB.get(message.cause),
        measures=tuple(MEASURES_FROM_PB[number] for number in message.measures),
        expected=message.expected_date,
        text=message.text,
        of=message.of,
    )


@marshal.answered
def matter_from_pb(message: notice_pb2.SupervisedMatter) -> MatterView:
    return MatterView(
        supervision_id=message.supervision_id,
        state=STATES_FROM_PB[message.state],
        level=message.level,
        whom=message.whom,
        reply_by=message.reply_by,
        lifted=message.lifted,
        notices=tuple(notice_from_pb(row) for row in message.notices),
        replies=tuple(reply_from_pb(row) for row in message.replies),
    )


@marshal.answered
def supervision_from_pb(message: supervision_pb2.Supervision) -> SupervisionView:
    return SupervisionView(
        supervision_id=message.supervision_id,
        state=STATES_FROM_PB[message.state],
        case_id=message.case_id,
        office=office(message.office.agency, message.office.division),
        rule=message.rule,
        name=message.name,
        article=message.article,
        start=message.start,
        started_at=views.time_from_pb(message.start_time),
        person=message.person,
        due=message.due,
        safe_due=message.safe_due,
        edition=message.edition,
        calendar=message.calendar,
        severity=message.severity,
        in_custody=message.in_custody,
        days_over=message.days_over,
        limit_state=message.limit_state,
        drafted_at=views.time_from_pb(message.drafted_time),
        updated_at=views.time_from_pb(message.updated_time),
        level=message.level,
        whom=message.whom,
        reply_by=message.reply_by,
        reply_over=message.reply_over,
        lifted_at=views.time_from_pb(message.lifted_time) if message.HasField("lifted_time") else None,
        scope=message.scope,
        steps=tuple(map(_step_from_pb, message.steps)),
        explanation=tuple(message.explanation),
    )


def _step_from_pb(message: supervision_pb2.SupervisionStep) -> StepView:
    return StepView(
        step=message.step,
        act=Act(message.act),
        state=STATES_FROM_PB[message.state],
        level=message.level,
        at=views.time_from_pb(message.at),
        recorded_at=views.time_from_pb(message.recorded_time),
        by=message.by,
        eid=message.eid,
        remark=message.remark,
        reason=message.reason,
        held=message.held,
        reply=reply_from_pb(message.reply) if message.HasField("reply") else None,
    )

"""OversightService and the sandbox clock: what the committee, the gateway's own tools and sandbox operators may ask.

Marshalling only; who may call is `services.access`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import grpc.aio

from services.chassis.clock import Clock, SandboxClock
from services.chassis.identity import caller
from services.chassis.sandbox import SERVICE as SANDBOX_SERVICE
from services.chassis.sandbox import Backlog, SandboxServicer, asked_time
from services.gateway.clocks import SHANGHAI, Limit
from services.gateway.dues import Compared
from services.gateway.forecast import Foreseen
from services.gateway.lines import CaseLine, LedgerLine, LogLine
from services.gateway.lookups import Looked, Lookups
from services.gateway.reading import Reading
from services.gateway.record import Fact, Handoff
from xieban import ids
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import State
from xieban.lookup import LookUp, look_up
from xieban.lookup import purpose as purpose_of
from xieban.lookup_views import PURPOSES, PURPOSES_FROM_PB
from xieban.marshal import micros, time_from_pb, time_to_pb
from xieban.notice import colour
from xieban.procedure import table
from xieban.timelimits import rule
from xieban.wire.v1 import handoff_pb2, oversight_pb2, oversight_pb2_grpc, sandbox_pb2, sandbox_pb2_grpc

OVERSIGHT_SERVICE = "xieban.wire.v1.OversightService"
Context = grpc.aio.ServicerContext[Any, Any]
LATEST = micros(datetime(9999, 12, 31, tzinfo=SHANGHAI))
_STATES = {state: handoff_pb2.HandoffState.Value(f"HANDOFF_STATE_{state.name}") for state in State}


def add(
    server: grpc.aio.Server,
    *,
    reading: Reading,
    lookups: Lookups,
    clock: Clock,
    live_through: Callable[[SandboxClock, datetime], Awaitable[None]],
    unfinished: Callable[[], Awaitable[int]],
) -> list[str]:
    """Register what this process serves; the full names of the services."""
    oversight = OversightServicer(reading=reading, lookups=lookups, clock=clock)
    oversight_pb2_grpc.add_OversightServiceServicer_to_server(oversight, server)
    if not isinstance(clock, SandboxClock):
        return [OVERSIGHT_SERVICE]

    async def backlog() -> Backlog:
        # Tickets are never owed: they are asked for again. What is incomplete here is a receipt without its header.
        return Backlog(unacknowledged=await unfinished(), incomplete=await reading.facts_waiting())

    sandbox = SteppedSandbox(clock=clock, backlog=backlog, live_through=live_through)
    sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(sandbox, server)
    return [OVERSIGHT_SERVICE, SANDBOX_SERVICE]


class OversightServicer(oversight_pb2_grpc.OversightServiceServicer):
    """Procedure and time of every case; no evidence, no names."""

    def __init__(self, *, reading: Reading, lookups: Lookups, clock: Clock) -> None:
        self._reading = reading
        self._lookups = lookups
        self._clock = clock

    async def ListOverseenCases(
        self, request: oversight_pb2.ListOverseenCasesRequest, context: Context
    ) -> oversight_pb2.ListOverseenCasesResponse:
        cases, token = await self._reading.cases(size=request.page_size, token=request.page_token)
        return oversight_pb2.ListOverseenCasesResponse(cases=map(_case_to_pb, cases), next_page_token=token)

    async def GetTimeline(
        self, request: oversight_pb2.GetTimelineRequest, context: Context
    ) -> oversight_pb2.GetTimelineResponse:
        look = _look(context, request.purpose, request.officer)
        timeline = await self._lookups.timeline(ids.case_id(request.case_id), look)
        return oversight_pb2.GetTimelineResponse(
            case=_case_to_pb(timeline.case),
            handoffs=[_handoff_to_pb(handoff, timeline.facts[handoff.eid]) for handoff in timeline.handoffs],
            limits=[
                _limit_to_pb(
                    limit,
                    timeline.ledgers[limit.key],
                    timeline.derivations.get(limit.key, ()),
                    timeline.stated.get(limit.key, ()),
                )
                for limit in timeline.limits
            ],
            log=map(_log_to_pb, timeline.log),
            loose=map(_event_to_pb, timeline.loose),
            stated=map(_compared_to_pb, timeline.unmatched),
        )

    async def ListLimits(
        self, request: oversight_pb2.ListLimitsRequest, context: Context
    ) -> oversight_pb2.ListLimitsResponse:
        limits, token = await self._reading.limits(
            state=request.state, size=request.page_size, token=request.page_token
        )
        return oversight_pb2.ListLimitsResponse(limits=map(_limit_to_pb, limits), next_page_token=token)

    async def GetSummary(
        self, request: oversight_pb2.GetSummaryRequest, context: Context
    ) -> oversight_pb2.GetSummaryResponse:
        summary = await self._reading.summary()
        return oversight_pb2.GetSummaryResponse(
            cases=summary.cases,
            handoffs=summary.handoffs,
            in_flight=summary.in_flight,
            limits_running=summary.limits_running,
            limits_overdue=summary.limits_overdue,
            limits_started=summary.limits_started,
            log_entries=summary.log_entries,
            refused=summary.refused,
            now=time_to_pb(micros(self._clock.now())),
            sandbox=isinstance(self._clock, SandboxClock),
        )

    async def ForecastLimits(
        self, request: oversight_pb2.ForecastLimitsRequest, context: Context
    ) -> oversight_pb2.ForecastLimitsResponse:
        if request.case_id:
            look = _look(context, request.purpose, request.officer)
            await self._lookups.note(ids.case_id(request.case_id), look)
        foreseen, token = await self._reading.forecast(
            until=self._coming(time_from_pb(request.until_time)),
            case_id=ids.case_id(request.case_id) if request.case_id else "",
            size=request.page_size,
            token=request.page_token,
        )
        return oversight_pb2.ForecastLimitsResponse(entries=map(_foreseen_to_pb, foreseen), next_page_token=token)

    async def ListLogEntries(
        self, request: oversight_pb2.ListLogEntriesRequest, context: Context
    ) -> oversight_pb2.ListLogEntriesResponse:
        entries = await self._reading.log(after=request.after_index, size=request.page_size)
        return oversight_pb2.ListLogEntriesResponse(entries=map(_log_to_pb, entries))

    async def ListLookups(
        self, request: oversight_pb2.ListLookupsRequest, context: Context
    ) -> oversight_pb2.ListLookupsResponse:
        peer = caller(context)
        found, token = await self._lookups.of_case(
            ids.case_id(request.case_id),
            agency="" if peer.agency == Agency.GATEWAY else peer.agency,
            size=request.page_size,
            token=request.page_token,
        )
        return oversight_pb2.ListLookupsResponse(lookups=map(_looked_to_pb, found), next_page_token=token)

    def _coming(self, until: int) -> int:
        now = self._clock.now()
        if not micros(now) <= until <= LATEST:
            shown = now.isoformat(timespec="seconds")
            raise failure(Reason.FIELD_INVALID, field="until_time", detail=f"不能早于网关的当前时间 {shown}")
        return until


class SteppedSandbox(SandboxServicer):
    """The sandbox clock of the gateway: it stops at every limit on the way, so that each runs out at its own moment."""

    def __init__(
        self,
        *,
        clock: SandboxClock,
        backlog: Callable[[], Awaitable[Backlog]],
        live_through: Callable[[SandboxClock, datetime], Awaitable[None]],
    ) -> None:
        super().__init__(clock=clock, backlog=backlog)
        self._sandbox = clock
        self._live_through = live_through

    async def AdvanceClock(
        self, request: sandbox_pb2.AdvanceClockRequest, context: Context
    ) -> sandbox_pb2.AdvanceClockResponse:
        await self._live_through(self._sandbox, asked_time(request))
        return sandbox_pb2.AdvanceClockResponse(now=time_to_pb(micros(self._sandbox.now())))


def _look(context: Context, purpose: oversight_pb2.LookupPurpose.ValueType, officer: str) -> LookUp:
    """Errors: PURPOSE_MISSING, FIELD_INVALID."""
    peer = caller(context)
    return look_up(
        PURPOSES_FROM_PB.get(purpose) or purpose_of(""), caller=f"{peer.agency}/{peer.role}", officer=officer
    )


def _looked_to_pb(one: Looked) -> oversight_pb2.Lookup:
    return oversight_pb2.Lookup(
        index=one.position,
        recorded_time=time_to_pb(one.at),
        purpose=PURPOSES[one.look.purpose],
        caller=one.look.caller,
        officer=one.look.officer,
    )


def _office(end: tuple[str, str]) -> handoff_pb2.Office:
    return handoff_pb2.Office(agency=end[0], division=end[1])


def _case_to_pb(case: CaseLine) -> oversight_pb2.OverseenCase:
    return oversight_pb2.OverseenCase(
        case_id=case.case_id,
        stage=case.stage,
        holder=_office(case.holder),
        in_custody=case.in_custody,
        handoffs=case.handoffs,
        limits_running=case.limits_running,
        limits_overdue=case.limits_overdue,
        updated_time=time_to_pb(case.updated_at),
    )


def _limit_to_pb(
    limit: Limit,
    ledger: Sequence[LedgerLine] = (),
    explanation: Sequence[str] = (),
    stated: Sequence[Compared] = (),
) -> oversight_pb2.Limit:
    law = rule(limit.rule)
    message = oversight_pb2.Limit(
        rule=limit.rule,
        name=law.name,
        article=law.article,
        case_id=limit.case_id,
        bearer=_office((limit.bearer_agency, limit.bearer_office)),
        start_time=time_to_pb(limit.started_at),
        due=limit.due,
        safe_due=limit.safe_due,
        state=limit.state,
        provisional=limit.provisional,
        in_custody=limit.in_custody,
        person=limit.person,
        consequence=limit.consequence,
        severity=limit.severity,
        stopped=limit.stopped,
        warned=limit.rungs_warned,
        events=map(_event_to_pb, ledger),
        explanation=explanation,
        stated=map(_compared_to_pb, stated),
    )
    if limit.ended_at is not None:
        message.end_time.CopyFrom(time_to_pb(limit.ended_at))
    return message


def _compared_to_pb(one: Compared) -> oversight_pb2.ComparedDue:
    return oversight_pb2.ComparedDue(
        rule=one.rule, person=one.person, by=_office(one.by), due=one.due, eid=one.eid, differs=one.differs
    )


def _foreseen_to_pb(foreseen: Foreseen) -> oversight_pb2.ForecastEntry:
    action = foreseen.action
    return oversight_pb2.ForecastEntry(
        due_time=time_to_pb(foreseen.due_at),
        kind=action.kind,
        rung=action.rung,
        colour=colour(action.rung) if action.rung else "",
        limit=_limit_to_pb(action.limit),
    )


def _event_to_pb(line: LedgerLine) -> oversight_pb2.LimitEvent:
    touch = line.touch
    return oversight_pb2.LimitEvent(
        kind=touch.kind,
        at=time_to_pb(touch.at),
        until=time_to_pb(touch.until) if touch.until else None,
        event=touch.event,
        detail=touch.detail,
        document=touch.document,
        eid=touch.eid,
        by=_office(touch.by),
        recorded_time=time_to_pb(line.recorded_at),
        standing=touch.standing,
        number=touch.number,
        undone=line.undone,
    )


def _handoff_to_pb(handoff: Handoff, facts: tuple[Fact, ...]) -> oversight_pb2.OverseenHandoff:
    known = table().kinds.get(handoff.kind)
    message = oversight_pb2.OverseenHandoff(
        eid=handoff.eid,
        kind=handoff.kind,
        name=known.name if known is not None else "",
        to=_office(handoff.receiver),
        outcome=handoff.outcome,
        state=_STATES[handoff.state],
        sent_time=time_to_pb(handoff.sent_at),
        receipts=map(_fact_to_pb, facts),
        stage=handoff.stage,
        **{"from": _office(handoff.sender)},
    )
    return message


def _fact_to_pb(fact: Fact) -> handoff_pb2.ReceiptFact:
    message = handoff_pb2.ReceiptFact(kind=fact.kind, at=time_to_pb(fact.at), receipt=fact.receipt, answer=fact.answer)
    for defect in fact.defects:
        message.defects.add(code=defect.code, article=defect.article, item=defect.item)
    return message


def _log_to_pb(entry: LogLine) -> oversight_pb2.LogEntry:
    return oversight_pb2.LogEntry(
        index=entry.position,
        kind=entry.kind,
        recorded_time=time_to_pb(entry.recorded_at),
        case_id=entry.case_id,
        eid=entry.eid,
        detail=entry.detail,
        hash=entry.hash,
    )

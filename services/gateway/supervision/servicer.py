"""SupervisionService: what officers of the committee may ask and order. Marshalling and who may call; deciding is the desk's work.

Only the committee's own certificates are served: neither agencies, nor the sandbox's operator, nor other nodes.
"""

from __future__ import annotations

from typing import Any

import grpc.aio

from services.chassis.clock import Clock
from services.chassis.identity import caller
from services.gateway.lookups import Lookups
from services.gateway.reading import Reading
from services.gateway.supervision.orders import Orders
from services.gateway.supervision.reading import Matter, StepLine, SupervisionReading
from xieban import ids
from xieban.errors import NotFound, Reason, failure
from xieban.lookup import Purpose, look_up
from xieban.marshal import micros, time_to_pb
from xieban.notice import SCOPE
from xieban.notice_views import DROPPED_FROM_PB, STATES, STATES_FROM_PB, VERDICTS_FROM_PB, reply_to_pb
from xieban.supervision import Act, supervision_id
from xieban.timelimits import rule
from xieban.wire.v1 import handoff_pb2, supervision_pb2, supervision_pb2_grpc

SUPERVISION_SERVICE = "xieban.wire.v1.SupervisionService"
Context = grpc.aio.ServicerContext[Any, Any]


def add(
    server: grpc.aio.Server,
    *,
    reading: SupervisionReading,
    cases: Reading,
    lookups: Lookups,
    orders: Orders,
    clock: Clock,
) -> list[str]:
    """Register the service; its full name."""
    supervisions = SupervisionServicer(reading=reading, cases=cases, lookups=lookups, orders=orders, clock=clock)
    supervision_pb2_grpc.add_SupervisionServiceServicer_to_server(supervisions, server)
    return [SUPERVISION_SERVICE]


class SupervisionServicer(supervision_pb2_grpc.SupervisionServiceServicer):
    """SupervisionService."""

    def __init__(
        self, *, reading: SupervisionReading, cases: Reading, lookups: Lookups, orders: Orders, clock: Clock
    ) -> None:
        self._reading = reading
        self._cases = cases
        self._lookups = lookups
        self._orders = orders
        self._clock = clock

    async def ListSupervisions(
        self, request: supervision_pb2.ListSupervisionsRequest, context: Context
    ) -> supervision_pb2.ListSupervisionsResponse:
        found, token = await self._reading.page(
            state=STATES_FROM_PB.get(request.state),
            case_id=ids.case_id(request.case_id) if request.case_id else "",
            size=request.page_size,
            token=request.page_token,
        )
        return supervision_pb2.ListSupervisionsResponse(
            supervisions=[self._to_pb(matter) for matter in found], next_page_token=token
        )

    async def GetSupervision(
        self, request: supervision_pb2.GetSupervisionRequest, context: Context
    ) -> supervision_pb2.GetSupervisionResponse:
        matter = await self._reading.one(supervision_id(request.supervision_id))
        peer = caller(context)
        look = look_up(Purpose.SUPERVISION, caller=f"{peer.agency}/{peer.role}")
        await self._lookups.note(matter.supervision.case_id, look)
        message = self._to_pb(matter)
        message.explanation.extend(await self._derivation(matter))
        return supervision_pb2.GetSupervisionResponse(supervision=message)

    async def IssueSupervision(
        self, request: supervision_pb2.IssueSupervisionRequest, context: Context
    ) -> supervision_pb2.IssueSupervisionResponse:
        given = await self._orders.give(
            request.supervision_id, Act.ISSUE, by=request.by, remark=request.remark, days=request.reply_days
        )
        return supervision_pb2.IssueSupervisionResponse(supervision=self._to_pb(await self._reading.one(given)))

    async def DiscardSupervision(
        self, request: supervision_pb2.DiscardSupervisionRequest, context: Context
    ) -> supervision_pb2.DiscardSupervisionResponse:
        given = await self._orders.give(
            request.supervision_id,
            Act.DISCARD,
            by=request.by,
            remark=request.remark,
            reason=DROPPED_FROM_PB.get(request.reason),
        )
        return supervision_pb2.DiscardSupervisionResponse(supervision=self._to_pb(await self._reading.one(given)))

    async def ReviewReply(
        self, request: supervision_pb2.ReviewReplyRequest, context: Context
    ) -> supervision_pb2.ReviewReplyResponse:
        verdict = VERDICTS_FROM_PB.get(request.verdict)
        if verdict is None:
            raise failure(Reason.FIELD_INVALID, field="verdict", detail="应为办结、退回补充或者升级")
        given = await self._orders.give(
            request.supervision_id, verdict, by=request.by, remark=request.remark, days=request.reply_days
        )
        return supervision_pb2.ReviewReplyResponse(supervision=self._to_pb(await self._reading.one(given)))

    async def _derivation(self, matter: Matter) -> tuple[str, ...]:
        try:
            timeline = await self._cases.timeline(matter.supervision.case_id)
        except NotFound:
            return ()
        return timeline.derivations.get(matter.supervision.key, ())

    def _to_pb(self, matter: Matter) -> supervision_pb2.Supervision:
        found, law, now = matter.supervision, rule(matter.supervision.rule), micros(self._clock.now())
        return supervision_pb2.Supervision(
            supervision_id=found.id,
            state=STATES[found.state],
            case_id=found.case_id,
            office=handoff_pb2.Office(agency=found.agency, division=found.office),
            rule=found.rule,
            name=law.name,
            article=law.article,
            start=found.start_eid,
            start_time=time_to_pb(found.started_at),
            person=found.person,
            due=found.due,
            safe_due=found.safe_due,
            edition=found.edition,
            calendar=found.calendar,
            severity=found.severity,
            in_custody=found.in_custody,
            days_over=matter.days_over(now),
            limit_state=matter.limit_state,
            drafted_time=time_to_pb(found.drafted_at),
            updated_time=time_to_pb(found.updated_at),
            level=found.level,
            whom=matter.whom,
            reply_by=found.reply_by,
            reply_over=matter.is_reply_over(now),
            lifted_time=time_to_pb(found.lifted_at) if found.lifted_at is not None else None,
            scope=SCOPE,
            steps=map(_step_to_pb, matter.steps),
        )


def _step_to_pb(line: StepLine) -> supervision_pb2.SupervisionStep:
    step = line.step
    return supervision_pb2.SupervisionStep(
        step=step.step,
        act=step.act,
        state=STATES[step.state],
        level=step.level,
        at=time_to_pb(step.at),
        recorded_time=time_to_pb(step.recorded_at),
        by=step.by,
        eid=step.eid,
        remark=line.remark,
        reason=line.reason,
        held=line.held,
        reply=reply_to_pb(line.reply, eid=step.eid) if line.reply is not None and line.reply.cause else None,
    )

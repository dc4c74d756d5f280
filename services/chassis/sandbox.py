"""The sandbox clock over gRPC. Registered only by a process whose configuration says sandbox; never by a production process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.clock import SHANGHAI, Clock, SandboxClock, SystemClock
from xieban.errors import Reason, failure
from xieban.wire.v1 import sandbox_pb2, sandbox_pb2_grpc

SERVICE = "xieban.wire.v1.SandboxService"
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a node still owes or waits for."""

    unacknowledged: int
    incomplete: int


LONGEST_WAIT = 5.0
POLL = 0.02


async def nothing_due() -> None:
    """For a process that does nothing by the clock."""


class SandboxServicer(sandbox_pb2_grpc.SandboxServiceServicer):
    """SandboxService, for operators of the city's sandbox only. `due` runs what fell due after the clock has moved."""

    def __init__(
        self,
        *,
        clock: SandboxClock,
        backlog: Callable[[], Awaitable[Backlog]],
        changed: Callable[[], asyncio.Event] | None = None,
        due: Callable[[], Awaitable[None]] = nothing_due,
        machine: Clock | None = None,
    ) -> None:
        self._clock = clock
        self._backlog = backlog
        self._changed = changed
        self._due = due
        self._machine = machine or SystemClock()

    async def GetClock(self, request: sandbox_pb2.GetClockRequest, context: Context) -> sandbox_pb2.GetClockResponse:
        # Nothing but a call moves a sandbox's legal time.
        return sandbox_pb2.GetClockResponse(
            now=_pb(self._clock.now()), machine_time=_pb(self._machine.now()), frozen=True
        )

    async def AdvanceClock(
        self, request: sandbox_pb2.AdvanceClockRequest, context: Context
    ) -> sandbox_pb2.AdvanceClockResponse:
        self._clock.advance(asked_time(request))
        await self._due()
        return sandbox_pb2.AdvanceClockResponse(now=_pb(self._clock.now()))

    async def GetBacklog(
        self, request: sandbox_pb2.GetBacklogRequest, context: Context
    ) -> sandbox_pb2.GetBacklogResponse:
        backlog = await self._settled(min(LONGEST_WAIT, request.wait_ms / 1000))
        return sandbox_pb2.GetBacklogResponse(unacknowledged=backlog.unacknowledged, incomplete=backlog.incomplete)

    async def _settled(self, patience: float) -> Backlog:
        """The backlog, once it is clear or patience has run out."""
        until = self._clock.ticks() + patience
        while True:
            changed = self._changed() if self._changed is not None else None
            backlog = await self._backlog()
            left = until - self._clock.ticks()
            if left <= 0 or not (backlog.unacknowledged or backlog.incomplete):
                return backlog
            if changed is None:
                await self._clock.sleep(min(POLL, left))
                continue
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue


def asked_time(request: sandbox_pb2.AdvanceClockRequest) -> datetime:
    """Where the clock is to go. Errors: FIELD_INVALID."""
    try:
        return request.to.ToDatetime(tzinfo=UTC).astimezone(SHANGHAI)
    except (ValueError, OverflowError) as error:
        raise failure(Reason.FIELD_INVALID, field="to", detail="不是可以表示的时间") from error


def _pb(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp

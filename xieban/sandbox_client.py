"""The operator's hand on a sandbox: the clock of each of its processes, and all of them moved together.

A production process does not know this service. What must not go in: anything that a production city has.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio

from xieban.agency import PARTIES, Agency
from xieban.calling import DEADLINE, Caller, Profile
from xieban.client import OversightClient
from xieban.errors import Reason, XiebanError, failure
from xieban.oversight_views import Backlog, ClockReading, clock_reading_from_pb
from xieban.views import time_from_pb, time_to_pb
from xieban.wire.v1 import sandbox_pb2, sandbox_pb2_grpc

__all__ = ["SandboxCity", "SandboxClient", "city_profiles"]

ADVANCE_DEADLINE: Final = 300.0
SETTLE_WAIT: Final = 2.0

_T = TypeVar("_T")


class SandboxClient(Caller):
    """The clock of one process of a sandbox. A production process does not know this service: every call is SANDBOX_ONLY there."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = sandbox_pb2_grpc.SandboxServiceStub(channel)

    async def clock(self) -> datetime:
        answer = await self._call(self._stub.GetClock, sandbox_pb2.GetClockRequest(), repeatable=True)
        return time_from_pb(answer.now)

    async def reading(self) -> ClockReading:
        """The clock beside the machine's own."""
        answer = await self._call(self._stub.GetClock, sandbox_pb2.GetClockRequest(), repeatable=True)
        return clock_reading_from_pb(answer)

    async def advance(self, to: datetime) -> datetime:
        """Move the clock forward; returns when everything that fell due on the way is done. The same time again changes nothing."""
        request = sandbox_pb2.AdvanceClockRequest(to=time_to_pb(to))
        answer = await self._call(self._stub.AdvanceClock, request, deadline=ADVANCE_DEADLINE, repeatable=True)
        return time_from_pb(answer.now)

    async def backlog(self, *, patience: float = 0.0) -> Backlog:
        """What the node still owes or waits for: once nothing is left, or after `patience` seconds (at most 5)."""
        request = sandbox_pb2.GetBacklogRequest(wait_ms=int(patience * 1000))
        answer = await self._call(self._stub.GetBacklog, request, repeatable=True)
        return Backlog(unacknowledged=answer.unacknowledged, incomplete=answer.incomplete)

    async def _call(
        self,
        method: Callable[..., Awaitable[_T]],
        request: Any,
        *,
        deadline: float = DEADLINE,
        repeatable: bool,
    ) -> _T:
        try:
            return await super()._call(method, request, deadline=deadline, repeatable=repeatable)
        except XiebanError as error:
            told = error.__cause__
            if isinstance(told, grpc.aio.AioRpcError) and told.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise failure(Reason.SANDBOX_ONLY) from told
            raise


class SandboxCity:
    """The clocks of all nodes of a sandbox under one hand, moved as a replay moves them.

    The agencies go first, straight to the new time; then the gateway lives through what lies between, limit by limit. So a move that
    was broken off is seen by its clocks: the latest of them is where it was going, and moving there again finishes it.
    """

    def __init__(self, nodes: Mapping[Agency, SandboxClient], oversight: OversightClient) -> None:
        self.nodes = nodes
        self.oversight = oversight

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Self]:
        """The city of the operator's profile in `folder`. Errors: CLIENT_UNCONFIGURED, also when no profile leads to the gateway."""
        profiles = city_profiles(folder)
        if Agency.GATEWAY not in profiles:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{folder} 及其旁边没有监督网关的接口配置")
        async with AsyncExitStack() as stack:
            nodes = {
                agency: await stack.enter_async_context(SandboxClient.open(profile))
                for agency, profile in profiles.items()
            }
            oversight = await stack.enter_async_context(OversightClient.open(profiles[Agency.GATEWAY]))
            yield cls(nodes, oversight)

    async def clocks(self) -> dict[Agency, ClockReading | XiebanError]:
        """What every node shows, or why it shows nothing: it does not answer, or is no sandbox.

        Errors: SANDBOX_ONLY and PEER_UNREACHABLE when that is so of every node; CALLER_UNKNOWN.
        """
        told = dict(zip(self.nodes, await asyncio.gather(*map(_told, self.nodes.values())), strict=True))
        troubles = [answer for answer in told.values() if isinstance(answer, XiebanError)]
        if len(troubles) == len(told):
            raise next((error for error in troubles if error.reason is Reason.SANDBOX_ONLY), troubles[0])
        return told

    async def move(
        self, to: datetime, *, steps: int = 1, tick: Callable[[datetime], Awaitable[None]] | None = None
    ) -> None:
        """Move every clock to `to`, the gateway's in `steps`, after each of which `tick` is called with its time.

        The same time again changes nothing. Errors: FIELD_INVALID for an earlier time than a node's, SANDBOX_ONLY, PEER_UNREACHABLE.
        """
        gateway = self.nodes[Agency.GATEWAY]
        begin = await gateway.clock() if steps > 1 else to
        await asyncio.gather(*(node.advance(to) for agency, node in self.nodes.items() if agency is not Agency.GATEWAY))
        for step in range(1, steps + 1):
            now = await gateway.advance(begin + (to - begin) * step / steps)
            if tick is not None:
                await tick(now)

    async def settle(self, *, patience: float) -> dict[Agency, Backlog]:
        """Wait until no node owes or awaits anything; what is still left when nothing has become less for `patience` seconds.

        A node that was clear stays clear as long as nobody sends, and is not asked again.
        """
        loop = asyncio.get_running_loop()
        restless, least, until = dict(self.nodes), math.inf, loop.time() + patience
        while True:
            wait = max(0.0, min(SETTLE_WAIT, until - loop.time()))
            answers = await asyncio.gather(*(node.backlog(patience=wait) for node in restless.values()))
            left = {agency: answer for agency, answer in zip(restless, answers, strict=True) if not answer.clear}
            restless = {agency: self.nodes[agency] for agency in left}
            owed = sum(answer.unacknowledged + answer.incomplete for answer in left.values())
            if owed < least:
                least, until = owed, loop.time() + patience
            if not left or loop.time() >= until:
                return left


async def _told(node: SandboxClient) -> ClockReading | XiebanError:
    try:
        return await node.reading()
    except XiebanError as error:
        if error.reason in (Reason.SANDBOX_ONLY, Reason.PEER_UNREACHABLE):
            return error
        raise


def city_profiles(folder: Path) -> dict[Agency, Profile]:
    """The operator's way to every node that is configured: by the operator's own profile, and by those that lie beside its folder
    (police, procuratorate, court, committee), whose targets are taken and whose certificates are not. Errors: CLIENT_UNCONFIGURED.
    """
    operator = Profile.load(folder)
    beside = [folder.resolve().parent / name for name in (*PARTIES, "committee")]
    found: dict[str, Profile] = {}
    for profile in (operator, *(Profile.load(place) for place in beside if (place / "profile.toml").exists())):
        if profile.city == operator.city:
            way = replace(operator, target=profile.target, server_name=profile.server_name)
            found.setdefault(profile.server_name, way)
    return {agency: found[f"xieban.{agency}"] for agency in Agency if f"xieban.{agency}" in found}

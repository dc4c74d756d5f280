"""The way in for agency systems: one asynchronous client for each face of a city, over mutual TLS.

    async with XiebanClient.open(Path("clients/police")) as client:
        sent = await client.send(draft)
        async for event in client.watch(cursor):
            ...

Values are those of `xieban.views`, errors the one tree of `xieban.errors`: a reason the server raised arrives as the same class.
Every call has a deadline. A call is repeated by itself only when the peer was not there *and* repeating cannot do anything twice
(reading, or sending under a `client_ref`). What must not go in: decisions about cases, files, terminals.
"""

from __future__ import annotations

import asyncio
import math
import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio

from xieban import marshal, views
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, Unreachable, XiebanError, failure
from xieban.handoff import State
from xieban.lookup import Purpose
from xieban.lookup_views import PURPOSES, LookupView, lookup_from_pb
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import (
    case_pb2,
    case_pb2_grpc,
    handoff_pb2,
    handoff_pb2_grpc,
    oversight_pb2,
    oversight_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
)

__all__ = [
    "OversightClient",
    "Page",
    "Profile",
    "SandboxCity",
    "SandboxClient",
    "XiebanClient",
    "city_profiles",
    "everything",
]

DEADLINE: Final = 10.0
DOSSIER_DEADLINE: Final = 30.0
ADVANCE_DEADLINE: Final = 300.0
SETTLE_WAIT: Final = 2.0
MAX_MESSAGE: Final = 8 * 1024 * 1024
RETRY_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
WATCH_PAUSES: Final = (0.05, 0.2, 1.0, 3.0)

_T = TypeVar("_T")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a face of the city is and who calls it. Paths are absolute; `server_name` is what the server's certificate must say."""

    target: str
    city: str
    agency: str
    certificate: Path
    key: Path
    ca: Path
    server_name: str
    gateway: str = ""
    """Where the city's gateway is, for an agency that wants proofs of it."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder`/profile.toml; file names in it are meant from the folder. Errors: CLIENT_UNCONFIGURED."""
        file = folder / "profile.toml"
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 无法读取（{error.strerror}）") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 不是有效的 TOML") from error
        names = ("target", "city", "agency", "certificate", "key", "ca", "server_name")
        wrong = [name for name in names if not isinstance(table.get(name), str)] + [
            name for name in table if name not in names and (name, type(table[name])) != ("gateway", str)
        ]
        if wrong:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 中的 {wrong[0]} 缺失、不是文字或者不认识")
        paths = {name: (folder / table[name]).resolve() for name in ("certificate", "key", "ca")}
        return cls(**{**table, **paths})

    def at_gateway(self) -> Self:
        """The same caller's way to the gateway. Errors: CLIENT_UNCONFIGURED when the profile does not say where that is."""
        name = f"xieban.{Agency.GATEWAY}"
        if self.server_name == name:
            return self
        if not self.gateway:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail="profile.toml 没有写监督网关的地址（gateway）")
        return replace(self, target=self.gateway, server_name=name)

    def channel(self) -> grpc.aio.Channel:
        """Connects lazily. Errors: CLIENT_UNCONFIGURED when a certificate file cannot be read."""
        try:
            ca, key, certificate = (path.read_bytes() for path in (self.ca, self.key, self.certificate))
        except OSError as error:
            detail = f"证书文件 {error.filename} 无法读取（{error.strerror}）"
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=detail) from error
        credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)
        options = [
            ("grpc.ssl_target_name_override", self.server_name),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.enable_http_proxy", 0),
        ]
        return grpc.aio.secure_channel(self.target, credentials, options=options)


@dataclass(frozen=True, slots=True)
class Page:
    """How much of a list to read and where to go on; `token` comes from the previous answer."""

    size: int = 50
    token: str = ""


class Caller:
    """One channel, its deadlines and its repetitions."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        self.profile = profile
        self._channel = channel

    @classmethod
    @asynccontextmanager
    async def open(cls, profile: Path | Profile) -> AsyncIterator[Self]:
        """A client for the profile (or the folder that holds it); the channel closes with the context. Errors: CLIENT_UNCONFIGURED."""
        chosen = profile if isinstance(profile, Profile) else Profile.load(profile)
        channel = chosen.channel()
        try:
            yield cls(chosen, channel)
        finally:
            await channel.close()

    async def _call(
        self,
        method: Callable[..., Awaitable[_T]],
        request: Any,
        *,
        deadline: float = DEADLINE,
        repeatable: bool,
    ) -> _T:
        for pause in (*(RETRY_PAUSES if repeatable else ()), None):
            try:
                return await method(request, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                known = error_from_rpc(error, peer=self.profile.server_name)
                if pause is None or not isinstance(known, Unreachable):
                    raise known from error
                await asyncio.sleep(pause)
        raise AssertionError("the last try either returns or raises")


class XiebanClient(Caller):
    """An agency's own node: its handoffs and cases."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._handoffs = handoff_pb2_grpc.HandoffServiceStub(channel)
        self._cases = case_pb2_grpc.CaseServiceStub(channel)

    async def send(self, draft: views.Draft) -> views.HandoffView:
        """Seal and send. When this returns the handoff is durable and will arrive; the same draft again returns the same handoff.

        Errors: everything of the catalogue's 1xxx and 2xxx; CLIENT_REF_REUSED for other content under the same number.
        """
        request = handoff_pb2.SendRequest(draft=views.draft_to_pb(draft))
        answer = await self._call(self._handoffs.Send, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def accept(self, eid: str) -> views.HandoffView:
        """接收. Accepting again is the same acceptance. Errors: HANDOFF_NOT_FOUND, STATE_NOT_ALLOWED."""
        answer = await self._call(self._handoffs.Accept, handoff_pb2.AcceptRequest(eid=eid), repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def return_(self, eid: str, defects: Sequence[views.DefectView]) -> views.HandoffView:
        """退回补正, with at least one coded defect. Errors: HANDOFF_NOT_FOUND, STATE_NOT_ALLOWED, FIELD_INVALID."""
        request = handoff_pb2.ReturnRequest(eid=eid, defects=[views.defect_to_pb(defect) for defect in defects])
        answer = await self._call(self._handoffs.Return, request, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def answer(self, eid: str, draft: views.Draft) -> views.HandoffView:
        """Answer a handoff with another one; returns the answer. Accepts the request first if that was not done."""
        request = handoff_pb2.AnswerRequest(eid=eid, draft=views.draft_to_pb(draft))
        answer = await self._call(self._handoffs.Answer, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def withdraw(self, eid: str, client_ref: str) -> views.HandoffView:
        """撤回 one's own handoff that was not yet accepted; returns the withdrawal, itself a handoff."""
        request = handoff_pb2.WithdrawRequest(eid=eid, client_ref=client_ref)
        answer = await self._call(self._handoffs.Withdraw, request, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def get(self, eid: str, *, with_dossier: bool = False) -> views.HandoffView:
        """Errors: HANDOFF_NOT_FOUND."""
        request = handoff_pb2.GetRequest(eid=eid, with_dossier=with_dossier)
        answer = await self._call(self._handoffs.Get, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        dossier = marshal.dossier_from_pb(answer.dossier) if with_dossier and answer.HasField("dossier") else None
        return views.handoff_from_pb(answer.handoff, dossier=dossier)

    async def list(
        self, page: Page | None = None, *, case_id: str = "", state: State | None = None
    ) -> tuple[tuple[views.HandoffView, ...], str]:
        """Handoffs of both boxes, newest first, with the token of the next page (empty at the end)."""
        at = page or Page()
        request = handoff_pb2.ListRequest(
            page_size=at.size,
            page_token=at.token,
            case_id=case_id,
            state=views.state_to_pb(state) if state else handoff_pb2.HANDOFF_STATE_UNSPECIFIED,
        )
        answer = await self._call(self._handoffs.List, request, repeatable=True)
        return tuple(views.handoff_from_pb(row) for row in answer.handoffs), answer.next_page_token

    async def case_get(self, case_id: str) -> views.CaseView:
        """Errors: CASE_NOT_FOUND."""
        answer = await self._call(self._cases.GetCase, case_pb2.GetCaseRequest(case_id=case_id), repeatable=True)
        return views.case_from_pb(answer.case)

    async def case_list(self, page: Page | None = None) -> tuple[tuple[views.CaseView, ...], str]:
        """Cases this agency knows, newest first, with the token of the next page (empty at the end)."""
        at = page or Page()
        request = case_pb2.ListCasesRequest(page_size=at.size, page_token=at.token)
        answer = await self._call(self._cases.ListCases, request, repeatable=True)
        return tuple(views.case_from_pb(row) for row in answer.cases), answer.next_page_token

    async def watch(self, cursor: int = 0) -> AsyncGenerator[views.InboxEvent, None]:
        """Everything after `cursor`, then everything that happens, for ever. When the node goes away the watch goes on from the last
        event it gave, so nothing is missed and nothing comes twice. Errors other than the node's absence end it.
        """
        failures = 0
        while True:
            try:
                stream = self._handoffs.WatchInbox(handoff_pb2.WatchInboxRequest(cursor=cursor))
                async for page in stream:
                    failures = 0
                    for item in page.events:
                        cursor = item.cursor
                        yield views.InboxEvent(cursor=item.cursor, handoff=views.handoff_from_pb(item.handoff))
            except grpc.aio.AioRpcError as error:
                known = error_from_rpc(error, peer=self.profile.server_name)
                if not isinstance(known, Unreachable) and error.code() is not grpc.StatusCode.CANCELLED:
                    raise known from error
            await asyncio.sleep(WATCH_PAUSES[min(failures, len(WATCH_PAUSES) - 1)])
            failures += 1


class OversightClient(Caller):
    """The gateway as the committee sees it: procedure and time, no evidence, no names."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = oversight_pb2_grpc.OversightServiceStub(channel)

    async def cases(self, page: Page | None = None) -> tuple[tuple[views.OverseenCaseView, ...], str]:
        at = page or Page()
        request = oversight_pb2.ListOverseenCasesRequest(page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListOverseenCases, request, repeatable=True)
        return tuple(views.overseen_case_from_pb(row) for row in answer.cases), answer.next_page_token

    async def timeline(self, case_id: str, *, purpose: Purpose, officer: str = "") -> views.TimelineView:
        """One case. Who looked (`officer`: a number, never a name) and why is logged, each time. Errors: CASE_NOT_FOUND, FIELD_INVALID."""
        request = oversight_pb2.GetTimelineRequest(case_id=case_id, purpose=PURPOSES[purpose], officer=officer)
        return views.timeline_from_pb(await self._call(self._stub.GetTimeline, request, repeatable=True))

    async def limits(self, page: Page | None = None, *, state: str = "") -> tuple[tuple[views.LimitView, ...], str]:
        """Limits in order of due date; `state` is running, overdue, met, late or empty for all."""
        at = page or Page()
        request = oversight_pb2.ListLimitsRequest(state=state, page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListLimits, request, repeatable=True)
        return tuple(views.limit_from_pb(row) for row in answer.limits), answer.next_page_token

    async def forecast(
        self,
        page: Page | None = None,
        *,
        until: datetime,
        case_id: str = "",
        purpose: Purpose | None = None,
        officer: str = "",
    ) -> tuple[tuple[views.ForecastView, ...], str]:
        """A dry run: what the passing of time alone will have recorded by `until`, in order of time. Nothing of it is recorded by asking.

        With `case_id` a look at that case, logged with its `purpose`.
        Errors: FIELD_INVALID for a time that is past, CASE_NOT_FOUND, PURPOSE_MISSING.
        """
        at = page or Page()
        request = oversight_pb2.ForecastLimitsRequest(
            until_time=views.time_to_pb(until),
            case_id=case_id,
            page_size=at.size,
            page_token=at.token,
            purpose=PURPOSES[purpose] if purpose else oversight_pb2.LOOKUP_PURPOSE_UNSPECIFIED,
            officer=officer,
        )
        answer = await self._call(self._stub.ForecastLimits, request, repeatable=True)
        return tuple(views.forecast_from_pb(row) for row in answer.entries), answer.next_page_token

    async def log(self, *, after: int = 0, size: int = 50) -> tuple[views.LogEntryView, ...]:
        """Entries of the city's log behind the one with index `after`; none at its end."""
        request = oversight_pb2.ListLogEntriesRequest(after_index=after, page_size=size)
        answer = await self._call(self._stub.ListLogEntries, request, repeatable=True)
        return tuple(views.log_entry_from_pb(row) for row in answer.entries)

    async def lookups(self, case_id: str, page: Page | None = None) -> tuple[tuple[LookupView, ...], str]:
        """Who looked at a case and why, newest first. Also for a party to the case, whose profile leads to the gateway
        (`Profile.at_gateway`). Errors: CASE_NOT_FOUND."""
        at = page or Page()
        request = oversight_pb2.ListLookupsRequest(case_id=case_id, page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListLookups, request, repeatable=True)
        return tuple(lookup_from_pb(row) for row in answer.lookups), answer.next_page_token

    async def summary(self) -> views.SummaryView:
        answer = await self._call(self._stub.GetSummary, oversight_pb2.GetSummaryRequest(), repeatable=True)
        return views.summary_from_pb(answer)


class SandboxClient(Caller):
    """The clock of one process of a sandbox. A production process does not know this service: every call is SANDBOX_ONLY there."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = sandbox_pb2_grpc.SandboxServiceStub(channel)

    async def clock(self) -> datetime:
        answer = await self._call(self._stub.GetClock, sandbox_pb2.GetClockRequest(), repeatable=True)
        return views.time_from_pb(answer.now)

    async def reading(self) -> views.ClockReading:
        """The clock beside the machine's own."""
        answer = await self._call(self._stub.GetClock, sandbox_pb2.GetClockRequest(), repeatable=True)
        return views.clock_reading_from_pb(answer)

    async def advance(self, to: datetime) -> datetime:
        """Move the clock forward; returns when everything that fell due on the way is done. The same time again changes nothing."""
        request = sandbox_pb2.AdvanceClockRequest(to=views.time_to_pb(to))
        answer = await self._call(self._stub.AdvanceClock, request, deadline=ADVANCE_DEADLINE, repeatable=True)
        return views.time_from_pb(answer.now)

    async def backlog(self, *, patience: float = 0.0) -> views.Backlog:
        """What the node still owes or waits for: once nothing is left, or after `patience` seconds (at most 5)."""
        request = sandbox_pb2.GetBacklogRequest(wait_ms=int(patience * 1000))
        answer = await self._call(self._stub.GetBacklog, request, repeatable=True)
        return views.Backlog(unacknowledged=answer.unacknowledged, incomplete=answer.incomplete)

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

    async def clocks(self) -> dict[Agency, views.ClockReading | XiebanError]:
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
        begin = await gateway.clock()
        await asyncio.gather(*(node.advance(to) for agency, node in self.nodes.items() if agency is not Agency.GATEWAY))
        for step in range(1, steps + 1):
            now = await gateway.advance(begin + (to - begin) * step / steps)
            if tick is not None:
                await tick(now)

    async def settle(self, *, patience: float) -> dict[Agency, views.Backlog]:
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


async def _told(node: SandboxClient) -> views.ClockReading | XiebanError:
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


async def everything(
    read: Callable[[Page], Awaitable[tuple[tuple[_Item, ...], str]]], *, size: int = 200
) -> tuple[_Item, ...]:
    """All pages of a list call: `await everything(client.case_list)`."""
    rows: list[_Item] = []
    page = Page(size=size)
    while True:
        found, token = await read(page)
        rows.extend(found)
        if not token:
            return tuple(rows)
        page = Page(size=size, token=token)

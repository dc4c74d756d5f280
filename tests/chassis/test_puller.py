"""What a real broker does too rarely to wait for: silence, refusals, a client that is closed without saying so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import nats.errors
import pytest
from nats.aio.msg import Msg

from services.chassis import puller as puller_module
from services.chassis.jetstream import (
    ApiError,
    ConsumerSpec,
    Incoming,
    Session,
    SessionLost,
    StreamSpec,
    Verdict,
    read_delivery,
)
from services.chassis.puller import Puller
from tests.chassis.test_bus import Consumer, Stream
from xieban.testing import ManualClock


class Swallowing:
    """The broker's client where it keeps a cancellation to itself: while it flushes, and when an answer comes in that moment."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def _swallow(self, *given: Any, **named: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Msg(_client=None, data=b"{}")  # type: ignore[arg-type]
        raise AssertionError("nobody cancelled")

    subscribe = publish = request = flush = _swallow


@pytest.mark.parametrize(
    "act",
    [
        lambda session: session.subscribe("a", print),
        lambda session: session.send("a", b""),
        lambda session: session.ensure_consumer(Consumer()),
        lambda session: session.probe(),
    ],
    ids=["subscribe", "send", "request", "probe"],
)
async def test_a_stop_that_the_client_swallows_is_heeded(act: Callable[[Session], Coroutine[Any, Any, None]]) -> None:
    client = Swallowing()
    session = Session(client, prefix="_INBOX")  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        acting = tasks.create_task(act(session))
        await client.begun.wait()
        acting.cancel()
    assert acting.cancelled()


class ScriptedSession:
    """Answers as a test says; remembers what it was asked."""

    def __init__(self) -> None:
        self.lost = False
        self.asked: list[str] = []
        self.refusals: list[Exception] = []
        self.sent: list[bytes] = []
        self.on_message: Callable[[Any], Awaitable[None]] | None = None
        self.on_pull: Callable[[int], Awaitable[None]] | None = None
        self.on_send: Callable[[int], Awaitable[None]] | None = None

    def wakes(self, event: asyncio.Event) -> None: ...

    def unwake(self, event: asyncio.Event) -> None: ...

    def inbox(self, kind: str) -> str:
        return "inbox"

    async def subscribe(self, subject: str, on_message: Callable[[Any], Awaitable[None]]) -> int:
        self.on_message = on_message
        return 1

    async def unsubscribe(self, number: int) -> None: ...

    async def ensure_streams(self, specs: Iterable[StreamSpec]) -> None:
        self.asked.append("stream")

    async def ensure_consumer(self, spec: ConsumerSpec) -> None:
        self.asked.append("consumer")
        if self.refusals:
            raise self.refusals.pop(0)

    async def probe(self) -> None:
        self.asked.append("probe")

    async def pull(self, spec: ConsumerSpec, *, reply: str, count: int, expires: float, heartbeat: float) -> None:
        self.asked.append(f"pull {count}")
        if self.on_pull is not None:
            await self.on_pull(self.asked.count(f"pull {count}"))

    async def send(self, subject: str, data: bytes) -> None:
        self.sent.append(data)
        if self.on_send is not None:
            await self.on_send(len(self.sent))

    async def status(self, code: str, **headers: str) -> None:
        assert self.on_message is not None
        await self.on_message(message("inbox", headers={"Status": code, **headers}))


def message(subject: str, *, reply: str = "", data: bytes = b"", headers: dict[str, str] | None = None) -> Any:
    client: Any = None
    return Msg(_client=client, subject=subject, reply=reply, data=data, headers=headers)


async def run(session: Any, clock: ManualClock | None = None) -> None:
    async def handler(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        return [Verdict.ACK] * len(messages)

    puller = Puller(session, Consumer(), handler, streams={"LETTERS": Stream()}, batch=4, clock=clock or ManualClock())
    async with asyncio.timeout(10):
        await puller.run()


async def test_silence_is_answered_by_asking_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puller_module, "SILENCE", 0.001)
    session = ScriptedSession()

    async def end_at_third(count: int) -> None:
        if count == 3:
            raise SessionLost

    session.on_pull = end_at_third
    with pytest.raises(SessionLost):
        await run(session)
    assert session.asked == ["consumer", "pull 4"] * 3


async def test_a_refused_pull_makes_sure_of_the_consumer_first() -> None:
    session = ScriptedSession()

    async def refuse(count: int) -> None:
        if count == 2:
            raise SessionLost
        await session.status("409")

    session.on_pull = refuse
    with pytest.raises(SessionLost):
        await run(session)
    assert session.asked == ["consumer", "pull 4"] * 2


async def test_an_expired_pull_is_replaced_without_ado() -> None:
    session = ScriptedSession()

    async def expire(count: int) -> None:
        if count == 3:
            raise SessionLost
        await session.status("408", **{"Nats-Pending-Messages": "4"})

    session.on_pull = expire
    with pytest.raises(SessionLost):
        await run(session)
    assert session.asked == ["consumer", "pull 4", "pull 4", "pull 4"]


async def test_a_missing_stream_is_made_before_the_consumer_is_tried_again() -> None:
    session = ScriptedSession()
    session.refusals = [ApiError(10059, "stream not found")]
    clock = ManualClock()

    async def end(_count: int) -> None:
        raise SessionLost

    session.on_pull = end
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_lost(session, clock))
        await clock.until_asleep()
        clock.tick(1)
        await running
    assert session.asked == ["consumer", "stream", "consumer", "pull 4"]


async def test_one_who_may_not_make_consumers_pulls_all_the_same() -> None:
    session = ScriptedSession()
    session.refusals = [TimeoutError()]

    async def end(_count: int) -> None:
        raise SessionLost

    session.on_pull = end
    with pytest.raises(SessionLost):
        await run(session)
    assert session.asked == ["consumer", "probe", "pull 4"]


async def test_what_was_committed_is_acknowledged_although_the_process_is_stopping() -> None:
    session = ScriptedSession()

    async def deliver(count: int) -> None:
        for sequence in range(1, 4) if count == 1 else ():
            assert session.on_message is not None
            reply = f"$JS.ACK.S.C.1.{sequence}.{sequence}.1772413200000000000.0"
            await session.on_message(message("letters.a", reply=reply))

    async def stop(count: int) -> None:
        if count == 1:
            raise asyncio.CancelledError

    session.on_pull = deliver
    session.on_send = stop
    with pytest.raises(asyncio.CancelledError):
        await run(session)
    assert session.sent == [b"+ACK"] * 3


async def test_a_session_whose_client_is_closed_is_lost_at_the_first_use() -> None:
    class Closed:
        def new_inbox(self) -> str:
            return "_INBOX.x"

        async def publish(self, *_: Any, **__: Any) -> None:
            raise nats.errors.ConnectionClosedError

    client: Any = Closed()
    session = Session(client, prefix="p")
    woken = asyncio.Event()
    session.wakes(woken)
    with pytest.raises(SessionLost):
        await session.send("a", b"")
    assert session.lost
    assert woken.is_set()


@pytest.mark.parametrize(
    "reply",
    ["$JS.ACK.S.C.3.17.5.1772413200000000000.0", "$JS.ACK.HUB.ACCOUNT.S.C.3.17.5.1772413200000000000.0.random"],
)
def test_a_delivery_tells_its_place_with_or_without_a_domain(reply: str) -> None:
    incoming = read_delivery(message("letters.a", reply=reply, data=b"x"))
    assert (incoming.sequence, incoming.deliveries, incoming.redelivered) == (17, 3, True)
    assert incoming.published_at.isoformat() == "2026-03-02T09:00:00+08:00"


async def _lost(session: ScriptedSession, clock: ManualClock) -> None:
    with pytest.raises(SessionLost):
        await run(session, clock)

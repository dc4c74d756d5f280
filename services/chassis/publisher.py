"""Publishing into streams, many at once, for one session; True only for what the broker has confirmed.

With `sync_interval: always` the broker flushes once per message, so a large group goes as one atomic batch, which costs four flushes
however many messages it holds. A batch is refused whole as soon as one of its messages is a duplicate, too large or subject to any
other objection; then, and for small groups, messages go one by one, pipelined. What must not go in: repetition, which is the outbox's.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec
import nats.errors

from services.chassis.jetstream import Outgoing, Raw, Session, SessionLost, StreamSpec

log = logging.getLogger(__name__)

ATOMIC_FROM: Final = 16  # below this, pipelining is quicker
WINDOW: Final = 512  # the broker takes up to 1,000 in one batch
NO_RESPONDERS: Final = "503"


class _PubAck(msgspec.Struct):
    stream: str | None = None
    count: int | None = None
    error: dict[str, object] | None = None


@dataclass(slots=True)
class _Flight:
    """What was sent in one go and waits for its confirmations."""

    waiting: dict[str, int] = field(default_factory=dict)  # reply token -> index of the message
    acks: dict[int, _PubAck] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stream_missing: bool = False


_decode: Final = msgspec.json.Decoder(_PubAck).decode


class Publisher:
    """Made once per session with `open`."""

    def __init__(self, session: Session, streams: Mapping[str, StreamSpec]) -> None:
        self._session = session
        self._streams = streams
        self._inbox = session.inbox("p")
        self._numbers = itertools.count(1)
        self._flights: dict[str, _Flight] = {}

    @classmethod
    async def open(cls, session: Session, streams: Mapping[str, StreamSpec]) -> Self:
        publisher = cls(session, streams)
        await session.subscribe(f"{publisher._inbox}.*", publisher._on_ack)
        return publisher

    async def publish(self, messages: Sequence[Outgoing], *, timeout: float) -> list[bool]:
        """For each message, whether a stream is known to have it."""
        results: list[bool] = []
        for start in range(0, len(messages), WINDOW):
            results += await self._window(messages[start : start + WINDOW], timeout=timeout)
        return results

    async def _window(self, messages: Sequence[Outgoing], *, timeout: float) -> list[bool]:
        results = [False] * len(messages)
        for indexes in self._groups(messages):
            if await self._atomically([messages[index] for index in indexes], timeout=timeout):
                for index in indexes:
                    results[index] = True
        for _ in range(2):
            left = [index for index, there in enumerate(results) if not there]
            if not left or self._session.lost:
                break
            flight = await self._singly([messages[index] for index in left], timeout=timeout)
            for position, ack in flight.acks.items():
                results[left[position]] = ack.error is None and ack.stream is not None
            if not flight.stream_missing:
                break
            await self._session.ensure_streams(self._streams.values())
        return results

    def _groups(self, messages: Sequence[Outgoing]) -> list[list[int]]:
        """Indexes of messages worth an atomic batch: a batch is for one stream, and we must know which."""
        if len(messages) < ATOMIC_FROM:
            return []
        groups: dict[str, list[int]] = {}
        for index, message in enumerate(messages):
            for spec in self._streams.values():
                if any(matches(message.subject, pattern) for pattern in spec.subjects):
                    groups.setdefault(spec.name, []).append(index)
                    break
        return [group for group in groups.values() if len(group) >= ATOMIC_FROM]

    async def _atomically(self, messages: Sequence[Outgoing], *, timeout: float) -> bool:
        flight = _Flight()
        batch = f"{self._inbox}.{next(self._numbers)}"
        token = self._token(flight, 0)

        async def send_all() -> None:
            last = len(messages)
            for number, message in enumerate(messages, start=1):
                headers = {**_headers(message), "Nats-Batch-Id": batch[-64:], "Nats-Batch-Sequence": str(number)}
                if number == last:
                    headers["Nats-Batch-Commit"] = "1"
                reply = token if number == last else ""
                await self._session.send(message.subject, message.data, reply=reply, headers=headers)

        try:
            await self._fly(flight, send_all, timeout=timeout)
        except (nats.errors.Error, ValueError):
            return False  # some message cannot go at all; singly, its neighbours can
        ack = flight.acks.get(0)
        # A broker too old for batches would store them as plain messages and confirm only the last: hence the count.
        return ack is not None and ack.error is None and ack.count == len(messages)

    async def _singly(self, messages: Sequence[Outgoing], *, timeout: float) -> _Flight:
        flight = _Flight()
        tokens = [self._token(flight, index) for index in range(len(messages))]

        async def send_all() -> None:
            for token, message in zip(tokens, messages, strict=True):
                try:
                    await self._session.send(message.subject, message.data, reply=token, headers=_headers(message))
                except (nats.errors.Error, ValueError) as error:
                    log.error("message cannot be published: %s", type(error).__name__)
                    flight.waiting.pop(token)

        await self._fly(flight, send_all, timeout=timeout)
        return flight

    async def _fly(self, flight: _Flight, send_all: Callable[[], Awaitable[None]], *, timeout: float) -> None:
        """Send and wait until everything is confirmed, the time is up or the session is lost."""
        tokens = list(flight.waiting)
        self._flights.update(dict.fromkeys(tokens, flight))
        self._session.wakes(flight.changed)
        try:
            async with asyncio.timeout(timeout):
                await send_all()
                while flight.waiting and not self._session.lost:
                    flight.changed.clear()
                    await flight.changed.wait()
        except SessionLost:
            log.debug("connection lost while publishing")
        except TimeoutError:
            log.warning("broker did not confirm in time", extra={"count": len(flight.waiting)})
            await self._session.probe()
        finally:
            self._session.unwake(flight.changed)
            for token in tokens:
                self._flights.pop(token, None)

    def _token(self, flight: _Flight, index: int) -> str:
        token = f"{self._inbox}.{next(self._numbers)}"
        flight.waiting[token] = index
        return token

    async def _on_ack(self, message: Raw) -> None:
        flight = self._flights.pop(message.subject, None)
        if flight is None:
            return
        index = flight.waiting.pop(message.subject, None)
        if index is not None:
            if message.headers and message.headers.get("Status") == NO_RESPONDERS:
                flight.stream_missing = True
            else:
                flight.acks[index] = _read(message.data)
        if not flight.waiting:
            flight.changed.set()


def matches(subject: str, pattern: str) -> bool:
    """Whether a subject falls under a stream's subject with its wildcards `*` (one token) and `>` (one or more)."""
    tokens = subject.split(".")
    wanted = pattern.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(tokens) == len(wanted) and all(want in ("*", token) for token, want in zip(tokens, wanted, strict=True))


def _headers(message: Outgoing) -> dict[str, str]:
    return {**(message.headers or {}), "Nats-Msg-Id": message.message_id}


def _read(data: bytes) -> _PubAck:
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return _PubAck(error={})

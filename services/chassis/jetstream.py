"""One connection to the broker and the JetStream requests the bus needs, spoken raw.

The client library is used for the socket, the protocol and subscriptions only. Its JetStream layer drops drained messages on a failed
fetch, leaves orphaned pulls behind and stalls on lost ones; the few requests below are simpler than working around it.
What must not go in: reconnection (`bus`), publishing (`publisher`) and the pulling of messages (`puller`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.chassis.clock import SHANGHAI

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Raw = Msg
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_NS: Final = 1_000_000_000
REQUEST_TIMEOUT: Final = 5.0
UNSUBSCRIBE_TIMEOUT: Final = 1.0
STREAM_EXISTS_DIFFERENT: Final = 10058
MAX_ACK_PENDING: Final = 8_192


class StreamSpec(Protocol):
    """A stream as the subject grammar describes it."""

    @property
    def name(self) -> str: ...
    @property
    def subjects(self) -> Sequence[str]: ...
    @property
    def max_age_seconds(self) -> int: ...
    @property
    def max_msg_bytes(self) -> int: ...
    @property
    def duplicate_window_seconds(self) -> int: ...


class ConsumerSpec(Protocol):
    """A durable pull consumer as the subject grammar describes it."""

    @property
    def stream(self) -> str: ...
    @property
    def durable(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def ack_wait_seconds(self) -> int: ...
    @property
    def max_deliver(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `message_id` makes a repetition inside the stream's window a duplicate."""

    subject: str
    data: bytes
    message_id: str
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message delivered from a stream. `published_at` is the broker's own time; `deliveries` counts from 1."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    published_at: datetime
    sequence: int
    deliveries: int
    reply: str

    @property
    def redelivered(self) -> bool:
        return self.deliveries > 1


class Verdict(Enum):
    """What the handler decided about one message."""

    ACK = "ack"
    RETRY = "retry"
    DEAD = "dead"


class SessionLost(Exception):
    """The connection is gone; the bus is making another one."""


class ApiError(Exception):
    """JetStream refused a request."""

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        super().__init__(f"{code} {description}")


class Session:
    """One connection from its making to its loss; it is never revived."""

    def __init__(self, client: Client, *, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}.{client.new_inbox().rsplit('.', 1)[-1]}"
        self._numbers = itertools.count(1)
        self._lost = asyncio.Event()
        self._awakened: list[asyncio.Event] = []
        self._subscriptions: dict[int, Subscription] = {}

    @classmethod
    async def open(cls, url: str, *, name: str, inbox_prefix: str, nkey_seed: Path | None = None) -> Session | None:
        """Connect once; None when nobody answers."""
        client = Client()
        session: Session | None = None

        async def on_error(error: Exception) -> None:
            if "violation" in str(error).lower():
                log.error("the broker denies: %s", error, extra={"bus": name})
            else:
                log.debug("broker client: %s", type(error).__name__)

        async def on_closed() -> None:
            if session is not None:
                session.mark_lost()

        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await _heeding(
                    client.connect(
                        url,
                        name=name,
                        inbox_prefix=inbox_prefix,
                        error_cb=on_error,
                        closed_cb=on_closed,
                        allow_reconnect=False,
                        max_reconnect_attempts=1,  # or the first connect tries for ever
                        reconnect_time_wait=0,
                        ping_interval=5,
                        max_outstanding_pings=2,
                        nkeys_seed=str(nkey_seed) if nkey_seed else None,
                    )
                )
                session = cls(client, prefix=inbox_prefix)
                return session
        except (OSError, nats.errors.Error, TimeoutError, SessionLost) as error:
            log.debug("broker connect failed: %s", type(error).__name__)
            with suppress(Exception):
                await client.close()
            return None

    @property
    def lost(self) -> bool:
        return self._lost.is_set()

    def mark_lost(self) -> None:
        """End everything that waits on this session."""
        self._lost.set()
        for event in self._awakened:
            event.set()

    def _gone(self) -> SessionLost:
        # The client is closed well before it says so; until the mark is set the bus would hand this session out again.
        self.mark_lost()
        return SessionLost()

    def wakes(self, event: asyncio.Event) -> None:
        """Set `event` when the session is lost, so that whoever waits on it looks."""
        self._awakened.append(event)
        if self.lost:
            event.set()

    def unwake(self, event: asyncio.Event) -> None:
        self._awakened.remove(event)

    async def wait_lost(self) -> None:
        await self._lost.wait()

    async def close(self) -> None:
        if not self._client.is_closed:
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await _heeding(self._client.flush())
        self.mark_lost()
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await self._client.close()

    def inbox(self, kind: str) -> str:
        """A subject of this session's own, under the agency's permitted prefix."""
        return f"{self._prefix}.{kind}{next(self._numbers)}"

    async def subscribe(self, subject: str, on_message: Callable[[Raw], Awaitable[None]]) -> int:
        """Returns what `unsubscribe` takes."""
        try:
            # No limits: past its default the client silently drops what it has received.
            subscription = await _heeding(
                self._client.subscribe(subject, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
            )
        except (OSError, nats.errors.Error) as error:
            raise self._gone() from error
        number = next(self._numbers)
        self._subscriptions[number] = subscription
        return number

    async def unsubscribe(self, number: int) -> None:
        """Returns when what the broker had sent until then has been handed to the callback."""
        subscription = self._subscriptions.pop(number)
        if not self.lost:
            with suppress(OSError, nats.errors.Error, TimeoutError):
                async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT):
                    await _heeding(subscription.drain())  # type: ignore[no-untyped-call]

    async def send(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        if self.lost:
            raise SessionLost
        try:
            await _heeding(self._client.publish(subject, data, reply=reply, headers=dict(headers) if headers else None))
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError):
            raise
        except (OSError, nats.errors.Error) as error:
            raise self._gone() from error

    async def probe(self) -> None:
        """A round trip; a session that does not manage it is given up, so that a connection dead without a word is replaced."""
        try:
            await _heeding(self._client.flush(timeout=2))
        except Exception:  # whatever the reason, this connection does not work
            log.warning("broker does not answer; connecting anew")
            self.mark_lost()

    async def ensure_streams(self, specs: Iterable[StreamSpec]) -> None:
        """Create or adjust each stream. What this agency may not do, or cannot now, is logged and left to others."""
        for spec in specs:
            config = _stream_config(spec)
            try:
                try:
                    await self._api(f"STREAM.CREATE.{spec.name}", config)
                except ApiError as error:
                    if error.code != STREAM_EXISTS_DIFFERENT:
                        raise
                    await self._api(f"STREAM.UPDATE.{spec.name}", config)
            except (ApiError, TimeoutError) as error:
                log.warning("stream not ensured: %s", type(error).__name__, extra={"stream": spec.name})

    async def ensure_consumer(self, spec: ConsumerSpec) -> None:
        """Create or adjust the durable consumer. ApiError when JetStream refuses, TimeoutError when it does not answer."""
        config = {
            "durable_name": spec.durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "replay_policy": "instant",
            "ack_wait": int(spec.ack_wait_seconds * SECOND_NS),
            "max_deliver": spec.max_deliver,
            "max_ack_pending": MAX_ACK_PENDING,
            "filter_subject": spec.pattern,
        }
        # With the pattern in the subject the broker's permissions decide which patterns a node may read.
        verb = f"CONSUMER.CREATE.{spec.stream}.{spec.durable}.{spec.pattern}"
        await self._api(verb, {"stream_name": spec.stream, "config": config})

    async def pull(self, spec: ConsumerSpec, *, reply: str, count: int, expires: float, heartbeat: float) -> None:
        """Ask for the next `count` messages, to be sent to `reply` as they come."""
        request = {"batch": count, "expires": int(expires * SECOND_NS), "idle_heartbeat": int(heartbeat * SECOND_NS)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}"
        await self.send(subject, msgspec.json.encode(request), reply=reply)

    async def _api(self, verb: str, body: Mapping[str, Any]) -> None:
        if self.lost:
            raise SessionLost
        before = _cancellations()
        try:
            request = self._client.request(f"$JS.API.{verb}", msgspec.json.encode(body), timeout=REQUEST_TIMEOUT)
            answer = await _heeding(request)
        except nats.errors.NoRespondersError as error:
            raise ApiError(503, "JetStream is not there") from error
        except TimeoutError:
            raise  # a missing permission looks like this too
        except (OSError, nats.errors.Error) as error:
            raise self._gone() from error
        except asyncio.CancelledError:
            if self._lost.is_set() and _cancellations() == before:  # the client cancels its requests when it closes
                raise self._gone() from None
            raise
        problem = msgspec.json.decode(answer.data).get("error")
        if problem:
            raise ApiError(int(problem.get("err_code", 0)), str(problem.get("description", "")))


def read_delivery(message: Raw) -> Incoming:
    """A message as a pull consumer delivers it; everything about its place in the stream is in the reply subject."""
    tokens = message.reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<consumer seq>.<time>.<pending>, or with <domain>.<account> after ACK
    base = 4 if len(tokens) == 9 else 6
    return Incoming(
        subject=message.subject,
        data=message.data,
        headers=message.headers or {},
        published_at=(EPOCH + timedelta(microseconds=int(tokens[base + 3]) // 1_000)).astimezone(SHANGHAI),
        sequence=int(tokens[base + 1]),
        deliveries=int(tokens[base]),
        reply=message.reply,
    )


def _stream_config(spec: StreamSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": "file",
        "num_replicas": 1,
        "discard": "new",
        "max_age": int(spec.max_age_seconds * SECOND_NS),
        "max_msg_size": spec.max_msg_bytes,
        "duplicate_window": int(spec.duplicate_window_seconds * SECOND_NS),
        "deny_delete": True,
        "allow_atomic": True,
    }


async def _heeding(call: Awaitable[_T]) -> _T:
    """What a call of the client gives. The client swallows a cancellation that comes while it flushes or meets an answer; whoever
    cancelled us would wait for ever."""
    before = _cancellations()
    answer = await call
    if _cancellations() > before:
        raise asyncio.CancelledError
    return answer


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0

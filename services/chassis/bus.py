"""The bus: JetStream with a publisher and a puller of our own, which outlive anything the broker may suffer.

The broker may be absent at start, be killed, or lose its whole store: the databases are the record. So nothing here keeps state
across a connection. Every connection is a fresh `Session` (the client's own reconnect would replay stale pulls and acknowledgements
into a store that may be new), every session makes sure of its streams and consumers, and what was in flight when it ended counts as
not done: unacknowledged publishes are reported False, unprocessed messages are delivered again. Callers deduplicate.
What must not go in: what a message means, and which subjects exist.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sysconfig
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.chassis import faults, jetstream
from services.chassis.clock import Clock
from services.chassis.jetstream import (
    ConsumerSpec,
    Incoming,
    Outgoing,
    Session,
    SessionLost,
    StreamSpec,
    Verdict,
)
from services.chassis.publisher import Publisher
from services.chassis.puller import Puller
from xieban.errors import Reason, failure

__all__ = [
    "Bus",
    "ConsumerSpec",
    "Handler",
    "Incoming",
    "Listener",
    "Outgoing",
    "StreamSpec",
    "Verdict",
    "nats_server_binary",
]

log = logging.getLogger(__name__)

Handler = Callable[[Sequence[Incoming]], Awaitable[Sequence[Verdict]]]
Listener = Callable[[str, bytes, Mapping[str, str]], Awaitable[None]]

RETRY_FIRST: Final = 0.05
RETRY_LONGEST: Final = 2.0


class Bus:
    """One process's way to the broker. Made with `await Bus.connect(…)`, ended with `close` or as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        inbox_prefix: str,
        streams: Sequence[StreamSpec],
        clock: Clock,
        nkey_seed: Path | None = None,
    ) -> None:
        self._url = url
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._streams = {stream.name: stream for stream in streams}
        self._clock = clock
        self._nkey_seed = nkey_seed
        self._listeners: list[tuple[tuple[str, ...], Listener]] = []
        self._session: Session | None = None
        self._publisher: Publisher | None = None
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        inbox_prefix: str,
        streams: Sequence[StreamSpec],
        clock: Clock,
        nkey_seed: Path | None = None,
        patience: float = 2.0,
    ) -> Bus:
        """Start keeping a connection. Returns when it stands, or after `patience` seconds without one: the broker may come later."""
        bus = cls(url, name=name, inbox_prefix=inbox_prefix, streams=streams, clock=clock, nkey_seed=nkey_seed)
        bus._supervisor = asyncio.create_task(bus._keep_connected(), name="bus")
        try:
            async with asyncio.timeout(patience):
                await bus._connected()
        except TimeoutError:
            log.warning("broker is not there yet; going on without it")
        except BaseException:
            await bus.close()
            raise
        return bus

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is still buffered (acknowledgements, mostly) and disconnect."""
        if self._supervisor is None:
            return
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])

    @property
    def connected(self) -> bool:
        """True while a session with the broker stands."""
        return self._session is not None and not self._session.lost

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout: float = 5.0) -> list[bool]:
        """Publish all of `messages` together; for each, True once the stream has it durably (a duplicate counts).

        Never raises for the broker's sake: False means "not known to be there", and publishing it again is always right.
        """
        if self._publisher is None or not messages:
            return [False] * len(messages)
        results = await self._publisher.publish(messages, timeout=timeout)
        faults.point("S3")  # in the stream, and nobody here knows yet
        return results

    async def consume(self, spec: ConsumerSpec, handler: Handler, *, batch: int = 256, linger: float = 0.0) -> None:
        """Hand everything that arrives for `spec` to `handler`, for ever; run it as one of the process's tasks.

        A batch is whatever has arrived meanwhile, at most `batch`; the next one waits for the handler, so order is kept. Messages are
        acknowledged by verdict and only after the handler has returned. A batch on which it raises is tried again one by one; a
        single message on which it raises is retried later by the broker, at most `spec.max_deliver` times. With `linger`, what comes
        within so many seconds of the first message is handed over with it: for a reader nobody waits for.
        """
        while True:
            session = await self._connected()
            puller = Puller(
                session, spec, handler, streams=self._streams, batch=batch, clock=self._clock, linger=linger
            )
            try:
                await puller.run()
            except SessionLost:
                log.info("consumer waits for the broker", extra={"consumer": spec.durable})

    async def send(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A plain message, at most once, to whoever listens now. Unreachable when there is no broker."""
        if self._session is None:
            raise _no_broker()
        try:
            await self._session.send(subject, data, headers=headers)
        except SessionLost:
            raise _no_broker() from None

    async def subscribe(self, subjects: Sequence[str], handler: Listener) -> None:
        """Call `handler(subject, data, headers)` for plain messages, from now until the bus is closed, across reconnections."""
        self._listeners.append((tuple(subjects), handler))
        if self._session is not None:
            try:
                await _listen(self._session, subjects, handler)
            except SessionLost:
                log.debug("the next session will subscribe")

    async def _connected(self) -> Session:
        """The session, once there is one. Raises what ended the supervisor, so that its defect is not silent."""
        while True:
            if self._supervisor is not None and self._supervisor.done():
                if not self._supervisor.cancelled():
                    self._supervisor.result()
                raise _no_broker()
            if self._session is not None and not self._session.lost:
                return self._session
            await self._changed.wait()

    async def _keep_connected(self) -> None:
        pause = RETRY_FIRST
        try:
            while True:
                session = await Session.open(
                    self._url, name=self._name, inbox_prefix=self._inbox_prefix, nkey_seed=self._nkey_seed
                )
                if session is None:
                    await self._clock.sleep(pause)
                    pause = min(pause * 2, RETRY_LONGEST)
                    continue
                pause = RETRY_FIRST
                await self._live(session)
                await self._clock.sleep(pause)
        finally:
            self._changed.set()

    async def _live(self, session: Session) -> None:
        try:
            await session.ensure_streams(self._streams.values())
            for subjects, handler in self._listeners:
                await _listen(session, subjects, handler)
            self._publisher = await Publisher.open(session, self._streams)
            self._session = session
            self._announce()
            log.info("broker connected", extra={"bus": self._name})
            await session.wait_lost()
            log.warning("broker connection lost", extra={"bus": self._name})
        except SessionLost:
            log.warning("broker connection lost while setting up", extra={"bus": self._name})
        finally:
            self._session = self._publisher = None
            await session.close()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _listen(session: Session, subjects: Sequence[str], handler: Listener) -> None:
    async def on_message(message: jetstream.Raw) -> None:
        try:
            await handler(message.subject, message.data, message.headers or {})
        except Exception:
            log.exception("listener failed", extra={"subject": message.subject})

    for subject in subjects:
        await session.subscribe(subject, on_message)


def nats_server_binary() -> Path:
    """The nats-server to start: XIEBAN_NATS_SERVER, else the one installed beside Python, else on PATH; else BROKER_MISSING."""
    named = os.environ.get("XIEBAN_NATS_SERVER")
    if named:
        candidates = [named]
    else:
        candidates = [str(Path(sysconfig.get_path("scripts")) / "nats-server"), "nats-server"]
    for candidate in candidates:
        found = shutil.which(candidate)
        if found:
            return Path(found)
    raise failure(Reason.BROKER_MISSING)


def _no_broker() -> Exception:
    return failure(Reason.PEER_UNREACHABLE, peer="消息总线")

"""The continuous puller: keeps the broker supplied with pull requests and the handler with batches, for one session.

Outstanding requests are counted as credit. The count may go wrong only towards asking for more; towards asking for less it would
stall, so requests carry idle heartbeats and silence is answered by asking anew. A message is told to be in progress while it waits
here, so that a slow handler is not mistaken for a dead process. What must not go in: reconnecting, which is the bus's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from services.chassis.clock import Clock
from services.chassis.jetstream import (
    SECOND_NS,
    ApiError,
    ConsumerSpec,
    Incoming,
    Raw,
    Session,
    SessionLost,
    StreamSpec,
    Verdict,
    read_delivery,
)
from services.chassis.room import once_there_is_room

log = logging.getLogger(__name__)

EXPIRES: Final = 30.0
HEARTBEAT: Final = 2.0
SILENCE: Final = 5.0
PAUSE_FIRST: Final = 0.05
PAUSE_LONGEST: Final = 2.0
RETRY_FIRST: Final = 0.5
RETRY_LONGEST: Final = 30.0


class Puller:
    """Runs until its session is lost (SessionLost) or it is cancelled."""

    def __init__(
        self,
        session: Session,
        spec: ConsumerSpec,
        handler: Callable[[Sequence[Incoming]], Awaitable[Sequence[Verdict]]],
        *,
        streams: Mapping[str, StreamSpec],
        batch: int,
        clock: Clock,
        linger: float = 0.0,
    ) -> None:
        self._session = session
        self._spec = spec
        self._handler = handler
        self._streams = streams
        self._batch = batch
        self._clock = clock
        self._linger = linger
        self._inbox = session.inbox("c")
        self._queue: deque[Incoming] = deque()
        self._credit = 0
        self._wake = asyncio.Event()
        self._broken = False

    async def run(self) -> None:
        """Pull, hand over, acknowledge; for ever."""
        self._session.wakes(self._wake)
        subscription = await self._session.subscribe(self._inbox, self._on_message)
        try:
            await self._repair()
            while True:
                self._wake.clear()  # before looking, so that what comes while we look wakes us
                if self._session.lost:
                    raise SessionLost
                if self._broken:
                    await self._repair()
                if self._linger and 0 < len(self._queue) < self._batch:
                    await self._clock.sleep(self._linger)
                batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                await self._replenish()  # the next batch comes while this one is handled
                if batch:
                    await self._process(batch)
                else:
                    await self._wait()
        finally:
            self._session.unwake(self._wake)
            await self._give_back(subscription)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(SILENCE):
                await self._wake.wait()
        except TimeoutError:
            log.info("no heartbeat from the consumer; asking anew", extra={"consumer": self._spec.durable})
            self._broken = True

    async def _replenish(self) -> None:
        if self._credit + len(self._queue) < self._batch:
            self._credit += self._batch
            await self._session.pull(
                self._spec, reply=self._inbox, count=self._batch, expires=EXPIRES, heartbeat=HEARTBEAT
            )

    async def _on_message(self, message: Raw) -> None:
        if message.subject == self._inbox:
            self._on_status(message)
        else:
            self._credit = max(0, self._credit - 1)
            self._queue.append(read_delivery(message))
        self._wake.set()

    def _on_status(self, message: Raw) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            return
        if status == "408":  # expired in the ordinary course
            self._credit = max(0, self._credit - int(headers.get("Nats-Pending-Messages", self._credit)))
            return
        log.info("pull refused: %s", status, extra={"consumer": self._spec.durable})
        self._broken = True

    async def _repair(self) -> None:
        """Make sure of stream and consumer, creating what is missing, until they stand."""
        pause = PAUSE_FIRST
        while True:
            try:
                await self._session.ensure_consumer(self._spec)
                break
            except TimeoutError:
                # Perhaps we may not create consumers; pulling may still work. Or the connection is dead without saying so.
                log.warning("consumer not ensured", extra={"consumer": self._spec.durable})
                await self._session.probe()
                break
            except ApiError as error:
                log.info("consumer not ensured: %d", error.code, extra={"consumer": self._spec.durable})
                if self._spec.stream in self._streams:
                    await self._session.ensure_streams([self._streams[self._spec.stream]])
            await self._clock.sleep(pause)
            pause = min(pause * 2, PAUSE_LONGEST)
        self._broken = False
        self._credit = 0

    async def _process(self, batch: Sequence[Incoming]) -> None:
        # While storage is full the batch stays ours: a redelivery would count towards the last one, which sets a message aside.
        handling = asyncio.ensure_future(once_there_is_room(partial(self._handler, batch), clock=self._clock))
        cancelled = await self._finish(handling, batch)
        if handling.cancelled():
            self._queue.extendleft(reversed(batch))  # what a stop interrupts is given back with the rest
            raise cancelled or asyncio.CancelledError
        try:
            verdicts = handling.result()
        except Exception as error:
            if len(batch) > 1 and cancelled is None:
                await self._one_by_one(batch)
                return
            self._report(error, batch)
            verdicts = [Verdict.RETRY] * len(batch)
        for message, verdict in zip(batch, verdicts, strict=True):
            try:
                await self._session.send(message.reply, _answer(message, verdict))
            except asyncio.CancelledError as error:
                cancelled = error  # what has been committed is acknowledged before we stop
        if cancelled is not None:
            raise cancelled

    async def _one_by_one(self, batch: Sequence[Incoming]) -> None:
        for index, single in enumerate(batch):
            try:
                await self._process([single])
            except asyncio.CancelledError:
                self._queue.extendleft(reversed(batch[index + 1 :]))
                raise

    async def _finish(
        self, handling: asyncio.Future[Sequence[Verdict]], batch: Sequence[Incoming]
    ) -> asyncio.CancelledError | None:
        """Wait for the handler, keeping its messages ours meanwhile. Returns the cancellation that cut it short, if any."""
        cancelled: asyncio.CancelledError | None = None
        while not handling.done():
            try:
                done, _ = await asyncio.wait([handling], timeout=self._spec.ack_wait_seconds / 3)
                if not done:
                    await self._still_here(batch)
            except asyncio.CancelledError as error:
                cancelled = error
                handling.cancel()
        return cancelled

    def _report(self, error: Exception, batch: Sequence[Incoming]) -> None:
        log.error(
            "handler failed: %s",
            type(error).__name__,
            exc_info=error,
            extra={"consumer": self._spec.durable, "sequence": batch[0].sequence, "count": batch[0].deliveries},
        )

    async def _still_here(self, batch: Sequence[Incoming]) -> None:
        try:
            for message in (*batch, *self._queue):
                await self._session.send(message.reply, b"+WPI")
        except SessionLost:
            log.debug("the handler goes on without its session")

    async def _give_back(self, subscription: int) -> None:
        """On a stop, let the broker deliver at once to our successor what we pulled and did not handle."""
        await self._session.unsubscribe(subscription)
        try:
            for message in self._queue:
                await self._session.send(message.reply, b"-NAK")
        except SessionLost:
            self._queue.clear()


def _answer(message: Incoming, verdict: Verdict) -> bytes:
    if verdict is Verdict.ACK:
        return b"+ACK"
    if verdict is Verdict.DEAD:
        return b"+TERM"
    delay = min(RETRY_LONGEST, RETRY_FIRST * 2 ** (message.deliveries - 1))
    return b"-NAK " + msgspec.json.encode({"delay": int(delay * SECOND_NS)})

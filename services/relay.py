"""The relay: publishes what a node's outbox owes until its audience has given its signed word. Shared by the agencies and the gateway.

A PubAck finishes nothing; it only makes the next try later. What is owed lives in the database; this is its working copy, filled
at boot and after every commit. The same bytes go out each time, so the receiver's deduplication always holds.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from services.chassis.bus import Bus, Outgoing
from services.chassis.clock import Clock

log = logging.getLogger(__name__)

FIRST_RETRY = 5.0
LONGEST_RETRY = 300.0
BROKER_RETRY = 1.0
BATCH = 256
ALARM_AFTER = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A sealed statement to publish until all of `audiences` have given their word."""

    eid: str
    subject: str
    data: bytes
    audiences: frozenset[str]
    trace: str


@dataclass(slots=True)
class _Owed:
    parcel: Parcel
    waiting: set[str]
    tries: int
    since: float
    alarmed: bool = False


class Relay:
    """One for each node. `carry` is called after commit, `finished` when an audience has spoken."""

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._owed: dict[str, _Owed] = {}
        self._queue: list[tuple[float, int, Parcel]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()

    def carry(self, parcels: Sequence[Parcel]) -> None:
        """Publish now, and again until finished. A parcel without audiences goes out once."""
        now = self._clock.ticks()
        for parcel in parcels:
            if parcel.audiences:
                self._owed[parcel.eid] = _Owed(parcel=parcel, waiting=set(parcel.audiences), tries=0, since=now)
            heapq.heappush(self._queue, (0.0, next(self._order), parcel))
        self._wake.set()

    def finished(self, rows: Sequence[tuple[str, str]]) -> None:
        """These audiences have given their word."""
        for eid, audience in rows:
            owed = self._owed.get(eid)
            if owed is not None:
                owed.waiting.discard(audience)
                if not owed.waiting:
                    del self._owed[eid]

    def unfinished(self) -> int:
        return len(self._owed)

    async def run(self) -> None:
        """Publish what is due, for ever."""
        while True:
            due = self._due()
            if due:
                await self._publish(due)
                continue
            self._wake.clear()
            if self._queue:
                wait = max(0.01, self._queue[0][0] - self._clock.ticks())
                await self._sleep_or_wake(wait)
            else:
                await self._wake.wait()

    def _due(self) -> list[Parcel]:
        now = self._clock.ticks()
        due: list[Parcel] = []
        while self._queue and self._queue[0][0] <= now and len(due) < BATCH:
            _, _, parcel = heapq.heappop(self._queue)
            if parcel.eid in self._owed or not parcel.audiences:
                due.append(parcel)
        return due

    async def _publish(self, due: Sequence[Parcel]) -> None:
        messages = [
            Outgoing(
                subject=parcel.subject,
                data=parcel.data,
                message_id=self._message_id(parcel),
                headers={"traceparent": parcel.trace} if parcel.trace else None,
            )
            for parcel in due
        ]
        for parcel, there in zip(due, await self._bus.publish_many(messages), strict=True):
            owed = self._owed.get(parcel.eid)
            if owed is None:
                if not there and not parcel.audiences:
                    self._again(parcel, BROKER_RETRY)
                continue
            if there:
                self._again(parcel, min(LONGEST_RETRY, FIRST_RETRY * 2**owed.tries))
                owed.tries += 1
            else:
                self._again(parcel, BROKER_RETRY)
            self._alarm(owed)

    def _message_id(self, parcel: Parcel) -> str:
        """The broker swallows an id it has seen in the last minutes. That is right for a publish of unknown outcome, and wrong for
        a repetition: it asks for a word that was lost, so it must get through."""
        owed = self._owed.get(parcel.eid)
        return parcel.eid if owed is not None and owed.tries == 0 else f"{parcel.eid}.{secrets.token_hex(4)}"

    def _again(self, parcel: Parcel, delay: float) -> None:
        due = self._clock.ticks() + delay * random.uniform(0.8, 1.2)
        heapq.heappush(self._queue, (due, next(self._order), parcel))

    def _alarm(self, owed: _Owed) -> None:
        if not owed.alarmed and self._clock.ticks() - owed.since > ALARM_AFTER:
            owed.alarmed = True
            log.error("statement without an answer for 15 minutes", extra={"handoff": owed.parcel.eid[:16]})

    async def _sleep_or_wake(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

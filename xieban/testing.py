"""Fakes that integrators' tests and ours share. Nothing here is imported by the library or by a service."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


class ManualClock:
    """A clock that stands still until told: legal time and ticks move only by call; a sleeper wakes when its tick has come.

    It has the shape of the services' `Clock` protocol, so no test ever waits for real.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = (start or datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)).astimezone(SHANGHAI)
        self._ticks = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def ticks(self) -> float:
        return self._ticks

    @property
    def sleepers(self) -> int:
        """How many tasks are waiting on this clock."""
        return sum(1 for _, _, waiter in self._sleepers if not waiter.done())

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._ticks + seconds, next(self._order), waiter))
        await waiter

    def advance(self, to: datetime) -> None:
        """Move legal time forward to `to`; ticks stay."""
        if to < self._now:
            raise ValueError("a clock never goes backwards")
        self._now = to.astimezone(SHANGHAI)

    def tick(self, seconds: float) -> None:
        """Let technical seconds pass, waking sleepers in their order; legal time stays."""
        if seconds < 0:
            raise ValueError("a clock never goes backwards")
        self._ticks += seconds
        while self._sleepers and self._sleepers[0][0] <= self._ticks:
            waiter = heapq.heappop(self._sleepers)[2]
            if not waiter.done():
                waiter.set_result(None)

    def pass_time(self, seconds: float) -> None:
        """Both kinds of time at once, as outside a sandbox."""
        self.advance(self._now + timedelta(seconds=seconds))
        self.tick(seconds)

    async def until_asleep(self, count: int = 1) -> None:
        """Yield to the loop until `count` tasks wait on this clock, so that a test can tick them without a race."""
        for _ in range(10_000):
            if self.sleepers >= count:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"only {self.sleepers} of {count} tasks went to sleep")

"""The run of each night: at an hour of the machine's clock, or every so many technical seconds, for ever.

Whether a node's records agree with its counterparts' is a matter of machines, so a sandbox's frozen clock does not hold it up.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from services.chassis.clock import Clock
from services.reconcile.comparing import Run
from xieban.errors import Reason, XiebanError, failure
from xieban.reconcile import Reconciliation

log = logging.getLogger(__name__)

LONGEST_SLEEP: Final = 600.0
"""The machine's clock may be set meanwhile: it is looked at again."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Table `[reconcile]`: the hour of the nightly run (0 to 23) or, in its place, a pause in seconds; `grace` in minutes."""

    hour: int = 2
    every: float = 0.0
    grace: int = 15

    def checked(self) -> Settings:
        """Errors: CONFIG_INVALID."""
        if not 0 <= self.hour <= 23 or self.every < 0 or not 0 <= self.grace <= 24 * 60:
            detail = "hour 应为 0 至 23，every 不小于 0，grace 应为 0 至 1440 分钟"
            raise failure(Reason.CONFIG_INVALID, file="reconcile", detail=detail)
        return self


class Nightly:
    """One for each node. `machine` tells the hour; `told` is given every result."""

    def __init__(
        self,
        run: Run,
        *,
        settings: Settings,
        clock: Clock,
        machine: Clock,
        told: Callable[[Reconciliation], Awaitable[None]],
    ) -> None:
        self._run = run
        self._settings = settings
        self._clock = clock
        self._machine = machine
        self._told = told

    async def run(self) -> None:
        """For ever. A run that could not be carried out is logged and made up for at the next turn."""
        while True:
            await self._wait()
            try:
                await self._told(await self._run.night())
            except XiebanError as error:
                log.error("the run of reconciliation failed", extra={"reason": error.reason.name})

    async def _wait(self) -> None:
        if self._settings.every:
            await self._clock.sleep(self._settings.every)
            return
        due = next_at(self._machine.now(), hour=self._settings.hour)
        while (left := (due - self._machine.now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP))


def next_at(now: datetime, *, hour: int) -> datetime:
    """The next time it is `hour` o'clock after `now`."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)

"""What a loop does while storage is full: it waits for room. A caller is told at once (STORAGE_FULL); a loop has nobody to tell, and if
it ended of it the process would end, and with it reading, which a full disk does not hinder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.chassis.clock import Clock
from xieban.errors import Reason, XiebanError

T = TypeVar("T")
PAUSE: Final = 1.0
"""Technical seconds between two tries."""


async def once_there_is_room(step: Callable[[], Awaitable[T]], *, clock: Clock) -> T:
    """Do `step`, and for as long as it fails for want of room do it again after a pause. It must be one that may be repeated."""
    while True:
        try:
            return await step()
        except XiebanError as error:
            if error.reason is not Reason.STORAGE_FULL:
                raise
        await clock.sleep(PAUSE)

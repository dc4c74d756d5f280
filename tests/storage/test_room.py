"""A loop of a process lives through a full disk; only what is really wrong ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.chassis import room
from services.chassis.jetstream import Incoming, Verdict
from services.chassis.room import PAUSE, once_there_is_room
from tests.broker import broker
from tests.chassis.test_bus import Consumer, Reader, connect, during, letters, publish_until_done
from xieban.errors import Reason, XiebanError, failure
from xieban.testing import ManualClock


class Step:
    """Fails as it is told to, then gives its result."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


async def test_a_step_is_tried_again_after_a_pause_for_as_long_as_there_is_no_room() -> None:
    clock, step = ManualClock(), Step(failure(Reason.STORAGE_FULL), failure(Reason.STORAGE_FULL))
    async with asyncio.TaskGroup() as group:
        doing = group.create_task(once_there_is_room(step, clock=clock))
        for tries in (1, 2):
            while not clock.sleepers:
                await asyncio.sleep(0)
            assert step.tries == tries
            clock.tick(PAUSE)
    assert doing.result() == "done"
    assert step.tries == 3


async def test_every_other_failure_ends_it_at_once() -> None:
    step = Step(failure(Reason.DATABASE_IN_USE, file="data.db"))
    async with asyncio.timeout(10):
        with pytest.raises(XiebanError, match="XB-5011"):
            await once_there_is_room(step, clock=ManualClock())
    assert step.tries == 1


async def test_a_message_that_meets_a_full_disk_stays_with_its_reader_and_counts_as_delivered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every delivery brings it nearer to the last one, at which what nobody could take in is set aside."""
    monkeypatch.setattr(room, "PAUSE", 0.01)
    reader, full = Reader(), [failure(Reason.STORAGE_FULL) for _ in range(3)]

    async def handler(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        if full:
            raise full.pop()
        return await reader(messages)

    async with broker(tmp_path) as url, await connect(url) as bus:
        await publish_until_done(bus, letters(0, 5))
        async with during(bus.consume(Consumer(), handler)):
            await reader.until(lambda: len(reader.seen) >= 5)
    assert [message.deliveries for message in reader.seen] == [1] * 5

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.clock import SHANGHAI, Clock, SandboxClock, SystemClock
from xieban.errors import InvalidInput, XiebanError
from xieban.testing import ManualClock

START = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)


def test_every_clock_tells_aware_shanghai_time(tmp_path: Path) -> None:
    clocks: list[Clock] = [SystemClock(), SandboxClock(tmp_path / "clock", start=START), ManualClock()]
    for clock in clocks:
        assert clock.now().utcoffset() == timedelta(hours=8)
        assert clock.ticks() <= clock.ticks()


def test_sandbox_time_stands_still_until_it_is_advanced(tmp_path: Path) -> None:
    clock = SandboxClock(tmp_path / "clock", start=START)
    assert clock.now() == clock.now() == START
    clock.advance(START + timedelta(days=60))
    assert clock.now() == START + timedelta(days=60)


def test_sandbox_time_never_goes_backwards(tmp_path: Path) -> None:
    clock = SandboxClock(tmp_path / "clock", start=START)
    clock.advance(START)
    with pytest.raises(InvalidInput):
        clock.advance(START - timedelta(microseconds=1))
    assert clock.now() == START


def test_a_restarted_sandbox_goes_on_from_where_it_was(tmp_path: Path) -> None:
    SandboxClock(tmp_path / "clock", start=START).advance(datetime(2026, 5, 1, tzinfo=UTC))
    again = SandboxClock(tmp_path / "clock", start=START)
    assert again.now() == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_damaged_sandbox_file_is_a_coded_refusal(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("yesterday")
    with pytest.raises(XiebanError, match="XB-5003"):
        SandboxClock(tmp_path / "clock", start=START)


async def test_a_manual_sleeper_wakes_when_its_tick_has_come() -> None:
    clock = ManualClock()
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2):
            tasks.create_task(sleeper(seconds))
        await clock.until_asleep(3)
        clock.tick(2)
        await asyncio.sleep(0)
        assert woken == [1, 2]
        clock.pass_time(1)
    assert woken == [1, 2, 3]

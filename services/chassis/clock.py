"""Time, injected. The only module that may ask the machine what time it is.

A process holds one `Clock` with two kinds of time that must not be confused: *legal* time (`now`), from which statutory limits are
reckoned and which a sandbox freezes and advances, and *technical* time (`ticks`, `sleep`), for retries and timeouts, which always
runs. A retry that waited on sandbox time would never fire; a limit reckoned on technical time could not be lived through in a second.
What must not go in: calendars, working days, anything that reads a statute.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from xieban.errors import Reason, failure

SHANGHAI = ZoneInfo("Asia/Shanghai")


class Clock(Protocol):
    """What every component is given instead of the time."""

    def now(self) -> datetime:
        """Legal time: aware, Asia/Shanghai."""
        ...

    def ticks(self) -> float:
        """Technical seconds, monotonic, arbitrary origin. Never sandboxed."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait technical seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(SHANGHAI)

    def ticks(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SandboxClock(SystemClock):
    """Legal time frozen at a value that only `advance` moves; technical time is real.

    The value lives in `file`, so that a process killed and restarted goes on from where it was and never issues an earlier time.
    `start` counts only when the file does not exist yet.
    """

    def __init__(self, file: Path, *, start: datetime) -> None:
        self._file = file
        if file.exists():
            self._value = self._read()
        else:
            self._value = _aware(start)
            self._write(self._value)

    def now(self) -> datetime:
        return self._value

    def advance(self, to: datetime) -> None:
        """Move legal time forward to `to`; the same value again is a no-op, an earlier one FIELD_INVALID."""
        target = _aware(to)
        if target < self._value:
            detail = f"沙箱时钟只能前进，当前为 {self._value.isoformat()}"
            raise failure(Reason.FIELD_INVALID, field="to", detail=detail)
        if target > self._value:
            self._write(target)
            self._value = target

    def _read(self) -> datetime:
        try:
            return _aware(datetime.fromisoformat(self._file.read_text(encoding="ascii").strip()))
        except (ValueError, OSError) as error:
            raise failure(Reason.CONFIG_INVALID, file=self._file, detail=f"沙箱时钟文件无法读取（{error}）") from error

    def _write(self, value: datetime) -> None:
        # A rename is enough against a killed process; sandbox data need not outlive a power cut, so no fsync.
        self._file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file.with_name(self._file.name + ".tmp")
        scratch.write_text(value.isoformat() + "\n", encoding="ascii")
        os.replace(scratch, self._file)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Settings that make a process a sandbox: the file its clock lives in, and where it starts when the file does not exist."""

    clock: Path
    start: datetime


def clock_of(sandbox: Sandbox | None) -> Clock:
    """The machine's clock, or the sandbox's."""
    return SystemClock() if sandbox is None else SandboxClock(sandbox.clock, start=sandbox.start)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise failure(Reason.FIELD_INVALID, field="time", detail="时间须带时区")
    return value.astimezone(SHANGHAI)

"""How far a node had come, in a small file beside its database: what tells a database that was put back from one that stopped.

A backup of the database does not bring the file back with it, so a database behind its mark has been restored. The file is written after
each commit without waiting for the disk: a process that dies loses nothing of it, a power cut the last moments, and a mark that is too low
never accuses anybody. What must not go in: anything that is not also in the database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from xieban.errors import Reason, failure

WIDTH: Final = 128


class Reached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agency: its incarnation and the last numbers of handoffs and events. The gateway: the size of its log as signed last."""

    inc: int = 0
    handoff: int = 0
    event: int = 0
    log: int = 0


class Mark:
    """The file. One writer, as the database has."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = Reached()
        self._descriptor: int | None = None

    def read(self) -> Reached | None:
        """What the file says; None when there is none, or an empty one. Errors: CONFIG_INVALID for one that cannot be read."""
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(Reason.CONFIG_INVALID, file=self._file.name, detail="无法读取") from error
        if not text:
            return None  # it was just being made when the power went: its name was durable before its content
        try:
            self._last = msgspec.json.decode(text, type=Reached)
        except msgspec.DecodeError as error:
            detail = "内容损坏；删除它等于声明数据库是恢复来的"
            raise failure(Reason.CONFIG_INVALID, file=self._file.name, detail=detail) from error
        return self._last

    def write(self, reached: Reached) -> None:
        """Note it; numbers only grow within one incarnation."""
        if reached == self._last:
            return
        if reached.inc == self._last.inc:
            last = self._last
            reached = Reached(
                reached.inc,
                max(reached.handoff, last.handoff),
                max(reached.event, last.event),
                max(reached.log, last.log),
            )
        self._last = reached
        if self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        # One write of one length over the last one: a reader never sees half of it.
        os.pwrite(self._descriptor, msgspec.json.encode(reached).ljust(WIDTH) + b"\n", 0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def found(file: Path) -> None:
    """The mark of a node that has just been set up and has said nothing yet."""
    if not file.exists():
        mark = Mark(file)
        mark._last = Reached(inc=-1)
        mark.write(Reached())
        mark.close()

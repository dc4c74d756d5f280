"""A node whose database does not wait for the disk: `python -m tests.storage.careless police --config FILE`. The positive control."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import aiosqlite

from services.chassis import database


def forget_to_sync() -> None:
    """From now on every connection of this process is opened with `synchronous=OFF`."""
    original = database._connect

    async def connect(path: Path, *, read_only: bool) -> aiosqlite.Connection:
        connection = await original(path, read_only=read_only)
        await connection.execute_fetchall("PRAGMA synchronous=OFF")
        return connection

    database._connect = connect


if __name__ == "__main__":
    agency = sys.argv.pop(1)
    forget_to_sync()
    runpy.run_module(f"services.{agency}", run_name="__main__", alter_sys=True)

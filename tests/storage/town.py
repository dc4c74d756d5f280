"""A city of real processes whose folders lie on forgetful disks, and the judgement on what is left of it after its power was cut."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.provision import NODES, Home, provision
from services.stack import processes
from services.stack.processes import ROOT, Stack, free_ports
from tests.ledger import Findings, compare
from tests.storage.mounts import Drive
from tests.storage.platter import Names
from tests.storage.traffic import Told
from xieban.agency import PARTIES, Agency

FOR_EVER = 3600.0


class Town:
    """A city with the folder `over` of its home on a forgetful disk. Without `over` it is the whole home: agencies, gateway with its log,
    witnesses and the broker's store lose power at the same instant."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        *,
        names: Names,
        survives: float = 0.0,
        seed: int = 0,
        over: str = "",
        restart_after: float = FOR_EVER,
    ) -> None:
        patch.setattr(processes, "RESTART_PAUSES", (restart_after,))  # without power nobody starts anything again
        now = datetime.now(UTC)  # noqa: TID251 (certificates)
        self.folder = folder
        self.home = provision(folder / "city", now=now, ports=free_ports())
        self.drive = Drive(self.home.folder / over, names=names, survives=survives, seed=seed)
        self.lives = 0

    @asynccontextmanager
    async def powered(self, *, careless: Sequence[Agency] = ()) -> AsyncIterator[Stack]:
        """From switching on until the cut, which comes at the latest when the block ends. `careless` nodes do not wait for the disk."""
        await self.drive.start()
        self.lives += 1
        stack = Stack(self.home, tell=print)
        for child in stack._children.values():
            child.log = self.folder / f"{child.name}-{self.lives}.log"  # what went on must outlive the cut
        for agency in careless:
            child = stack._children[agency]
            child.command[1:3] = ["-m", "tests.storage.careless", agency]
        try:
            async with stack.running():
                try:
                    yield stack
                finally:
                    self.cut(stack)
        finally:
            await self.drive.detach()

    def cut(self, stack: Stack) -> None:
        """The disk first: from that instant nothing is durable any more, whatever the processes still do before they are gone."""
        self.drive.cut()
        for name in stack.pids:
            _kill(stack, name)

    async def outage(self, stack: Stack, name: str) -> None:
        """One process and its disk lose power and have it again; the others live on."""
        self.drive.cut()
        _kill(stack, name)
        await self.drive.detach()
        await self.drive.start()


def _kill(stack: Stack, name: str) -> None:
    with suppress(ProcessLookupError):
        os.kill(stack.pids[name], signal.SIGKILL)


async def settled(home: Home, *, patience: float = 90.0) -> Findings:
    """The comparison once nothing is left to do, or what is still left when patience ends."""
    findings = compare(home)
    for _ in range(int(patience / 0.2)):
        if findings.clean:
            break
        await asyncio.sleep(0.2)  # four databases of foreign processes: the comparison itself is the event
        findings = compare(home)
    return findings


async def judged(home: Home, told: Told) -> None:
    """Nothing that anybody was told has become untrue, and the city is sound."""
    assert not told.contradicted, told.contradicted
    findings = await settled(home)
    assert findings.clean, str(findings)
    assert findings.handoffs >= len(told.sent) > 0
    held = {
        (row["client_ref"], row["eid"])
        for row in rows(home, "SELECT client_ref, eid FROM handoff WHERE box = 'out'", PARTIES)
    }
    assert held >= {(reference, eid) for (_, reference), (eid, _) in told.sent.items()}
    states = {row["eid"]: row["state"] for row in rows(home, "SELECT eid, state FROM handoff", PARTIES)}
    assert {states[eid] for eid in told.accepted} <= {"accepted"}
    _log_judged(home, told)
    for agency in NODES:
        fsck(home, agency)


def fsck(home: Home, agency: Agency) -> None:
    """What an operator would type."""
    command = [sys.executable, "-m", "services.admin", "fsck", "--config", str(home.node(agency) / "config.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rows(home: Home, sql: str, agencies: Sequence[Agency]) -> list[sqlite3.Row]:
    """What a query finds in the databases of these nodes."""
    found: list[sqlite3.Row] = []
    for agency in agencies:
        with closing(sqlite3.connect(f"{(home.node(agency) / 'data.db').as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            found += database.execute(sql).fetchall()
    return found


def _log_judged(home: Home, told: Told) -> None:
    """Every root that was signed, shown or cosigned is the one root of its size, and the log that is there still leads to it."""
    roots = {
        row["size"]: bytes(row["root"]) for row in rows(home, "SELECT size, root FROM log_checkpoint", [Agency.GATEWAY])
    }
    assert told.roots.items() <= roots.items()
    for agency in PARTIES:
        cosigned = {
            row["size"]: bytes(row["root"]) for row in rows(home, "SELECT size, root FROM witness_checkpoint", [agency])
        }
        assert cosigned or not told.roots, f"{agency} has witnessed nothing"
        assert cosigned.items() <= roots.items()
    assert not rows(home, "SELECT size FROM witness_refusal", PARTIES)

"""A replay through real processes that are killed, cut off and robbed of their broker's store meanwhile: nothing lost, nothing doubled.

What is random is drawn from a printed seed; kills come between steps of the replay and in the middle of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.faults import LABELS
from services.provision import Home, provision
from services.replay.__main__ import read_file
from services.replay.drive import Outcome, drive
from services.replay.ledgers import read as read_ledgers
from services.replay.plan import CasePlan
from services.replay.report import compile_report
from services.stack import processes
from services.stack.__main__ import TIMELINES
from services.stack.processes import Stack, free_ports
from tests.ledger import compare
from xieban.agency import PARTIES

pytestmark = pytest.mark.slow
CASES = 20
KILLS = 12
VICTIMS = ("police", "procuratorate", "court", "gateway", "nats")
Chaos = Callable[["Rig"], Coroutine[None, None, None]]


class Rig:
    """A city of processes under a replay, and the means to harm them."""

    def __init__(self, home: Home, stack: Stack, plans: list[CasePlan], patch: pytest.MonkeyPatch, seed: int) -> None:
        self.home = home
        self.stack = stack
        self.plans = plans
        self.draw = random.Random(seed)
        self.harm: list[str] = []
        self.over = asyncio.Event()
        self._patch = patch
        self._progress = asyncio.Event()

    def tick(self, done: int, at: datetime) -> None:
        self._progress.set()

    async def a_while(self) -> None:
        """Until the replay has moved on, and then some part of a moment: the time at which a process dies is the experiment."""
        self._progress.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._progress.wait(), 5.0)
        await asyncio.sleep(self.draw.uniform(0.0, 0.4))

    async def kill(self, name: str) -> None:
        while name not in self.stack.pids:  # still being started after the last time
            await asyncio.sleep(0.02)
        self.harm.append(name)
        with suppress(ProcessLookupError):
            os.kill(self.stack.pids[name], signal.SIGKILL)

    async def keep_away(self, name: str, seconds: float) -> None:
        """Kill it and let it come back late."""
        self._patch.setattr(processes, "RESTART_PAUSES", (seconds,))
        await self.kill(name)
        while name in self.stack.pids:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the pause is read when the end is noticed
        self._patch.setattr(processes, "RESTART_PAUSES", (0.3,))

    async def cut_off(self, name: str, seconds: float) -> None:
        """It is there and answers nothing."""
        pid = self.stack.pids[name]
        self.harm.append(f"{name} frozen")
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def wipe_broker(self) -> None:
        """The broker's whole store is gone."""
        await self.kill("nats")
        while "nats" in self.stack.pids:
            await asyncio.sleep(0.005)
        shutil.rmtree(self.home.folder / "nats" / "store", ignore_errors=True)
        self.harm.append("store wiped")


def some_cases(count: int) -> list[CasePlan]:
    return read_file(TIMELINES, today=date(2026, 12, 31)).plans[:count]


@asynccontextmanager
async def replayed(
    folder: Path, patch: pytest.MonkeyPatch, *, seed: int, chaos: Chaos, cases: int = CASES
) -> AsyncIterator[tuple[Rig, Outcome]]:
    """Run the replay beside `chaos`; yields when every handoff is settled and the processes are still up."""
    patch.setattr(processes, "RESTART_PAUSES", (0.3,))
    plans = some_cases(cases)
    first = min(step.at for plan in plans for step in plan.steps)
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    home = provision(folder / "city", now=now, ports=free_ports(), sandbox_start=first - timedelta(days=1))
    stack = Stack(home, tell=lambda text: None)
    async with stack.running():
        rig = Rig(home, stack, plans, patch, seed)
        async with asyncio.TaskGroup() as group:
            harming = group.create_task(chaos(rig))
            outcome = await drive(home, plans, tick=rig.tick)
            rig.over.set()
            harming.cancel()
        yield rig, outcome


async def judged(rig: Rig, outcome: Outcome) -> None:
    print(f"harm done: {rig.harm}; restarts: {rig.stack.restarts}")
    assert not outcome.troubles, outcome.troubles
    findings = compare(rig.home)
    for _ in range(600):
        if findings.clean:
            break
        await asyncio.sleep(0.1)  # the last tickets of foreign processes
        findings = compare(rig.home)
    assert findings.clean, str(findings)
    assert findings.handoffs == sum(len(eids) for eids in outcome.sent.values()) > len(rig.plans)
    report = compile_report(rig.plans, [], outcome, read_ledgers(rig.home), elapsed=0.0, restarts=rig.stack.restarts)
    assert report.sound, {key: report.content[key] for key in ("lost_named", "duplicates_named", "unverified_named")}


@pytest.mark.parametrize("seed", [11, 23, 47])
async def test_every_process_is_killed_at_random_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    print(f"seed {seed}")

    async def chaos(rig: Rig) -> None:
        for name in rig.draw.sample(VICTIMS, len(VICTIMS)) + rig.draw.choices(VICTIMS, k=KILLS - len(VICTIMS)):
            await rig.a_while()
            await rig.kill(name)

    async with replayed(tmp_path, monkeypatch, seed=seed, chaos=chaos) as (rig, outcome):
        await judged(rig, outcome)
        assert set(rig.harm) == set(VICTIMS), "the replay was over before every process had been killed"


async def test_the_broker_is_cut_off_killed_and_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def chaos(rig: Rig) -> None:
        await rig.a_while()
        await rig.cut_off("nats", 3.0)
        await rig.a_while()
        await rig.wipe_broker()
        await rig.a_while()
        await rig.keep_away("nats", 3.0)
        await rig.a_while()
        await rig.wipe_broker()

    async with replayed(tmp_path, monkeypatch, seed=5, chaos=chaos) as (rig, outcome):
        await judged(rig, outcome)
        assert rig.harm.count("store wiped") == 2


async def test_receivers_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def chaos(rig: Rig) -> None:
        for name in ("procuratorate", "court", "gateway", "police"):
            await rig.keep_away(name, 3.0)
            await rig.a_while()
            await rig.cut_off(rig.draw.choice(PARTIES), 2.0)
            await rig.a_while()

    async with replayed(tmp_path, monkeypatch, seed=7, chaos=chaos) as (rig, outcome):
        await judged(rig, outcome)


@pytest.mark.parametrize("seed", [1, 5, 9])
async def test_every_process_dies_at_its_crash_points_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Armed by the environment, in the real processes: each life ends at a labelled point, and the next one goes on.

    B1 is not among them: only a restored node passes it.
    """
    dice = random.Random(seed)
    often = {label: dice.randint(11, 43) for label in sorted(LABELS - {"B1", "G3", "W1"})}
    seldom = {label: dice.randint(2, 4) for label in ("G3", "W1")}  # a checkpoint every five seconds
    monkeypatch.setenv("XIEBAN_FAULT", ",".join(f"{label}:{hits}" for label, hits in (often | seldom).items()))

    async def chaos(rig: Rig) -> None:
        await rig.over.wait()

    async with replayed(tmp_path, monkeypatch, seed=seed, chaos=chaos, cases=6) as (rig, outcome):
        await judged(rig, outcome)
        assert set(rig.stack.restarts) == {"police", "procuratorate", "court", "gateway"}

"""Power loss: the disk keeps what was synced and nothing else, every process is gone at once, and nothing anybody was told is untrue."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from services.stack.processes import Stack
from tests.storage.mounts import FORGETFUL
from tests.storage.platter import Names
from tests.storage.town import Town, judged
from tests.storage.traffic import POLICE, Traffic
from xieban.agency import Agency
from xieban.client import XiebanClient
from xieban.errors import XiebanError

pytestmark = [pytest.mark.slow, FORGETFUL]
CUTS = 2
ANSWERS = 4
"""Whole exchanges in each life, at least."""
OUTAGE = 4.0
"""Seconds until a node is started again: its disk is back well before."""


async def some_instant(draw: random.Random) -> None:
    """When the power goes is the experiment, and drawn."""
    for _ in range(draw.randrange(40)):
        await asyncio.sleep(0.01)


async def lived_and_cut(town: Town, stack: Stack, traffic: Traffic, draw: random.Random) -> None:
    """Traffic until there is something to lose, then darkness in the middle of it."""
    async with asyncio.TaskGroup() as group:
        flowing = group.create_task(traffic.flow())
        await traffic.progress(ANSWERS)
        await some_instant(draw)
        town.cut(stack)
        flowing.cancel()


@pytest.mark.parametrize(
    ("names", "survives", "seed"),
    [(Names.WITH_DIRECTORY, 0.0, 3), (Names.AT_ONCE, 0.0, 5), (Names.WITH_FILE, 0.5, 7)],
)
async def test_a_blackout_takes_nothing_back_that_anybody_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names, survives: float, seed: int
) -> None:
    print(f"seed {seed}")
    town = Town(tmp_path, monkeypatch, names=names, survives=survives, seed=seed)
    traffic = Traffic(town.home)
    draw = random.Random(seed)
    for _ in range(CUTS):
        async with town.powered() as stack:
            await lived_and_cut(town, stack, traffic, draw)
    async with town.powered():
        await traffic.say_again()
        await judged(town.home, traffic.told)


@pytest.mark.parametrize(("agency", "seed"), [(POLICE, 11), (Agency.GATEWAY, 13)])
async def test_a_node_that_loses_power_alone_contradicts_nobody_who_lived_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agency: Agency, seed: int
) -> None:
    """The others hold what it had said, and ask for more meanwhile."""
    print(f"seed {seed}")
    names = Names.WITH_DIRECTORY
    town = Town(tmp_path, monkeypatch, names=names, over=f"nodes/{agency}", restart_after=OUTAGE)
    traffic = Traffic(town.home)
    draw = random.Random(seed)
    async with town.powered() as stack:
        async with asyncio.TaskGroup() as group:
            flowing = group.create_task(traffic.flow())
            for _ in range(CUTS):
                await traffic.progress(ANSWERS)
                await some_instant(draw)
                await town.outage(stack, agency)
            await traffic.progress(ANSWERS)
            flowing.cancel()
        assert stack.restarts == {agency: CUTS}
        await traffic.say_again()
        await judged(town.home, traffic.told)


async def sent_while_the_broker_is_silent(town: Town, stack: Stack, traffic: Traffic) -> None:
    """Only the sender has it, and only it can lose it."""
    os.kill(stack.pids["nats"], signal.SIGSTOP)
    async with XiebanClient.open(town.home.client(POLICE)) as police:
        for _ in range(3):
            await traffic.ask(police)


@pytest.mark.parametrize("careless", [(), (POLICE,)], ids=["waiting for the disk", "not waiting"])
async def test_what_the_sender_alone_has_survives_exactly_because_it_waited_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careless: tuple[Agency, ...]
) -> None:
    """The second case is the control: the same without `synchronous=FULL` loses what it acknowledged, and that is seen."""
    town = Town(tmp_path, monkeypatch, names=Names.WITH_DIRECTORY)
    traffic = Traffic(town.home)
    async with town.powered(careless=careless) as stack:
        await sent_while_the_broker_is_silent(town, stack, traffic)
    async with town.powered():
        await traffic.say_again()
        if not careless:
            assert not traffic.told.contradicted
            return
    assert len(traffic.told.contradicted) == len(traffic.told.sent) == 3


async def test_a_gateway_that_did_not_wait_for_the_disk_is_not_let_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control for the log: entries that were signed and witnessed are gone, and the gateway does not start without them."""
    town = Town(tmp_path, monkeypatch, names=Names.WITH_DIRECTORY)
    traffic = Traffic(town.home)
    async with town.powered(careless=[Agency.GATEWAY]) as stack:
        await lived_and_cut(town, stack, traffic, random.Random(1))
    with pytest.raises(XiebanError, match="拒绝启动"):
        async with town.powered():
            pass
    assert "XB-5022" in (tmp_path / "gateway-2.log").read_text(encoding="utf-8")

"""A disk that fills up under one process while handoffs are sent: callers are told so in words, nobody loses anything, and with room
again everything goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.provision import Home, provision
from services.stack import processes
from services.stack.processes import Stack, free_ports
from tests.storage.mounts import SMALL, small_disk
from tests.storage.town import judged
from tests.storage.traffic import POLICE, Traffic
from xieban.client import XiebanClient
from xieban.errors import Reason, XiebanError

pytestmark = [pytest.mark.slow, SMALL]
SIZE = 96 * 1024 * 1024
"""More than the write-ahead log may grow to (32 MB), or the node would fill the disk by itself."""
BLOCK = 4096
MANY = 400
"""Handoffs that do not fit into what is left."""


@asynccontextmanager
async def city(folder: Path, patch: pytest.MonkeyPatch, *, small: str) -> AsyncIterator[tuple[Stack, Path]]:
    """A running city with one folder of its home on a small disk: the stack, and that folder."""
    patch.setattr(processes, "RESTART_PAUSES", (0.5,))
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    home = provision(folder / "city", now=now, ports=free_ports())
    place = home.folder / small
    place.mkdir(parents=True, exist_ok=True)
    with small_disk(place, size=SIZE):
        stack = Stack(home, tell=print)
        async with stack.running():
            yield stack, place


def fill(place: Path, *, spare: int = 0) -> None:
    """Somebody else's file takes all the room but `spare` bytes."""
    with (place / "ballast").open("ab", buffering=0) as ballast:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
            while True:
                ballast.write(bytes(BLOCK))
        ballast.truncate(max(0, ballast.tell() - spare))


def make_room(place: Path) -> None:
    (place / "ballast").unlink()


def log_of(home: Home, name: str) -> str:
    return (home.logs / f"{name}.log").read_text(encoding="utf-8")


async def refused(police: XiebanClient, traffic: Traffic) -> XiebanError:
    """Requests until one does not fit any more."""
    for _ in range(MANY):
        try:
            await traffic.ask(police)
        except XiebanError as error:
            return error
    raise AssertionError("everything fitted")


async def test_who_sends_at_a_full_disk_is_told_in_four_parts_and_may_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch, small="nodes/police") as (stack, place):
        traffic = Traffic(stack.home)
        process = stack.pids["police"]
        async with XiebanClient.open(stack.home.client(POLICE)) as police:
            first = await traffic.ask(police)
            for spare in (0, 3 * BLOCK, 9 * BLOCK):  # it gets stuck at another page each time
                fill(place, spare=spare)
                error = await refused(police, traffic)
                assert error.reason is Reason.STORAGE_FULL
                parts = [line.partition("：")[0] for line in error.explain().splitlines()]
                assert parts == ["发生", "原因", "办法", "编号"]
                assert (await police.get(first.eid)).eid == first.eid
                make_room(place)
                await traffic.ask(police)
        assert stack.pids["police"] == process
        assert not stack.restarts
        await traffic.say_again()
        await judged(stack.home, traffic.told)


async def noticed(home: Home, name: str, *, times: int) -> None:
    """Until its own log has said so many times more that there is no room."""
    words = "no space left" if name == "nats" else "storage is full"
    before = log_of(home, name).count(words)
    for _ in range(600):
        if log_of(home, name).count(words) >= before + times:
            return
        await asyncio.sleep(0.1)  # a foreign process's log has no event
    raise AssertionError(f"{name} never noticed")


@pytest.mark.parametrize("name", ["police", "procuratorate", "gateway"])
async def test_a_node_whose_disk_is_full_lives_on_starts_again_and_settles_everything_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with city(tmp_path, monkeypatch, small=f"nodes/{name}") as (stack, place):
        traffic = Traffic(stack.home)
        async with asyncio.TaskGroup() as group:
            flowing = group.create_task(traffic.flow())
            await traffic.progress(2)
            await traffic.sends(
                10
            )  # the log has grown since it was last signed, so that its next root is due meanwhile
            fill(place)
            await noticed(stack.home, name, times=10)
            assert not stack.restarts, "a full disk ended it"
            os.kill(stack.pids[name], signal.SIGKILL)
            await noticed(stack.home, name, times=5)
            make_room(place)
            await traffic.progress(4)
            flowing.cancel()
        assert stack.restarts == {name: 1}
        await traffic.say_again()
        await judged(stack.home, traffic.told)


async def test_a_broker_whose_disk_was_full_needs_a_restart_and_nobody_loses_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker does not take a stream up again by itself after a failed write; agencies go on accepting and keep what they owe."""
    async with city(tmp_path, monkeypatch, small="nats/store") as (stack, place):
        traffic = Traffic(stack.home)
        async with asyncio.TaskGroup() as group:
            flowing = group.create_task(traffic.flow())
            await traffic.progress(2)
            fill(place)
            await noticed(stack.home, "nats", times=3)
            await traffic.sends(5)
            make_room(place)
            os.kill(stack.pids["nats"], signal.SIGTERM)
            await traffic.progress(4)
            flowing.cancel()
        assert stack.restarts == {"nats": 1}
        await traffic.say_again()
        await judged(stack.home, traffic.told)

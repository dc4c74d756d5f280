"""All that a city has ever said is said again, ten times over, in any order, under new message ids: nothing is done twice by anybody."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.provision import NODES
from tests.ledger import compare
from tests.system import rich
from tests.system.rig import PATIENCE, City, whole_city
from tests.system.seeds import no_inbox_key
from xieban import subjects
from xieban.agency import PARTIES

TIMES = 10
SEEDS = (1, 2, 3)
PASSING = {"log_checkpoint", "log_cosignature", "witness_checkpoint", "sqlite_sequence"}
"""Tables that grow by time alone: the log is signed anew, and cosigned again while nothing happens."""
Message = tuple[str, bytes]


@dataclass
class Said:
    """A city in which a good deal has happened, and every word of it: what is in the stream, and the tickets beside it."""

    city: City
    stream: list[Message]
    tickets: list[Message]


@asynccontextmanager
async def spoken(folder: Path) -> AsyncIterator[Said]:
    """A city that has lived, with somebody who has listened to all of it."""
    async with whole_city(folder) as city, AsyncExitStack() as stack:
        listener = await nats.connect(str(city.broker))
        stack.push_async_callback(listener.close)
        tickets: list[Message] = []

        async def heard(message: Msg) -> None:
            tickets.append((message.subject, message.data))

        await listener.subscribe(subjects.ticket("lanzhou", "*", "*"), cb=heard)
        await rich.live(city, stack, roads=1)
        await calm(city)
        yield Said(city, await published(listener), list(tickets))


async def published(connection: Client) -> list[Message]:
    """Everything in the city's stream."""
    stream = connection.jetstream()
    state = (await stream.stream_info("XIEBAN_lanzhou")).state
    found = []
    for number in range(state.first_seq, state.last_seq + 1):
        message = await stream.get_msg("XIEBAN_lanzhou", number)
        found.append((message.subject or "", message.data or b""))
    return found


async def storm(said: Said, draw: random.Random) -> None:
    """Say it all again, and wait until it has been heard."""
    words = [(True, *word) for word in said.stream] + [(False, *word) for word in said.tickets]
    words = words * TIMES
    draw.shuffle(words)
    connection = await nats.connect(str(said.city.broker))
    try:
        stream = connection.jetstream()
        for kept, subject, data in words:
            if kept:
                await stream.publish(subject, data, headers={"Nats-Msg-Id": f"{draw.getrandbits(64):x}"})
            else:
                await connection.publish(subject, data)
        await connection.flush()
    finally:
        await connection.close()
    await calm(said.city)


async def calm(city: City) -> None:
    """Until nobody owes anybody a word and the broker has nothing left to give."""
    owed = "SELECT COUNT(*) AS n FROM outbox WHERE done = 0"
    async with asyncio.timeout(PATIENCE):
        while any(city.rows(agency, owed)[0]["n"] for agency in PARTIES):
            await asyncio.sleep(0.05)  # tickets come from other nodes
    await city.quiet_bus()
    await rich.done(city)


def kept(city: City) -> dict[str, dict[str, list[str]]]:
    """Everything in the four databases, row by row, but for what grows by time alone."""
    return {str(agency): rows_of(city.home.node(agency) / "data.db") for agency in NODES}


def rows_of(file: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(map(repr, database.execute(f"SELECT * FROM {name}"))) for name in names if name not in PASSING
        }


def changed(before: dict[str, dict[str, list[str]]], after: dict[str, dict[str, list[str]]]) -> list[str]:
    """What is there more or less, by node and table."""
    return [
        f"{node}.{table}: {len(rows)} before, {len(after[node][table])} after"
        for node, tables in before.items()
        for table, rows in tables.items()
        if rows != after[node][table]
    ]


@pytest.mark.parametrize(
    "seeds", [pytest.param(SEEDS[:1], id="one order"), pytest.param(SEEDS, id="three orders", marks=pytest.mark.slow)]
)
async def test_nothing_changes_anywhere_however_often_and_in_whatever_order_all_is_said_again(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    async with spoken(tmp_path) as said:
        assert {subject.split(".")[3] for subject, _ in said.stream} == {"handoff", "receipt", "notice", "reply"}
        assert {subject.split(".")[4] for subject, _ in said.tickets} == {"police", "procuratorate", "gateway"}
        before, findings = kept(said.city), str(compare(said.city.home))
        assert len(before["gateway"]["log_entry"]) > 20
        for seed in seeds:
            await storm(said, random.Random(seed))
            assert changed(before, kept(said.city)) == [], f"seed {seed}"
            assert str(compare(said.city.home)) == findings


async def test_a_node_that_does_not_know_again_what_it_has_is_found_by_such_a_storm(tmp_path: Path) -> None:
    """The comparison can fail: without deduplication the same storm leaves its marks."""
    async with spoken(tmp_path) as said:
        before = kept(said.city)
        with pytest.MonkeyPatch.context() as patch:
            no_inbox_key(patch, said.city)
            await storm(said, random.Random(SEEDS[0]))
        assert any(".receipt:" in one for one in changed(before, kept(said.city)))

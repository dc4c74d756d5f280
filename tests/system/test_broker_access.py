"""The broker itself refuses: a node speaks in its own name, reads what is meant for it, and touches nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import nats.errors
import nkeys  # type: ignore[import-untyped]
import pytest
from nats.aio.client import Client

from services.chassis.bus import Bus, Incoming, Outgoing, Verdict
from services.chassis.clock import SystemClock
from services.provision import Home, provision
from services.stack.processes import free_ports
from tests.broker import Broker
from xieban import subjects
from xieban.agency import Agency

CITY = "lanzhou"
POLICE, COURT, GATEWAY = Agency.POLICE, Agency.COURT, Agency.GATEWAY
STREAM = subjects.stream(CITY).name


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Home]:
    """A broker that runs with the configuration of a provisioned city, and its stream."""
    ports = free_ports()
    home = provision(tmp_path / "city", now=datetime.now(UTC), ports=ports)  # noqa: TID251 (certificates)
    broker = Broker.at(tmp_path / "broker", port=ports.nats, config=home.nats_config)
    await broker.start()
    try:
        yield home
    finally:
        await broker.kill()


def url(home: Home) -> str:
    return f"nats://127.0.0.1:{home.ports.nats}"


@asynccontextmanager
async def node(home: Home, agency: Agency) -> AsyncIterator[Bus]:
    """The bus as the node of `agency` opens it."""
    bus = await Bus.connect(
        url(home),
        name=agency,
        inbox_prefix=subjects.inbox(agency),
        streams=[subjects.stream(CITY)],
        clock=SystemClock(),
        nkey_seed=home.node(agency) / "nats.seed",
    )
    async with bus:
        yield bus


@asynccontextmanager
async def intruder(home: Home, agency: Agency) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """A connection with the key of `agency` that keeps to no code of ours, and what the broker objects to."""
    objections: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        objections.put_nowait(str(error).lower())

    client = Client()
    seed = str(home.node(agency) / "nats.seed")
    await client.connect(url(home), nkeys_seed=seed, inbox_prefix=subjects.inbox(agency), error_cb=on_error)
    try:
        yield client, objections
    finally:
        await client.close()


async def denied(objections: asyncio.Queue[str]) -> bool:
    async with asyncio.timeout(10):
        return "permissions violation" in await objections.get()


async def test_every_node_publishes_and_reads_what_is_its_own(guarded: Home) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def read(messages: object) -> list[Verdict]:
        batch: list[Incoming] = list(messages)  # type: ignore[call-overload]
        for message in batch:
            seen.put_nowait(message.subject)
        return [Verdict.ACK] * len(batch)

    async with node(guarded, POLICE) as police, node(guarded, COURT) as court, node(guarded, GATEWAY) as gateway:
        sent = [subjects.handoff(CITY, POLICE, COURT), subjects.receipt(CITY, POLICE, COURT)]
        assert await police.publish_many([Outgoing(subject, b"x", subject) for subject in sent]) == [True, True]
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            readers = [
                tasks.create_task(court.consume(subjects.consumer(CITY, COURT), read)),
                tasks.create_task(gateway.consume(subjects.consumer(CITY, GATEWAY), read)),
            ]
            assert sorted([await seen.get() for _ in range(4)]) == sorted([*sent, *sent])
            for reader in readers:
                reader.cancel()


@pytest.mark.parametrize(
    "subject",
    [
        subjects.handoff(CITY, COURT, POLICE),
        subjects.receipt(CITY, COURT, POLICE),
        subjects.ticket(CITY, GATEWAY, POLICE),
        subjects.handoff("jiuquan", POLICE, COURT),
        f"$JS.API.STREAM.UPDATE.{STREAM}",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.MSG.GET.{STREAM}",
        f"$JS.API.STREAM.MSG.DELETE.{STREAM}",
        f"$JS.API.DIRECT.GET.{STREAM}",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.court",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.court",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.police",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.police.xieban.v1.{CITY}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.police",
        f"$JS.ACK.{STREAM}.court.1.1.1.1.0",
        "_INBOX_court.x",
    ],
)
async def test_police_may_not_say(guarded: Home, subject: str) -> None:
    async with intruder(guarded, POLICE) as (client, objections):
        await client.publish(subject, b"{}")
        await client.flush()
        assert await denied(objections)
        await client.publish(subjects.handoff(CITY, POLICE, COURT), b"x")  # the rig can tell the difference
        await client.flush()
        assert objections.empty()


@pytest.mark.parametrize(
    "subject", ["xieban.v1.>", subjects.handoff(CITY, "*", COURT), "_INBOX_court.>", "$JS.EVENT.>", ">"]
)
async def test_police_may_not_listen_to(guarded: Home, subject: str) -> None:
    async with intruder(guarded, POLICE) as (client, objections):
        await client.subscribe(subject)
        await client.flush()
        assert await denied(objections)


async def test_a_consumer_whose_pattern_is_not_the_one_it_is_asked_under_is_refused(guarded: Home) -> None:
    spec = subjects.consumer(CITY, POLICE)
    async with node(guarded, POLICE), intruder(guarded, POLICE) as (client, _):
        for pattern, refused in ((f"xieban.v1.{CITY}.>", True), (spec.pattern, False)):
            config = {"durable_name": spec.durable, "ack_policy": "explicit", "filter_subject": pattern}
            request = json.dumps({"stream_name": STREAM, "config": config}).encode()
            verb = f"$JS.API.CONSUMER.CREATE.{STREAM}.{spec.durable}.{spec.pattern}"
            answer = json.loads((await client.request(verb, request, timeout=10)).data)
            assert ("error" in answer) is refused


async def test_a_stranger_does_not_get_in(guarded: Home, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.seed"
    stranger.write_bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER))
    for seed in (None, str(stranger)):
        client = Client()
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await client.connect(url(guarded), nkeys_seed=seed, allow_reconnect=False)
        await client.close()

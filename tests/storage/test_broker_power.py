"""The broker's own promise: what it has acknowledged outlives its power, by the one line in its configuration that makes it so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from services.provision import provision
from services.stack.processes import free_ports
from tests.broker import Broker
from tests.storage.mounts import FORGETFUL, Drive
from tests.storage.platter import Names

pytestmark = [pytest.mark.slow, FORGETFUL]
MESSAGES = 50
DURABLE = "  sync_interval: always\n"


def provisioned(folder: Path) -> tuple[Drive, Broker]:
    """The broker as provision sets it up, but open to everybody, with its store on a forgetful disk."""
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    home = provision(folder / "city", now=now, ports=free_ports())
    text, _, _ = home.nats_config.read_text(encoding="utf-8").partition("authorization")
    config = folder / "nats.conf"
    config.write_text(text, encoding="utf-8")
    store = home.folder / "nats"
    return Drive(store, names=Names.WITH_FILE), Broker.at(folder, port=home.ports.nats, config=config)


async def acknowledged(broker: Broker) -> int:
    """Publish; how many the broker says it has."""
    connection = await nats.connect(str(broker))
    try:
        stream = connection.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        return sum([(await stream.publish("kept", b"x" * 700)).seq > 0 for _ in range(MESSAGES)])
    finally:
        await connection.close()


async def held(broker: Broker) -> int:
    connection = await nats.connect(str(broker))
    try:
        stream = connection.jetstream()
        names = [info.config.name for info in await stream.streams_info()]
        return (await stream.stream_info("KEPT")).state.messages if "KEPT" in names else 0
    finally:
        await connection.close()


def as_provisioned(text: str) -> str:
    return text


def with_the_default(text: str) -> str:
    assert DURABLE in text
    return text.replace(DURABLE, "")


@pytest.mark.parametrize(("settings", "kept"), [(as_provisioned, MESSAGES), (with_the_default, 0)])
async def test_what_the_broker_acknowledged_is_there_after_a_power_cut_only_if_it_synced(
    tmp_path: Path, settings: Callable[[str], str], kept: int
) -> None:
    drive, broker = provisioned(tmp_path)
    assert broker.config is not None
    broker.config.write_text(settings(broker.config.read_text(encoding="utf-8")), encoding="utf-8")
    await drive.start()
    try:
        await broker.start()
        assert await acknowledged(broker) == MESSAGES
        drive.cut()
        await broker.kill()
        await drive.detach()
        await drive.start()
        await broker.start()
        assert await held(broker) == kept
    finally:
        await broker.kill()
        await drive.detach()

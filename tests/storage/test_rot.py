"""The broker's store is damaged while the broker is down: blocks cut off, emptied, with bits turned, indexes wrong. It carries; it does
not record, so the agencies' outboxes fill it again. A store that is gone altogether is `tests/system/test_survival.py`'s."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.system import seeds
from tests.system.rig import PP, City, main_road, whole_city

pytestmark = pytest.mark.slow
Damage = Callable[[Path], None]


def files(store: Path, pattern: str) -> list[Path]:
    found = [file for file in store.rglob(pattern) if file.stat().st_size]
    assert found, f"the store has no {pattern}"
    return found


def cut_off(store: Path) -> None:
    """The tail of every block is missing, in the middle of a message."""
    for block in files(store, "*.blk"):
        os.truncate(block, block.stat().st_size - 333)


def emptied(store: Path) -> None:
    """Blocks are there and hold nothing."""
    for block in files(store, "*.blk"):
        os.truncate(block, 0)


def turn_bits(file: Path, *, share: float) -> None:
    content = bytearray(file.read_bytes())
    draw = random.Random(len(content))
    for _ in range(max(1, int(len(content) * share))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def bits_turned_in_messages(store: Path) -> None:
    for block in files(store, "*.blk"):
        turn_bits(block, share=0.002)


def bits_turned_in_everything(store: Path) -> None:
    """Messages, indexes, what the consumers have read, the stream's own description."""
    for file in files(store, "*"):
        if file.is_file():
            turn_bits(file, share=0.01)


def descriptions_emptied(store: Path) -> None:
    for file in files(store, "meta.inf"):
        os.truncate(file, 0)


@pytest_asyncio.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    async with whole_city(tmp_path) as running:
        yield running


async def broken_while_down(city: City, damage: Damage, case: str) -> list[str]:
    """Handoffs that only the sender and the broker have when the broker's store is broken."""
    await main_road(city, case)
    await city.node(PP).stop()
    kinds = ("early_opinion_request", "arrest_request", "custody_extension_request")
    other = city.new_case()
    sent = [(await city.police.send(city.draft(kind, case=other))).eid for kind in kinds]
    for eid in sent:
        await city.in_stream(eid)
    await city.broker.kill()
    damage(city.broker.folder / "store")
    await city.broker.start()
    await city.node(PP).start()
    return sent


@pytest.mark.parametrize(
    "damage", [cut_off, emptied, bits_turned_in_messages, bits_turned_in_everything, descriptions_emptied]
)
async def test_a_broken_store_of_the_broker_loses_nothing_that_anybody_sent(city: City, damage: Damage) -> None:
    case = city.new_case()
    for eid in await broken_while_down(city, damage, case):
        await city.arrive(city.procuratorate, eid)
    later = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, later.eid)
    findings = await city.settled()
    assert findings.clean, str(findings)


@pytest.mark.parametrize("damage", [cut_off, emptied, bits_turned_in_messages])
async def test_an_outbox_that_believed_the_broker_would_have_lost_them(
    city: City, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    """The control: the same damage with rows that are finished by the broker's acknowledgement. A tail holds the last one only."""
    seeds.fire_and_forget(monkeypatch, city)
    sent = await broken_while_down(city, damage, city.new_case())
    later = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, later.eid)
    findings = await city.persistent()
    lost = {finding.about for finding in findings.lost if finding.what == "header not received"}
    assert lost == set(sent[-1:] if damage is cut_off else sent)

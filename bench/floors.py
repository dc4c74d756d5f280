"""The floors a handoff stands on, measured in the same run: a bare durable publish, a bare durable commit, a bare signature."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.chassis.bus import Bus, Outgoing
from services.chassis.clock import SystemClock
from services.chassis.database import Database, Transaction
from xieban import subjects
from xieban.agency import Agency
from xieban.seal import Directory, SealKey, entry

PAYLOAD = b"x" * 2048
_ids = itertools.count(1)


async def publish(bus: Bus, *, count: int, in_flight: int, city: str) -> float:
    """Publishes of 2 KB a second into the city's stream, to a recipient that does not exist."""
    subject = subjects.handoff(city, Agency.POLICE, "nobody")
    clock = SystemClock()
    begun = clock.ticks()
    for start in range(0, count, in_flight):
        window = [Outgoing(subject, PAYLOAD, f"bench-{next(_ids)}") for _ in range(min(in_flight, count - start))]
        if not all(await bus.publish_many(window)):
            raise RuntimeError("the broker did not confirm")
    return count / (clock.ticks() - begun)


async def commit(database: Database, *, count: int) -> float:
    """One-row commits of 2 KB a second, one at a time, as durable as the nodes' own."""
    clock = SystemClock()
    begun = clock.ticks()
    for _ in range(count):
        row = (f"bench-{next(_ids)}", PAYLOAD.decode())
        await database.write(partial(_insert, row=row))
    return count / (clock.ticks() - begun)


def _insert(tx: Transaction, *, row: tuple[str, str]) -> None:
    tx.run("INSERT INTO node (name, value) VALUES (?, ?)", row)


def seal_and_verify(*, count: int) -> tuple[float, float]:
    """Seals and verifications a second of a 2 KB statement on one core."""
    key = SealKey.generate()
    directory = Directory([entry(key, city="lanzhou", agency="police")])  # type: ignore[arg-type]
    sealed = key.seal("header", PAYLOAD)
    return (
        _rate(lambda: key.seal("header", PAYLOAD), count),
        _rate(lambda: directory.verify(sealed, city="lanzhou", agency="police"), count),  # type: ignore[arg-type]
    )


async def scratch_database(folder: Path) -> Database:
    """A database with the agency's own schema and settings."""
    from services.agency.app import MIGRATIONS

    return await Database.open(folder / "floor.db", migrations=MIGRATIONS)


def _rate(act: Callable[[], object], count: int) -> float:
    clock = SystemClock()
    begun = clock.ticks()
    for _ in range(count):
        act()
    return count / (clock.ticks() - begun)

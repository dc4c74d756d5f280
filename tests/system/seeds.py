"""Bugs put in on purpose, each the kind that looks harmless: the tests show that the crash rig notices every one of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from services.agency import store
from services.agency.desk import Arrival
from services.agency.fence import Fence
from services.agency.receiving import Receiving
from services.agency.work import Work
from services.chassis.bus import Outgoing
from services.chassis.puller import Puller
from services.relay import Relay
from tests.system.rig import City
from xieban.handoff import Fact, State

Patch = pytest.MonkeyPatch
_receiving: ContextVar[Receiving | None] = ContextVar("receiving", default=None)


def within_receive(patch: Patch, after: Callable[[Receiving], Any] | None = None) -> None:
    """Let the seeds below know when they run inside the transaction that takes headers off the bus."""
    original = Receiving.receive

    async def receive(self: Receiving, arrivals: Sequence[Arrival]) -> None:
        token = _receiving.set(self)
        try:
            await original(self, arrivals)
        finally:
            _receiving.reset(token)
        if after is not None:
            await after(self)

    patch.setattr(Receiving, "receive", receive)


def ack_before_commit(patch: Patch, city: City) -> None:
    """A message is acknowledged when it is handed over, not when it is durable."""

    async def process(self: Any, batch: Sequence[Any]) -> None:
        for message in batch:
            await self._session.send(message.reply, b"+ACK")
        await self._handler(batch)

    patch.setattr(Puller, "_process", process)


def effect_outside_the_transaction(patch: Patch, city: City) -> None:
    """The inbox row is committed first, its effect on the case a moment later."""
    original = store.cases_write
    held: dict[Receiving, list[Any]] = {}  # by process: what a dead one held is gone with it

    def cases_write(rows: Sequence[Any]) -> Any:
        receiving = _receiving.get()
        if receiving is None:
            return original(rows)
        held.setdefault(receiving, []).extend(rows)
        return original([])

    async def afterwards(receiving: Receiving) -> None:
        await receiving._desk.database.write(lambda tx: tx.many(*original(held.pop(receiving, []))))

    within_receive(patch, afterwards)
    patch.setattr(store, "cases_write", cases_write)


def fire_and_forget(patch: Patch, city: City) -> None:
    """The outbox row is finished as soon as the broker has the message."""
    original = Relay._publish

    async def publish(self: Any, due: Sequence[Any]) -> None:
        await original(self, due)
        there = [one for one in due if one.eid in self._owed and self._owed[one.eid].tries]
        node = next(node for agency, node in city.nodes.items() if str(agency) == self._bus._name)
        await asyncio.to_thread(finish, node.database, [one.eid for one in there])
        for parcel in there:
            self.finished([(parcel.eid, audience) for audience in parcel.audiences])

    def finish(file: Path, eids: list[str]) -> None:
        with closing(sqlite3.connect(file, timeout=10)) as database, database:
            database.executemany("UPDATE outbox SET done = 1 WHERE eid = ?", [(eid,) for eid in eids])

    patch.setattr(Relay, "_publish", publish)


def outbox_in_memory(patch: Patch, city: City) -> None:
    """What is owed is remembered by the process only."""
    original = store.outbox_insert
    patch.setattr(store, "outbox_insert", lambda rows: original([]))


def no_inbox_key(patch: Patch, city: City) -> None:
    """A header that is there already is taken as a new one, and no lane stands in its way."""
    load, insert = Receiving._load_for_receive, store.handoffs_insert

    def load_for_receive(self: Any, tx: Any, work: Work, opened: Sequence[Any]) -> None:
        load(self, tx, work, opened)
        for _, sealed, header in opened:
            work.entries.pop((sealed.eid, "in"), None)
            lane = (header.case.id, header.sender.agency, header.receiver.agency, "in")
            work.lanes[lane] = (header.lane.seq - 1, header.lane.prev)  # type: ignore[index]

    def known_as(tx: Any, origins: Any, *, box: Any) -> dict[Any, str]:
        return {}

    def handoffs_insert(entries: Sequence[Any]) -> Any:
        sql, rows = insert(entries)
        return sql.replace("INSERT INTO", "INSERT OR IGNORE INTO"), rows

    patch.setattr(Receiving, "_load_for_receive", load_for_receive)
    patch.setattr(store, "handoffs_known_as", known_as)
    patch.setattr(store, "handoffs_insert", handoffs_insert)


def without_fence(patch: Patch) -> None:
    """A node that asks nobody what it has said before."""

    async def begin(self: Fence) -> None:
        await self._open()

    patch.setattr(Fence, "begin", begin)


def receipt_before_commit(patch: Patch, city: City) -> None:
    """The receipt is on its way before what it says is durable. The fence would see that it has said something it does not know."""
    within_receive(patch)
    without_fence(patch)
    original, loop = Work.flush, asyncio.get_running_loop()

    def flush(self: Work, tx: Any) -> Any:
        parcels = original(self, tx)
        receiving = _receiving.get()
        if receiving is not None:
            relay: Any = receiving._desk.carry.__self__  # type: ignore[attr-defined]
            early = relay._bus.publish_many([Outgoing(p.subject, p.data, p.eid, None) for p in parcels])
            asyncio.run_coroutine_threadsafe(early, loop).result(timeout=30)
        return parcels

    patch.setattr(Work, "flush", flush)


def lost_inbox_event(patch: Patch, city: City) -> None:
    """A step that the inbox stream does not tell."""
    original = Work._event

    def event(self: Work, entry: Any) -> None:
        if entry.state is not State.ACCEPTED:
            original(self, entry)

    patch.setattr(Work, "_event", event)


def acceptance_without_a_receipt(patch: Patch, city: City) -> None:
    """The clerk's acceptance takes effect here, and nobody is told."""
    original = Work.state_own

    def state_own(self: Work, entry: Any, fact: Fact) -> None:
        original(self, entry, fact)
        if fact.kind == "accepted":
            self._own_facts[entry.from_agency].pop()

    patch.setattr(Work, "state_own", state_own)

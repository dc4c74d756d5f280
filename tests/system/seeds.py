"""Bugs put in on purpose, each the kind that looks harmless: the tests show that the crash rig notices every one of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.agency import outbox, store, witness
from services.agency.desk import Arrival, fact
from services.agency.fence import Fence
from services.agency.receiving import Receiving
from services.agency.witness import Witness
from services.agency.work import Work
from services.chassis import faults
from services.chassis.bus import Outgoing, Verdict
from services.chassis.database import Transaction
from services.chassis.puller import Puller
from services.gateway import ingest, log
from services.gateway.clocks import Action
from services.gateway.ingest import Ingest
from services.gateway.log import Note
from services.gateway.spans import Span
from services.gateway.supervision import untold
from services.gateway.supervision.desk import Desk
from services.gateway.supervision.store import Store as NoticeStore
from services.gateway.touches import _Lay
from services.gateway.watch import Watch
from services.relay import Relay
from tests.system.rig import City
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import Fact, State
from xieban.marshal import micros
from xieban.subjects import parse

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
    original = outbox.insert
    patch.setattr(outbox, "insert", lambda rows: original([]))


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


def delivered_for_what_was_refused(patch: Patch, city: City) -> None:
    """Whoever sent something that was refused at the door is told that it has arrived as well."""
    original = Receiving._refuse

    def refuse(self: Receiving, work: Work, arrival: Arrival, error: XiebanError, told: set[str], *, eid: str) -> None:
        address = parse(arrival.subject)
        if eid and eid not in told and address is not None:
            work.tell(address.sender, fact(work, eid, "delivered"), arrival.trace)
        original(self, work, arrival, error, told, eid=eid)

    patch.setattr(Receiving, "_refuse", refuse)


# --- of the gateway


def entry_outside_the_transaction(patch: Patch, city: City) -> None:
    """The log hears of a statement a moment after the statement itself is durable."""
    original = Ingest.batch
    held: list[tuple[list[Note], int]] = []

    async def batch(self: Ingest, messages: Sequence[Any]) -> list[Verdict]:
        held.clear()  # what a dead process held is gone with it
        verdicts = await original(self, messages)
        for notes, at in held:
            await self._database.write(partial(log.append, notes=notes, at=at))
        return verdicts

    patch.setattr(ingest, "append", lambda transaction, notes, *, at: held.append((list(notes), at)))
    patch.setattr(Ingest, "batch", batch)


def ticket_before_commit(patch: Patch, city: City) -> None:
    """The gateway gives its word for what it has read and not yet written down, and the word arrives."""
    original = Ingest.batch

    async def batch(self: Ingest, messages: Sequence[Any]) -> list[Verdict]:
        read = self._read(messages, index=await self._database.read(log.size))
        for statement in read.statements.values():
            self._owe(statement.agency, [statement.eid])
        await self._owe.__self__.flush()  # type: ignore[attr-defined]
        for statement in read.statements.values():
            await heard(Agency(statement.agency), statement.eid)
        return await original(self, messages)

    async def heard(agency: Agency, eid: str) -> None:
        owed = "SELECT 1 FROM outbox WHERE eid = ? AND audience = 'gateway' AND done = 0"
        for _ in range(100):
            if city.node(agency).process is None or not city.rows(agency, owed, eid):
                return
            await asyncio.sleep(0.02)  # the author's own commit has no event outside of it

    patch.setattr(Ingest, "batch", batch)


def notice_apart_from_its_debt(patch: Patch, city: City) -> None:
    """A notice is sealed and owed first; that it is not to be told any more is written down a moment later."""
    held: dict[Watch, list[Callable[[Transaction], None]]] = {}  # by process: what a dead one held is gone with it
    within: list[Watch] = []
    take, add, tell = untold.take_of, NoticeStore.notices_add, Watch._tell

    def taken(transaction: Transaction, cases: Any) -> list[Action]:
        actions = take(transaction, cases)
        untold.put(transaction, actions)
        return actions

    def notices_add(self: NoticeStore, rows: Any) -> None:
        kept = list(rows)
        if within:
            held.setdefault(within[-1], []).append(lambda tx: add(NoticeStore(tx), kept))
        else:
            add(self, kept)

    def told(self: Watch, desk: Desk, transaction: Transaction, *, now: int) -> list[Action]:
        within.append(self)
        try:
            return tell(self, desk, transaction, now=now)
        finally:
            within.pop()

    async def round(self: Watch) -> int:
        done = 0
        while True:
            now = micros(self._clock.now())
            if await self._is_due():
                done += len(await self._database.write(partial(self._carry_out, now=now)))
                faults.point("G2")
            elif self._desk is not None and await self._database.read(untold.waits):
                await self._database.write(partial(self._tell, self._desk, now=now))
                faults.point("G2")
                for write in (*held.pop(self, []), lambda tx: tx.run("DELETE FROM untold")):
                    await self._database.write(write)
            else:
                return done
            self._committed()

    patch.setattr(untold, "take_of", taken)
    patch.setattr(NoticeStore, "notices_add", notices_add)
    patch.setattr(Watch, "_tell", told)
    patch.setattr(Watch, "round", round)


def a_stop_told_twice_stops_nothing(patch: Patch, city: City) -> None:
    """Of two statements of one and the same act neither is believed."""
    original = _Lay._ended

    def ended(self: Any, span: Span) -> Span:
        every = self._ends
        times = Counter((stop.rule, stop.person, stop.at) for stop in every)
        self._ends = [stop for stop in every if times[stop.rule, stop.person, stop.at] == 1]
        try:
            return original(self, span)
        finally:
            self._ends = every

    patch.setattr(_Lay, "_ended", ended)


# --- of a witness


class _Later:
    """A transaction that reads at once and writes at another time."""

    def __init__(self, transaction: Transaction, held: list[tuple[str, Any]]) -> None:
        self.one, self.all = transaction.one, transaction.all
        self._held = held

    def run(self, sql: str, params: Any = ()) -> None:
        self._held.append((sql, params))


def witness_signs_before_it_keeps(patch: Patch, city: City) -> None:
    """The cosignature leaves at once; what was cosigned is written down when the log asks the next time."""
    original = Witness._keep
    held: dict[Witness, list[tuple[str, Any]]] = {}

    def keep(self: Witness, tx: Transaction, *args: Any, **named: Any) -> Any:
        for sql, params in held.pop(self, []):
            tx.run(sql, params)
        return original(self, _Later(tx, held.setdefault(self, [])), *args, **named)  # type: ignore[arg-type]

    patch.setattr(Witness, "_keep", keep)


def witness_asks_for_no_proof(patch: Patch, city: City) -> None:
    """Whatever the log shows is taken to grow out of what it showed before."""
    patch.setattr(witness, "extends", lambda held, offered, *, proof: None)

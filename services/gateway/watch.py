"""The watch: looks at what is due to be looked at and writes down which limits warn or have run out, and which receipts are missing.

`clocks.plan` says what there is to do; here it is done, state, warning and log entry in one transaction, so that after a crash the next
round finds either all or none. What must not go in: reckoning of dates, and any decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from services.chassis import faults, telemetry
from services.chassis.clock import Clock, SandboxClock
from services.chassis.database import Database, Transaction
from services.chassis.room import once_there_is_room
from services.gateway import silence
from services.gateway.clocks import DEFAULT, SHANGHAI, Action, plan
from services.gateway.follow import detail_of
from services.gateway.ladder import Ladder
from services.gateway.log import Note, append
from services.gateway.outbox import nothing_to_send
from services.gateway.silence import Patience
from services.gateway.store import Store
from services.gateway.supervision import untold
from services.gateway.supervision.desk import Desk
from xieban.marshal import micros, moment

PAUSE = 20.0
QUIET = 2.0
PATIENCE = 60.0
AT_ONCE = 500


class Watch:
    """Carries plans out: when something is due, every `PAUSE` technical seconds, and at once after a sandbox clock moved."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        quiet_for: Callable[[], float],
        ladder: Ladder = DEFAULT,
        desk: Desk | None = None,
        patience: Patience = silence.OFF,
        committed: Callable[[], None] = nothing_to_send,
    ) -> None:
        """`desk` tells the offices and supervises; without one nobody is told. `patience`: the terms by which cases are followed too.

        `committed` is called when there is something to send.
        """
        self._database = database
        self._desk = desk
        self._patience = patience
        self._committed = committed
        self._ladder = ladder
        self._lateness = telemetry.meter(__name__).create_histogram(
            "xieban.gateway.lateness",
            unit="s",
            description="From the moment a warning or a breach was due to its record",
        )
        self._clock = clock
        self._quiet_for = quiet_for
        self._advancing = asyncio.Lock()

    async def run(self) -> None:
        """The loop. It lets the stream fall quiet first, within reason: after an outage the end of a limit may be on its way."""
        while True:
            waited = 0.0
            while self._quiet_for() < QUIET and waited < PATIENCE:
                await self._clock.sleep(QUIET)
                waited += QUIET
            await once_there_is_room(self.round, clock=self._clock)
            await self._clock.sleep(await self._pause())

    async def round(self) -> int:
        """Record every warning and breach that is due now, every step of a supervision, every receipt that is missing.

        Everything is recorded before anybody is told. Returns how many warnings and breaches there were.
        """
        done = 0
        while True:
            now = micros(self._clock.now())
            if await self._is_due():
                body = partial(self._carry_out, now=now)
            elif self._desk is not None and await self._database.read(untold.waits):
                body = partial(self._tell, self._desk, now=now)
            else:
                return done
            try:
                actions = await self._database.write(body)
            except asyncio.CancelledError:
                self._committed()  # whoever moved the clock has gone away; the round is committed all the same
                raise
            faults.point("G2")
            self._committed()
            self._measure(actions, now)
            done += len(actions)

    def _carry_out(self, transaction: Transaction, *, now: int) -> list[Action]:
        store = Store(transaction)
        limits = store.limits_due(now, at_most=AT_ONCE)
        actions = plan(now, limits, ladder=self._ladder)
        notes = [Note(a.kind, a.limit.case_id, a.limit.start_eid, detail_of(a)) for a in actions]
        # A limit without an action is noted too: with another ladder it may only be due to be looked at again later.
        after = {limit.key: limit for limit in limits} | {action.limit.key: action.limit for action in actions}
        store.limits_looked_at(after.values(), ladder=self._ladder)
        store.rungs_add(actions, at=now)
        if self._desk is not None:
            self._desk.later(transaction, actions)
            notes += self._desk.live(transaction, now=now)
        notes += silence.tell(transaction, patience=self._patience, now=now)
        append(transaction, notes, at=now)
        faults.point("G1")
        return actions

    def _tell(self, desk: Desk, transaction: Transaction, *, now: int) -> list[Action]:
        append(transaction, desk.tell(transaction, now=now), at=now)
        faults.point("G1")
        return []

    def _measure(self, actions: Sequence[Action], now: int) -> None:
        for action in actions:
            self._lateness.record((now - action.at) / 1_000_000, {"kind": action.kind})

    async def advance(self, clock: SandboxClock, to: datetime) -> None:
        """Live through the time until `to`: stop at every moment something is to be recorded, so that its entry bears that moment."""
        async with self._advancing:
            await self.round()  # what a crash left untold is told at the moment it is of
            while (due := await self._next()) is not None and due <= micros(to):
                if due > micros(clock.now()):
                    clock.advance(moment(due).astimezone(SHANGHAI))
                await self.round()
            clock.advance(to)
            await self.round()

    async def _pause(self) -> float:
        """Technical seconds until the next look: at the moment something is due, and now and then because statements may have come."""
        due = await self._next()
        if due is None:
            return PAUSE
        return min(PAUSE, max(0.0, (due - micros(self._clock.now())) / 1_000_000))

    async def _is_due(self) -> bool:
        due = await self._next()
        return due is not None and due <= micros(self._clock.now())

    async def _next(self) -> int | None:
        return await self._database.read(self._next_in)

    def _next_in(self, transaction: Transaction) -> int | None:
        moments = (
            Store(transaction).limits_next(),
            self._desk.next_at(transaction) if self._desk is not None else None,
            silence.next_at(transaction),
        )
        return min((moment for moment in moments if moment is not None), default=None)

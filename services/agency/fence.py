"""The restore fence: a node whose database was put back seals nothing until it knows again what it had said.

Closed, the node answers its counterparts and refuses its own systems. It is closed when the database is behind its mark or has none, when
it was closed before, or when a counterpart that answers holds statements of this node which it does not have. It opens when everybody
was asked and all of that is back; `inc` is raised with it. A start at which none of this is so needs nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from services.agency import store
from services.agency.recovery import Recovery, lacking
from services.agency.work import Identity, Numbers
from services.chassis import faults
from services.chassis.bell import Bell
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.reconcile.asking import Counterpart
from services.reconcile.comparing import Comparer
from services.reconcile.mark import Mark, Reached
from services.reconcile.shelf import Inventory
from xieban.errors import Reason, XiebanError, failure
from xieban.reconcile import Side, Window

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
PAUSE: Final = 1.0
LATER: Final = 30.0
MARGIN: Final = 24 * 3600 * 1_000_000
LEAP: Final = 1_000_000
"""Numbers go on so far behind the last known ones, so that no reader's cursor stands before what is new."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class Fence:
    """One for an agency's node."""

    database: Database
    me: Identity
    numbers: Numbers
    mark: Mark
    clock: Clock
    inventory: Inventory
    comparer: Comparer
    counterparts: Mapping[str, Counterpart]
    recovery: Recovery
    opened: Callable[[], Awaitable[None]]
    _waiting_for: str = "尚未询问"
    _is_open: bool = False
    _bell: Bell = field(default_factory=Bell)
    _unasked: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """Why the node is closed, in four parts; empty when it is open."""
        return "" if self._is_open else self._error().explain()

    def check(self) -> None:
        """Errors: NODE_FENCED."""
        if not self._is_open:
            raise self._error()

    def guarded(
        self, act: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result | Exception]]]
    ) -> Callable[[Sequence[_Item]], Awaitable[Sequence[_Result | Exception]]]:
        """A handler of orders that refuses them all while the node is closed."""

        async def handle(items: Sequence[_Item]) -> Sequence[_Result | Exception]:
            return await act(items) if self._is_open else [self._error() for _ in items]

        return handle

    async def then(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop that seals or takes in, from the moment the node is open."""
        while not self._is_open:
            ringing = self._bell.next
            if not self._is_open:
                await ringing.wait()
        await loop()

    async def begin(self) -> None:
        """Decide, before anything is served: an ordinary start is open at once."""
        reached, (fenced, last) = self.mark.read(), await self.database.read(_standing)
        restored = reached is None or reached.inc > self.me.inc
        if reached is not None and reached.inc == self.me.inc:
            restored = reached.handoff > self.numbers.handoff or reached.event > self.numbers.event
        if not fenced and not restored:
            missing = await self._ask(since=max(0, last - MARGIN), deadline=PATIENCE)
            if not missing:
                await self._open()
                return
        log.error("restored from a backup: closed until it has caught up", extra={"inc": self.me.inc})
        await self.database.write(_close)

    async def run(self) -> None:
        """Catch up while closed; then ask those who were away, once they are there, and end the process if they know better."""
        while not self._is_open:
            if await self._caught_up():
                break
            await self.clock.sleep(PAUSE)
        while self._unasked:
            await self.clock.sleep(LATER)
            _, last = await self.database.read(_standing)
            if await self._ask(since=max(0, last - MARGIN), deadline=60.0, only=set(self._unasked)):
                await self.database.write(_close)
                raise self._error()  # the process ends loudly; the next start is fenced

    def noted(self, handoff: int, event: int) -> None:
        """After a commit: numbers given up to here are in the database."""
        self.mark.write(Reached(self.me.inc, handoff, event))

    async def _ask(self, *, since: int, deadline: float, only: set[str] | None = None) -> dict[str, set[str]]:
        """What others hold of ours that is not here, by who holds it; who could not be asked is noted."""
        window = Window(since=since)
        mine = await self.inventory.of(window, anew=True)
        found: dict[str, set[str]] = {}
        for name, counterpart in self.counterparts.items():
            if name == self.me.agency or (only is not None and name not in only):
                continue
            try:
                eids = await lacking(self.comparer, counterpart, window, mine, me=self.me.agency, deadline=deadline)
            except XiebanError as error:
                self._unasked.add(name)
                log.info("not asked at start", extra={"agency": name, "reason": error.reason.name})
                continue
            self._unasked.discard(name)
            # What was sealed while we asked is here by now, because it was written down before it was sent.
            eids -= {one.eid for one in await self.inventory.standings(eids) if one.side is Side.OUT and one.held}
            if eids:
                found[name] = eids
        return found

    async def _caught_up(self) -> bool:
        missing = await self._ask(since=0, deadline=60.0)
        if self._unasked:
            self._waiting_for = "、".join(sorted(self._unasked))
            return False
        self._waiting_for = "正在取回本节点的报文"
        if missing:
            await self.recovery.take_back(missing)
            if await self._ask(since=0, deadline=60.0) or self._unasked:
                self._waiting_for = "仍有取不回的报文，详见日志"
                return False
        faults.point("B1")
        reached = self.mark.read() or Reached()
        numbers = await self.database.write(partial(_reopen, reached=reached))
        self.me.inc = numbers[0]
        self.numbers.handoff, self.numbers.event = numbers[1], numbers[2]
        await self._open()
        await self.recovery.ask_again()
        return True

    async def _open(self) -> None:
        await self.opened()
        self.mark.write(Reached(self.me.inc, self.numbers.handoff, self.numbers.event))
        self._is_open = True
        self._bell.ring()
        log.info("open", extra={"inc": self.me.inc})

    def _error(self) -> XiebanError:
        return failure(Reason.NODE_FENCED, waiting=self._waiting_for)


def _standing(tx: Transaction) -> tuple[bool, int]:
    """Whether the node was closed, or says itself that it was restored; and when it sealed last."""
    row = tx.one("SELECT value FROM node WHERE name IN ('fence', 'restored_from')")
    last = tx.one(
        "SELECT MAX(at) AS at FROM (SELECT MAX(sent_at) AS at FROM handoff WHERE box = 'out'"
        " UNION ALL SELECT MAX(at) FROM receipt WHERE box = 'out') AS sealed"
    )
    return row is not None, int(last["at"] or 0) if last is not None else 0


def _close(tx: Transaction) -> None:
    for name in ("fence", "witness"):
        tx.run("INSERT INTO node (name, value) VALUES (?, 'restored') ON CONFLICT (name) DO NOTHING", (name,))


def _reopen(tx: Transaction, *, reached: Reached) -> tuple[int, int, int]:
    """Raise the incarnation and go on counting far behind everything that may have been given."""
    inc = max(store.incarnation(tx), reached.inc) + 1
    tx.run("UPDATE node SET value = ? WHERE name = 'incarnation'", (str(inc),))
    tx.run("DELETE FROM node WHERE name IN ('fence', 'restored_from')")
    handoff, event = store.last_numbers(tx)
    return inc, max(handoff, reached.handoff) + LEAP, max(event, reached.event) + LEAP

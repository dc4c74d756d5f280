"""The gateway's fence: a log that is behind what witnesses have seen, or another, is not this log, and nothing is signed in its name.

What was lost cannot be made again: entries have random nonces. So a gateway restored from too old a backup refuses to start, and one that
learns of it later ends. What a witness says counts only with the log's own signature on it. When the trust list founds another log, what
witnesses saw of the one before counts only as far as it is kept, and the new one begins once every witness has been asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final

from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway import log
from services.gateway.founding import found, is_owed
from services.gateway.outbox import incarnation
from services.reconcile.asking import Counterpart
from services.reconcile.mark import Mark, Reached
from xieban.errors import Reason, XiebanError, failure
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.trust import Lineage

logger = logging.getLogger(__name__)

PATIENCE: Final = 3.0
PAUSE: Final = 1.0


class LogFence:
    """One for the gateway. `need`: how many witnesses must have answered before a log without a mark is signed again."""

    def __init__(
        self,
        database: Database,
        *,
        policy: Policy,
        lineage: Lineage,
        counterparts: Mapping[str, Counterpart],
        mark: Mark,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._database = database
        self._lineage = lineage
        self._need = len(policy.witnesses) - policy.threshold + 1
        self._counterparts = counterparts
        self._mark = mark
        self._answered: set[str] = set()
        self._sure = False

    async def begin(self) -> None:
        """Errors: LOG_BEHIND: what was signed before is not all here. Those of `is_owed`."""
        (size, restored), reached = await self._database.read(_standing), self._mark.read()
        founding = self._lineage.founding
        if founding is not None and not await self._database.read(partial(is_owed, founding=founding)):
            founding = None
        if founding is not None:
            self._need = len(self._counterparts)
            if reached is not None and reached.log > founding.first:
                raise self._early(reached.log, "本机记录")
        elif reached is not None and reached.log > size:
            raise failure(Reason.LOG_BEHIND, size=size, witness="本机记录", held=reached.log)
        self._sure = founding is None and not restored and (reached is not None or size == 0)
        for name in self._counterparts:
            await self.ask(name)
        while not await self.cleared():
            logger.warning("waiting for witnesses to say what they have seen", extra={"count": len(self._answered)})
            await self._clock.sleep(PAUSE)
        if founding is not None:
            await found(self._database, founding=founding, clock=self._clock, finish=_reopen)
        elif restored:
            await self._database.write(_reopen)

    async def ask(self, name: str) -> None:
        """Hold the log against what one witness has seen, if it answers. Errors: LOG_BEHIND, LOG_BEGINS_EARLY."""
        try:
            data = await self._counterparts[name].witnessed(deadline=PATIENCE)
            seen = self._lineage.signed(data) if data else None
        except (KeyError, XiebanError) as error:
            logger.info("a witness was not asked", extra={"agency": name, "reason": str(error)[:40]})
            return
        self._answered.add(name)
        if seen is not None:
            await self._database.read(lambda tx: self._hold(tx, seen, name))

    async def cleared(self) -> bool:
        """Whether the log may be signed: its mark is here, or so many witnesses were asked that no quorum has seen more."""
        if not self._sure:
            for name in self._counterparts.keys() - self._answered:
                await self.ask(name)
            self._sure = len(self._answered) >= self._need
        return self._sure

    def _hold(self, tx: Transaction, seen: Checkpoint, name: str) -> None:
        if seen.origin != self._lineage.name:
            if seen.size > self._lineage.first:
                raise self._early(seen.size, name)
            if not self._lineage.keeps(seen.size):
                return  # the list has left it behind
        size = log.size(tx)
        if seen.size > size or (seen.size and log.frontier_at(tx, seen.size).root() != seen.root):
            raise failure(Reason.LOG_BEHIND, size=size, witness=name, held=seen.size)

    def _early(self, held: int, witness: str) -> XiebanError:
        """The new log begins before what was seen of the one before."""
        name, first = self._lineage.name, self._lineage.first
        return failure(Reason.LOG_BEGINS_EARLY, log=name, first=first, witness=witness, held=held)

    def signed(self, size: int) -> None:
        """The log was signed up to here."""
        self._mark.write(Reached(log=size))


def _standing(tx: Transaction) -> tuple[int, bool]:
    """The size of the log, and whether the database says that it was restored."""
    return log.size(tx), tx.one("SELECT value FROM node WHERE name = 'restored_from'") is not None


def _reopen(tx: Transaction) -> None:
    """Nothing of the log is missing: speak again, under a new incarnation."""
    inc = incarnation(tx) + 1
    tx.run("UPDATE node SET value = ? WHERE name = 'incarnation'", (str(inc),))
    tx.run("DELETE FROM node WHERE name = 'restored_from'")

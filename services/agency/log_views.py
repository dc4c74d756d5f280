"""What other agencies' headers say they have seen of the supervision log, laid beside what this node's witness has cosigned.

A log that shows two agencies two histories is found out at the first handoff between them, because both trees bear the log's signature.
A view of a size that was cosigned here has that root, or it is of another history. Any other waits until the tree here has grown to it;
then the log has to prove that the one begins the other. A view that the log did not sign speaks against its sender alone. What must not
go in: taking handoffs. None waits for what is found here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.agency.witness import Witness, note_of
from services.chassis import telemetry
from services.chassis.bell import Bell
from services.chassis.database import Database, Row, Transaction
from xieban.agency import Agency
from xieban.errors import Unreachable, XiebanError
from xieban.handoff import LogView
from xieban.proof import note
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.note import VerifierKey
from xieban.proof.spelling import octets
from xieban.proof.witness import extends
from xieban.reconcile import LogDispute

log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Views kept of each sender: the largest, because the history of a large tree holds the smaller ones."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0

Prove = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""Asks the log for a consistency proof: (old size, new size) -> hashes."""


@dataclass(frozen=True, slots=True)
class Told:
    """A header that was taken in, its author, and what it says of the log."""

    eid: str
    sender: str
    view: LogView


class LogViews:
    """One for an agency's node. `former`: key ids of listed log keys that are not the log's now; what they signed is compared no more."""

    def __init__(
        self, database: Database, *, key: VerifierKey, former: Collection[bytes], witness: Witness, prove: Prove
    ) -> None:
        self._database = database
        self._policy = Policy(log=key, witnesses=(), threshold=0)
        self._former = frozenset(former)
        self._witness = witness
        self._prove = prove
        self._bell = Bell()
        self._known: dict[tuple[str, LogView], None] = {}
        self._disputed = telemetry.meter(__name__).create_counter(
            "xieban.agency.log_disputes",
            description="Headers whose view of the log is of another history, or not the log's",
        )

    def wake(self) -> None:
        """There is a new tree of our own to lay views beside."""
        self._bell.ring()

    async def take(self, told: Sequence[Told]) -> None:
        """After headers were taken in. When this returns, each view is the one cosigned here last, or durable."""
        fresh = [one for one in told if one.view != self._witness.view and (one.sender, one.view) not in self._known]
        if not fresh:
            return
        ours = [one for one in fresh if octets(one.view.sig, what="sig")[:4] not in self._former]
        signed = [one for one in ours if self._is_signed(one.view)]
        unsigned = [one for one in ours if one not in signed]
        for one in unsigned:
            log.error("a header tells of a log that the log never signed", extra=_named(one))
            self._disputed.add(1, {"kind": "unsigned"})
        await self._database.write(partial(_keep, signed=signed, unsigned=unsigned))
        self._remember(fresh)
        self._bell.ring()

    async def run(self) -> None:
        """Settle what waits, whenever there is a new tree here or a new view, and again while the log owes a proof."""
        pause = FIRST_PAUSE
        while True:
            ringing = self._bell.next
            try:
                settled = await self.settle()
            except XiebanError as error:  # a full disk, for one: what waits is still written down
                log.error("views of the log were not settled", extra={"reason": error.reason.name})
                settled = False
            if settled:
                pause = FIRST_PAUSE
                await ringing.wait()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ringing.wait()
            pause = min(2 * pause, LONGEST_PAUSE)

    async def standing(self) -> tuple[list[LogDispute], int]:
        """What does not fit what was cosigned here, forks first; and how many views wait to be laid beside it.

        What a key signed that is the log's no more is evidence in the database and no dispute: that log has ended.
        """
        return await self._database.read(partial(_disputes, key=self._policy.log))

    async def settle(self) -> bool:
        """Lay every view that the tree here has grown to beside it; False while the log owes a proof for one."""
        owed = False
        for one, own in await self._database.read(partial(_due, origin=self._policy.log.name)):
            tree = Checkpoint(own.origin, one.view.size, bytes.fromhex(one.view.root))
            if not self._is_signed(one.view):  # with a key that is the log's no more
                await self._database.write(partial(_settled, view=one.view))
                continue
            try:
                proof = await self._prove(tree.size, own.size) if tree.size < own.size else ()
            except Unreachable:
                return False
            except XiebanError as error:
                log.error(
                    "the log proves nothing of a tree it signed", extra={**_named(one), "reason": error.reason.name}
                )
                owed = True
                continue
            try:
                extends(tree, own, proof=proof)
            except XiebanError:
                await self._convict(one, against=own.size)
            await self._database.write(partial(_settled, view=one.view))
        return not owed

    def _is_signed(self, view: LogView) -> bool:
        try:
            self._policy.check(note_of(view, origin=self._policy.log.name))
        except XiebanError:
            return False
        return True

    async def _convict(self, one: Told, *, against: int) -> None:
        other = note_of(one.view, origin=self._policy.log.name)
        await self._witness.convict(other, against=against, eid=one.eid, agency=one.sender)
        log.critical("the log has shown two histories: nothing of it is cosigned any more", extra=_named(one))
        self._disputed.add(1, {"kind": "fork"})

    def _remember(self, told: Sequence[Told]) -> None:
        self._known.update(dict.fromkeys((one.sender, one.view) for one in told))
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]


def _named(one: Told) -> dict[str, str]:
    return {"handoff": one.eid, "agency": one.sender}


def _keep(tx: Transaction, *, signed: Sequence[Told], unsigned: Sequence[Told]) -> None:
    for told, mark in ((signed, 1), (unsigned, 0)):
        tx.many(
            "INSERT INTO log_view (agency, size, root, sig, is_signed, eid) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            [(one.sender, one.view.size, one.view.root, one.view.sig, mark, one.eid) for one in told],
        )
        for agency in {one.sender for one in told}:
            tx.run(
                "DELETE FROM log_view WHERE agency = ? AND is_signed = ? AND eid NOT IN (SELECT eid FROM log_view"
                " WHERE agency = ? AND is_signed = ? ORDER BY size DESC, root LIMIT ?)",
                (agency, mark, agency, mark, MOST),
            )


def _due(tx: Transaction, *, origin: str) -> list[tuple[Told, Checkpoint]]:
    """Views that wait, each once, with the smallest tree cosigned here that is not smaller."""
    rows = tx.all(
        "SELECT v.*, c.size AS own_size, c.root AS own_root FROM log_view v JOIN witness_checkpoint c ON c.size ="
        " (SELECT MIN(size) FROM witness_checkpoint WHERE size >= v.size) WHERE v.is_signed = 1 ORDER BY v.size"
    )
    found = {(row["size"], row["root"]): row for row in rows}
    return [(_told(row), Checkpoint(origin, row["own_size"], row["own_root"])) for row in found.values()]


def _told(row: Row) -> Told:
    return Told(row["eid"], row["agency"], LogView(size=row["size"], root=row["root"], sig=row["sig"]))


def _settled(tx: Transaction, *, view: LogView) -> None:
    tx.run("DELETE FROM log_view WHERE is_signed = 1 AND size = ? AND root = ?", (view.size, view.root))


def _disputes(tx: Transaction, *, key: VerifierKey) -> tuple[list[LogDispute], int]:
    rows = tx.all(
        "SELECT r.*, c.root AS own_root FROM witness_refusal r LEFT JOIN witness_checkpoint c ON c.size = r.against"
        " ORDER BY r.refused_at, r.size"
    )
    forks = [row for row in rows if note.parse(row["note"]).verify([key])]
    found = [
        LogDispute(
            eid=row["eid"], sender=row["agency"] or str(Agency.GATEWAY), size=row["size"], root=row["root"].hex(), is_signed=True,
            own_size=row["against"], own_root=(row["own_root"] or b"").hex(),
        )
        for row in forks
    ]  # fmt: skip
    rows = tx.all("SELECT * FROM log_view ORDER BY agency, size")
    found += [
        LogDispute(eid=row["eid"], sender=row["agency"], size=row["size"], root=row["root"], is_signed=False)
        for row in rows
        if not row["is_signed"]
    ]
    return found, sum(1 for row in rows if row["is_signed"])

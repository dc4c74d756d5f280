"""Signs the log's roots and gathers the witnesses' cosignatures.

A root is kept before anybody sees its signature, and there is never another one for its size; nor is there one under the name that the
log has now for a size of a log before it. Witnesses are asked all at once; one that
does not answer is asked again with the next checkpoint, one that refuses has seen another history, which is logged and not repaired.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.chassis.room import once_there_is_room
from services.gateway import log
from services.gateway.log import Note
from xieban.errors import Reason, XiebanError, failure
from xieban.marshal import micros
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.note import SigningKey
from xieban.trust import Lineage

logger = logging.getLogger(__name__)

BUSY = 5.0
"""Technical seconds between looks at a growing log."""
IDLE = 60.0
"""Technical seconds after which the newest checkpoint is cosigned again, so that what comes next is dated from below."""
PATIENCE = 5.0

Ask = Callable[[int, Sequence[bytes], bytes], Awaitable[tuple[int, str]]]
"""Asks one witness: (size it is believed to hold, consistency proof, signed checkpoint) -> (size it holds, cosignature line or '')."""


Remind = Callable[[bytes, Sequence[bytes]], Awaitable[int]]
"""Shows one witness its own newest cosignature: (note or nothing, consistency proof from what it holds) -> size it holds then."""


async def _cleared() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint and its note as signed by the log."""

    size: int
    data: bytes


class Checkpoints:
    """One for the gateway. `witnesses` by the name of their keys in `policy`."""

    def __init__(
        self,
        database: Database,
        *,
        key: SigningKey,
        policy: Policy,
        lineage: Lineage,
        witnesses: Mapping[str, Ask],
        clock: Clock,
        remind: Mapping[str, Remind] | None = None,
        cleared: Callable[[], Awaitable[bool]] = _cleared,
        signed: Callable[[int], None] = lambda size: None,
        behind: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`cleared`: whether anything may be signed yet; `signed` is told each size that was; `behind` is told of a witness that says
        it has seen more than is here."""
        self._remind = dict(remind or {})
        self._cleared = cleared
        self._told = signed
        self._behind = behind
        self._database = database
        self._key = key
        self._policy = policy
        self._lineage = lineage
        self._witnesses = dict(witnesses)
        self._clock = clock
        self._held = dict.fromkeys(witnesses, 0)
        self._asked_at = -IDLE
        self._asked_size = 0
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """The loop."""
        while True:
            await once_there_is_room(self.round, clock=self._clock)
            await self._clock.sleep(BUSY)

    async def covering(self, position: int) -> bytes:
        """A witnessed checkpoint of a tree that holds entry `position`, asked for now. Errors: QUORUM_NOT_MET."""
        await self.round()
        threshold = self._policy.threshold
        data = await self._database.read(partial(newest, threshold=threshold, after=self._lineage.first))
        if data is None or checkpoint.parse(note.parse(data).text).size < position:
            count = sum(1 for held in self._held.values() if held >= position)
            raise failure(Reason.QUORUM_NOT_MET, what="见证方联署", count=count, limit=threshold)
        return data

    async def round(self) -> None:
        """Sign the log as it stands, if it grew, and ask every witness that has not cosigned it. One round at a time."""
        async with self._turn:
            await self._round()

    async def _round(self) -> None:
        if not await self._cleared():
            return
        signed = await self._database.write(self._sign)
        if signed is None:
            return
        self._told(signed.size)
        faults.point("G3")
        idle = self._clock.ticks() - self._asked_at >= IDLE
        if signed.size == self._asked_size and not idle and set(self._held.values()) == {signed.size}:
            return
        self._asked_at, self._asked_size = self._clock.ticks(), signed.size
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._cosigned(name, signed)) for name in self._witnesses]
        lines = [line for task in asked for line in task.result()]
        if lines:
            await self._database.write(partial(self._keep, size=signed.size, lines=lines))

    def _sign(self, tx: Transaction) -> Signed | None:
        count = log.size(tx)
        if count <= self._lineage.first:
            return None
        row = tx.one("SELECT note FROM log_checkpoint WHERE size = ?", (count,))
        if row is not None:
            return Signed(count, row["note"])
        root = log.frontier(tx).root()
        tree = Checkpoint(origin=self._key.public.name, size=count, root=root)
        data = note.Note(tree.text, (checkpoint.sign(tree, self._key),)).encode()
        values = (count, root, data, micros(self._clock.now()))
        tx.run("INSERT INTO log_checkpoint (size, root, note, signed_at) VALUES (?,?,?,?)", values)
        return Signed(count, data)

    async def _cosigned(self, name: str, signed: Signed) -> list[tuple[str, str, int]]:
        """(witness, line, POSIX seconds), or nothing."""
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self._ask(name, signed)
            if not line:
                return []
            at = self._verified(name, line, signed)
        except XiebanError as error:
            if error.reason is Reason.LOG_FORKED:
                logger.critical("a witness has seen another history of the log", extra={"agency": name})
                await self._database.write(partial(self._refused, name=name))
            else:
                logger.info("no cosignature", extra={"agency": name, "reason": error.reason.name})
            return []
        except TimeoutError:
            logger.info("no cosignature in time", extra={"agency": name})
            return []
        self._held[name] = signed.size
        return [(name, line, at)]

    async def _ask(self, name: str, signed: Signed) -> str:
        for _ in range(2):
            old = self._held[name]
            proof = await self._database.read(lambda tx, old=old: log.consistency(tx, old, signed.size))  # type: ignore[misc]
            held, line = await self._witnesses[name](old, proof, signed.data)
            if line:
                return line
            if held > signed.size:
                logger.critical("a witness has seen more of the log than is here", extra={"agency": name})
                if self._behind is not None:
                    await self._behind(name)
                return ""
            self._held[name] = await self._reminded(name, held)
        return ""

    async def _reminded(self, name: str, held: int) -> int:
        """Show a witness that holds less than it has cosigned, or did not cosign what it could, what it cosigned last."""
        if name not in self._remind:
            return held
        found = await self._database.read(partial(newest_of, witness=name, after=held, lineage=self._lineage))
        if found is None:
            return await self._remind[name](b"", [])
        size, data = found
        proof = await self._database.read(partial(log.consistency, old=held, new=size))
        return await self._remind[name](data, proof)

    def _verified(self, name: str, line: str, signed: Signed) -> int:
        """The time of a cosignature by `name`. Errors: PROOF_MALFORMED, SEAL_INVALID, QUORUM_NOT_MET."""
        whole = note.parse(signed.data + line.encode())
        key = next(key for key in self._policy.witnesses if key.name == name)
        return Policy(log=self._policy.log, witnesses=(key,), threshold=1).check(whole.encode()).times[name]

    def _keep(self, tx: Transaction, *, size: int, lines: Sequence[tuple[str, str, int]]) -> None:
        tx.many(
            "INSERT INTO log_cosignature (size, witness, line, signed_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            [(size, name, line, at) for name, line, at in lines],
        )

    def _refused(self, tx: Transaction, *, name: str) -> None:
        """Once for each witness and log: from then on it refuses everything."""
        known = tx.one(
            "SELECT position FROM log_entry WHERE kind = 'WITNESS_REFUSED' AND detail = ? AND position > ?",
            (name, self._lineage.first),
        )
        if known is None:
            log.append(tx, [Note("WITNESS_REFUSED", detail=name)], at=micros(self._clock.now()))


def newest_of(tx: Transaction, *, witness: str, after: int, lineage: Lineage) -> tuple[int, bytes] | None:
    """The newest checkpoint beyond a size that a witness has cosigned and that is kept, with that cosignature alone."""
    kept, bounds = _kept(lineage)
    row = tx.one(
        "SELECT c.size, c.note, s.line FROM log_cosignature s JOIN log_checkpoint c ON c.size = s.size"
        f" WHERE s.witness = ? AND s.size > ?{kept} ORDER BY s.size DESC, s.signed_at DESC LIMIT 1",
        (witness, after, *bounds),
    )
    return None if row is None else (row["size"], row["note"] + row["line"].encode())


def newest(tx: Transaction, *, threshold: int, after: int = 0) -> bytes | None:
    """The newest checkpoint beyond a size with at least `threshold` cosignatures, as one note; None when there is none."""
    row = tx.one(
        "SELECT c.size, c.note FROM log_checkpoint c WHERE c.size > ? AND (SELECT COUNT(DISTINCT s.witness)"
        " FROM log_cosignature s WHERE s.size = c.size) >= ? ORDER BY c.size DESC LIMIT 1",
        (after, threshold),
    )
    return None if row is None else with_cosignatures(tx, row["size"], row["note"])


def with_cosignatures(tx: Transaction, size: int, data: bytes, *, latest: bool = False) -> bytes:
    """The log's note and one cosignature of each witness under it: its first, or with `latest` the last time it saw this tree."""
    rows = tx.all("SELECT witness, line FROM log_cosignature WHERE size = ? ORDER BY witness, signed_at", (size,))
    found = {row["witness"]: row["line"] for row in (rows if latest else reversed(rows))}
    return data + "".join(found[name] for name in sorted(found)).encode()


def around(tx: Transaction, position: int, *, threshold: int, lineage: Lineage) -> tuple[int, int]:
    """Sizes of the last witnessed tree without entry `position` and of the first with it, of those kept; 0 where there is none."""
    kept, bounds = _kept(lineage)
    enough = f"(SELECT COUNT(DISTINCT s.witness) FROM log_cosignature s WHERE s.size = c.size) >= ?{kept}"
    before = tx.one(
        f"SELECT c.size FROM log_checkpoint c WHERE c.size < ? AND {enough} ORDER BY c.size DESC LIMIT 1",
        (position, threshold, *bounds),
    )
    after = tx.one(
        f"SELECT c.size FROM log_checkpoint c WHERE c.size >= ? AND {enough} ORDER BY c.size LIMIT 1",
        (position, threshold, *bounds),
    )
    return int(before["size"]) if before is not None else 0, int(after["size"]) if after is not None else 0


def _kept(lineage: Lineage) -> tuple[str, list[int]]:
    """SQL that leaves out the sizes `lineage` does not keep, with what it asks for."""
    return " AND NOT c.size BETWEEN ? AND ?" * len(lineage.gaps), [bound for gap in lineage.gaps for bound in gap]

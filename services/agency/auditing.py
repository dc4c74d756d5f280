"""Whether the gateway keeps what its tickets promise: every promised entry has to stand at its place in a tree that this node's own
witness has cosigned, and every handoff that was here long enough has to be in the log at all.

Hashes are read from the gateway and believed only as far as they lead to the cosigned root. Each part of the log in which something was
promised is read once; what is settled is not looked at again. What must not go in: taking handoffs. None waits for what is found here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

import msgspec

from services.agency import promises
from services.agency.promises import Promise, Sent
from services.chassis import telemetry
from services.chassis.clock import Clock
from services.chassis.database import Database, Row, Transaction
from services.reconcile.comparing import GRACE
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.marshal import micros
from xieban.proof import merkle, tiles, tlogproof
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.merkle import Node
from xieban.proof.tiles import WIDTH, Tile
from xieban.reconcile import Difference, Problem, Series

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000
SPAN: Final = 16 * WIDTH
"""Places of the log whose promises are settled in one transaction."""
PAGE: Final = 1_000
MOST: Final = 1_000
"""Handoffs about which one run asks; the others' turn comes with the next."""
AT_ONCE: Final = 8
SAMPLE: Final = 64
"""Promises found kept of whose entry one run asks to see what it says: a leaf alone does not tell."""
LODGED: Final = "LODGED"
MARK: Final = "audited"
"""In table `node`: every handoff up to this number has its entry LODGED settled."""
_NOT_SHOWN: Final = frozenset({Reason.FIELD_INVALID, Reason.PROOF_MALFORMED, Reason.PROOF_INVALID})


class Log(Protocol):
    """The log as its gateway tells it; nothing of it is believed unproven. Errors: as the gateway gave them, PEER_UNREACHABLE."""

    async def tile(self, tile: Tile) -> bytes: ...

    async def witnessed(self) -> bytes: ...

    async def entries(self, eid: str) -> list[tuple[bytes, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Own:
    """The newest tree that this node's witness has cosigned, and when it did so last (microseconds)."""

    tree: Checkpoint
    at: int


@dataclass(slots=True)
class _Asked:
    """What came of asking about handoffs: proven entries, eids of which the log has nothing, and why no more could be asked."""

    proven: list[Promise] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    trouble: XiebanError | None = None


class _Entry(msgspec.Struct, frozen=True):
    """What of an entry tells where it stands and about what."""

    position: int
    kind: str
    eid: str


class Auditor:
    """One for an agency's node. `log` is None where there is no way to the gateway; `grace`: how long what was sent may be on its way."""

    def __init__(
        self, database: Database, *, log: Log | None, policy: Policy, clock: Clock, grace: timedelta = GRACE
    ) -> None:
        self._database = database
        self._log = log
        self._policy = policy
        self._clock = clock
        self._grace = grace // timedelta(microseconds=1)
        self._turn = asyncio.Lock()
        self._found = telemetry.meter(__name__).create_counter(
            "xieban.agency.broken_promises",
            description="Promises of the log that it does not keep or that contradict one another, and handoffs that are not in it",
        )

    def contradicted(self, found: Sequence[Promise]) -> None:
        """The gateway has signed two promises that cannot both be true; they are durable."""
        for one in found:
            log.critical("the gateway has promised two things of its log", extra=_named(one))
        self._found.add(len(found), {"kind": str(Problem.CONTRADICTED)})

    async def begin(self, gaps: promises.Gaps) -> None:
        """What foundings have left behind is not looked for any more; handoffs whose entry stood there are looked for anew."""

        def leave(tx: Transaction) -> None:
            if promises.leave(tx, gaps):
                tx.run("DELETE FROM node WHERE name = ?", (MARK,))

        await self._database.write(leave)

    async def run(self) -> tuple[list[Difference], str]:
        """Audit what is not settled: everything that stands against the gateway, and the number of the reason why it could not be asked."""
        trouble = ""
        async with self._turn:
            try:
                await self._audit()
            except XiebanError as error:
                log.error("the gateway's promises were not audited", extra={"reason": error.reason.name})
                trouble = error.reason.number
        return await self.standing(), trouble

    async def standing(self) -> list[Difference]:
        """What stands against the gateway, as the last audit left it."""
        return await self._database.read(_standing)

    async def _audit(self) -> None:
        own = await self._database.read(partial(_own, origin=self._policy.log.name))
        if own is None or self._log is None:
            return
        late = await self._database.read(partial(promises.overdue, size=own.tree.size, before=own.at - self._grace))
        await self._settle([], late, named=late)
        lodged = await self._promised(self._log, own.tree)
        drawn = secrets.SystemRandom().sample(lodged, min(SAMPLE, len(lodged)))
        await self._sent(self._log, own, places={one.eid: one.index for one in drawn})

    async def _promised(self, source: Log, tree: Checkpoint) -> list[Promise]:
        """Look for every unsettled promise of a place within `tree`, in the order of the log; those of LODGED that are kept."""
        lodged: list[Promise] = []
        held: dict[Tile, bytes] = {}
        begin = 0
        while some := await self._database.read(partial(promises.unsettled, begin=begin, end=tree.size, span=SPAN)):
            there: dict[int, list[tuple[Promise, bool]]] = defaultdict(list)
            for promise, was_broken in some:
                there[promise.index // WIDTH].append((promise, was_broken))
            kept: list[Promise] = []
            broken: list[tuple[Promise, bool]] = []
            for number, told in there.items():
                leaves = await _leaves(source, tree, number, held)
                for promise, was_broken in told:
                    if leaves.get(promise.index) == promise.leaf:
                        kept.append(promise)
                    else:
                        broken.append((promise, was_broken))
            await self._settle(kept, [one for one, _ in broken], named=[one for one, was in broken if not was])
            begin = (some[0][0].index // SPAN + 1) * SPAN
            lodged += [one for one in kept if one.kind == LODGED]
        return lodged

    async def _settle(self, kept: Sequence[Promise], broken: Sequence[Promise], *, named: Sequence[Promise]) -> None:
        if not kept and not broken:
            return

        def write(tx: Transaction) -> None:
            for statement in promises.settle(kept, broken):
                tx.many(*statement)

        await self._database.write(write)
        for one in named:
            log.critical("the gateway's log does not keep what its ticket promised", extra=_named(one))
        self._found.add(len(named), {"kind": str(Problem.UNKEPT)})

    async def _sent(self, source: Log, own: Own, *, places: Mapping[str, int]) -> None:
        """Ask about handoffs without a promise of LODGED that were here long enough when `own` was cosigned, about those named, and what
        the entries at `places` say."""
        reached = await self._database.read(_mark)
        waiting: list[Sent] = []
        while True:
            page = await self._database.read(partial(promises.handoffs, after=reached, limit=PAGE))
            waiting += [one for one in page if not one.settled]
            reached = page[-1].seq if page else reached
            if len(page) < PAGE or len(waiting) >= MOST:
                break
        due = {one.eid: one.since for one in waiting[:MOST] if one.since <= own.at - self._grace}
        before = await self._database.read(partial(promises.unlogged, limit=MOST))
        eids = list(dict.fromkeys((*due, *before, *places)))
        asked = await self._ask(source, eids, since=due, places=places) if eids else _Asked()
        settled = {one.eid for one in asked.proven} | set(asked.absent)
        left = [one.seq for one in waiting if one.eid not in settled]
        fresh = [eid for eid in asked.absent if eid not in before]
        mark, at = left[0] - 1 if left else reached, micros(self._clock.now())
        contradicting = await self._database.write(partial(_write, proven=asked.proven, absent=fresh, mark=mark, at=at))
        for eid in fresh:
            log.critical("a handoff is not in the log", extra={"handoff": eid})
        self._found.add(len(fresh), {"kind": str(Problem.UNLOGGED)})
        if contradicting:
            self.contradicted(contradicting)
        if asked.trouble is not None:
            raise asked.trouble

    async def _ask(
        self, source: Log, eids: Sequence[str], *, since: Mapping[str, int], places: Mapping[str, int]
    ) -> _Asked:
        """`since`: of those not named before and without a promise, since when each was here; `places` as `_sent`."""
        try:
            shown = self._policy.check(await source.witnessed()).checkpoint.size
        except XiebanError as error:
            if error.reason is not Reason.QUORUM_NOT_MET:
                raise
            shown = 0
        asked = _Asked()
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(eid: str) -> None:
            async with turns:
                if asked.trouble is not None:
                    return
                try:
                    proven, is_known = await self._entry(source, eid)
                except XiebanError as error:
                    asked.trouble = error
                    return
            if proven is not None:
                asked.proven.append(proven)
            elif eid in places:
                if shown > places[eid]:
                    asked.absent.append(eid)
            elif not is_known or eid not in since or shown >= await self._must_show(since[eid]):
                asked.absent.append(eid)

        async with asyncio.TaskGroup() as tasks:
            for eid in eids:
                tasks.create_task(ask(eid))
        return asked

    async def _must_show(self, since: int) -> int:
        """The size of the first tree cosigned here that has to hold what was here `since` then: smaller ones prove no absence."""
        return await self._database.read(partial(_first_since, at=since + self._grace))

    async def _entry(self, source: Log, eid: str) -> tuple[Promise | None, bool]:
        """The entry LODGED of a handoff if the log proves it, and whether the gateway knows the handoff."""
        try:
            entries = await source.entries(eid)
        except XiebanError as error:
            if error.reason is Reason.HANDOFF_NOT_FOUND:
                return None, False
            if error.reason is Reason.QUORUM_NOT_MET:
                return None, True
            raise
        for data, proof in entries:
            try:
                entry, leaf, told = (
                    msgspec.json.decode(data, type=_Entry),
                    merkle.leaf_hash(data),
                    tlogproof.decode(proof),
                )
                told.verify(leaf, self._policy)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, XiebanError):
                continue  # what is not proven was not said
            if (entry.eid, entry.kind, entry.position) == (eid, LODGED, told.index + 1):
                return Promise(eid, LODGED, told.index, leaf), True
        return None, True


async def _leaves(source: Log, tree: Checkpoint, number: int, held: dict[Tile, bytes]) -> dict[int, bytes]:
    """The leaves of tile `number` by their index, as `tree` has them; none if the gateway does not show them. `held`: read before.

    The proof of the first leaf is folded from all others of its tile, so it holds for each of them.
    """
    begin = number * WIDTH
    path = merkle.inclusion_path(begin, tree.size)
    own = tiles.tile_of(Node(0, begin), tree.size)
    try:
        for tile in dict.fromkeys((own, *tiles.needed(path, tree.size))):
            if tile not in held:
                held[tile] = await source.tile(tile)
        hashes = tiles.reader(tree.size, held.__getitem__)
        proof = merkle.proof(path, hashes)
        merkle.verify_inclusion(hashes(Node(0, begin)), index=begin, size=tree.size, root=tree.root, proof=proof)
    except XiebanError as error:
        if error.reason not in _NOT_SHOWN:
            raise
        log.error(
            "the gateway does not show its log as it was cosigned",
            extra={"sequence": begin, "reason": error.reason.name},
        )
        held.clear()
        return {}
    data = held.pop(own)
    return {begin + place: data[place * 32 : place * 32 + 32] for place in range(own.width)}


def _named(one: Promise) -> dict[str, str | int]:
    return {"handoff": one.eid, "kind": one.kind, "sequence": one.index}


def _own(tx: Transaction, *, origin: str) -> Own | None:
    row = tx.one("SELECT size, root, cosigned_at FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
    return None if row is None else Own(Checkpoint(origin, row["size"], row["root"]), row["cosigned_at"] * SECOND)


def _first_since(tx: Transaction, *, at: int) -> int:
    """The size of the first tree cosigned here at that time or later (microseconds): what was in the log by then is in it."""
    sql = "SELECT size FROM witness_checkpoint WHERE cosigned_at >= ? ORDER BY cosigned_at, size LIMIT 1"
    row = tx.one(sql, (-(-at // SECOND),))
    return int(row["size"]) if row is not None else 2**63


def _mark(tx: Transaction) -> int:
    row = tx.one("SELECT value FROM node WHERE name = ?", (MARK,))
    return int(row["value"]) if row is not None else 0


def _write(tx: Transaction, *, proven: Sequence[Promise], absent: Sequence[str], mark: int, at: int) -> list[Promise]:
    """The entries among `proven` that contradict a promise."""
    found = [other for one in proven for other in promises.prove(tx, one)]
    tx.many(*promises.name(absent, at=at))
    sql = "INSERT INTO node (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    tx.run(sql, (MARK, str(mark)))
    return found


def _standing(tx: Transaction) -> list[Difference]:
    found: list[Difference] = []
    for row in promises.false(tx):
        kinds = {Problem.UNKEPT: row["standing"] == "broken", Problem.CONTRADICTED: bool(row["contradicted"])}
        found += [_difference(row, kind, row["entry"], row["leaf_index"]) for kind, holds in kinds.items() if holds]
    return found + [_difference(row, Problem.UNLOGGED, LODGED, None) for row in promises.missing(tx)]


def _difference(row: Row, problem: Problem, entry: str, index: int | None) -> Difference:
    """Of a header that is not here, only its eid is known."""
    return Difference(
        problem=problem, eid=row["eid"], series=Series("handoff", row["from_agency"] or "", row["to_agency"] or ""),
        kind=row["kind"] or "", case_id=row["case_id"] or "", signed_at=row["sent_at"] or 0, at=str(Agency.GATEWAY),
        entry=entry, index=index,
    )  # fmt: skip

"""A run: what this node holds beside what each counterpart holds, every difference asked again by eid before it is named.

Inventories are read at different moments and a city does not stand still, so what they differ in is only a suspicion. The author is asked
first what became of a statement, then those who should hold it: whoever had given its word must hold it by then, and what an author
does not have was never sent. What must not go in: putting anything right; that is `mending`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from services.reconcile.asking import Counterpart
from services.reconcile.shelf import Inventory, flawed
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError, failure
from xieban.marshal import micros
from xieban.reconcile import (
    Compared,
    Difference,
    Pair,
    Problem,
    Reconciliation,
    Series,
    Side,
    Standing,
    Summary,
    Window,
    copies,
    differing,
    eid_of,
    pairs,
    root,
)
from xieban.seal import Directory
from xieban.statement import open_summary

log = logging.getLogger(__name__)

GRACE: Final = timedelta(minutes=15)
"""How long a statement may be on its way before its absence is a difference: as long as the relay waits before it alarms."""
MOST: Final = 10_000
"""Suspicions that one run asks about; a node that lost more than that has lost its database."""
Copies = dict[tuple[str, Side], Standing]
Audit = Callable[[], Awaitable[tuple[list[Difference], str]]]
"""Asks the gateway whether its log keeps what it promised: what it does not, and the number of the reason why it could not be asked."""


@dataclass(slots=True)
class _Found:
    """What a run has gathered so far."""

    compared: list[Compared] = field(default_factory=list)
    suspects: dict[str, Series] = field(default_factory=dict)


class Comparer:
    """Compares this node with its counterparts."""

    def __init__(
        self,
        *,
        city: str,
        agency: Agency,
        counterparts: Mapping[str, Counterpart],
        inventory: Inventory,
        directory: Directory,
        grace: timedelta = GRACE,
        audit: Audit | None = None,
    ) -> None:
        self._city = city
        self._me = str(agency)
        self._counterparts = dict(counterparts)
        self._inventory = inventory
        self._directory = directory
        self._grace = grace // timedelta(microseconds=1)
        self._audit = audit

    async def run(self, *, since: int = 0) -> Reconciliation:
        """Errors: none of a counterpart; one that cannot be asked is named with the number of the reason."""
        clock = self._inventory.clock
        begin, window = clock.ticks(), Window(since=since, until=micros(clock.now()))
        found = _Found()
        await self._inventory.of(window, anew=True)
        async with asyncio.TaskGroup() as tasks:
            for counterpart in self._counterparts.values():
                tasks.create_task(self._compare(counterpart, window, found))
        left_out = max(0, len(found.suspects) - MOST)
        suspects = dict(sorted(found.suspects.items())[:MOST])
        gone = {one.counterpart for one in found.compared if one.trouble}
        differences, in_flight = await self._named(suspects, gone=gone, now=window.until)
        differences += await self._audited(window, found)
        return Reconciliation(
            node=self._me,
            until=window.until,
            pairs=tuple(sorted(found.compared, key=lambda one: one.counterpart)),
            differences=tuple(sorted(differences, key=lambda one: (one.signed_at, one.eid, one.at, one.entry))),
            left_out=left_out,
            in_flight=in_flight,
            elapsed_ms=int((clock.ticks() - begin) * 1000),
        )

    async def _audited(self, window: Window, found: _Found) -> list[Difference]:
        """What the gateway's log does not keep, also of headers that never came here; if it could not be asked, that is its trouble."""
        if self._audit is None:
            return []
        broken, trouble = await self._audit()
        if trouble:
            found.compared = [
                replace(one, trouble=one.trouble or trouble) if one.counterpart == Agency.GATEWAY else one
                for one in found.compared
            ]
        return [one for one in broken if not one.signed_at or one.signed_at >= window.since]

    async def _compare(self, counterpart: Counterpart, window: Window, found: _Found) -> None:
        try:
            found.compared.append(await self._compared(counterpart, window, found.suspects))
        except XiebanError as error:
            log.warning("no reconciliation", extra={"agency": counterpart.name, "reason": error.reason.name})
            found.compared.append(Compared(counterpart=counterpart.name, trouble=error.reason.number))

    async def _compared(self, counterpart: Counterpart, window: Window, suspects: dict[str, Series]) -> Compared:
        summary = await self.summary(counterpart, window)
        told = {(Series(one.what, one.sender, one.receiver), Side(one.side)): one for one in summary.series}
        leaves = await self._inventory.of(window)
        here = there = 0
        for pair in pairs(self._me, counterpart.name):
            mine, theirs = leaves.get((pair.series, pair.mine), []), told.get((pair.series, pair.theirs))
            here += len(mine)
            there += theirs.count if theirs is not None else 0
            suspects |= dict.fromkeys(flawed(mine), pair.series)
            if theirs is None or theirs.count != len(mine) or theirs.root != root(mine).hex():
                apart = await drill(mine, counterpart, window, pair)
                suspects |= dict.fromkeys((eid_of(leaf) for leaf in apart), pair.series)
        return Compared(
            counterpart=counterpart.name, held_here=here, held_there=there, summarized_at=summary.at
        )  # fmt: skip

    async def summary(self, counterpart: Counterpart, window: Window, *, deadline: float = 60.0) -> Summary:
        """The counterpart's word, verified and about this window. Errors: those of the call and of the seal, FIELD_INVALID."""
        data = await counterpart.summarize(window, deadline=deadline)
        summary = open_summary(
            data, city=self._city, sender=counterpart.name, receiver=self._me, directory=self._directory
        )
        if (summary.since, summary.until) != (window.since, window.until):
            raise failure(Reason.FIELD_INVALID, field="window", detail="答非所问")
        return summary

    async def _named(self, suspects: Mapping[str, Series], *, gone: set[str], now: int) -> tuple[list[Difference], int]:
        """The differences that stand when everybody concerned was asked again, and how many are only on their way."""
        known: dict[str, Copies] = {eid: {} for eid in suspects}
        authors: dict[str, list[str]] = defaultdict(list)
        others: dict[str, list[str]] = defaultdict(list)
        for eid, series in suspects.items():
            (author, _), *rest = copies(series)
            authors[author].append(eid)
            for node, _ in rest:
                others[node].append(eid)
        for turn in (authors, others):  # the author first, see above
            for node, eids in turn.items():
                if node not in gone and not await self._ask(node, eids, known):
                    gone.add(node)
        differences: list[Difference] = []
        in_flight = 0
        for eid, series in suspects.items():
            some, moving = self._judge(eid, series, known[eid], gone=gone, now=now)
            differences += some
            in_flight += moving
        return differences, in_flight

    async def _ask(self, node: str, eids: Sequence[str], known: dict[str, Copies]) -> bool:
        """Note how these stand at a node; False if nobody could tell."""
        try:
            if node == self._me:
                standings = await self._inventory.standings(eids)
            elif node in self._counterparts:
                standings = await self._counterparts[node].standings(eids)
            else:
                return False
        except XiebanError as error:
            log.warning("no word about statements", extra={"agency": node, "reason": error.reason.name})
            return False
        for standing in standings:
            if standing.eid in known:
                known[standing.eid][node, standing.side] = standing
        return True

    def _judge(
        self, eid: str, series: Series, found: Copies, *, gone: set[str], now: int
    ) -> tuple[list[Difference], bool]:
        expected = copies(series)
        author = found.get(expected[0])
        held_by = tuple(node for node, side in expected if _whole(found.get((node, side))))
        best = max(found.values(), key=lambda one: (one.held, bool(one.case_id), one.signed_at), default=None)
        if best is None or not best.held:
            return [], False  # nobody holds it: there is nothing to be missing
        young = best.signed_at > now - self._grace
        differences: list[Difference] = []
        moving = False

        def name(problem: Problem, at: str, **more: object) -> None:
            made = Difference(
                problem=problem, eid=eid, series=series, kind=best.kind, case_id=best.case_id,
                signed_at=best.signed_at, at=at, held_by=held_by,
            )  # fmt: skip
            differences.append(replace(made, **more))  # type: ignore[arg-type]

        for node, side in expected:
            if node in gone:
                continue
            copy = found.get((node, side))
            if copy is None and side is Side.OUT:
                name(Problem.EXTRA, node)
            elif copy is None:
                waits = author is None or node in author.awaiting
                if young and waits and (author is not None or expected[0][0] in gone):
                    moving = True
                else:
                    name(Problem.MISSING, node)
            elif copy.held and copy.flaw:
                name(Problem.DIFFERENT, node, flaw=copy.flaw)
        return differences, moving


async def drill(mine: Sequence[bytes], counterpart: Counterpart, window: Window, pair: Pair) -> set[bytes]:
    """Leaves of a series that only one of the two nodes has."""
    apart: set[bytes] = set()
    ask = [""]
    while ask and len(apart) <= MOST:
        prefix = ask.pop()
        some, deeper = differing(mine, await counterpart.branch(window, pair, prefix), prefix)
        apart |= some
        ask += deeper
    return apart


class Run:
    """What a node does with what it finds: keeps the last result, and has put right what it can."""

    def __init__(self, comparer: Comparer, *, mend: Callable[[Sequence[Difference]], Awaitable[set[str]]]) -> None:
        self._comparer = comparer
        self._mend = mend
        self.last: Reconciliation | None = None

    async def night(self) -> Reconciliation:
        """One run as it is done each night, with its repairs."""
        self.last = await self.repaired(await self._comparer.run())
        return self.last

    async def repaired(self, found: Reconciliation) -> Reconciliation:
        """The result with what was begun to be put right marked."""
        begun = await self._mend(found.differences)
        marked = (replace(one, repairing=f"{one.eid}@{one.at}" in begun) for one in found.differences)
        return replace(found, differences=tuple(marked))


def _whole(standing: Standing | None) -> bool:
    return standing is not None and standing.held and not standing.flaw


__all__ = ["GRACE", "Comparer", "Run", "drill"]

"""What reconciliation asks of a node's own tables, and an ordered inventory of it. Which tables there are is the node's own module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.marshal import sealed_from_bytes, stored_payload
from xieban.reconcile import Flaw, Series, Side, Standing, What, Window, eid_of, leaf

PAGE: Final = 1000
"""Rows of one short transaction: nobody waits behind a whole inventory."""
FRESH: Final = 60.0
"""Technical seconds for which an inventory answers questions about its window; whatever it has wrong is asked again by eid."""
MOST: Final = 4


@dataclass(frozen=True, slots=True)
class Shelf:
    """One table of statements as reconciliation reads it: the kind, and whose copies it holds."""

    what: What
    side: Side


class Holdings(Protocol):
    """A node's tables of statements."""

    @property
    def shelves(self) -> Sequence[Shelf]: ...

    def page(self, tx: Transaction, shelf: Shelf, *, since: int, after: str, limit: int) -> list[Standing]:
        """Copies in order of their eids behind `after`, judged, without what they wait for. `since` may be taken as a hint."""
        ...

    def standings(self, tx: Transaction, eids: Collection[str]) -> list[Standing]:
        """Every copy of these, with everything known of it; also those refused."""
        ...

    def sealed(self, tx: Transaction, eids: Collection[str]) -> dict[str, tuple[Series, bytes]]:
        """The bytes of these, as carried."""
        ...


class End(msgspec.Struct, frozen=True):
    """Who speaks or is spoken to."""

    agency: str


class Stated(msgspec.Struct, frozen=True):
    """A fact of a receipt."""

    of: str
    kind: str


class Brief(msgspec.Struct, frozen=True):
    """What every kind of statement tells of itself, read leniently from bytes that were verified when they were stored."""

    sender: End = msgspec.field(name="from")
    receiver: End = msgspec.field(name="to")
    sent_at: int = 0
    at: int = 0
    kind: str = ""
    occasion: str = ""
    act: str = ""
    case: Any = None
    facts: list[Stated] = msgspec.field(default_factory=list)

    @property
    def signed_at(self) -> int:
        return self.sent_at or self.at

    @property
    def case_id(self) -> str:
        return str(self.case["id"]) if isinstance(self.case, dict) else self.case or ""

    @property
    def what_kind(self) -> str:
        """The handoff's kind, a receipt's facts, a notice's occasion, a reply's act."""
        return self.kind or self.occasion or self.act or ",".join(sorted({fact.kind for fact in self.facts}))


_brief = msgspec.json.Decoder(Brief).decode


def brief(eid: str, data: bytes) -> Brief | None:
    """What stored bytes say, if they are this statement's."""
    try:
        return _brief(stored_payload(data)) if sealed_from_bytes(data).eid == eid else None
    except (XiebanError, msgspec.DecodeError, ValueError):
        return None


@dataclass(slots=True)
class _Stock:
    leaves: dict[tuple[Series, Side], list[bytes]]
    made_at: float


@dataclass(slots=True)
class Inventory:
    """The leaves of every series here, for windows that were asked for lately."""

    database: Database
    holdings: Holdings
    clock: Clock
    agency: Agency
    _stocks: dict[Window, _Stock] = field(default_factory=dict)

    async def of(self, window: Window, *, anew: bool = False) -> dict[tuple[Series, Side], list[bytes]]:
        """Leaves in order by series and side. Who begins to compare has them read `anew`; who goes on takes what there is."""
        now = self.clock.ticks()
        known = self._stocks.get(window)
        if anew or known is None or now - known.made_at > FRESH:
            known = self._stocks[window] = _Stock(await self._read(window), now)
            for old in sorted(self._stocks, key=lambda one: self._stocks[one].made_at)[:-MOST]:
                del self._stocks[old]
        return known.leaves

    async def _read(self, window: Window) -> dict[tuple[Series, Side], list[bytes]]:
        found: dict[tuple[Series, Side], list[bytes]] = defaultdict(list)
        for shelf in self.holdings.shelves:
            after = ""
            while True:
                page = partial(self.holdings.page, shelf=shelf, since=window.since, after=after, limit=PAGE)
                rows = await self.database.read(page)
                for row in rows:
                    if window.since <= row.signed_at <= window.until:
                        found[row.series, row.side].append(leaf(row.eid, row.flaw))
                if len(rows) < PAGE:
                    break
                after = rows[-1].eid
        return dict(found)

    async def standings(self, eids: Collection[str]) -> list[Standing]:
        """How these stand now."""
        return await self.database.read(lambda tx: self.holdings.standings(tx, eids)) if eids else []


def flawed(leaves: Sequence[bytes]) -> list[str]:
    """Eids of the leaves that a node itself knows to be not whole."""
    return [eid_of(value) for value in leaves if value[32]]


def judged(eid: str, data: bytes, *, effect: bool) -> Flaw:
    """`effect`: whether what the statement says is in the tables beside it."""
    if brief(eid, data) is None:
        return Flaw.BYTES
    return Flaw.NONE if effect else Flaw.EFFECT

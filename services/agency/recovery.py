"""What a restored node gets back: its own statements from whoever holds them, then what others had told it, by the ordinary path.

Its own are verified by its own seal before they are believed, and nothing is sealed while they are written down. What others had sent
is asked for again once the node is open; `receiving` knows by the facts that came back how each stood.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.agency import outbox, store
from services.agency.desk import entry_of
from services.agency.holdings import parts
from services.agency.store import Box, Entry, FactRow, LaneKey
from services.agency.work import Identity, Numbers, Work
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction, placeholders
from services.reconcile.asking import Counterpart
from services.reconcile.comparing import Comparer, drill
from services.reconcile.shelf import Inventory
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import Header, Receipt, State
from xieban.marshal import micros, sealed_to_bytes
from xieban.procedure import CaseState, advance, table
from xieban.reconcile import Series, Side, Window, eid_of, pairs, root
from xieban.seal import Directory, Sealed
from xieban.statement import open_header, open_receipt
from xieban.subjects import Address

log = logging.getLogger(__name__)
Leaves = Mapping[tuple[Series, Side], list[bytes]]


async def lacking(
    comparer: Comparer, counterpart: Counterpart, window: Window, mine: Leaves, *, me: str, deadline: float,
    side: Side = Side.OUT,
) -> set[str]:  # fmt: skip
    """Eids that a counterpart holds and we do not, of those we said (`side` OUT) or were told (IN). Errors: those of asking."""
    summary = await comparer.summary(counterpart, window, deadline=deadline)
    told = {(Series(one.what, one.sender, one.receiver), Side(one.side)): one for one in summary.series}
    found: set[str] = set()
    for pair in pairs(me, counterpart.name):
        own, theirs = mine.get((pair.series, pair.mine), []), told.get((pair.series, pair.theirs))
        if pair.mine is not side or theirs is None:
            continue
        if theirs.count != len(own) or theirs.root != root(own).hex():
            apart = await drill(own, counterpart, window, pair)
            found |= {eid_of(leaf) for leaf in apart} - {eid_of(leaf) for leaf in own}
    return found


@dataclass(slots=True)
class Recovery:
    """For one agency's node. `directory` judges every key that was ever ours, because what it sealed then still stands."""

    database: Database
    me: Identity
    numbers: Numbers
    clock: Clock
    directory: Directory
    inventory: Inventory
    comparer: Comparer
    counterparts: Mapping[str, Counterpart]

    async def take_back(self, missing: Mapping[str, set[str]]) -> None:
        """Fetch, verify and write down our own statements, by who holds them."""
        headers: dict[str, tuple[Sealed, Header]] = {}
        receipts: dict[str, tuple[Sealed, Receipt]] = {}
        for name, eids in missing.items():
            for series, data in await self.counterparts[name].fetch(sorted(eids)):
                address = Address(self.me.city, series.what, self.me.agency, series.receiver)
                try:
                    if series.what == "handoff":
                        sealed, header = open_header(data, address=address, directory=self.directory)
                        headers[sealed.eid] = sealed, header
                    elif series.what == "receipt":
                        sealed, receipt = open_receipt(data, address=address, directory=self.directory)
                        receipts[sealed.eid] = sealed, receipt
                except XiebanError as error:
                    log.error("not a statement of ours", extra={"agency": name, "reason": error.reason.name})
        holders = {eid: {name for name, eids in missing.items() if eid in eids} for eid in (*headers, *receipts)}
        body = partial(self._write, headers=list(headers.values()), receipts=list(receipts.values()), holders=holders)
        await self.database.write(body)
        log.warning("own statements are back", extra={"handoffs": len(headers), "receipts": len(receipts)})

    async def ask_again(self) -> None:
        """Have everybody publish again what they told us and we do not have."""
        window = Window()
        mine = await self.inventory.of(window, anew=True)
        for name, counterpart in self.counterparts.items():
            if name == self.me.agency:
                continue
            try:
                eids = await lacking(
                    self.comparer, counterpart, window, mine, me=self.me.agency, deadline=60.0, side=Side.IN
                )  # fmt: skip
                if eids:
                    count = await counterpart.send_again(sorted(eids))
                    log.info("asked to publish again", extra={"agency": name, "count": count})
            except XiebanError as error:
                log.error("not asked to publish again", extra={"agency": name, "reason": error.reason.name})

    def _write(
        self,
        tx: Transaction,
        *,
        headers: Sequence[tuple[Sealed, Header]],
        receipts: Sequence[tuple[Sealed, Receipt]],
        holders: Mapping[str, set[str]],
    ) -> None:
        for eids in parts(holders):  # a row that outlived its statement is made anew with it
            tx.run(f"DELETE FROM outbox WHERE eid IN ({placeholders(len(eids))})", eids)
        work = Work(me=self.me, at=micros(self.clock.now()), numbers=self.numbers)
        work.cases = store.cases(tx, {header.case.id for _, header in headers})
        work.lanes = store.lanes(tx, {header.case.id for _, header in headers}, box="out")
        ordered = sorted(headers, key=lambda one: (one[1].sent_at, one[1].lane.seq))
        taken = set(store.handoffs_known_as(tx, [store.origin(header) for _, header in headers], box="out"))
        entries: list[Entry] = []
        for sealed, header in ordered:
            if store.origin(header) in taken:
                log.error("two statements of ours under one number: one of them is left out", extra={"eid": sealed.eid})
                continue
            taken.add(store.origin(header))
            entries.append(self._sent(work, sealed, header))
        parcels = work.flush(tx)
        rows: list[tuple[str, Box, str, int, str, bytes]] = [
            (sealed.eid, "out", receipt.receiver.agency, receipt.at, "", sealed_to_bytes(sealed))
            for sealed, receipt in receipts
        ]
        tx.many(*store.receipts_insert(rows))
        tx.many(*store.facts_insert([FactRow(fact, sealed.eid) for sealed, told in receipts for fact in told.facts]))
        owed = [
            (eid, audience, "receipt", peer) for eid, _, peer, *_ in rows for audience in {peer, str(Agency.GATEWAY)}
        ]
        tx.many(*outbox.insert(owed))
        held = [(eid, name) for eid, names in holders.items() for name in names]
        tx.many(*outbox.finish(held))
        log.info("written down", extra={"count": len(entries) + len(rows), "owed": len(parcels)})

    def _sent(self, work: Work, sealed: Sealed, header: Header) -> Entry:
        """A handoff of ours as it was when it had just been sealed; others' receipts will move it."""
        known = work.cases.get(header.case.id)
        state = CaseState(stage=header.case.stage, returns=known.state.returns if known is not None else 0)
        kind = table().kinds.get(header.kind)  # None: a later version said it; it is ours, but moves nothing here
        if kind is not None:
            state = advance(state, kind, on="sent", outcome=header.outcome)
        work.case_put(header.case.id, state)
        entry = entry_of(header, sealed, box="out", state=State.SENT, client_ref="", trace="")
        work.entry_add(entry)
        lane: LaneKey = (entry.case_id, entry.from_agency, entry.to_agency, "out")
        if header.lane.seq > work.lanes.get(lane, (0, ""))[0]:
            work.lane_put(lane, header.lane.seq, entry.eid)
        return entry

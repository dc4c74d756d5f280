"""What other nodes say about our statements: receipts move our handoffs, tickets finish outbox rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.agency import outbox, promises, store
from services.agency.desk import Arrival, Desk
from services.agency.promises import Promise
from services.agency.receiving import digest_of
from services.agency.repeats import reopened
from services.agency.work import Work
from services.chassis import faults
from services.chassis.database import Transaction
from services.relay import Parcel
from services.tickets import Heard, finished
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Receipt
from xieban.marshal import micros
from xieban.seal import Directory, Sealed
from xieban.statement import open_receipt
from xieban.subjects import parse


class Hearing:
    """The desk's ear for receipts and tickets."""

    def __init__(
        self, desk: Desk, *, contradicted: Callable[[Sequence[Promise]], None], gaps: promises.Gaps = ()
    ) -> None:
        """`contradicted` is given promises of the gateway that contradict others, once they are durable.

        `gaps` are the places of the log that foundings have left behind.
        """
        self._desk = desk
        self._gaps = gaps
        self._contradicted = contradicted

    async def hear(self, arrivals: Sequence[Arrival]) -> None:
        """Take receipts about what we sent, then tell their author that we hold them."""
        opened: list[tuple[Arrival, Sealed, Receipt]] = []
        refused: list[tuple[Arrival, XiebanError]] = []
        for arrival in arrivals:
            address = parse(arrival.subject)
            if address is None or address.city != self._desk.me.city:
                continue
            try:
                opened.append((arrival, *_open(arrival, self._desk.directory)))
            except XiebanError as error:
                refused.append((arrival, error))
        again, refused = await reopened(self._desk, refused, open=_open, known=store.receipts_known)
        opened += [(arrival, *value) for arrival, value in again]
        for arrival, reason in refused:
            await self._refuse_receipt(arrival, reason)
        self._desk.done(*await self._desk.database.write(lambda tx: self._hear_all(tx, opened)))
        held: dict[str, list[str]] = {}
        for _, sealed, receipt in opened:
            held.setdefault(receipt.sender.agency, []).append(sealed.eid)
        for agency, eids in held.items():
            self._desk.owe(agency, eids)

    def _hear_all(
        self, tx: Transaction, opened: Sequence[tuple[Arrival, Sealed, Receipt]]
    ) -> tuple[Work, list[Parcel]]:
        work = self._desk.work()
        known = store.receipts_known(tx, [sealed.eid for _, sealed, _ in opened])
        about = {fact.of for _, _, receipt in opened for fact in receipt.facts}
        work.entries = {(eid, "out"): e for eid, e in store.handoffs(tx, about, box="out").items()}
        work.cases = store.cases(tx, {entry.case_id for entry in work.entries.values()})
        for arrival, sealed, receipt in opened:
            if sealed.eid not in known:
                known.add(sealed.eid)
                work.receipt_heard(sealed.eid, receipt.sender.agency, arrival.trace, arrival.data)
            self._hear(work, sealed.eid, receipt)  # said again, it is the word that a row opened again waits for
        parcels = work.flush(tx)
        faults.point("S4")
        return work, parcels

    def _hear(self, work: Work, eid: str, receipt: Receipt) -> None:
        for fact in receipt.facts:
            entry = work.entries.get((fact.of, "out"))
            if entry is None or entry.to_agency != receipt.sender.agency:
                continue  # not about anything of ours from whom it should come: kept as a statement, without effect
            work.state_heard(entry, fact, eid)
            work.finished.append((entry.eid, entry.to_agency))

    async def _refuse_receipt(self, arrival: Arrival, error: XiebanError) -> None:
        row = (digest_of(arrival.data), arrival.subject, error.reason.name, micros(self._desk.clock.now()))
        await self._desk.database.write(lambda tx: tx.many(*store.refused_insert([row])))

    async def take(self, tickets: Sequence[Heard]) -> None:
        """Finish outbox rows whose audience has given its word, and keep what the gateway promises of its log."""
        rows, at = finished(tickets), micros(self._desk.clock.now())

        def keep(tx: Transaction) -> list[Promise]:
            tx.many(*outbox.finish(rows))
            return promises.keep(tx, tickets, at=at, gaps=self._gaps)

        contradicting = await self._desk.database.write(keep)
        self._desk.finished(rows)
        if contradicting:
            self._contradicted(contradicting)


def _open(arrival: Arrival, directory: Directory) -> tuple[Sealed, Receipt]:
    address = parse(arrival.subject)
    if address is None:
        raise failure(Reason.FIELD_INVALID, field="subject", detail="通道名称不合规范")
    return open_receipt(arrival.data, address=address, directory=directory)

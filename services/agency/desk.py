"""The desk: what every use case of an agency shares, and the values it works on.

    sending    an agency system sends, accepts, returns, answers, withdraws
    receiving  headers arrive, dossiers have been pulled
    hearing    receipts and tickets arrive
    noticing   the gateway's notices arrive, its supervisions are signed for and explained

Each use case takes a batch and is one transaction: state, facts and outbox rows commit together, and nothing leaves before. What the
law allows is decided by `xieban.procedure` and the rulebook, how rows are written by `store` and `work`; carrying is the relay's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.agency.rulebook import Rulebook
from services.agency.store import Box, Entry
from services.agency.work import Identity, Numbers, Work
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.relay import Parcel
from xieban import canonical
from xieban.approval import Officers
from xieban.handoff import Defect, Fact, FactKind, Header, State
from xieban.marshal import micros, sealed_to_bytes, stored_payload
from xieban.procedure import Table, table
from xieban.seal import Directory, Sealed

WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A statement off the bus."""

    subject: str
    data: bytes
    trace: str


@dataclass(frozen=True, slots=True)
class Desk:
    """One agency's desk over its database, and where its work goes after a commit.

    `carry` takes parcels to publish, `finished` outbox rows (eid, audience) that are, `committed` rings for readers, `owe` notes
    that an agency be told what is held here, `to_pull` takes handoffs whose dossier is wanted, `noted` how far the numbers have come.
    """

    me: Identity
    rulebook: Rulebook
    database: Database
    directory: Directory
    officers: Officers
    clock: Clock
    numbers: Numbers
    carry: Callable[[Sequence[Parcel]], None]
    finished: Callable[[Sequence[tuple[str, str]]], None]
    committed: Callable[[], None]
    owe: Callable[[str, Sequence[str]], None]
    to_pull: Callable[[Sequence[Entry]], None]
    noted: Callable[[int, int], None] = lambda handoff, event: None
    tables: Table = field(default_factory=table)

    def work(self) -> Work:
        """Only inside a transaction: there is one writer, so numbers are given in order; a rollback leaves a gap, no more."""
        return Work(me=self.me, at=micros(self.clock.now()), numbers=self.numbers)

    def done(self, work: Work, parcels: Sequence[Parcel]) -> None:
        """After the commit: hand on what it produced."""
        self.noted(*work.reached)
        self.carry(parcels)
        if work.finished:
            self.finished(work.finished)
        if work.told:
            self.committed()


def fact(work: Work, eid: str, kind: FactKind, *, defects: Sequence[Defect] = (), answer: str = "") -> Fact:
    """A fact stated now."""
    return Fact(of=eid, kind=kind, at=work.at, defects=list(defects), answer=answer)


def header_of(entry: Entry) -> Header:
    """The header of a stored handoff; it was verified when it was stored."""
    return canonical.read(stored_payload(entry.sealed), Header)


def entry_of(header: Header, sealed: Sealed, *, box: Box, state: State, client_ref: str, trace: str) -> Entry:
    """The row of a handoff; its seq is given when it is added."""
    return Entry(
        eid=sealed.eid,
        box=box,
        seq=0,
        handoff_id=header.id,
        client_ref=client_ref,
        kind=header.kind,
        case_id=header.case.id,
        stage=header.case.stage,
        from_agency=header.sender.agency,
        from_office=header.sender.office,
        to_agency=header.receiver.agency,
        to_office=header.receiver.office,
        outcome=header.outcome,
        state=state,
        inc=header.inc,
        lane_seq=header.lane.seq,
        parked=False,
        sent_at=header.sent_at,
        trace=trace,
        sealed=sealed_to_bytes(sealed),
    )

"""One unit of work of the desk: what a transaction read, what it changed, and what leaves through the outbox.

The desk decides on the values held here; `flush` writes everything in a handful of batched statements and returns the parcels the
relay has to carry. Facts are sealed here, grouped by the agency they are told to, so a busy moment costs one signature and not
one for each handoff.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.agency import contents, outbox, store
from services.agency.store import Box, CaseRow, Entry, FactRow, LaneKey
from services.chassis.database import Transaction
from services.relay import Parcel
from xieban import subjects
from xieban.agency import Agency
from xieban.dossier import CaseNumbers, Packed
from xieban.handoff import HEADER_VERSION, MAX_FACTS, Fact, Node, Receipt, State, climb
from xieban.marshal import sealed_to_bytes
from xieban.procedure import CaseState, advance, retreat, table
from xieban.seal import SealKey
from xieban.statement import seal_receipt

CAME_TO_NOTHING = frozenset({State.RETURNED, State.REJECTED, State.WITHDRAWN})


@dataclass(slots=True)
class Identity:
    """Who this node is and with what it seals. `inc` is raised once, when the node opens after a restore."""

    city: str
    agency: Agency
    inc: int
    key: SealKey


@dataclass(slots=True)
class Numbers:
    """The last sequence numbers given; there is one writer, so they live in memory."""

    handoff: int
    event: int


@dataclass(slots=True)
class Work:
    """Loaded values are plain attributes; whatever is changed is noted and written by `flush`."""

    me: Identity
    at: int
    numbers: Numbers
    cases: dict[str, CaseRow] = field(default_factory=dict)
    lanes: dict[LaneKey, tuple[int, str]] = field(default_factory=dict)
    entries: dict[tuple[str, Box], Entry] = field(default_factory=dict)
    finished: list[tuple[str, str]] = field(default_factory=list)
    lost_dossiers: list[Entry] = field(default_factory=list)
    _cases_changed: set[str] = field(default_factory=set)
    _lanes_changed: set[LaneKey] = field(default_factory=set)
    _added: list[Entry] = field(default_factory=list)
    _changed: dict[tuple[str, Box], Entry] = field(default_factory=dict)
    _events: list[tuple[int, str, Box, str, int]] = field(default_factory=list)
    _own_facts: dict[str, list[tuple[Fact, str]]] = field(default_factory=dict)
    _heard_facts: list[FactRow] = field(default_factory=list)
    _heard_receipts: list[tuple[str, Box, str, int, str, bytes]] = field(default_factory=list)
    _dossiers: list[contents.DossierRow] = field(default_factory=list)
    _refs: list[tuple[str, str, str]] = field(default_factory=list)
    _refused: list[tuple[str, str, str, int]] = field(default_factory=list)

    def case_put(self, case_id: str, state: CaseState) -> CaseRow:
        """Open the case, or move it."""
        known = self.cases.get(case_id)
        if known is None:
            known = CaseRow(case_id=case_id, state=state, numbers=CaseNumbers(), opened_at=self.at, updated_at=self.at)
            self.cases[case_id] = known
        known.state = state
        known.updated_at = self.at
        self._cases_changed.add(case_id)
        return known

    def case_numbers(self, case_id: str, numbers: CaseNumbers) -> None:
        """Note numbers a dossier tells; a number once known is not blanked."""
        case = self.cases[case_id]
        case.numbers = CaseNumbers(
            police=numbers.police or case.numbers.police,
            procuratorate=numbers.procuratorate or case.numbers.procuratorate,
            court=numbers.court or case.numbers.court,
        )
        self._cases_changed.add(case_id)

    def lane_put(self, key: LaneKey, seq: int, eid: str) -> None:
        self.lanes[key] = (seq, eid)
        self._lanes_changed.add(key)

    def entry_add(self, entry: Entry) -> None:
        self.numbers.handoff += 1
        entry.seq = self.numbers.handoff
        self.entries[entry.eid, entry.box] = entry
        self._added.append(entry)  # no event: its sender has just been told, and its receiver hears of `delivered`

    def entry_changed(self, entry: Entry) -> None:
        self._changed[entry.eid, entry.box] = entry

    def ref_add(self, client_ref: str, digest: str, eid: str) -> None:
        self._refs.append((client_ref, digest, eid))

    def dossier_add(self, eid: str, packed: Packed) -> None:
        self._dossiers.append((eid, packed.salt, packed.manifest, packed.contents))

    def refuse(self, digest: str, subject: str, reason: str) -> None:
        self._refused.append((digest, subject, reason, self.at))

    def receipt_heard(self, eid: str, peer: str, trace: str, sealed: bytes) -> None:
        self._heard_receipts.append((eid, "in", peer, self.at, trace, sealed))

    def state_own(self, entry: Entry, fact: Fact, *, admitted: bool = True) -> None:
        """State a fact about a received handoff: it is sealed, told to its sender, and moves the handoff here.

        What was not `admitted` never had an effect on its case, so there is none to take back.
        """
        self._own_facts.setdefault(entry.from_agency, []).append((fact, entry.trace))
        self._climb(entry, fact, admitted=admitted)

    def recall(self, entry: Entry, fact: Fact, *, admitted: bool = True) -> None:
        """Let a fact that was stated before a restore move the handoff again; it is sealed already."""
        self._climb(entry, fact, admitted=admitted)

    def tell(self, agency: str, fact: Fact, trace: str) -> None:
        """State a fact about a statement that was refused at the door; there is no entry to move."""
        self._own_facts.setdefault(agency, []).append((fact, trace))

    def state_heard(self, entry: Entry, fact: Fact, receipt: str) -> None:
        """Take the receiver's fact about a handoff of ours."""
        self._heard_facts.append(FactRow(fact=fact, receipt=receipt))
        self._climb(entry, fact)

    def flush(self, tx: Transaction) -> list[Parcel]:
        """Write everything and return what the relay has to carry, receipts first."""
        receipts, parcels = self._seal_facts()
        own = [row for rows in receipts for row in rows[1]]
        added = [entry for entry in self._added if entry.box == "out"]
        for entry in added:
            parcels.append(
                Parcel(
                    eid=entry.eid,
                    subject=subjects.handoff(self.me.city, entry.from_agency, entry.to_agency),
                    data=entry.sealed,
                    audiences=frozenset({entry.to_agency, Agency.GATEWAY}),
                    trace=entry.trace,
                )
            )
        fresh = {(entry.eid, entry.box) for entry in self._added}
        for sql, rows in (
            store.cases_write([self.cases[case_id] for case_id in sorted(self._cases_changed)]),
            store.handoffs_insert(self._added),
            store.handoffs_update([entry for key, entry in self._changed.items() if key not in fresh]),
            store.client_refs_insert(self._refs),
            store.lanes_write({key: self.lanes[key] for key in self._lanes_changed}),
            contents.insert(self._dossiers),
            contents.files_insert(self._dossiers),
            store.receipts_insert([*(row for row, _ in receipts), *self._heard_receipts]),
            store.facts_insert([*own, *self._heard_facts]),
            outbox.insert([row for parcel in parcels for row in _outbox_rows(parcel)]),
            outbox.finish(self.finished),
            store.events_insert(self._events),
            store.refused_insert(self._refused),
        ):
            tx.many(sql, rows)
        return parcels

    def _climb(self, entry: Entry, fact: Fact, *, admitted: bool = True) -> None:
        state = climb(entry.state, fact.kind)
        if state == entry.state:
            return
        # An answer implies acceptance, and its receipt may overtake the one that says so.
        accepted = state in (State.ACCEPTED, State.ANSWERED) and entry.state is not State.ACCEPTED
        entry.state = state
        self.entry_changed(entry)
        self._event(entry)
        if entry.case_id not in self.cases:
            return
        case, kind = self.cases[entry.case_id], table().kinds.get(entry.kind)
        if kind is None:  # refused because nobody knows it, so it never moved anything
            return
        moved = case.state
        if accepted:
            moved = advance(case.state, kind, on="accepted", outcome=entry.outcome)
        elif (
            state in CAME_TO_NOTHING and admitted and not (entry.box == "out" and entry.from_agency == entry.to_agency)
        ):
            # Within one agency both ends share the case, and the receiver's end has moved it back.
            moved = retreat(case.state, kind, stage=entry.stage, outcome=entry.outcome)
        if moved != case.state:
            self.case_put(entry.case_id, moved)

    @property
    def reached(self) -> tuple[int, int]:
        """The highest numbers of a handoff and of an event given here; 0 where there was none."""
        return max((one.seq for one in self._added), default=0), max((one[0] for one in self._events), default=0)

    @property
    def told(self) -> bool:
        """Whether there is anything new for a reader of the inbox."""
        return bool(self._events)

    def _event(self, entry: Entry) -> None:
        self.numbers.event += 1
        self._events.append((self.numbers.event, entry.eid, entry.box, entry.state, self.at))

    def _seal_facts(self) -> tuple[list[tuple[tuple[str, Box, str, int, str, bytes], list[FactRow]]], list[Parcel]]:
        rows: list[tuple[tuple[str, Box, str, int, str, bytes], list[FactRow]]] = []
        parcels: list[Parcel] = []
        for peer, told in self._own_facts.items():
            for group in _chunks(told):
                receipt = Receipt(
                    v=HEADER_VERSION,
                    id=secrets.token_hex(12),
                    sender=Node(city=self.me.city, agency=self.me.agency),
                    receiver=Node(city=self.me.city, agency=peer),
                    inc=self.me.inc,
                    at=self.at,
                    facts=[fact for fact, _ in group],
                )
                sealed = seal_receipt(receipt, self.me.key)
                data, trace, eid = sealed_to_bytes(sealed), group[0][1], sealed.eid
                rows.append(((eid, "out", peer, self.at, trace, data), [FactRow(fact, eid) for fact, _ in group]))
                parcels.append(
                    Parcel(
                        eid=eid,
                        subject=subjects.receipt(self.me.city, self.me.agency, peer),
                        data=data,
                        audiences=frozenset({peer, Agency.GATEWAY}),
                        trace=trace,
                    )
                )
        return rows, parcels


def _chunks(told: list[tuple[Fact, str]]) -> Iterable[list[tuple[Fact, str]]]:
    """Facts for one receipt each. Only the mechanical ones share a receipt: a clerk's answer to one sender stands alone."""
    shared = [item for item in told if item[0].kind in ("delivered", "complete") and not item[0].defects]
    yield from ([item] for item in told if item not in shared)
    for start in range(0, len(shared), MAX_FACTS):
        yield shared[start : start + MAX_FACTS]


def _outbox_rows(parcel: Parcel) -> Iterable[tuple[str, str, str, str]]:
    parts = subjects.parse(parcel.subject)
    if parts is not None:
        for audience in sorted(parcel.audiences):
            yield parcel.eid, audience, parts.what, parts.receiver


def copy_of(entry: Entry) -> Entry:
    """A detached copy to hand to a caller after the unit of work has ended."""
    return replace(entry)

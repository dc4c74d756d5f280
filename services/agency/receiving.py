"""What arrives from other agencies: headers off the bus, then the dossiers they name. A batch is one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.agency import store
from services.agency.desk import WITHDRAWAL, Arrival, Desk, entry_of, fact, header_of
from services.agency.log_views import Told
from services.agency.repeats import reopened
from services.agency.rulebook import Severity
from services.agency.store import Entry, FactRow, LaneKey
from services.agency.work import Work
from services.chassis import faults
from services.chassis.database import Transaction
from services.relay import Parcel
from xieban import canonical, subjects
from xieban.agency import PARTIES, office
from xieban.dossier import Manifest, Packed
from xieban.drafting import ref_hash
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import SETTLED, Defect, Header, State, climb
from xieban.marshal import micros, sealed_from_bytes, stored_payload
from xieban.procedure import ANY_STAGE, FIRST_STAGE, CaseState, Kind, Proposal, advance, check
from xieban.seal import Directory, Sealed
from xieban.statement import open_header
from xieban.subjects import parse


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of pulling one dossier: the proven manifest with its bytes, or why it failed for good."""

    eid: str
    packed: Packed | None
    manifest: Manifest | None
    error: XiebanError | None


class Receiving:
    """The desk's incoming side."""

    def __init__(self, desk: Desk, *, told: Callable[[Sequence[Told]], Awaitable[None]]) -> None:
        """`told` is given what headers that were taken in say of the supervision log."""
        self._desk = desk
        self._told = told

    async def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Take headers off the bus. When this returns, each is durable, refused, or known already; then it may be acknowledged."""
        opened: list[tuple[Arrival, Sealed, Header]] = []
        refused: list[tuple[Arrival, XiebanError]] = []
        for arrival in arrivals:
            try:
                opened.append((arrival, *self._open(arrival, self._desk.directory)))
            except XiebanError as error:
                refused.append((arrival, error))
        again, refused = await reopened(
            self._desk, refused, open=self._open, known=lambda tx, eids: store.handoffs(tx, set(eids), box="in")
        )
        opened += [(arrival, *value) for arrival, value in again]
        work, parcels = await self._desk.database.write(lambda tx: self._receive(tx, opened, refused))
        self._desk.done(work, parcels)
        self._desk.to_pull(work.lost_dossiers)
        self._desk.to_pull(
            [e for e in work.entries.values() if e.box == "in" and e.state is State.DELIVERED and not e.parked]
        )
        await self._told(
            [
                Told(sealed.eid, header.sender.agency, header.log)
                for _, sealed, header in opened
                if header.log is not None and (sealed.eid, "in") in work.entries
            ]
        )
        faults.point("R2")

    def _receive(
        self,
        tx: Transaction,
        opened: Sequence[tuple[Arrival, Sealed, Header]],
        refused: Sequence[tuple[Arrival, XiebanError]],
    ) -> tuple[Work, list[Parcel]]:
        work = self._desk.work()
        self._load_for_receive(tx, work, opened)
        stated = store.facts(tx, {sealed.eid for _, sealed, _ in opened}) if work.me.inc > 1 else {}
        origins = store.handoffs_known_as(tx, {store.origin(header) for _, _, header in opened}, box="in")
        digests = {_eid_of(arrival.data) or digest_of(arrival.data) for arrival, _ in refused}
        told = store.refused_known(tx, digests | {sealed.eid for _, sealed, _ in opened})
        lost = _lost(tx, work, opened)
        again: list[str] = list(lost)
        for arrival, sealed, header in opened:
            if (sealed.eid, "in") in work.entries:
                again.append(sealed.eid)
                continue
            if origins.setdefault(store.origin(header), sealed.eid) != sealed.eid:
                self._refuse(work, arrival, failure(Reason.EQUIVOCATION, handoff=header.id), told, eid=sealed.eid)
            elif sealed.eid in lost:
                self._retake(work, arrival, sealed, header, stated=lost[sealed.eid])
            elif stated.get(sealed.eid):
                self._recover(work, arrival, sealed, header, stated=stated[sealed.eid])
                again.append(sealed.eid)
            else:
                self._take(work, arrival, sealed, header)
        for arrival, reason in refused:
            self._refuse(work, arrival, reason, told, eid=_eid_of(arrival.data))
        parcels = work.flush(tx) + self._receipts_again(tx, again)
        faults.point("R1")
        return work, parcels

    def _open(self, arrival: Arrival, directory: Directory) -> tuple[Sealed, Header]:
        address = parse(arrival.subject)
        if address is None or address.city != self._desk.me.city:
            raise failure(Reason.FIELD_INVALID, field="subject", detail="通道名称不合规范")
        sealed, header = open_header(arrival.data, address=address, directory=directory)
        for party in (header.sender, header.receiver):
            # Not one of ours by name or by city: it is not kept either, because no reader of the inbox could name it.
            if office(party.agency, party.office).city.token != self._desk.me.city:
                raise failure(Reason.OFFICE_UNKNOWN, office=f"{party.agency}-{party.office}"[:40])
        return sealed, header

    def _load_for_receive(self, tx: Transaction, work: Work, opened: Sequence[tuple[Arrival, Sealed, Header]]) -> None:
        referred = {eid for _, _, header in opened if header.kind == WITHDRAWAL for eid in header.re}
        known = store.handoffs(tx, {sealed.eid for _, sealed, _ in opened} | referred, box="in")
        case_ids = {header.case.id for _, _, header in opened}
        work.entries |= {(eid, "in"): entry for eid, entry in known.items()}
        work.entries |= {(entry.eid, "in"): entry for entry in store.handoffs_parked(tx, case_ids)}
        work.entries |= {(entry.eid, "out"): entry for entry in store.handoffs_open_of_case(tx, case_ids)}
        kinds = self._desk.tables.kinds
        returned = {
            eid for _, _, h in opened if h.kind in kinds and h.outcome in kinds[h.kind].returning for eid in h.re
        }
        work.entries |= {(eid, "out"): entry for eid, entry in store.handoffs(tx, returned, box="out").items()}
        work.cases = store.cases(tx, case_ids)
        work.lanes = store.lanes(tx, case_ids, box="in")

    def _take(self, work: Work, arrival: Arrival, sealed: Sealed, header: Header) -> None:
        entry = entry_of(header, sealed, box="in", state=State.SENT, client_ref="", trace=arrival.trace)
        key: LaneKey = (entry.case_id, entry.from_agency, entry.to_agency, "in")
        seq, _ = work.lanes.get(key, (0, ""))
        if header.case.id not in work.cases:
            # Nothing is believed of a case we hear of for the first time until its header has been admitted.
            work.case_put(header.case.id, CaseState(stage=FIRST_STAGE))
        work.entry_add(entry)
        if entry.lane_seq > seq + 1:
            entry.parked = True
            work.state_own(entry, fact(work, entry.eid, "delivered"))
            return
        self._enter(work, entry, header)
        self._unpark(work, entry)

    def _retake(self, work: Work, arrival: Arrival, sealed: Sealed, header: Header, *, stated: list[FactRow]) -> None:
        """Take back one whose row was lost: it had its effect, and what we stated of it stands."""
        entry = entry_of(header, sealed, box="in", state=State.SENT, client_ref="", trace=arrival.trace)
        for row in stated:
            entry.state = climb(entry.state, row.fact.kind)
        work.entry_add(entry)
        if entry.state is State.SENT:
            work.state_own(entry, fact(work, entry.eid, "delivered"))

    def _recover(self, work: Work, arrival: Arrival, sealed: Sealed, header: Header, *, stated: list[FactRow]) -> None:
        """Take in one that we had before a restore: what we stated of it came back first, and nothing is stated again."""
        entry = entry_of(header, sealed, box="in", state=State.SENT, client_ref="", trace=arrival.trace)
        key: LaneKey = (entry.case_id, entry.from_agency, entry.to_agency, "in")
        admitted = all(row.fact.kind != "rejected" for row in stated)
        known = work.cases.get(entry.case_id)
        state = CaseState(stage=header.case.stage, returns=known.state.returns if known is not None else 0)
        if known is None or (admitted and entry.from_agency != entry.to_agency):
            kind = self._desk.tables.kind(header.kind)
            work.case_put(entry.case_id, advance(state, kind, on="sent", outcome=entry.outcome))
        work.entry_add(entry)
        if header.lane.seq > work.lanes.get(key, (0, ""))[0]:
            work.lane_put(key, header.lane.seq, entry.eid)
        for row in stated:
            work.recall(entry, row.fact, admitted=admitted)
        if any(row.fact.kind == "complete" for row in stated):
            work.lost_dossiers.append(entry)

    def _enter(self, work: Work, entry: Entry, header: Header) -> None:
        """The next handoff of its lane: check it as if we had written it, then let it act on the case."""
        key: LaneKey = (entry.case_id, entry.from_agency, entry.to_agency, "in")
        seq, head = work.lanes.get(key, (0, ""))
        try:
            if header.lane.seq != seq + 1 or header.lane.prev != head:
                raise failure(Reason.LANE_BROKEN, seq=header.lane.seq)
            kind, state = self._admit(work, header)
        except XiebanError as error:
            defect = Defect(code=error.reason.name, article="", item=error.reason.number)
            work.state_own(entry, fact(work, entry.eid, "rejected", defects=[defect]), admitted=False)
        else:
            if entry.from_agency != entry.to_agency:  # within one agency the sender has moved the shared case already
                work.case_put(entry.case_id, advance(state, kind, on="sent", outcome=entry.outcome))
            if entry.state is State.SENT:  # one that was parked has been receipted already
                work.state_own(entry, fact(work, entry.eid, "delivered"))
        if header.lane.seq == seq + 1:
            work.lane_put(key, header.lane.seq, entry.eid)

    def _unpark(self, work: Work, entry: Entry) -> None:
        lane = (entry.case_id, entry.from_agency, entry.to_agency)
        waiting = sorted(
            (e for e in work.entries.values() if e.parked and (e.case_id, e.from_agency, e.to_agency) == lane),
            key=lambda e: e.lane_seq,
        )
        for parked in waiting:
            if parked.lane_seq > work.lanes[*lane, "in"][0] + 1:
                return  # a number already taken goes on to be rejected, or it would hold up the lane for ever
            parked.parked = False
            work.entry_changed(parked)
            self._enter(work, parked, header_of(parked))

    def _admit(self, work: Work, header: Header) -> tuple[Kind, CaseState]:
        sender = office(header.sender.agency, header.sender.office)
        receiver = office(header.receiver.agency, header.receiver.office)
        for act in header.acts:
            row = self._desk.tables.acts.get(act.what)
            if row is None or row.custody != act.custody:
                raise failure(Reason.FIELD_INVALID, field="acts", detail="法律行为与羁押状态不符")
        known = work.cases[header.case.id].state
        state = self._agreed_stage(work, header, known)
        proposal = Proposal(
            kind=header.kind,
            outcome=header.outcome,
            sender=sender,
            receiver=receiver,
            acts=tuple(act.what for act in header.acts),
            answered=(),  # what it refers to may concern others; the sender was held to it
        )
        kind = check(proposal, CaseState(stage=header.case.stage, returns=known.returns), self._desk.tables)
        self._desk.officers.check(header, article=kind.approval)
        return kind, state

    def _agreed_stage(self, work: Work, header: Header, known: CaseState) -> CaseState:
        """Our case once the sender's word for its stage is weighed.

        The holder of a stage is believed about it. If we hold the case by our own record and the sender claims another stage,
        that is a conflict, unless the sender's pending acceptance of something we sent explains it, or that it gave something back
        by this very header, so that the case was there when it was sealed.
        """
        claimed = header.case.stage
        stages = self._desk.tables.stages
        if claimed not in stages:
            raise failure(Reason.STAGE_NOT_ALLOWED, kind=header.kind, stage=claimed[:40], article="")
        if claimed == known.stage or header.sender.agency == header.receiver.agency:
            return known
        if ANY_STAGE in self._desk.tables.kind(header.kind).stages:
            return known  # it moves nothing, so what its sender thinks of the stage is of no account
        believed = CaseState(stage=claimed, returns=known.returns)
        if stages[known.stage].holder is not self._desk.me.agency:
            return believed if stages[claimed].holder == header.sender.agency else known
        explained = any(
            entry.box == "out"
            and entry.to_agency == header.sender.agency
            and entry.case_id == header.case.id
            and advance(known, self._desk.tables.kind(entry.kind), on="accepted", outcome=entry.outcome).stage
            == claimed
            for entry in work.entries.values()
        )
        if explained:
            return believed
        ours = [work.entries[eid, "out"] for eid in header.re if (eid, "out") in work.entries]
        for entry in ours:
            kind = self._desk.tables.kind(entry.kind)
            given_back = entry.state is State.RETURNED and entry.to_agency == header.sender.agency
            if given_back and advance(known, kind, on="sent", outcome=entry.outcome).stage == claimed:
                return known
        raise failure(Reason.STAGE_CONFLICT, claimed=claimed, stage=known.stage)

    def _refuse(self, work: Work, arrival: Arrival, error: XiebanError, told: set[str], *, eid: str) -> None:
        """Refuse at the door: remember reason and digest, and tell the agency the subject names, once."""
        digest = eid or digest_of(arrival.data)
        if digest in told:
            return
        told.add(digest)
        work.refuse(digest, arrival.subject, error.reason.name)
        address = parse(arrival.subject)
        if address is not None and eid and address.sender in set(PARTIES):
            defect = Defect(code=error.reason.name, article="", item=error.reason.number)
            work.tell(address.sender, fact(work, eid, "rejected", defects=[defect]), arrival.trace)

    async def set_aside(self, arrival: Arrival) -> None:
        """Note a message that nobody could take in, by digest; it has no effect and is not asked for again."""
        row = (digest_of(arrival.data), arrival.subject, Reason.DEFECT.name, micros(self._desk.clock.now()))
        await self._desk.database.write(lambda tx: tx.many(*store.refused_insert([row])))

    def _receipts_again(self, tx: Transaction, eids: Sequence[str]) -> list[Parcel]:
        """A duplicate is a success: say again what was said."""
        if not eids:
            return []
        return [
            Parcel(
                eid=row["eid"],
                subject=subjects.receipt(self._desk.me.city, self._desk.me.agency, row["peer"]),
                data=row["sealed"],
                audiences=frozenset(),  # nobody need owe a word for a repetition
                trace=row["trace"],
            )
            for row in store.receipts_about(tx, eids)
        ]

    async def complete(self, pulled: Sequence[Pulled]) -> None:
        """Take proven dossiers; a dossier that failed its proof makes the handoff rejected."""
        self._desk.done(*await self._desk.database.write(lambda tx: self._complete_all(tx, pulled)))

    def _complete_all(self, tx: Transaction, pulled: Sequence[Pulled]) -> tuple[Work, list[Parcel]]:
        work = self._desk.work()
        known = store.handoffs(tx, [item.eid for item in pulled], box="in")
        work.entries = {(eid, "in"): entry for eid, entry in known.items()}
        referred = {eid for e in known.values() if e.kind == WITHDRAWAL for eid in header_of(e).re}
        work.entries |= {(eid, "in"): e for eid, e in store.handoffs(tx, referred, box="in").items()}
        work.cases = store.cases(tx, {entry.case_id for entry in known.values()})
        own = store.handoffs(tx, [item.eid for item in pulled if item.eid not in known], box="out")
        named: list[tuple[str, str]] = []
        for item in pulled:
            entry = work.entries.get((item.eid, "in"))
            if entry is not None and entry.state is State.DELIVERED:
                self._complete(work, entry, item)
            elif item.packed is not None and (entry is not None or item.eid in own):
                work.dossier_add(item.eid, item.packed)  # had once, lost, and fetched again
                named += _number(own.get(item.eid), item)
        tx.many(*store.client_refs_recall(named))
        tx.many(*store.handoffs_name(named))
        parcels = work.flush(tx)
        faults.point("R4")
        return work, parcels

    def _complete(self, work: Work, entry: Entry, item: Pulled) -> None:
        if item.packed is None or item.manifest is None:
            reason = item.error.reason if item.error is not None else Reason.DIGEST_MISMATCH
            defect = Defect(code=reason.name, article="", item=reason.number)
            work.state_own(entry, fact(work, entry.eid, "rejected", defects=[defect]))
            return
        work.dossier_add(entry.eid, item.packed)
        work.case_numbers(entry.case_id, item.manifest.case_numbers)
        header = header_of(entry)
        findings = self._desk.rulebook.on_intake(header, work.cases[entry.case_id].state)
        noted = [finding.defect for finding in findings if finding.severity is not Severity.BLOCK]
        blocks = [finding.defect for finding in findings if finding.severity is Severity.BLOCK]
        work.state_own(entry, fact(work, entry.eid, "complete", defects=noted))
        faults.point("R5")
        if blocks:
            work.state_own(entry, fact(work, entry.eid, "returned", defects=blocks))
        elif entry.kind == WITHDRAWAL:
            self._withdraw(work, entry, header)

    def _withdraw(self, work: Work, entry: Entry, header: Header) -> None:
        """Whichever came first, our answer or the withdrawal, stands."""
        targets = [work.entries.get((eid, "in")) for eid in header.re]
        open_ones = [
            target
            for target in targets
            if target is not None and target.state not in SETTLED and target.from_agency == entry.from_agency
        ]
        for target in open_ones:
            work.state_own(target, fact(work, target.eid, "withdrawn"))
        if open_ones:
            work.state_own(entry, fact(work, entry.eid, "accepted"))
        else:
            defect = Defect(code=Reason.STATE_NOT_ALLOWED.name, article="", item=Reason.STATE_NOT_ALLOWED.number)
            work.state_own(entry, fact(work, entry.eid, "returned", defects=[defect]))


def _lost(tx: Transaction, work: Work, opened: Sequence[tuple[Arrival, Sealed, Header]]) -> dict[str, list[FactRow]]:
    """Headers that we have had and have no row of: the lane is past their number, and its chain names them. With what we stated of them."""
    places: dict[tuple[str, str, str, int], str] = {}
    lost: list[str] = []
    for _, sealed, header in opened:
        lane = (header.case.id, header.sender.agency, header.receiver.agency)
        seq, head = work.lanes.get((*lane, "in"), (0, ""))
        if (sealed.eid, "in") in work.entries or header.lane.seq > seq:
            continue
        if header.lane.seq == seq and head == sealed.eid:
            lost.append(sealed.eid)
        elif header.lane.seq < seq:
            places[*lane, header.lane.seq + 1] = sealed.eid
    for place, data in store.lane_prevs(tx, places).items():
        if canonical.read(stored_payload(data), Header).lane.prev == places[place]:
            lost.append(places[place])
    return store.facts(tx, lost)


def _number(entry: Entry | None, item: Pulled) -> list[tuple[str, str]]:
    """The document number of a handoff of ours, if its dossier tells it and its header agrees."""
    if entry is None or entry.client_ref or item.packed is None or item.manifest is None:
        return []
    number = item.manifest.document.number
    known = header_of(entry).client_ref_hash
    return [(number, entry.eid)] if number and ref_hash(item.packed.salt, number) == known else []


def digest_of(data: bytes) -> str:
    """SHA-256 of bytes that are not kept."""
    return hashlib.sha256(data).hexdigest()


def _eid_of(data: bytes) -> str:
    """The eid of bytes that could be taken apart but not trusted; empty if not even that."""
    try:
        return sealed_from_bytes(data).eid
    except XiebanError:
        return ""

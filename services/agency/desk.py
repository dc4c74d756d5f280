"""The desk: what an agency does with handoffs, each use case over a batch and in one transaction.

    act       an agency system sends, accepts, returns, answers, withdraws
    receive   headers arrive: verify, deduplicate, take or reject, state `delivered`
    complete  dossiers have been pulled: verify, run the intake rules, state `complete`
    hear      receipts arrive: take the receiver's facts about what we sent
    note      tickets arrive: outbox rows are finished

State, facts and outbox rows commit together; nothing leaves before. What the law allows is decided by `xieban.procedure` and the
rulebook, how rows are written by `store` and `work`; carrying is the relay's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.agency import store
from services.agency.rulebook import Rulebook, Severity
from services.agency.store import Entry
from services.agency.work import Identity, Numbers, Parcel, Work, copy_of
from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from xieban import canonical, subjects
from xieban.agency import Agency, Office, office
from xieban.dossier import CaseNumbers, Manifest, Packed
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import (
    HEADER_VERSION,
    SETTLED,
    Act,
    CaseRef,
    Defect,
    Fact,
    FactKind,
    Header,
    Lane,
    Party,
    Receipt,
    State,
    Ticket,
)
from xieban.ids import CaseId, new_handoff_id
from xieban.marshal import micros, sealed_from_bytes, sealed_to_bytes
from xieban.procedure import FIRST_STAGE, CaseState, Kind, Proposal, advance, check, open_case, table
from xieban.seal import Directory, Sealed
from xieban.statement import open_header, open_receipt, open_ticket, seal_header
from xieban.subjects import parse

WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True)
class Draft:
    """A handoff an agency system hands in, checked in form and with its dossier frozen. `digest` is over what was handed in."""

    client_ref: str
    kind: str
    case_id: CaseId
    sender: Office
    receiver: Office
    outcome: str
    acts: tuple[Act, ...]
    internal: bool
    packed: Packed
    numbers: CaseNumbers
    re: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send `draft`; with `answering`, as the answer to that received handoff."""

    draft: Draft
    answering: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Decide:
    """Accept or return a complete handoff."""

    eid: str
    verdict: FactKind
    defects: tuple[Defect, ...] = ()


Order = Send | Decide


@dataclass(frozen=True, slots=True)
class Arrival:
    """A statement off the bus."""

    subject: str
    data: bytes
    trace: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of pulling one dossier: the proven manifest with its bytes, or why it failed for good."""

    eid: str
    packed: Packed | None
    manifest: Manifest | None
    error: XiebanError | None


class Desk:
    """One agency's desk over its database. `carry` takes parcels after their commit; `again` re-sends receipts on a duplicate."""

    def __init__(
        self,
        *,
        me: Identity,
        rulebook: Rulebook,
        database: Database,
        directory: Directory,
        clock: Clock,
        numbers: Numbers,
        carry: Callable[[Sequence[Parcel]], None],
        finished: Callable[[Sequence[tuple[str, str]]], None],
        committed: Callable[[], None],
        ticket: Callable[[str, Sequence[str]], Awaitable[None]],
        to_pull: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._me = me
        self._rulebook = rulebook
        self._database = database
        self._directory = directory
        self._clock = clock
        self._numbers = numbers
        self._carry = carry
        self._finished = finished
        self._committed = committed
        self._ticket = ticket
        self._to_pull = to_pull
        self._tables = table()

    def _work(self) -> Work:
        """Only inside a transaction: there is one writer, so numbers are given in order; a rollback leaves a gap, no more."""
        return Work(me=self._me, at=micros(self._clock.now()), numbers=self._numbers)

    def _done(self, work: Work, parcels: Sequence[Parcel]) -> None:
        self._carry(parcels)
        if work.finished:
            self._finished(work.finished)
        self._committed()

    # --- act

    async def act(self, orders: Sequence[Order]) -> list[Entry | Exception]:
        """Carry out orders of this agency's systems; one refusal does not touch its neighbours."""
        sends = [order for order in orders if isinstance(order, Send)]
        received = [order.answering for order in sends if order.answering] + [o.eid for o in orders if isinstance(o, Decide)]
        referred = {eid for order in sends for eid in order.draft.re}
        results: list[Entry | Exception] = []
        async with self._database.transaction() as tx:
            work = self._work()
            refs = await store.client_refs(tx, {order.draft.client_ref for order in sends})
            known = {*referred, *(eid for _, eid in refs.values())}
            work.entries |= {(eid, "in"): e for eid, e in (await store.handoffs(tx, {*received, *referred}, box="in")).items()}
            work.entries |= {(eid, "out"): e for eid, e in (await store.handoffs(tx, known, box="out")).items()}
            case_ids = {order.draft.case_id for order in sends} | {e.case_id for e in work.entries.values()}
            work.cases = await store.cases(tx, case_ids)
            work.lanes = await store.lanes(tx, case_ids, box="out")
            for order in orders:
                try:
                    if isinstance(order, Send):
                        results.append(self._send(work, order, refs))
                    else:
                        results.append(self._decide(work, order))
                except XiebanError as error:
                    results.append(error)
            parcels = await work.flush(tx)
            faults.point("S1")
        faults.point("S2")
        self._done(work, parcels)
        return [copy_of(result) if isinstance(result, Entry) else result for result in results]

    def _send(self, work: Work, order: Send, refs: dict[str, tuple[str, str]]) -> Entry:
        draft = order.draft
        if draft.client_ref in refs:
            digest, eid = refs[draft.client_ref]
            if digest != draft.digest:
                raise failure(Reason.CLIENT_REF_REUSED, client_ref=draft.client_ref, handoff=eid[:16])
            return work.entries[eid, "out"]
        if draft.sender.agency is not self._me.agency or draft.sender.city.token != self._me.city:
            raise failure(Reason.PARTY_NOT_ALLOWED, kind=draft.kind, sender=draft.sender.name, receiver=draft.receiver.name)
        kind = self._tables.kind(draft.kind)
        answered = self._answerable(work, order.answering, draft, kind) if order.answering else None
        proposal = self._proposal(work, draft, answered)
        before = work.cases.get(draft.case_id)
        state = before.state if before is not None else open_case(proposal, self._tables)
        if state is None:
            raise failure(Reason.CASE_NOT_FOUND, case=draft.case_id)
        fact: FactKind = "returned" if draft.outcome in kind.returning else "accepted"
        if answered is not None and answered.state is State.COMPLETE and fact == "accepted":
            request = self._tables.kind(answered.kind)
            state = advance(state, request, on="accepted", outcome=answered.outcome)
        check(proposal, state, self._tables)
        if kind.id == WITHDRAWAL:
            self._withdrawable(work, draft)
        header, sealed = self._seal(work, draft, state, answered)
        for finding in self._rulebook.before_sending(header, state):
            if finding.severity is Severity.BLOCK:
                defect = finding.defect
                raise failure(Reason.INTAKE_DEFECT, rule=defect.code, article=defect.article, detail=defect.item)
        # Nothing was changed up to here; nothing is refused from here on.
        if answered is not None:
            self._settle(work, answered, fact, answer=sealed.eid)
        work.case_put(draft.case_id, advance(state, kind, on="sent", outcome=draft.outcome))
        work.case_numbers(draft.case_id, draft.numbers)
        entry = _entry_of(header, sealed, box="out", state=State.SENT, client_ref=draft.client_ref, trace=order.trace)
        work.entry_add(entry)
        work.lane_put((entry.case_id, entry.from_agency, entry.to_agency, "out"), entry.lane_seq, entry.eid)
        work.ref_add(draft.client_ref, draft.digest, entry.eid)
        work.dossier_add(entry.eid, draft.packed)
        refs[draft.client_ref] = (draft.digest, entry.eid)
        return entry

    def _answerable(self, work: Work, eid: str, draft: Draft, kind: Kind) -> Entry:
        entry = work.entries.get((eid, "in"))
        if entry is None or entry.case_id != draft.case_id:
            raise failure(Reason.HANDOFF_NOT_FOUND, handoff=eid[:16])
        if entry.state not in (State.COMPLETE, State.ACCEPTED):
            raise failure(Reason.STATE_NOT_ALLOWED, handoff=eid[:16], state=entry.state, act="答复")
        if entry.kind not in kind.answers:
            raise failure(Reason.ANSWER_NOT_ALLOWED, kind=kind.id, request=entry.kind)
        return entry

    def _withdrawable(self, work: Work, draft: Draft) -> None:
        for eid in draft.re:
            entry = work.entries.get((eid, "out"))
            if entry is None or (entry.to_agency, entry.to_office) != (draft.receiver.agency, draft.receiver.division):
                raise failure(Reason.HANDOFF_NOT_FOUND, handoff=eid[:16])
            if entry.state in SETTLED:
                raise failure(Reason.STATE_NOT_ALLOWED, handoff=eid[:16], state=entry.state, act="撤回")

    def _proposal(self, work: Work, draft: Draft, answered: Entry | None) -> Proposal:
        kinds = [answered.kind] if answered is not None else []
        for eid in draft.re:
            entry = work.entries.get((eid, "in")) or work.entries.get((eid, "out"))
            if entry is None:
                raise failure(Reason.HANDOFF_NOT_FOUND, handoff=eid[:16])
            kinds.append(entry.kind)
        return Proposal(
            kind=draft.kind,
            outcome=draft.outcome,
            sender=draft.sender,
            receiver=draft.receiver,
            acts=tuple(act.what for act in draft.acts),
            answered=tuple(kinds),
        )

    def _seal(self, work: Work, draft: Draft, state: CaseState, answered: Entry | None) -> tuple[Header, Sealed]:
        seq, prev = work.lanes.get((draft.case_id, draft.sender.agency, draft.receiver.agency, "out"), (0, ""))
        referred = [answered.eid] if answered is not None else []
        header = Header(
            v=HEADER_VERSION,
            id=new_handoff_id(),
            client_ref_hash=hashlib.sha256(draft.packed.salt + draft.client_ref.encode()).hexdigest(),
            sender=Party(city=self._me.city, agency=draft.sender.agency, office=draft.sender.division),
            receiver=Party(city=self._me.city, agency=draft.receiver.agency, office=draft.receiver.division),
            inc=self._me.inc,
            case=CaseRef(id=draft.case_id, stage=state.stage),
            kind=draft.kind,
            outcome=draft.outcome,
            lane=Lane(seq=seq + 1, prev=prev),
            re=[*referred, *(eid for eid in draft.re if eid not in referred)],
            secrecy="internal" if draft.internal else "none",
            acts=list(draft.acts),
            sent_at=work.at,
            dossier=draft.packed.commitment,
            rules=self._tables.edition,
        )
        return header, seal_header(header, self._me.key)

    def _decide(self, work: Work, order: Decide) -> Entry:
        entry = work.entries.get((order.eid, "in"))
        if entry is None:
            raise failure(Reason.HANDOFF_NOT_FOUND, handoff=order.eid[:16])
        settled = State.ACCEPTED if order.verdict == "accepted" else State.RETURNED
        if entry.state is settled:
            return entry  # a repeated answer is the same answer
        if entry.state is not State.COMPLETE:
            act = "接收" if order.verdict == "accepted" else "退回"
            raise failure(Reason.STATE_NOT_ALLOWED, handoff=entry.eid[:16], state=entry.state, act=act)
        work.state_own(entry, self._fact(work, entry.eid, order.verdict, defects=order.defects))
        return entry

    def _settle(self, work: Work, entry: Entry, fact: FactKind, *, answer: str) -> None:
        if entry.state is State.COMPLETE:
            work.state_own(entry, self._fact(work, entry.eid, fact))
        if fact == "accepted":
            work.state_own(entry, self._fact(work, entry.eid, "answered", answer=answer))

    @staticmethod
    def _fact(work: Work, eid: str, kind: FactKind, *, defects: Sequence[Defect] = (), answer: str = "") -> Fact:
        return Fact(of=eid, kind=kind, at=work.at, defects=list(defects), answer=answer)

    # --- receive

    async def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Take headers off the bus. When this returns, each is durable, refused, or known already; then it may be acknowledged."""
        opened: list[tuple[Arrival, Sealed, Header]] = []
        refused: list[tuple[Arrival, XiebanError]] = []
        for arrival in arrivals:
            try:
                opened.append((arrival, *self._open(arrival)))
            except XiebanError as error:
                refused.append((arrival, error))
        again: list[str] = []
        async with self._database.transaction() as tx:
            work = self._work()
            await self._load_for_receive(tx, work, opened)
            identities = await store.handoffs_received_as(tx, {header.id for _, _, header in opened})
            digests = {_digest(arrival.data) for arrival, _ in refused}
            told = await store.refused_known(tx, digests | {sealed.eid for _, sealed, _ in opened})
            for arrival, sealed, header in opened:
                if (sealed.eid, "in") in work.entries:
                    again.append(sealed.eid)
                    continue
                identity = (header.sender.agency, header.inc, header.id)
                if identities.setdefault(identity, sealed.eid) != sealed.eid:
                    self._refuse(work, arrival, failure(Reason.EQUIVOCATION, handoff=header.id), told, eid=sealed.eid)
                    continue
                self._take(work, arrival, sealed, header)
            for arrival, error in refused:
                self._refuse(work, arrival, error, told, eid=_eid_of(arrival.data))
            parcels = await work.flush(tx)
            repeated = await self._receipts_again(tx, again)
            faults.point("R1")
        self._done(work, [*parcels, *repeated])
        self._to_pull(
            [e for e in work.entries.values() if e.box == "in" and e.state is State.DELIVERED and not e.parked]
        )
        faults.point("R2")

    def _open(self, arrival: Arrival) -> tuple[Sealed, Header]:
        address = parse(arrival.subject)
        if address is None or address.city != self._me.city:
            raise failure(Reason.FIELD_INVALID, field="subject", detail="通道名称不合规范")
        return open_header(arrival.data, address=address, directory=self._directory)

    async def _load_for_receive(
        self, tx: Transaction, work: Work, opened: Sequence[tuple[Arrival, Sealed, Header]]
    ) -> None:
        referred = {eid for _, _, header in opened if header.kind == WITHDRAWAL for eid in header.re}
        known = await store.handoffs(tx, {sealed.eid for _, sealed, _ in opened} | referred, box="in")
        case_ids = {header.case.id for _, _, header in opened}
        work.entries |= {(eid, "in"): entry for eid, entry in known.items()}
        work.entries |= {(entry.eid, "in"): entry for entry in await store.handoffs_parked(tx, case_ids)}
        work.entries |= {(entry.eid, "out"): entry for entry in await store.handoffs_open_of_case(tx, case_ids)}
        work.cases = await store.cases(tx, case_ids)
        work.lanes = await store.lanes(tx, case_ids, box="in")

    def _take(self, work: Work, arrival: Arrival, sealed: Sealed, header: Header) -> None:
        entry = _entry_of(header, sealed, box="in", state=State.SENT, client_ref="", trace=arrival.trace)
        key = (entry.case_id, entry.from_agency, entry.to_agency, "in")
        seq, _ = work.lanes.get(key, (0, ""))
        if header.case.id not in work.cases:
            # Nothing is believed of a case we hear of for the first time until its header has been admitted.
            work.case_put(header.case.id, CaseState(stage=FIRST_STAGE))
        work.entry_add(entry)
        if entry.lane_seq > seq + 1:
            entry.parked = True
            work.state_own(entry, self._fact(work, entry.eid, "delivered"))
            return
        self._enter(work, entry, header)
        self._unpark(work, entry)

    def _enter(self, work: Work, entry: Entry, header: Header) -> None:
        """The next handoff of its lane: check it as if we had written it, then let it act on the case."""
        key = (entry.case_id, entry.from_agency, entry.to_agency, "in")
        seq, head = work.lanes.get(key, (0, ""))
        try:
            if header.lane.seq != seq + 1 or header.lane.prev != head:
                raise failure(Reason.LANE_BROKEN, seq=header.lane.seq)
            kind, state = self._admit(work, header)
        except XiebanError as error:
            defect = Defect(code=error.reason.name, article="", item=error.reason.number)
            work.state_own(entry, self._fact(work, entry.eid, "rejected", defects=[defect]))
        else:
            if entry.from_agency != entry.to_agency:  # within one agency the sender has moved the shared case already
                work.case_put(entry.case_id, advance(state, kind, on="sent", outcome=entry.outcome))
            work.state_own(entry, self._fact(work, entry.eid, "delivered"))
        if header.lane.seq == seq + 1:
            work.lane_put(key, header.lane.seq, entry.eid)

    def _unpark(self, work: Work, entry: Entry) -> None:
        lane = (entry.case_id, entry.from_agency, entry.to_agency)
        waiting = sorted(
            (e for e in work.entries.values() if e.parked and (e.case_id, e.from_agency, e.to_agency) == lane),
            key=lambda e: e.lane_seq,
        )
        for parked in waiting:
            if parked.lane_seq != work.lanes[*lane, "in"][0] + 1:
                return
            parked.parked = False
            work.entry_changed(parked)
            self._enter(work, parked, header_of(parked))

    def _admit(self, work: Work, header: Header) -> tuple[Kind, CaseState]:
        sender = office(header.sender.agency, header.sender.office)
        receiver = office(header.receiver.agency, header.receiver.office)
        for act in header.acts:
            row = self._tables.acts.get(act.what)
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
        kind = check(proposal, CaseState(stage=header.case.stage, returns=known.returns), self._tables)
        return kind, state

    def _agreed_stage(self, work: Work, header: Header, known: CaseState) -> CaseState:
        """Our case once the sender's word for its stage is weighed.

        The holder of a stage is believed about it. If we hold the case by our own record and the sender claims another stage,
        that is a conflict, unless the sender's pending acceptance of something we sent explains it.
        """
        claimed = header.case.stage
        stages = self._tables.stages
        if claimed not in stages:
            raise failure(Reason.STAGE_NOT_ALLOWED, kind=header.kind, stage=claimed[:40], article="")
        if claimed == known.stage or header.sender.agency == header.receiver.agency:
            return known
        believed = CaseState(stage=claimed, returns=known.returns)
        if stages[known.stage].holder is not self._me.agency:
            return believed if stages[claimed].holder == header.sender.agency else known
        explained = any(
            entry.box == "out"
            and entry.to_agency == header.sender.agency
            and entry.case_id == header.case.id
            and advance(known, self._tables.kind(entry.kind), on="accepted", outcome=entry.outcome).stage == claimed
            for entry in work.entries.values()
        )
        if explained:
            return believed
        raise failure(Reason.STAGE_CONFLICT, claimed=claimed, stage=known.stage)

    def _refuse(self, work: Work, arrival: Arrival, error: XiebanError, told: set[str], *, eid: str) -> None:
        """Refuse at the door: remember reason and digest, and tell the agency the subject names, once."""
        digest = eid or _digest(arrival.data)
        if digest in told:
            return
        told.add(digest)
        work.refuse(digest, arrival.subject, error.reason.name)
        address = parse(arrival.subject)
        if address is not None and eid and address.sender in set(Agency):
            defect = Defect(code=error.reason.name, article="", item=error.reason.number)
            work.tell(address.sender, self._fact(work, eid, "rejected", defects=[defect]), arrival.trace)

    async def _receipts_again(self, tx: Transaction, eids: Sequence[str]) -> list[Parcel]:
        """A duplicate is a success: say again what was said."""
        if not eids:
            return []
        return [
            receipt_parcel(self._me, row["eid"], row["peer"], row["sealed"], row["trace"])
            for row in await store.receipts_about(tx, eids)
        ]

    # --- complete

    async def complete(self, pulled: Sequence[Pulled]) -> None:
        """Take proven dossiers; a dossier that failed its proof makes the handoff rejected."""
        async with self._database.transaction() as tx:
            work = self._work()
            known = await store.handoffs(tx, [item.eid for item in pulled], box="in")
            work.entries = {(eid, "in"): entry for eid, entry in known.items()}
            referred = {eid for e in known.values() if e.kind == WITHDRAWAL for eid in header_of(e).re}
            work.entries |= {(eid, "in"): e for eid, e in (await store.handoffs(tx, referred, box="in")).items()}
            work.cases = await store.cases(tx, {entry.case_id for entry in known.values()})
            for item in pulled:
                entry = work.entries.get((item.eid, "in"))
                if entry is not None and entry.state is State.DELIVERED:
                    self._complete(work, entry, item)
            parcels = await work.flush(tx)
            faults.point("R4")
        self._done(work, parcels)

    def _complete(self, work: Work, entry: Entry, item: Pulled) -> None:
        if item.packed is None or item.manifest is None:
            reason = item.error.reason if item.error is not None else Reason.DIGEST_MISMATCH
            defect = Defect(code=reason.name, article="", item=reason.number)
            work.state_own(entry, self._fact(work, entry.eid, "rejected", defects=[defect]))
            return
        work.dossier_add(entry.eid, item.packed)
        work.case_numbers(entry.case_id, item.manifest.case_numbers)
        header = header_of(entry)
        findings = self._rulebook.on_intake(header, work.cases[entry.case_id].state)
        noted = [finding.defect for finding in findings if finding.severity is not Severity.BLOCK]
        blocks = [finding.defect for finding in findings if finding.severity is Severity.BLOCK]
        work.state_own(entry, self._fact(work, entry.eid, "complete", defects=noted))
        faults.point("R5")
        if blocks:
            work.state_own(entry, self._fact(work, entry.eid, "returned", defects=blocks))
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
            work.state_own(target, self._fact(work, target.eid, "withdrawn"))
        if open_ones:
            work.state_own(entry, self._fact(work, entry.eid, "accepted"))
        else:
            defect = Defect(code=Reason.STATE_NOT_ALLOWED.name, article="", item=Reason.STATE_NOT_ALLOWED.number)
            work.state_own(entry, self._fact(work, entry.eid, "returned", defects=[defect]))

    # --- hear and note

    async def hear(self, arrivals: Sequence[Arrival]) -> None:
        """Take receipts about what we sent, then tell their author that we hold them."""
        opened: list[tuple[Arrival, Sealed, Receipt]] = []
        for arrival in arrivals:
            address = parse(arrival.subject)
            if address is None or address.city != self._me.city:
                continue
            try:
                opened.append((arrival, *open_receipt(arrival.data, address=address, directory=self._directory)))
            except XiebanError as error:
                await self._refuse_receipt(arrival, error)
        async with self._database.transaction() as tx:
            work = self._work()
            known = await store.receipts_known(tx, [sealed.eid for _, sealed, _ in opened])
            about = {fact.of for _, _, receipt in opened for fact in receipt.facts}
            work.entries = {(eid, "out"): e for eid, e in (await store.handoffs(tx, about, box="out")).items()}
            work.cases = await store.cases(tx, {entry.case_id for entry in work.entries.values()})
            for arrival, sealed, receipt in opened:
                if sealed.eid not in known:
                    known.add(sealed.eid)
                    work.receipt_heard(sealed.eid, receipt.sender.agency, arrival.trace, arrival.data)
                    self._hear(work, sealed.eid, receipt)
            parcels = await work.flush(tx)
            faults.point("S4")
        self._done(work, parcels)
        held: dict[str, list[str]] = {}
        for _, sealed, receipt in opened:
            held.setdefault(receipt.sender.agency, []).append(sealed.eid)
        for agency, eids in held.items():
            await self._ticket(agency, eids)

    def _hear(self, work: Work, eid: str, receipt: Receipt) -> None:
        for fact in receipt.facts:
            entry = work.entries.get((fact.of, "out"))
            if entry is None or entry.to_agency != receipt.sender.agency:
                continue  # not about anything of ours from whom it should come: kept as a statement, without effect
            work.state_heard(entry, fact, eid)
            work.finished.append((entry.eid, entry.to_agency))

    async def _refuse_receipt(self, arrival: Arrival, error: XiebanError) -> None:
        async with self._database.transaction() as tx:
            row = (_digest(arrival.data), arrival.subject, error.reason.name, micros(self._clock.now()))
            await store.refused_insert(tx, [row])

    async def note(self, arrivals: Sequence[Arrival]) -> list[None | Exception]:
        """Finish outbox rows on the signed word of their audience."""
        tickets: list[Ticket] = []
        for arrival in arrivals:
            address = parse(arrival.subject)
            try:
                if address is not None:
                    tickets.append(open_ticket(arrival.data, address=address, directory=self._directory))
            except XiebanError:
                continue  # a false word finishes nothing, and the true one is asked for by re-sending
        rows = [(eid, ticket.sender.agency) for ticket in tickets for eid in ticket.holds]
        async with self._database.transaction() as tx:
            await store.outbox_finish(tx, rows)
        self._finished(rows)
        return [None] * len(arrivals)


def header_of(entry: Entry) -> Header:
    """The header of a stored handoff; it was verified when it was stored."""
    return canonical.decode(sealed_from_bytes(entry.sealed).payload, Header)


def receipt_parcel(me: Identity, eid: str, peer: str, data: bytes, trace: str) -> Parcel:
    """A receipt of ours to publish once more, whether or not anyone still owes us a word for it."""
    return Parcel(
        eid=eid, subject=subjects.receipt(me.city, me.agency, peer), data=data, audiences=frozenset(), trace=trace
    )


def _entry_of(header: Header, sealed: Sealed, *, box: store.Box, state: State, client_ref: str, trace: str) -> Entry:
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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _eid_of(data: bytes) -> str:
    """The eid of bytes that could be taken apart but not trusted; empty if not even that."""
    try:
        return sealed_from_bytes(data).eid
    except XiebanError:
        return ""


def new_salt() -> bytes:
    """Salt of one dossier's commitment."""
    return secrets.token_bytes(32)

"""What an agency's own systems order: send, answer, withdraw, accept, return. A batch of orders is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.agency import store
from services.agency.desk import WITHDRAWAL, Desk, entry_of, fact
from services.agency.rulebook import Severity
from services.agency.store import Entry
from services.agency.work import Work, copy_of
from services.chassis import faults
from services.chassis.database import Transaction
from services.relay import Parcel
from xieban.agency import Office
from xieban.dossier import CaseNumbers, Packed
from xieban.drafting import ref_hash, references
from xieban.errors import Reason, TooLarge, XiebanError, failure
from xieban.handoff import (
    HEADER_VERSION,
    SETTLED,
    Act,
    Approval,
    CaseRef,
    ClockAct,
    Defect,
    FactKind,
    Header,
    Lane,
    LogView,
    Party,
    State,
    StatedDue,
)
from xieban.ids import CaseId, new_handoff_id
from xieban.procedure import CaseState, Kind, Proposal, advance, check, check_clocks, open_case, retreat
from xieban.seal import Sealed
from xieban.statement import seal_header


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
    clocks: tuple[ClockAct, ...] = ()
    dues: tuple[StatedDue, ...] = ()
    approvals: tuple[Approval, ...] = ()


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


class Sending:
    """The desk's outgoing side."""

    def __init__(self, desk: Desk, *, log_view: Callable[[], LogView | None] = lambda: None) -> None:
        """`log_view` is what this node's witness has cosigned of the supervision log; every header tells it."""
        self._desk = desk
        self._log_view = log_view

    async def act(self, orders: Sequence[Order]) -> list[Entry | Exception]:
        """Carry out orders of this agency's systems; one refusal does not touch its neighbours."""
        results, work, parcels = await self._desk.database.write(lambda tx: self._act(tx, orders))
        faults.point("S2")
        self._desk.done(work, parcels)
        return [copy_of(result) if isinstance(result, Entry) else result for result in results]

    def _act(self, tx: Transaction, orders: Sequence[Order]) -> tuple[list[Entry | Exception], Work, list[Parcel]]:
        work = self._desk.work()
        sends = [order for order in orders if isinstance(order, Send)]
        received = [order.answering for order in sends if order.answering] + [
            o.eid for o in orders if isinstance(o, Decide)
        ]
        referred = {eid for order in sends for eid in order.draft.re}
        results: list[Entry | Exception] = []
        refs = store.client_refs(tx, {order.draft.client_ref for order in sends})
        known = {*referred, *(eid for _, eid in refs.values())}
        work.entries |= {(eid, "in"): e for eid, e in store.handoffs(tx, {*received, *referred}, box="in").items()}
        work.entries |= {(eid, "out"): e for eid, e in store.handoffs(tx, known, box="out").items()}
        case_ids = {order.draft.case_id for order in sends} | {e.case_id for e in work.entries.values()}
        work.cases = store.cases(tx, case_ids)
        work.lanes = store.lanes(tx, case_ids, box="out")
        for order in orders:
            try:
                if isinstance(order, Send):
                    results.append(self._send(work, order, refs))
                else:
                    results.append(self._decide(work, order))
            except XiebanError as error:
                results.append(error)
        parcels = work.flush(tx)
        faults.point("S1")
        return results, work, parcels

    def _send(self, work: Work, order: Send, refs: dict[str, tuple[str, str]]) -> Entry:
        draft = order.draft
        if draft.client_ref in refs:
            digest, eid = refs[draft.client_ref]
            known = work.entries[eid, "out"]
            # What was handed in before a restore is not known any more; what its header says of it is.
            same = (known.kind, known.case_id, known.outcome) == (draft.kind, draft.case_id, draft.outcome)
            if digest != draft.digest and (digest or not same):
                raise failure(Reason.CLIENT_REF_REUSED, client_ref=draft.client_ref, handoff=eid[:16])
            return known
        if draft.sender.agency is not self._desk.me.agency or draft.sender.city.token != self._desk.me.city:
            raise failure(
                Reason.PARTY_NOT_ALLOWED, kind=draft.kind, sender=draft.sender.name, receiver=draft.receiver.name
            )
        kind = self._desk.tables.kind(draft.kind)
        answered = self._answerable(work, order.answering, draft, kind) if order.answering else None
        proposal = self._proposal(work, draft, answered)
        before = work.cases.get(draft.case_id)
        state = before.state if before is not None else open_case(proposal, self._desk.tables)
        if state is None:
            raise failure(Reason.CASE_NOT_FOUND, case=draft.case_id)
        verdict: FactKind = "returned" if draft.outcome in kind.returning else "accepted"
        if answered is not None and answered.state is State.COMPLETE and verdict == "accepted":
            request = self._desk.tables.kind(answered.kind)
            state = advance(state, request, on="accepted", outcome=answered.outcome)
        check(proposal, state, self._desk.tables)
        check_clocks(kind, outcome=draft.outcome, acts=draft.acts, clocks=draft.clocks)
        if kind.id == WITHDRAWAL:
            self._withdrawable(work, draft)
        header, sealed = self._seal(work, draft, state, answered)
        self._desk.officers.check(header, article=kind.approval)
        for finding in self._desk.rulebook.before_sending(header, state):
            if finding.severity is Severity.BLOCK:
                defect = finding.defect
                raise failure(Reason.INTAKE_DEFECT, rule=defect.code, article=defect.article, detail=defect.item)
        # Nothing was changed up to here; nothing is refused from here on.
        after = advance(state, kind, on="sent", outcome=draft.outcome)
        if answered is not None:
            if answered.state is State.COMPLETE and verdict == "returned":
                request = self._desk.tables.kind(answered.kind)
                after = retreat(after, request, stage=answered.stage, outcome=answered.outcome)
            self._settle(work, answered, verdict, answer=sealed.eid)
        work.case_put(draft.case_id, after)
        work.case_numbers(draft.case_id, draft.numbers)
        entry = entry_of(header, sealed, box="out", state=State.SENT, client_ref=draft.client_ref, trace=order.trace)
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
        header = Header(
            v=HEADER_VERSION,
            id=new_handoff_id(),
            client_ref_hash=ref_hash(draft.packed.salt, draft.client_ref),
            sender=Party(city=self._desk.me.city, agency=draft.sender.agency, office=draft.sender.division),
            receiver=Party(city=self._desk.me.city, agency=draft.receiver.agency, office=draft.receiver.division),
            inc=self._desk.me.inc,
            case=CaseRef(id=draft.case_id, stage=state.stage),
            kind=draft.kind,
            outcome=draft.outcome,
            lane=Lane(seq=seq + 1, prev=prev),
            re=references(answered.eid if answered is not None else "", draft.re),
            secrecy="internal" if draft.internal else "none",
            acts=list(draft.acts),
            sent_at=work.at,
            dossier=draft.packed.commitment,
            rules=self._desk.tables.edition,
            clocks=list(draft.clocks),
            dues=list(draft.dues),
            log=self._log_view(),
            approvals=list(draft.approvals),
        )
        try:
            return header, seal_header(header, self._desk.me.key)
        except TooLarge:
            bare = msgspec.structs.replace(header, log=None)  # a full header goes without it
            return bare, seal_header(bare, self._desk.me.key)

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
        work.state_own(entry, fact(work, entry.eid, order.verdict, defects=order.defects))
        return entry

    def _settle(self, work: Work, entry: Entry, verdict: FactKind, *, answer: str) -> None:
        if entry.state is State.COMPLETE:
            work.state_own(entry, fact(work, entry.eid, verdict))
        if verdict == "accepted":
            work.state_own(entry, fact(work, entry.eid, "answered", answer=answer))

"""Between the agency's API messages and the desk's values. What a caller sends is checked while it is converted."""

from __future__ import annotations

import hashlib

from services.agency.desk import header_of
from services.agency.sending import Draft
from services.agency.store import CaseRow, Entry, FactRow
from xieban import canonical, dossier
from xieban.drafting import act_from_pb, clock_from_pb, due_from_pb
from xieban.errors import Reason, failure
from xieban.handoff import (
    MAX_ACTS,
    MAX_CLOCKS,
    MAX_DUES,
    MAX_REFERENCES,
    Act,
    ClockAct,
    Defect,
    Fact,
    State,
)
from xieban.ids import case_id, eid
from xieban.marshal import approval_from_pb, approval_to_pb, dossier_from_pb, office_from_pb, time_to_pb
from xieban.wire.v1 import case_pb2, handoff_pb2

MAX_DEFECTS = 50
_STATES = {state: handoff_pb2.HandoffState.Value(f"HANDOFF_STATE_{state.name}") for state in State}


def draft_from_pb(message: handoff_pb2.Draft, *, answering: str = "") -> Draft:
    """Errors: FIELD_INVALID, OFFICE_UNKNOWN, SECRET_MARK, TEXT_FORBIDDEN, MESSAGE_TOO_LARGE."""
    if message.secrecy not in (handoff_pb2.SECRECY_NONE, handoff_pb2.SECRECY_INTERNAL):
        raise failure(Reason.FIELD_INVALID, field="secrecy", detail="须注明 SECRECY_NONE 或 SECRECY_INTERNAL")
    client_ref = canonical.text(message.client_ref, field="client_ref", limit=128).strip()
    if not client_ref:
        raise failure(Reason.FIELD_INVALID, field="client_ref", detail="缺少发文文号")
    if len(message.acts) > MAX_ACTS:
        raise failure(Reason.FIELD_INVALID, field="acts", detail=f"超过 {MAX_ACTS} 项")
    if len(message.clocks) > MAX_CLOCKS:
        raise failure(Reason.FIELD_INVALID, field="clocks", detail=f"超过 {MAX_CLOCKS} 项")
    if len(message.dues) > MAX_DUES:
        raise failure(Reason.FIELD_INVALID, field="dues", detail=f"超过 {MAX_DUES} 项")
    if len(message.re) >= MAX_REFERENCES:  # one place is left for the handoff it answers
        raise failure(Reason.FIELD_INVALID, field="re", detail=f"最多 {MAX_REFERENCES - 1} 项")
    handed_in = dossier_from_pb(message.dossier)
    salt, approvals = message.salt, tuple(approval_from_pb(one) for one in message.approvals)
    if len(salt) != dossier.SALT_BYTES and (salt or approvals):
        raise failure(Reason.FIELD_INVALID, field="salt", detail=f"应为 {dossier.SALT_BYTES} 个字节，有签批时不得省略")
    # Approved again with another salt it is the same draft: its first header stands.
    message.ClearField("salt")
    message.ClearField("approvals")
    content = message.SerializeToString(deterministic=True)
    return Draft(
        client_ref=client_ref,
        kind=canonical.text(message.kind, field="kind", limit=64),
        case_id=case_id(message.case_id),
        sender=office_from_pb(getattr(message, "from")),
        receiver=office_from_pb(message.to),
        outcome=canonical.text(message.outcome, field="outcome", limit=64),
        acts=tuple(act_from_pb(act) for act in message.acts),
        internal=message.secrecy == handoff_pb2.SECRECY_INTERNAL,
        packed=dossier.pack(handed_in, salt=salt or dossier.new_salt()),
        numbers=handed_in.case_numbers,
        re=tuple(eid(one) for one in message.re),
        digest=hashlib.sha256(content + answering.encode()).hexdigest(),
        clocks=tuple(clock_from_pb(clock) for clock in message.clocks),
        dues=tuple(due_from_pb(due) for due in message.dues),
        approvals=approvals,
    )


def clock_to_pb(clock: ClockAct) -> handoff_pb2.ClockAct:
    return handoff_pb2.ClockAct(
        effect=handoff_pb2.ClockEffect.Value(f"CLOCK_EFFECT_{clock.effect.upper()}"),
        rule=clock.rule,
        event=clock.event,
        at=time_to_pb(clock.at),
        until=time_to_pb(clock.until) if clock.until else None,
        by=clock.by,
        kind=clock.kind,
        months=clock.months,
        days=clock.days,
        hours=clock.hours,
        person=clock.person,
        document=clock.document,
    )


def act_to_pb(act: Act) -> handoff_pb2.Act:
    return handoff_pb2.Act(what=act.what, at=time_to_pb(act.at), person=act.person, derived=act.derived)


def defects_from_pb(messages: object) -> tuple[Defect, ...]:
    """At least one, codes only. Errors: FIELD_INVALID."""
    rows = list(messages)  # type: ignore[call-overload]
    if not 1 <= len(rows) <= MAX_DEFECTS:
        raise failure(Reason.FIELD_INVALID, field="defects", detail=f"须有 1 至 {MAX_DEFECTS} 项")
    return tuple(
        Defect(
            code=canonical.text(row.code, field="defects.code", limit=64),
            article=canonical.text(row.article, field="defects.article", limit=64),
            item=canonical.text(row.item, field="defects.item", limit=128),
        )
        for row in rows
    )


def fact_to_pb(row: FactRow) -> handoff_pb2.ReceiptFact:
    fact: Fact = row.fact
    return handoff_pb2.ReceiptFact(
        kind=fact.kind,
        at=time_to_pb(fact.at),
        receipt=row.receipt,
        defects=[handoff_pb2.Defect(code=d.code, article=d.article, item=d.item) for d in fact.defects],
        answer=fact.answer,
    )


def handoff_to_pb(entry: Entry, facts: list[FactRow]) -> handoff_pb2.Handoff:
    header = header_of(entry)
    message = handoff_pb2.Handoff(
        eid=entry.eid,
        handoff_id=entry.handoff_id,
        client_ref=entry.client_ref,
        kind=entry.kind,
        case_id=entry.case_id,
        stage=entry.stage,
        to=handoff_pb2.Office(agency=entry.to_agency, division=entry.to_office),
        outcome=entry.outcome,
        state=_STATES[entry.state],
        sent_time=time_to_pb(entry.sent_at),
        receipts=[fact_to_pb(row) for row in facts],
        re=header.re,
        acts=[act_to_pb(act) for act in header.acts],
        incoming=entry.box == "in",
        lane_seq=entry.lane_seq,
        clocks=[clock_to_pb(clock) for clock in header.clocks],
        approvals=[approval_to_pb(one) for one in header.approvals],
    )
    getattr(message, "from").CopyFrom(handoff_pb2.Office(agency=entry.from_agency, division=entry.from_office))
    return message


def state_from_pb(value: int) -> str:
    """Database name of a state; empty for UNSPECIFIED."""
    return next((str(state) for state, number in _STATES.items() if number == value), "")


def case_to_pb(row: CaseRow, *, handoffs: int) -> case_pb2.Case:
    return case_pb2.Case(
        case_id=row.case_id,
        stage=row.state.stage,
        returns=row.state.returns,
        opened_time=time_to_pb(row.opened_at),
        updated_time=time_to_pb(row.updated_at),
        numbers=case_pb2.CaseNumbersSummary(
            police=row.numbers.police, procuratorate=row.numbers.procuratorate, court=row.numbers.court
        ),
        handoffs=handoffs,
    )

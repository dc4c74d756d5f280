"""Between the agency's API messages and the desk's values. What a caller sends is checked while it is converted."""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from services.agency.desk import header_of
from services.agency.sending import Draft
from services.agency.store import CaseRow, Entry, FactRow
from xieban import canonical, dossier
from xieban.errors import Reason, failure
from xieban.handoff import (
    LATEST,
    MAX_ACTS,
    MAX_CLOCKS,
    MAX_DUES,
    MAX_REFERENCES,
    Act,
    ClockAct,
    ClockEffect,
    Defect,
    Fact,
    State,
    StatedDue,
)
from xieban.ids import case_id, eid, person_tag
from xieban.marshal import dossier_from_pb, office_from_pb, time_from_pb, time_to_pb
from xieban.procedure import table
from xieban.timelimits import rule
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
        packed=dossier.pack(handed_in, salt=dossier.new_salt()),
        numbers=handed_in.case_numbers,
        re=tuple(eid(one) for one in message.re),
        digest=hashlib.sha256(content + answering.encode()).hexdigest(),
        clocks=tuple(clock_from_pb(clock) for clock in message.clocks),
        dues=tuple(due_from_pb(due) for due in message.dues),
    )


def act_from_pb(message: handoff_pb2.Act) -> Act:
    """What an act says about custody is the table's word, not the caller's. Errors: FIELD_INVALID."""
    row = table().acts.get(message.what)
    if row is None:
        raise failure(Reason.FIELD_INVALID, field="acts.what", detail=f"没有名为 {message.what[:40]} 的法律行为")
    if not message.HasField("at"):
        raise failure(Reason.FIELD_INVALID, field="acts.at", detail=f"{row.name} 缺少法定时间")
    at = time_from_pb(message.at)
    if not 0 <= at < LATEST:
        raise failure(Reason.FIELD_INVALID, field="acts.at", detail=f"{row.name} 的时间应在 1970 年至 2099 年之间")
    return Act(
        what=message.what,
        at=at,
        person=person_tag(message.person) if message.person else "",
        custody=row.custody,
        derived=message.derived,
    )


_EFFECTS: dict[int, ClockEffect] = {
    handoff_pb2.CLOCK_EFFECT_START: "start",
    handoff_pb2.CLOCK_EFFECT_STOP: "stop",
    handoff_pb2.CLOCK_EFFECT_EXTEND: "extend",
    handoff_pb2.CLOCK_EFFECT_EXCLUDE: "exclude",
    handoff_pb2.CLOCK_EFFECT_RESTART: "restart",
}


def clock_from_pb(message: handoff_pb2.ClockAct) -> ClockAct:
    """Form only; whether the law knows such an act is the desk's question. Errors: FIELD_INVALID."""
    if message.effect not in _EFFECTS:
        raise failure(Reason.FIELD_INVALID, field="clocks.effect", detail="缺少期限变动的种类")
    if not message.HasField("at"):
        raise failure(Reason.FIELD_INVALID, field="clocks.at", detail="缺少法定时间")
    values = {
        "effect": _EFFECTS[message.effect],
        "rule": message.rule,
        "event": message.event,
        "at": time_from_pb(message.at),
        "until": time_from_pb(message.until) if message.HasField("until") else 0,
        "by": message.by,
        "kind": message.kind,
        "months": message.months,
        "days": message.days,
        "hours": message.hours,
        "person": message.person,
        "document": message.document,
    }
    try:
        return msgspec.convert(values, ClockAct)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`") or "clocks"
        raise failure(Reason.FIELD_INVALID, field=f"clocks.{field}"[:64], detail="形式不合要求") from error


def due_from_pb(message: handoff_pb2.StatedDue) -> StatedDue:
    """Form only: which date is right, the gateway finds out. Errors: LIMIT_UNKNOWN, FIELD_INVALID."""
    rule(message.rule[:64])
    try:
        datetime.fromisoformat(message.due)
        return msgspec.convert({"rule": message.rule, "person": message.person, "due": message.due}, StatedDue)
    except ValueError as error:  # msgspec's refusal is one too
        detail = "应写明人员代号，以及 2026-03-02 或者 2026-03-02T16:00:00+08:00 形式的届满日"
        raise failure(Reason.FIELD_INVALID, field="dues", detail=detail) from error


def clock_to_pb(clock: ClockAct) -> handoff_pb2.ClockAct:
    effect = next(number for number, name in _EFFECTS.items() if name == clock.effect)
    return handoff_pb2.ClockAct(
        effect=handoff_pb2.ClockEffect.ValueType(effect),
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

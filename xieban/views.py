"""What an agency system sees: frozen values of the public API, and their conversions from and to the generated messages in pairs.

A system of records binds to these and never to generated code. Times are aware datetimes in Asia/Shanghai, enumerations are the
library's own words. What must not go in: calls (`xieban.client`), and anything of the sealed statements (`xieban.handoff`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from xieban import marshal
from xieban.agency import Office
from xieban.dossier import CaseNumbers, Dossier
from xieban.errors import Reason, failure
from xieban.handoff import Approval, ClockEffect, State
from xieban.wire.v1 import case_pb2, handoff_pb2

SHANGHAI = ZoneInfo("Asia/Shanghai")
Secrecy = Literal["none", "internal"]

_SECRECY: dict[Secrecy, handoff_pb2.Secrecy.ValueType] = {
    "none": handoff_pb2.SECRECY_NONE,
    "internal": handoff_pb2.SECRECY_INTERNAL,
}
_STATES = {state: handoff_pb2.HandoffState.Value(f"HANDOFF_STATE_{state.name}") for state in State}
_STATES_FROM_PB = {number: state for state, number in _STATES.items()}


@dataclass(frozen=True, slots=True)
class ActView:
    """A legal event. `person` is a tag (P1, …) or empty for the whole case; `derived` marks a time got by a published rule."""

    what: str
    at: datetime
    person: str = ""
    derived: bool = False


@dataclass(frozen=True, slots=True)
class ClockView:
    """What a legal act does to one statutory limit. `rule`, `event` and `by` are ids of `xieban.timelimits`; times are aware.

    `effect` is start, stop, extend, exclude or restart; `kind` "add" or "total" for an extension; `until` the end of an exclusion.
    """

    effect: ClockEffect
    rule: str
    at: datetime
    until: datetime | None = None
    event: str = ""
    by: str = ""
    kind: str = ""
    months: int = 0
    days: int = 0
    hours: int = 0
    person: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class DueView:
    """The last day of a limit as the sender computes it: an ISO date, or a moment such as 2026-03-02T16:00:00+08:00."""

    rule: str
    due: str
    person: str = ""


@dataclass(frozen=True, slots=True)
class DefectView:
    """A coded defect: rule or reason, article, item."""

    code: str
    article: str = ""
    item: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A handoff about to be sent. `client_ref` is the sender's own document number and makes sending idempotent for ever."""

    client_ref: str
    kind: str
    case_id: str
    sender: Office
    receiver: Office
    dossier: Dossier
    outcome: str = ""
    acts: tuple[ActView, ...] = ()
    secrecy: Secrecy = "none"
    re: tuple[str, ...] = ()
    clocks: tuple[ClockView, ...] = ()
    dues: tuple[DueView, ...] = ()
    salt: bytes = b""
    """Of the dossier's commitment; empty unless officers have signed it."""
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True)
class FactView:
    """One signed fact of the receiver. `answer` is the eid of the answering handoff, or empty."""

    kind: str
    at: datetime
    receipt: str
    defects: tuple[DefectView, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class HandoffView:
    """A handoff as one of its parties sees it; `incoming` tells which. `sent_at` is when it was sealed."""

    eid: str
    handoff_id: str
    client_ref: str
    kind: str
    case_id: str
    stage: str
    sender: Office
    receiver: Office
    outcome: str
    state: State
    sent_at: datetime
    receipts: tuple[FactView, ...]
    re: tuple[str, ...]
    acts: tuple[ActView, ...]
    incoming: bool
    lane_seq: int
    clocks: tuple[ClockView, ...] = ()
    dossier: Dossier | None = None
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """Something that happened to a handoff. Watch again from `cursor` to go on after it."""

    cursor: int
    handoff: HandoffView


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as one agency knows it."""

    case_id: str
    stage: str
    returns: int
    opened_at: datetime
    updated_at: datetime
    numbers: CaseNumbers
    handoffs: int


def time_to_pb(value: datetime) -> Timestamp:
    """Errors: FIELD_INVALID for a naive time."""
    return marshal.time_to_pb(marshal.micros(value))


@marshal.answered
def time_from_pb(value: Timestamp) -> datetime:
    """Errors: DEFECT for a time that no calendar has."""
    return marshal.moment(marshal.time_from_pb(value)).astimezone(SHANGHAI)


def state_to_pb(value: State) -> handoff_pb2.HandoffState.ValueType:
    return _STATES[value]


def state_from_pb(value: handoff_pb2.HandoffState.ValueType) -> State:
    """Errors: DEFECT when the server speaks of a state this library does not know."""
    found = _STATES_FROM_PB.get(value)
    if found is None:
        raise failure(Reason.DEFECT, trace=f"state:{value}")
    return found


def act_to_pb(value: ActView) -> handoff_pb2.Act:
    return handoff_pb2.Act(what=value.what, at=time_to_pb(value.at), person=value.person, derived=value.derived)


def act_from_pb(value: handoff_pb2.Act) -> ActView:
    return ActView(what=value.what, at=time_from_pb(value.at), person=value.person, derived=value.derived)


def clock_to_pb(value: ClockView) -> handoff_pb2.ClockAct:
    return handoff_pb2.ClockAct(
        effect=handoff_pb2.ClockEffect.Value(f"CLOCK_EFFECT_{value.effect.upper()}"),
        rule=value.rule,
        event=value.event,
        at=time_to_pb(value.at),
        until=time_to_pb(value.until) if value.until else None,
        by=value.by,
        kind=value.kind,
        months=value.months,
        days=value.days,
        hours=value.hours,
        person=value.person,
        document=value.document,
    )


def clock_from_pb(value: handoff_pb2.ClockAct) -> ClockView:
    effect = handoff_pb2.ClockEffect.Name(value.effect).removeprefix("CLOCK_EFFECT_").lower()
    return ClockView(
        effect=cast(ClockEffect, effect),
        rule=value.rule,
        at=time_from_pb(value.at),
        until=time_from_pb(value.until) if value.HasField("until") else None,
        event=value.event,
        by=value.by,
        kind=value.kind,
        months=value.months,
        days=value.days,
        hours=value.hours,
        person=value.person,
        document=value.document,
    )


def defect_to_pb(value: DefectView) -> handoff_pb2.Defect:
    return handoff_pb2.Defect(code=value.code, article=value.article, item=value.item)


def defect_from_pb(value: handoff_pb2.Defect) -> DefectView:
    return DefectView(code=value.code, article=value.article, item=value.item)


def draft_to_pb(value: Draft) -> handoff_pb2.Draft:
    """Errors: FIELD_INVALID for a naive time."""
    message = handoff_pb2.Draft(
        client_ref=value.client_ref,
        kind=value.kind,
        case_id=value.case_id,
        to=marshal.office_to_pb(value.receiver),
        outcome=value.outcome,
        acts=[act_to_pb(act) for act in value.acts],
        secrecy=_SECRECY[value.secrecy],
        dossier=marshal.dossier_to_pb(value.dossier),
        re=value.re,
        clocks=[clock_to_pb(clock) for clock in value.clocks],
        dues=[handoff_pb2.StatedDue(rule=due.rule, person=due.person, due=due.due) for due in value.dues],
        salt=value.salt,
        approvals=[marshal.approval_to_pb(one) for one in value.approvals],
    )
    getattr(message, "from").CopyFrom(marshal.office_to_pb(value.sender))
    return message


def fact_from_pb(value: handoff_pb2.ReceiptFact) -> FactView:
    return FactView(
        kind=value.kind,
        at=time_from_pb(value.at),
        receipt=value.receipt,
        defects=tuple(defect_from_pb(defect) for defect in value.defects),
        answer=value.answer,
    )


def handoff_from_pb(value: handoff_pb2.Handoff, *, dossier: Dossier | None = None) -> HandoffView:
    return HandoffView(
        eid=value.eid,
        handoff_id=value.handoff_id,
        client_ref=value.client_ref,
        kind=value.kind,
        case_id=value.case_id,
        stage=value.stage,
        sender=marshal.office_from_pb(getattr(value, "from")),
        receiver=marshal.office_from_pb(value.to),
        outcome=value.outcome,
        state=state_from_pb(value.state),
        sent_at=time_from_pb(value.sent_time),
        receipts=tuple(fact_from_pb(fact) for fact in value.receipts),
        re=tuple(value.re),
        acts=tuple(act_from_pb(act) for act in value.acts),
        incoming=value.incoming,
        lane_seq=value.lane_seq,
        clocks=tuple(clock_from_pb(clock) for clock in value.clocks),
        dossier=dossier,
        approvals=tuple(_approval(one) for one in value.approvals),
    )


@marshal.answered
def _approval(value: handoff_pb2.Approval) -> Approval:
    return marshal.approval_from_pb(value)


def case_from_pb(value: case_pb2.Case) -> CaseView:
    return CaseView(
        case_id=value.case_id,
        stage=value.stage,
        returns=value.returns,
        opened_at=time_from_pb(value.opened_time),
        updated_at=time_from_pb(value.updated_time),
        numbers=CaseNumbers(
            police=value.numbers.police, procuratorate=value.numbers.procuratorate, court=value.numbers.court
        ),
        handoffs=value.handoffs,
    )

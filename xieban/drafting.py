"""A draft as it will be sealed: what is handed in, in the words of the header, and what officers sign of it.

The node that seals and the officer's own machine must come to the same bytes, so both use what is here. What must not go in: who may
send what (`xieban.procedure`), and whose signature counts (`xieban.approval`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import msgspec

from xieban import canonical, dossier, views
from xieban.agency import Office
from xieban.approval import Matter, OfficerKey
from xieban.errors import Reason, failure
from xieban.handoff import LATEST, Act, Approval, ClockAct, ClockEffect, OfficerRole, Party, StatedDue
from xieban.ids import eid, person_tag
from xieban.marshal import time_from_pb
from xieban.procedure import table
from xieban.timelimits import rule
from xieban.wire.v1 import handoff_pb2


def approved(draft: views.Draft, keys: Iterable[OfficerKey], *, answering: str = "") -> views.Draft:
    """The draft with the approvals of these officers. `answering` is the eid that it will be sent in answer to.

    A draft that carries approvals keeps its salt and those of other roles; one without gets a fresh salt.
    Errors: everything that refuses a draft for its form.
    """
    salt = draft.salt or dossier.new_salt()
    found: dict[OfficerRole, Approval] = {one.role: one for one in draft.approvals}
    for key in keys:
        found[key.role] = key.approve(matter(draft, key.role, salt=salt, answering=answering))
    return replace(draft, salt=salt, approvals=tuple(found[role] for role in sorted(found)))


def matter(draft: views.Draft, role: OfficerRole, *, salt: bytes, answering: str = "") -> Matter:
    """What an officer of that role signs of a draft. Errors: everything that refuses a draft for its form."""
    message = views.draft_to_pb(draft)
    return Matter(
        v=1,
        role=role,
        sender=_party(draft.sender),
        receiver=_party(draft.receiver),
        case=draft.case_id,
        kind=draft.kind,
        outcome=draft.outcome,
        re=references(answering, [eid(one) for one in draft.re]),
        secrecy=draft.secrecy,
        acts=[act_from_pb(act) for act in message.acts],
        clocks=[clock_from_pb(clock) for clock in message.clocks],
        dossier=dossier.pack(draft.dossier, salt=salt).commitment,
        client_ref_hash=ref_hash(salt, canonical.text(draft.client_ref, field="client_ref", limit=128).strip()),
    )


def references(answered: str, others: Iterable[str]) -> list[str]:
    """The eids a header refers to: first what it answers, then the others."""
    first = [answered] if answered else []
    return [*first, *(one for one in others if one not in first)]


def ref_hash(salt: bytes, client_ref: str) -> str:
    """How a header names the document number: salted, because numbers can be guessed."""
    return hashlib.sha256(salt + client_ref.encode()).hexdigest()


def _party(office: Office) -> Party:
    return Party(city=office.city.token, agency=office.agency, office=office.division)


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

"""What a handoff may do to a case: the checks every party makes, and the moves of its stage.

The sender is held to everything here before it seals. A receiver checks the same again, because a header from outside is hostile
until proven otherwise; it is lenient in one point only: it takes the sender's word for the stage of a case that the sender, not
the receiver, holds. Pure functions over values; the article is in every refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from xieban.agency import Agency, Office
from xieban.errors import Reason, failure
from xieban.handoff import Act
from xieban.procedure.table import ANY_STAGE, Kind, Table, Track

FIRST_STAGE = "S10_investigation"


@dataclass(frozen=True, slots=True)
class CaseState:
    """What the law's counters and guards need to know of a case. `returns` is summed over all agencies (检规350)."""

    stage: str
    returns: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A handoff about to be sealed, or just received, reduced to what the procedure decides on."""

    kind: str
    outcome: str
    sender: Office
    receiver: Office
    acts: tuple[str, ...]
    answered: tuple[str, ...]
    """Kinds of the handoffs it refers to."""


def open_case(proposal: Proposal, tables: Table) -> CaseState | None:
    """The state of a case that this handoff opens, or None if it may not open one. Only the police file a case."""
    if tables.kind(proposal.kind).opens and proposal.sender.agency is Agency.POLICE:
        return CaseState(stage=FIRST_STAGE)
    return None


def check(proposal: Proposal, case: CaseState, tables: Table) -> Kind:
    """Whether the procedure allows `proposal` on `case`.

    Errors: KIND_UNKNOWN, PARTY_NOT_ALLOWED, STAGE_NOT_ALLOWED, OUTCOME_NOT_ALLOWED, ACT_MISSING, ANSWER_NOT_ALLOWED,
    RETURN_LIMIT_REACHED (刑诉175).
    """
    kind = tables.kind(proposal.kind)
    _check_parties(kind, proposal)
    if ANY_STAGE not in kind.stages and case.stage not in kind.stages:
        raise failure(Reason.STAGE_NOT_ALLOWED, kind=kind.id, stage=case.stage[:40], article=kind.article)
    if proposal.outcome not in (kind.outcomes or ("",)):
        raise failure(Reason.OUTCOME_NOT_ALLOWED, kind=kind.id, outcome=proposal.outcome[:40] or "空")
    for act in proposal.acts:
        if act not in tables.acts:
            raise failure(Reason.FIELD_INVALID, field="acts", detail=f"没有名为 {act[:40]} 的法律行为")
    for act in kind.required_acts(proposal.outcome):
        if act not in proposal.acts:
            raise failure(Reason.ACT_MISSING, kind=kind.id, act=act, article=kind.article)
    if kind.answers and proposal.answered and not set(proposal.answered) & set(kind.answers):
        raise failure(Reason.ANSWER_NOT_ALLOWED, kind=kind.id, request=proposal.answered[0])
    if kind.counts is not None and case.returns >= kind.counts.max:
        raise failure(Reason.RETURN_LIMIT_REACHED, count=case.returns)
    return kind


def _check_parties(kind: Kind, proposal: Proposal) -> None:
    sender, receiver = proposal.sender, proposal.receiver
    allowed = sender.agency in kind.senders and receiver.agency in kind.receivers and sender != receiver
    match kind.level:
        case "same":
            allowed = allowed and sender.division == receiver.division
        case "upper":
            allowed = allowed and sender.level == "county" and receiver.division == sender.division[:4] + "00"
        case "lower":
            allowed = allowed and receiver.level == "county" and sender.division == receiver.division[:4] + "00"
        case "city":
            allowed = allowed and sender.division[:4] == receiver.division[:4]
    if not allowed:
        raise failure(
            Reason.PARTY_NOT_ALLOWED, kind=kind.id, sender=sender.name, receiver=receiver.name, article=kind.article
        )


def advance(case: CaseState, kind: Kind, *, on: Literal["sent", "accepted"], outcome: str) -> CaseState:
    """The case after a moment of a handoff. A move whose origin is not the case's stage is history and changes nothing."""
    if on == "sent" and kind.counts is not None:
        case = replace(case, returns=case.returns + 1)
    for move in kind.moves:
        if move.on == on and move.origin == case.stage and move.outcome in ("", outcome):
            return replace(case, stage=move.to)
    return case


def retreat(case: CaseState, kind: Kind, *, stage: str, outcome: str) -> CaseState:
    """The case after a handoff that was sent in `stage` came to nothing: returned, rejected or withdrawn.

    The move it made when it was sent is taken back where the case still stands there, and so is what it counted (检规346).
    """
    if kind.counts is not None:
        case = replace(case, returns=max(0, case.returns - 1))
    for move in kind.moves:
        if move.on == "sent" and (move.origin, move.to) == (stage, case.stage) and move.outcome in ("", outcome):
            return replace(case, stage=move.origin)
    return case


def custody_after(persons: Mapping[str, bool], acts: Iterable[Act]) -> dict[str, bool]:
    """Who of the case is held after these acts, by person tag, in the order of their legal time."""
    held = dict(persons)
    for act in sorted(acts, key=lambda item: item.at):
        if act.custody is not None:
            held[act.person] = act.custody
    return held


def track_of(acts: Sequence[Act], tables: Table) -> Track:
    """The procedure these acts put the case on: the last one named, ordinary when none is."""
    named = [tables.acts[act.what].track for act in sorted(acts, key=lambda item: item.at) if act.what in tables.acts]
    return next((track for track in reversed(named) if track is not None), "ordinary")

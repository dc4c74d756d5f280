"""Headers and facts of receipts as the gateway keeps them: what was said, by whom, and nothing that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from xieban.handoff import Act, ClockAct, Defect, FactKind, State, StatedDue


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """A header as the gateway keeps it. Offices are (agency, division) as claimed; times in microseconds.

    `unapproved`: number of the reason why the approvals of officers do not hold that the kind needs; empty when they do, or none is needed.
    """

    eid: str
    case_id: str
    kind: str
    outcome: str
    stage: str
    sender: tuple[str, str]
    receiver: tuple[str, str]
    lane_seq: int
    lane_prev: str
    refers: tuple[str, ...]
    acts: tuple[Act, ...]
    files: int
    pages: int
    sent_at: int
    clocks: tuple[ClockAct, ...] = ()
    dues: tuple[StatedDue, ...] = ()
    state: State = State.SENT
    unapproved: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact of a receipt, with who said it to whom."""

    receipt: str
    position: int
    of: str
    kind: FactKind
    at: int
    defects: tuple[Defect, ...]
    answer: str
    author: str
    addressee: str

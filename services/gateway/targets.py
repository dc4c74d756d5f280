"""Service targets for duties that the law gives no number for (立即, 及时). Pure, off unless an operator lists some.

They are an office's own aim and are never called 法定期限: an office is told when one is near or unmet, but nobody is in breach and
nothing is supervised. What a page shows is worked out from the handoffs of the case whenever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.gateway.record import Fact, Handoff
from xieban.handoff import State

HOUR = 3_600_000_000
LONGEST_NAME = 64


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the operator's table: `hours` after a handoff of kind `after` (and `outcome`, if given) is delivered, its receiver
    should have sent one of the kinds `until`. `name` is shown, with the article that says 立即 or 及时."""

    name: str
    article: str
    after: str
    until: tuple[str, ...]
    hours: int
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """A target of one handoff. `kept_at` None while it is open."""

    target: Target
    eid: str
    office: tuple[str, str]
    started_at: int
    aim_at: int
    kept_at: int | None


def aims(
    targets: Sequence[Target], handoffs: Sequence[Handoff], facts: Mapping[str, Sequence[Fact]]
) -> tuple[Aim, ...]:
    """The targets of a case in order of time. Handoffs that were rejected or withdrawn ask nothing of anybody."""
    found: list[Aim] = []
    for target in targets:
        for handoff in handoffs:
            if handoff.kind != target.after or target.outcome not in ("", handoff.outcome):
                continue
            delivered = [fact.at for fact in facts.get(handoff.eid, ()) if fact.kind == "delivered"]
            if not delivered or handoff.state in (State.REJECTED, State.WITHDRAWN):
                continue
            start = min(delivered)
            answers = [
                other.sent_at
                for other in handoffs
                if other.kind in target.until and other.sender[0] == handoff.receiver[0] and other.sent_at >= start
            ]
            found.append(
                Aim(
                    target=target,
                    eid=handoff.eid,
                    office=handoff.receiver,
                    started_at=start,
                    aim_at=start + target.hours * HOUR,
                    kept_at=min(answers, default=None),
                )
            )
    return tuple(sorted(found, key=lambda aim: (aim.started_at, aim.target.name, aim.eid)))

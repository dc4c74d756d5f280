"""What the passing of time alone will bring to the log: the plan of the watch, asked of a moment to come. Pure.

A dry run that reckoned by itself would one day say something else than the watch does, so there is no second way: `clocks.plan` and the
ladder answer, for exactly the limits the watch would look at. What must not go in: a table, a write, a rule of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.clocks import Action, Limit, plan
from services.gateway.ladder import Ladder

Place = tuple[int, int, str, str, str, str, str, str]
PLACE_TYPES = (int, int, str, str, str, str, str, str)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """An action to come. `due_at`: when the watch comes to it, in microseconds."""

    due_at: int
    action: Action

    @property
    def place(self) -> Place:
        """Where it stands in the order of the log; no two have the same."""
        return self.due_at, self.action.at, *self.action.limit.key, self.action.kind, self.action.rung


def foresee(limit: Limit, *, looked_at: int, until: int, ladder: Ladder) -> list[Foreseen]:
    """What `limit` will bring by `until`. `looked_at`: when the watch is to look at it next.

    That can be later than its first rung, when the operator has given other days meanwhile; the rung is then fired late.
    """
    return [Foreseen(max(action.at, looked_at), action) for action in plan(until, [limit], ladder=ladder)]

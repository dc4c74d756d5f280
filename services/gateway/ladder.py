"""The warning ladder of a limit: which rungs it has and when each is due. Pure.

Rungs are counted back from the end of the cautious day (`safe_due`); breaches are recorded on the statutory one. By default yellow
comes two days or a fifth of the limit before the end, whichever is earlier, and red one day or a twentieth; where somebody is held and
must be released when it is missed, seven, three and one days. An operator may give other days for a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DAY = 86_400_000_000
CUSTODY_DAYS = (7, 3, 1)
LONGEST = 36_500 * DAY
"""Stands for the length of a limit counted backward from a day to come (开庭十日以前): it has no beginning of its own."""


@dataclass(frozen=True, slots=True, order=True)
class Rung:
    """One rung: due at `at` (microseconds)."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """`days` before the end by rule id, most days first; rules not named take the defaults."""

    days: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def rungs(self, rule: str, *, started_at: int, ends_at: int, held: bool) -> list[Rung]:
        """In order of time. A rung that would lie at or before the start is left out, but the last one never is."""
        backward = ends_at <= started_at
        length = LONGEST if backward else ends_at - started_at
        named = self.days.get(rule, CUSTODY_DAYS if held else ())
        if named:
            leads = [(f"d{days}", days * DAY) for days in sorted(set(named), reverse=True)]
        else:
            leads = [("yellow", 2 * DAY if backward else max(2 * DAY, length // 5))]
            leads += [("red", DAY if backward else max(DAY, length // 20))]
        rungs = [Rung(ends_at - lead, name) for name, lead in leads if lead < length]
        return rungs or [Rung(ends_at - length // 2, leads[-1][0])]

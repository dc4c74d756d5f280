"""Limits of a case as spans from start to stop, and the acts that offices state about them: values, no decisions.

Who bears a limit is read off the statutes; dates are computed in `reckoning`, what belongs to what is found in `touches`.
"""

from __future__ import annotations

from dataclasses import dataclass

from xieban.agency import Agency
from xieban.handoff import Act, ClockAct
from xieban.timelimits import RULES

End = tuple[str, str]
# Bearers of the statutes that are offices of a city: agency, and whether it is the one above the county.
_OFFICES: dict[str, tuple[Agency, bool]] = {
    "police": (Agency.POLICE, False),
    "upper_police": (Agency.POLICE, True),
    "procuratorate": (Agency.PROCURATORATE, False),
    "upper_procuratorate": (Agency.PROCURATORATE, True),
    "court": (Agency.COURT, False),
    "first_instance_court": (Agency.COURT, False),
    "upper_court": (Agency.COURT, True),
    "second_instance_court": (Agency.COURT, True),
}
Told = tuple[Act, str, End]
"""A legal act with the statement and the office that told of it."""
NOBODY: End = ("", "")
"""Bearer of a limit that binds no office: a party's right, a term."""


@dataclass(frozen=True, slots=True)
class Stated:
    """An act as one statement states it. `order`: place of the statement in the course, then of the act in it."""

    act: ClockAct
    eid: str
    by: End
    order: tuple[int, int]

    @property
    def place(self) -> tuple[int, tuple[int, int]]:
        return self.act.at, self.order


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop of every limit of `rule`, or of those of one person: by a moment of a handoff, a legal act (`by_act`) or a stated act.

    `event`: the legal act whose time counts. `names`: whose limits of the rule the same statement begins; whoever is heard of only later
    is not meant by it.
    """

    rule: str
    person: str
    at: int
    eid: str
    by: End
    order: tuple[int, int]
    act: ClockAct | None = None
    event: str = ""
    names: frozenset[str] = frozenset()
    by_act: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A start of `rule` for `person` by the legal act `event`, whichever statement tells of it."""

    rule: str
    person: str
    at: int
    event: str
    eid: str
    by: End
    order: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """A limit from its start to its stop. `custody`: held at the start; `changes`: (when, held) while it ran, `change_by`: (eid, who).

    `acts` touch it in order of legal time; `repeated` are statements of an act already known, or of one that was corrected later.
    `by_act`: begun by a legal act; `received_at`: arrival of what was accepted when it started (A14), else 0.
    """

    rule: str
    bearer: End
    start_eid: str
    start_event: str
    started_at: int
    custody: bool
    changes: tuple[tuple[int, bool], ...] = ()
    ended_at: int | None = None
    end_eid: str = ""
    person: str = ""
    start_by: End = NOBODY
    end_by: End = NOBODY
    change_by: tuple[tuple[str, End], ...] = ()
    order: tuple[int, int] = (0, 0)
    stated: ClockAct | None = None
    end_stated: ClockAct | None = None
    acts: tuple[Stated, ...] = ()
    repeated: tuple[Stated, ...] = ()
    by_act: bool = False
    received_at: int = 0
    end_event: str = ""

    def runs_at(self, at: int) -> bool:
        return self.started_at <= at and (self.ended_at is None or at <= self.ended_at)


def bearer_of(rule: str, by: End) -> End:
    """The office that must act: the one that states the start where it can be, else its counterpart."""
    named = [_OFFICES[name] for name in RULES[rule].bearer if name in _OFFICES]
    agency, division = by
    for office, upper in named:
        if office == agency and division.endswith("00") == upper:
            return by
    if any(office == agency for office, _ in named):
        return by
    for office, upper in named:
        return str(office), division[:4] + "00" if upper else division
    return NOBODY

"""Which statutory limits a moment of a handoff, or a legal act by itself, starts and stops. Dates are computed elsewhere.

A kind's rows take effect at moments of its handoff (`xieban/procedure/handoffs.toml`); an act's rows take effect at its legal time,
whichever handoff tells of it (`acts.toml`). The time at which something was recorded is never a legal time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from xieban.procedure.table import Act, Kind, Moment, Track


@dataclass(frozen=True, slots=True)
class Start:
    """Start `rule`; its bearer is the sending or the receiving office. `act` names the legal act whose time starts it; empty
    means the moment's own receipt time (A19: arrival at the receiver, once the package proved sound)."""

    rule: str
    bearer: Literal["from", "to"]
    act: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop every running limit of `rule` in the case, at the time of the act named, else at the moment's own."""

    rule: str
    act: str = ""


def limit_steps(
    kind: Kind,
    *,
    on: Moment,
    outcome: str,
    custody: bool,
    track: Track,
    receiver: str = "",
    answered: Collection[str] = (),
) -> list[Start | Stop]:
    """Steps in table order, stops of a row before starts of later rows. `answered`: kinds of the handoffs it refers to."""
    steps: list[Start | Stop] = []
    for row in kind.limits:
        if row.on != on or row.outcome not in ("", outcome):
            continue
        if row.custody not in (None, custody) or row.track not in (None, track):
            continue
        if (row.answers and row.answers not in answered) or row.receiver not in (None, receiver):
            continue
        steps.extend(Stop(rule=rule, act=row.act) for rule in row.stop)
        if row.start and row.bearer:
            steps.append(Start(rule=row.start, bearer=row.bearer, act=row.act))
    return steps


def act_starts(act: Act, *, stage: str) -> tuple[str, ...]:
    """Limits that the act starts for its person while the case is in `stage`."""
    return tuple(row.start for row in act.limits if row.start and (not row.stages or stage in row.stages))


def act_stops(act: Act) -> tuple[str, ...]:
    """Limits of its person that the act stops, whatever the stage."""
    return tuple(rule for row in act.limits for rule in row.stop)

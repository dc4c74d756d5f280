"""Which statutory limits a moment of a handoff starts and stops. Dates are computed elsewhere (`xieban.timelimits`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xieban.procedure.table import Kind, Moment, Track


@dataclass(frozen=True, slots=True)
class Start:
    """Start `rule`; its bearer is the sending or the receiving office. `act` names the legal act whose time starts it; empty
    means the moment's own receipt time (A19: arrival at the receiver, once the package proved sound)."""

    rule: str
    bearer: Literal["from", "to"]
    act: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop every running limit of `rule` in the case."""

    rule: str


def limit_steps(kind: Kind, *, on: Moment, outcome: str, custody: bool, track: Track) -> list[Start | Stop]:
    """Steps in table order, stops of a row before starts of later rows."""
    steps: list[Start | Stop] = []
    for row in kind.limits:
        if row.on != on or row.outcome not in ("", outcome):
            continue
        if row.custody not in (None, custody) or row.track not in (None, track):
            continue
        steps.extend(Stop(rule=rule) for rule in row.stop)
        if row.start and row.bearer:
            steps.append(Start(rule=row.start, bearer=row.bearer, act=row.act))
    return steps

"""When a limit warns and when it is overdue: a plan made of the present time and the limits, and nothing else.

`plan` says what has to be written down; `watch` and `ingest` write it down. Pure and total: no clock, no database. How long a limit
lasts is the law's business (`xieban.timelimits`), when it starts and stops is the case's (`course`), when it warns is the `ladder`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from services.gateway.ladder import Ladder, Rung
from xieban.marshal import micros
from xieban.notice import colour

SHANGHAI = ZoneInfo("Asia/Shanghai")
LimitState = Literal["running", "met", "overdue", "late", "lapsed"]
Key = tuple[str, str, str, str]
DEFAULT = Ladder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of one case. Times in microseconds; `due` and `safe_due` as an ISO date (in time until 24:00) or RFC 3339 moment.

    `stopped`: an excluded interval still runs, so nothing can be missed. `duty`: an office must act; a limit without one lapses and is
    never overdue. `severity`: 1 is the worst. `warned`: (rung, safe_due it warned of); a rung is fired once for each date.
    """

    case_id: str
    rule: str
    start_eid: str
    bearer_agency: str
    bearer_office: str
    start_event: str
    started_at: int
    due: str
    safe_due: str
    overdue_from: int
    safe_from: int
    provisional: bool
    in_custody: bool
    edition: str
    calendar: str
    person: str = ""
    stopped: bool = False
    duty: bool = True
    consequence: str = "M2"
    severity: int = 3
    state: LimitState = "running"
    ended_at: int | None = None
    end_eid: str = ""
    overdue_logged: bool = False
    warned: frozenset[tuple[str, str]] = frozenset()

    @property
    def key(self) -> Key:
        return self.case_id, self.rule, self.start_eid, self.person

    @property
    def rungs_warned(self) -> tuple[str, ...]:
        """Rungs fired for the date that stands now."""
        return tuple(sorted(rung for rung, due in self.warned if due == self.safe_due))

    @property
    def urgency(self) -> int:
        """0 red or breached, 1 yellow, 2 none."""
        if self.state == "overdue":
            return 0
        colours = {colour(rung) for rung in self.rungs_warned}
        return 0 if "red" in colours else 1 if colours else 2


@dataclass(frozen=True, slots=True)
class Action:
    """An entry to write for `limit`, which is given as it stands afterwards. `at`: the moment it was due.

    CLOCK_WARN: `rung` of the ladder. OVERDUE_LIFTED: a stop made in time arrived after all. CLOCK_LAPSED: a right or a term is over.
    """

    kind: Literal["CLOCK_WARN", "OVERDUE", "OVERDUE_LIFTED", "CLOCK_LAPSED"]
    limit: Limit
    at: int
    rung: str = ""


def overdue_from(due: date | datetime) -> int:
    """The first microsecond that is too late: the day after a last day (24:00 Asia/Shanghai), or just after a last moment."""
    if isinstance(due, datetime):
        return micros(due) + 1
    return micros(datetime.combine(due + timedelta(days=1), time(), tzinfo=SHANGHAI))


def standing(limit: Limit, *, now: int) -> LimitState:
    """Where the limit stands at `now`."""
    if limit.ended_at is not None:
        return "met" if limit.stopped or not limit.duty or limit.ended_at < limit.overdue_from else "late"
    if limit.stopped or now < limit.overdue_from:
        return "running"
    return "overdue" if limit.duty else "lapsed"


def plan(now: int, limits: Iterable[Limit], *, ladder: Ladder = DEFAULT) -> list[Action]:
    """What is to be recorded at `now`, in the order in which it was due. Applying the actions and planning again yields nothing."""
    actions: list[Action] = []
    for limit in limits:
        actions += _plan(now, limit, ladder)
    return sorted(actions, key=lambda action: (action.at, action.limit.key, action.kind))


def next_at(limit: Limit, *, ladder: Ladder = DEFAULT) -> int | None:
    """When the limit has to be looked at again; None when nothing more can come by the passing of time."""
    if limit.ended_at is not None or limit.stopped or limit.overdue_logged or limit.state == "lapsed":
        return None
    waiting = [rung.at for rung in _rungs(limit, ladder)]
    return min([*waiting, limit.overdue_from])


def _plan(now: int, limit: Limit, ladder: Ladder) -> list[Action]:
    actions: list[Action] = []
    if limit.ended_at is None and not limit.stopped:
        for rung in _rungs(limit, ladder):
            if rung.at <= now:
                limit = replace(limit, warned=limit.warned | {(rung.name, limit.safe_due)})
                actions.append(Action("CLOCK_WARN", limit, rung.at, rung.name))
    state = standing(limit, now=now)
    breached = state in ("overdue", "late")
    if breached != limit.overdue_logged:
        due = limit.overdue_from if breached else now
        limit = replace(limit, state=state, overdue_logged=breached)
        actions.append(Action("OVERDUE" if breached else "OVERDUE_LIFTED", limit, due))
    elif state == "lapsed" and limit.state != "lapsed":
        limit = replace(limit, state=state)
        actions.append(Action("CLOCK_LAPSED", limit, limit.overdue_from))
    return actions


def _rungs(limit: Limit, ladder: Ladder) -> list[Rung]:
    """Those not fired yet for the date that stands. A limit that nobody must keep warns nobody."""
    if not limit.duty:
        return []
    held = limit.consequence == "M1" and limit.in_custody
    rungs = ladder.rungs(limit.rule, started_at=limit.started_at, ends_at=limit.safe_from, held=held)
    return [rung for rung in rungs if (rung.name, limit.safe_due) not in limit.warned]

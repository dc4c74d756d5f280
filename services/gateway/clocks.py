"""When a statutory limit is overdue: a plan made of the present time and the limits, and nothing else.

`plan` says what has to be written down; `watch` and `ingest` write it down. Pure: no clock, no database. How long a limit lasts is
the law's business (`xieban.timelimits`), when it starts and stops is the case's (`course`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from xieban.marshal import micros

SHANGHAI = ZoneInfo("Asia/Shanghai")
LimitState = Literal["running", "met", "overdue", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of one case. Times in microseconds; `due` and `safe_due` as an ISO date (in time until 24:00) or RFC 3339 moment."""

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
    provisional: bool
    in_custody: bool
    edition: str
    calendar: str
    state: LimitState = "running"
    ended_at: int | None = None
    end_eid: str = ""
    overdue_logged: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.case_id, self.rule, self.start_eid


@dataclass(frozen=True, slots=True)
class Action:
    """An entry to write for `limit`, which is given as it stands afterwards. `lifted`: a stop made in time arrived after all."""

    kind: Literal["OVERDUE", "OVERDUE_LIFTED"]
    limit: Limit


def overdue_from(due: date | datetime) -> int:
    """The first microsecond that is too late: the day after a last day (24:00 Asia/Shanghai), or just after a last moment."""
    if isinstance(due, datetime):
        return micros(due) + 1
    return micros(datetime.combine(due + timedelta(days=1), time(), tzinfo=SHANGHAI))


def standing(limit: Limit, *, now: int) -> LimitState:
    """Where the limit stands at `now`."""
    if limit.ended_at is not None:
        return "met" if limit.ended_at < limit.overdue_from else "late"
    return "running" if now < limit.overdue_from else "overdue"


def plan(now: int, limits: Iterable[Limit]) -> list[Action]:
    """What is to be recorded at `now`, in order of due time. Applying the actions and planning again yields nothing."""
    actions: list[Action] = []
    for limit in sorted(limits, key=lambda item: (item.overdue_from, item.key)):
        state = standing(limit, now=now)
        breached = state in ("overdue", "late")
        if breached == limit.overdue_logged:
            continue
        after = replace(limit, state=state, overdue_logged=breached)
        actions.append(Action(kind="OVERDUE" if breached else "OVERDUE_LIFTED", limit=after))
    return actions

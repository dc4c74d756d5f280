"""The plan is pure: what is recorded depends on the time and the limits alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.clocks import SHANGHAI, Limit, overdue_from, plan, standing
from tests.services.gateway.script import at

DUE = "2026-03-31 24:00"
MIDNIGHT = at("2026-04-01 00:00")
LIMIT = Limit(
    case_id="A6201",
    rule="prosecution_review",
    start_eid="e" * 64,
    bearer_agency="procuratorate",
    bearer_office="620102",
    start_event="delivered",
    started_at=at("2026-02-28 09:00"),
    due="2026-03-31",
    safe_due="2026-03-31",
    overdue_from=overdue_from(date(2026, 3, 31)),
    provisional=False,
    in_custody=False,
    edition="cpl-2018",
    calendar="test",
)


def test_a_last_day_lasts_until_midnight_in_shanghai() -> None:
    assert LIMIT.overdue_from == MIDNIGHT
    assert plan(MIDNIGHT - 1, [LIMIT]) == []
    assert [action.kind for action in plan(MIDNIGHT, [LIMIT])] == ["OVERDUE"]


def test_a_last_moment_is_still_in_time_itself() -> None:
    moment = datetime(2026, 3, 31, 16, 30, tzinfo=SHANGHAI)
    limit = replace(LIMIT, overdue_from=overdue_from(moment))
    assert plan(at("2026-03-31 16:30"), [limit]) == []
    assert [action.kind for action in plan(at("2026-03-31 16:30") + 1, [limit])] == ["OVERDUE"]


def test_a_limit_that_ended_at_the_last_moment_is_met_and_one_microsecond_later_is_late() -> None:
    assert standing(replace(LIMIT, ended_at=MIDNIGHT - 1), now=MIDNIGHT * 2) == "met"
    assert standing(replace(LIMIT, ended_at=MIDNIGHT), now=MIDNIGHT * 2) == "late"


def test_a_limit_that_ended_late_is_recorded_as_overdue_although_nobody_saw_it_run_out() -> None:
    late = replace(LIMIT, ended_at=MIDNIGHT + 5)
    (action,) = plan(MIDNIGHT + 10, [late])
    assert (action.kind, action.limit.state, action.limit.overdue_logged) == ("OVERDUE", "late", True)


def test_a_breach_is_lifted_when_a_stop_made_in_time_arrives_afterwards() -> None:
    (overdue,) = plan(MIDNIGHT, [LIMIT])
    (action,) = plan(MIDNIGHT + 9, [replace(overdue.limit, ended_at=MIDNIGHT - 1)])
    assert (action.kind, action.limit.state, action.limit.overdue_logged) == ("OVERDUE_LIFTED", "met", False)


_LIMITS = st.builds(
    lambda rule, due, ended, logged: replace(LIMIT, rule=rule, overdue_from=due, ended_at=ended, overdue_logged=logged),
    st.text("abc", min_size=1, max_size=3),
    st.integers(0, 100),
    st.none() | st.integers(0, 100),
    st.booleans(),
)


@given(st.integers(0, 100), st.lists(_LIMITS, max_size=6, unique_by=lambda limit: limit.rule), st.randoms())
def test_planning_again_after_carrying_the_plan_out_yields_nothing(now: int, limits: list[Limit], dice) -> None:  # type: ignore[no-untyped-def]
    actions = plan(now, limits)
    shuffled = list(limits)
    dice.shuffle(shuffled)
    assert plan(now, shuffled) == actions
    after = {limit.key: limit for limit in limits} | {action.limit.key: action.limit for action in actions}
    assert plan(now, after.values()) == []

"""The plan is pure: what is recorded depends on the time and the limits alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.clocks import SHANGHAI, Action, Limit, next_at, overdue_from, plan, standing
from services.gateway.ladder import DAY, Ladder
from tests.services.gateway.script import at
from xieban.notice import colour

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
    safe_from=overdue_from(date(2026, 3, 31)),
    provisional=False,
    in_custody=False,
    edition="cpl-2018",
    calendar="test",
)
WARNED = replace(LIMIT, warned=frozenset({("yellow", LIMIT.safe_due), ("red", LIMIT.safe_due)}))


def kinds(actions: list[Action]) -> list[str]:
    return [action.kind for action in actions]


def test_a_last_day_lasts_until_midnight_in_shanghai() -> None:
    assert LIMIT.overdue_from == MIDNIGHT
    assert plan(MIDNIGHT - 1, [WARNED]) == []
    assert kinds(plan(MIDNIGHT, [WARNED])) == ["OVERDUE"]


def test_a_last_moment_is_still_in_time_itself() -> None:
    moment = datetime(2026, 3, 31, 16, 30, tzinfo=SHANGHAI)
    limit = replace(WARNED, overdue_from=overdue_from(moment))
    assert plan(at("2026-03-31 16:30"), [limit]) == []
    assert kinds(plan(at("2026-03-31 16:30") + 1, [limit])) == ["OVERDUE"]


def test_a_limit_that_ended_at_the_last_moment_is_met_and_one_microsecond_later_is_late() -> None:
    assert standing(replace(LIMIT, ended_at=MIDNIGHT - 1), now=MIDNIGHT * 2) == "met"
    assert standing(replace(LIMIT, ended_at=MIDNIGHT), now=MIDNIGHT * 2) == "late"


def test_a_limit_that_ended_late_is_recorded_as_overdue_although_nobody_saw_it_run_out_and_warns_nobody() -> None:
    late = replace(LIMIT, ended_at=MIDNIGHT + 5)
    (action,) = plan(MIDNIGHT + 10, [late])
    assert (action.kind, action.limit.state, action.limit.overdue_logged) == ("OVERDUE", "late", True)


def test_a_breach_is_lifted_when_a_stop_made_in_time_arrives_afterwards() -> None:
    (overdue,) = plan(MIDNIGHT, [WARNED])
    (action,) = plan(MIDNIGHT + 9, [replace(overdue.limit, ended_at=MIDNIGHT - 1)])
    assert (action.kind, action.limit.state, action.limit.overdue_logged) == ("OVERDUE_LIFTED", "met", False)


def test_yellow_comes_a_fifth_of_the_limit_before_its_end_and_red_a_twentieth_but_at_least_a_day() -> None:
    yellow, red = Ladder().rungs("prosecution_review", started_at=0, ends_at=30 * DAY, held=False)
    assert ((yellow.name, yellow.at), (red.name, red.at)) == (("yellow", 24 * DAY), ("red", 28 * DAY + DAY // 2))
    yellow, red = Ladder().rungs("prosecution_review", started_at=0, ends_at=5 * DAY, held=False)
    assert (yellow.at, red.at) == (3 * DAY, 4 * DAY)


def test_where_somebody_is_held_and_must_be_released_it_is_seven_three_and_one_days() -> None:
    rungs = Ladder().rungs("inv_custody", started_at=0, ends_at=60 * DAY, held=True)
    assert [(rung.name, rung.at) for rung in rungs] == [("d7", 53 * DAY), ("d3", 57 * DAY), ("d1", 59 * DAY)]
    assert [colour(rung.name) for rung in rungs] == ["yellow", "red", "red"]


def test_a_rung_at_or_before_the_start_is_left_out_but_the_last_one_is_kept_in_the_middle() -> None:
    assert [rung.name for rung in Ladder().rungs("x", started_at=0, ends_at=3 * DAY, held=True)] == ["d1"]
    (rung,) = Ladder().rungs("detention_family_notice", started_at=0, ends_at=DAY, held=False)
    assert (rung.name, rung.at) == ("red", DAY // 2)


def test_an_operator_may_give_other_days_for_a_rule() -> None:
    ladder = Ladder({"first_instance": (30, 10)})
    assert [r.name for r in ladder.rungs("first_instance", started_at=0, ends_at=90 * DAY, held=True)] == ["d30", "d10"]


def test_rungs_fire_on_the_cautious_date_each_once_also_after_a_jump_of_the_clock() -> None:
    limit = replace(LIMIT, safe_due="2026-03-21", safe_from=overdue_from(date(2026, 3, 21)))
    first = plan(at("2026-03-18 00:00"), [limit])
    assert [(action.kind, action.rung) for action in first] == [("CLOCK_WARN", "yellow")]
    jumped = plan(at("2026-05-01 00:00"), [limit])
    assert [(action.kind, action.rung) for action in jumped] == [
        ("CLOCK_WARN", "yellow"),
        ("CLOCK_WARN", "red"),
        ("OVERDUE", ""),
    ]
    assert jumped[-1].at == MIDNIGHT
    assert [action.rung for action in plan(at("2026-03-21 00:00"), [first[0].limit])] == ["red"]


def test_a_due_date_that_moves_takes_its_warnings_with_it_and_they_fire_anew_once() -> None:
    moved = replace(
        WARNED, due="2026-04-15", safe_due="2026-04-15",
        overdue_from=overdue_from(date(2026, 4, 15)), safe_from=overdue_from(date(2026, 4, 15)),
    )  # fmt: skip
    assert (WARNED.urgency, moved.urgency, moved.rungs_warned) == (0, 2, ())
    assert plan(MIDNIGHT, [moved]) == []
    assert [action.rung for action in plan(at("2026-04-15 12:00"), [moved])] == ["yellow", "red"]
    # An extension that is taken back leads to the old date, of which everybody has been warned.
    assert plan(MIDNIGHT - 1, [replace(WARNED, warned=moved.warned)]) == []


def test_while_an_excluded_interval_runs_nothing_warns_and_nothing_is_missed() -> None:
    stopped = replace(LIMIT, stopped=True)
    assert plan(MIDNIGHT * 2, [stopped]) == []
    assert next_at(stopped) is None
    assert standing(replace(stopped, ended_at=MIDNIGHT + 5), now=MIDNIGHT * 2) == "met"


def test_a_right_or_a_term_lapses_and_is_never_overdue() -> None:
    right = replace(LIMIT, duty=False)
    (action,) = plan(MIDNIGHT, [right])
    assert (action.kind, action.limit.state, action.limit.overdue_logged) == ("CLOCK_LAPSED", "lapsed", False)
    assert plan(MIDNIGHT + 1, [action.limit]) == []


@pytest.mark.parametrize(
    "change",
    [{"state": "overdue", "overdue_logged": True}, {"state": "lapsed"}, {"ended_at": MIDNIGHT}, {"stopped": True}],
)
def test_a_limit_that_time_cannot_change_is_not_looked_at_again(change: dict[str, Any]) -> None:
    assert next_at(replace(WARNED, **change)) is None
    assert next_at(WARNED) == MIDNIGHT


_TIMES = st.integers(0, 100).map(lambda n: n * DAY)
_LIMITS = st.builds(
    lambda rule, start, length, caution, ended, logged, flags: replace(
        LIMIT,
        rule=rule,
        started_at=start,
        overdue_from=start + length,
        safe_from=start + max(length - caution, 0),
        ended_at=ended,
        overdue_logged=logged,
        in_custody=flags[0],
        consequence="M1" if flags[1] else "M2",
        stopped=flags[2],
        duty=flags[3],
    ),
    st.text("abc", min_size=1, max_size=3), _TIMES, _TIMES, _TIMES, st.none() | _TIMES, st.booleans(),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)  # fmt: skip


@given(
    st.lists(_TIMES, min_size=1, max_size=5), st.lists(_LIMITS, max_size=6, unique_by=lambda x: x.rule), st.randoms()
)
def test_planning_again_after_carrying_the_plan_out_yields_nothing_in_whatever_order_limits_are_listed(
    times: list[int], limits: list[Limit], dice: Any
) -> None:
    after = {limit.key: limit for limit in limits}
    told: list[tuple[str, str, str]] = []
    for now in sorted(times):
        actions = plan(now, after.values())
        shuffled = list(after.values())
        dice.shuffle(shuffled)
        assert plan(now, shuffled) == actions
        after |= {action.limit.key: action.limit for action in actions}
        assert plan(now, after.values()) == []
        told += [(action.limit.rule, action.kind, action.rung) for action in actions]
        for limit in after.values():
            again = next_at(limit)
            assert again is None or again > now
    assert len(told) == len(set(told))


@given(_LIMITS, st.lists(_TIMES, min_size=1, max_size=6))
def test_however_often_one_looks_the_same_warnings_are_given(limit: Limit, times: list[int]) -> None:
    limit = replace(limit, overdue_logged=False)
    end = max(times)
    stepwise: list[tuple[str, str]] = []
    now = limit
    for time in sorted(times):
        actions = plan(time, [now])
        stepwise += [(action.kind, action.rung) for action in actions]
        now = actions[-1].limit if actions else now
    assert stepwise == [(action.kind, action.rung) for action in plan(end, [limit])]

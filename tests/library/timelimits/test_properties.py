"""What must hold for every limit and every set of facts."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.library.timelimits.builders import SHANGHAI, due
from xieban.timelimits import RULES, EventId, Facts, Suspension
from xieban.timelimits.events import events
from xieban.timelimits.explain import explain
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Policy

STARTS = st.datetimes(datetime(2023, 1, 1), datetime(2026, 6, 1), timezones=st.just(SHANGHAI))  # noqa: DTZ001
FORWARD = [row for row in RULES.values() if row.policy not in (Policy.SENTENCE, Policy.LEAD)]
STOPPABLE = [row for row in FORWARD if row.id in (events()[EventId.PSYCHIATRIC_APPRAISAL].rules or ())]
DAYS = st.integers(0, 120)


def interval(start: datetime, offset: int, length: int) -> Suspension:
    begin = start.date() + timedelta(days=offset)
    return Suspension(begin=begin, end=begin + timedelta(days=length), event=EventId.PSYCHIATRIC_APPRAISAL)


@given(st.sampled_from(STOPPABLE), STARTS, st.booleans(), st.lists(st.tuples(DAYS, DAYS), max_size=3), DAYS, DAYS)
def test_an_interval_more_never_makes_a_limit_end_earlier(
    row: Rule, start: datetime, custody: bool, others: list[tuple[int, int]], offset: int, length: int
) -> None:
    before = tuple(interval(start, *other) for other in others)
    without = due(row.id, Facts(start=start, custody=custody, suspensions=before))
    with_one_more = due(
        row.id, Facts(start=start, custody=custody, suspensions=(*before, interval(start, offset, length)))
    )
    assert with_one_more.due >= without.due
    assert with_one_more.last_day >= without.last_day


@given(st.sampled_from([row for row in FORWARD if row.policy is Policy.STATE]), STARTS)
def test_custody_never_makes_a_duty_of_the_state_end_later(row: Rule, start: datetime) -> None:
    assert due(row.id, Facts(start=start, custody=True)).due <= due(row.id, Facts(start=start, custody=False)).due


@given(st.sampled_from([row for row in FORWARD if row.policy is Policy.RIGHTS]), STARTS)
def test_custody_takes_no_day_from_a_partys_right(row: Rule, start: datetime) -> None:
    held, free = due(row.id, Facts(start=start, custody=True)), due(row.id, Facts(start=start, custody=False))
    assert (held.due, held.safe_due) == (free.due, free.safe_due)


@given(st.sampled_from(FORWARD), STARTS, st.booleans())
def test_computing_again_gives_the_same_answer_and_the_same_words(row: Rule, start: datetime, custody: bool) -> None:
    first, second = (due(row.id, Facts(start=start, custody=custody)) for _ in range(2))
    assert first == second
    assert explain(first) == explain(second)


@given(st.sampled_from(FORWARD), STARTS, st.booleans())
def test_the_safe_moment_is_never_after_the_due_one_and_neither_before_the_start(
    row: Rule, start: datetime, custody: bool
) -> None:
    found = due(row.id, Facts(start=start, custody=custody))
    assert _day(start) <= _day(found.safe_due) <= _day(found.due)
    assert found.last_day <= found.due


@given(st.sampled_from(FORWARD), STARTS, st.integers(1, 40))
def test_a_later_start_never_ends_earlier(row: Rule, start: datetime, days: int) -> None:
    later = due(row.id, Facts(start=start + timedelta(days=days)))
    assert later.due >= due(row.id, Facts(start=start)).due


@given(st.sampled_from([row for row in RULES.values() if row.policy is Policy.LEAD]), STARTS)
def test_a_lead_time_is_never_after_its_anchor(row: Rule, start: datetime) -> None:
    found = due(row.id, Facts(start=start))
    assert found.safe_due < found.due < start.date()


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment

"""Months, sentence terms, working days and intervals against values worked from the text of the law."""

from __future__ import annotations

import pytest

from tests.library.timelimits.builders import CALENDAR, day
from xieban.errors import Reason, XiebanError
from xieban.timelimits import Calendar, read_overlay
from xieban.timelimits.intervals import shift, union
from xieban.timelimits.months import add_months, sentence_end
from xieban.timelimits.terms import MonthRule
from xieban.timelimits.toml_rows import read_package_file


@pytest.mark.parametrize(
    ("start", "one", "two"),
    [
        ("2025-01-15", "2025-02-15", "2025-03-15"),
        ("2025-01-31", "2025-02-28", "2025-03-31"),
        ("2024-01-31", "2024-02-29", "2024-03-31"),
        ("2025-01-30", "2025-02-28", "2025-03-30"),
        ("2025-02-28", "2025-03-31", "2025-04-30"),
        ("2024-02-28", "2024-03-28", "2024-04-28"),
        ("2024-02-29", "2024-03-31", "2024-04-30"),
        ("2025-04-30", "2025-05-31", "2025-06-30"),
        ("2024-12-31", "2025-01-31", "2025-02-28"),
    ],
)
def test_months_run_from_month_end_to_month_end(start: str, one: str, two: str) -> None:
    assert add_months(day(start), 1, rule=MonthRule.JS202) == day(one)
    assert add_months(day(start), 2, rule=MonthRule.JS202) == day(two)


@pytest.mark.parametrize(
    ("start", "two"),
    [
        ("2025-02-28", "2025-04-28"),
        ("2024-02-29", "2024-04-29"),
        ("2023-12-31", "2024-02-29"),
        ("2024-06-30", "2024-08-30"),
    ],
)
def test_police_months_never_jump_to_the_month_end(start: str, two: str) -> None:
    assert add_months(day(start), 2, rule=MonthRule.GA17) == day(two)


def test_a_whole_year_of_sentence_ends_the_day_before_even_from_a_february_end() -> None:
    assert sentence_end(day("2023-02-28"), years=1, months=0, days=0) == day("2024-02-27")
    assert sentence_end(day("2017-08-31"), years=1, months=9, days=0) == day("2019-05-30")


def test_the_library_and_the_hand_typed_notices_agree_on_every_day() -> None:
    typed = CALENDAR.overlaid(read_overlay(read_package_file("calendars/2024-2026.toml"), name="typed"))
    for year in (2024, 2025, 2026):
        for ordinal in range(day(f"{year}-01-01").toordinal(), day(f"{year}-12-31").toordinal() + 1):
            each = day("2024-01-01").fromordinal(ordinal)
            assert typed.is_working(each) == CALENDAR.is_working(each), each
    assert typed.version != CALENDAR.version


def test_a_year_nobody_has_published_counts_plain_weekends_and_is_provisional() -> None:
    calendar = Calendar("test", first=2024, last=2026)
    assert calendar.next_working(day("2027-02-06")) == (day("2027-02-08"), True)
    assert calendar.next_working(day("2026-12-31")) == (day("2026-12-31"), False)


def test_a_walk_that_leaves_the_published_years_is_provisional() -> None:
    overlay = read_overlay("[[day]]\ndate = 2026-12-31\nworking = false", name="x")
    assert Calendar("test", first=2024, last=2026).overlaid(overlay).next_working(day("2026-12-31")) == (
        day("2027-01-01"),
        True,
    )


def test_an_operators_file_publishes_a_year_and_changes_a_single_day() -> None:
    text = """
    version = "2027"
    [[year]]
    year = 2027
    days_off = ["2027-02-05..2027-02-11"]
    working_days = ["2027-02-14"]
    [[day]]
    date = "2026-03-02"
    working = false
    """
    calendar = Calendar("test", first=2024, last=2026).overlaid(read_overlay(text, name="own.toml"))
    assert calendar.next_working(day("2027-02-05")) == (day("2027-02-12"), False)
    assert calendar.is_working(day("2027-02-14"))
    assert calendar.next_working(day("2026-03-02")) == (day("2026-03-03"), False)
    assert "2027@" in calendar.version


def test_the_calendar_file_may_be_json() -> None:
    overlay = read_overlay('{"year": [{"year": 2027, "days_off": ["2027-01-01"]}]}', name="own.json")
    assert Calendar("test", first=2024, last=2026).overlaid(overlay).next_working(day("2027-01-01")) == (
        day("2027-01-04"),
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        '[[year]]\nyear = 2027\ndays_off = ["2026-12-31"]',
        '[[year]]\nyear = 2027\ndays_off = ["2027-02-05"]\nworking_days = ["2027-02-05"]',
        '[[year]]\nyear = "2027"',
        '[[year]]\nyear = 2027\ndays_off = ["2027-02-30"]',
        '[[year]]\nyear = 2027\ndays_off = ["2027-02-09..2027-02-05"]',
        "[[year]]\nyear = 2027\nholidays = []",
        "[[day]]\ndate = 2027-01-01\nworking = 1",
        "[[days]]\ndate = 2027-01-01",
        "{",
        "year = 5",
        "[[year]",
    ],
)
def test_a_faulty_calendar_file_is_refused(text: str) -> None:
    with pytest.raises(XiebanError) as refused:
        read_overlay(text, name="own.toml")
    assert refused.value.reason is Reason.CALENDAR_INVALID


@pytest.mark.parametrize("text", ["2003-12-31", "2100-01-01"])
def test_days_outside_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(XiebanError) as refused:
        CALENDAR.next_working(day(text))
    assert refused.value.reason is Reason.CALENDAR_OUT_OF_RANGE


def test_overlapping_intervals_count_once_and_what_lies_before_the_start_not_at_all() -> None:
    spans = [
        (day("2024-01-10"), day("2024-01-20")),
        (day("2024-01-15"), day("2024-01-25")),
        (day("2023-12-01"), day("2023-12-05")),
    ]
    joined = union(spans, floor=day("2024-01-01"))
    assert (day("2024-01-10"), day("2024-01-25")) in joined
    assert shift(day("2024-01-31"), spans, floor=day("2024-01-01"))[0] == day("2024-02-15")


def test_an_interval_that_begins_on_the_last_day_counts_and_one_day_later_does_not() -> None:
    floor = day("2024-01-01")
    assert shift(day("2024-01-31"), [(day("2024-01-31"), day("2024-02-05"))], floor=floor)[0] == day("2024-02-05")
    assert shift(day("2024-01-31"), [(day("2024-02-01"), day("2024-02-05"))], floor=floor)[0] == day("2024-01-31")

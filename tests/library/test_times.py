"""Times and durations as a person types them: what could be read in two ways is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from xieban.cli.times import duration, exact, later, moment, spoken
from xieban.errors import InvalidInput, Reason


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("3d", timedelta(days=3)),
        ("36h", timedelta(hours=36)),
        ("10m", timedelta(minutes=10)),
        ("45s", timedelta(seconds=45)),
        ("1d12h", timedelta(hours=36)),
        ("2d3h4m5s", timedelta(days=2, hours=3, minutes=4, seconds=5)),
        (" 3D ", timedelta(days=3)),
        ("1M", timedelta(minutes=1)),  # never a month
        ("3天", timedelta(days=3)),
        ("3日", timedelta(days=3)),
        ("1天12小时30分钟", timedelta(days=1, hours=12, minutes=30)),
    ],
)
def test_a_duration_is_days_hours_minutes_and_seconds_in_this_order(text: str, length: timedelta) -> None:
    assert duration(text, field="时长") == length


@pytest.mark.parametrize(
    "text", ["", "3", "d", "0d", "-3d", "3.5d", "12h1d", "3d3d", "3w", "3 d", "三天", "٣d", "9999999d"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput, match="36h") as refused:
        duration(text, field="时长")
    assert refused.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-02T10:00:00+08:00", datetime(2026, 3, 2, 2, 0, tzinfo=UTC)),
        ("2026-03-02T02:00:00Z", datetime(2026, 3, 2, 2, 0, tzinfo=UTC)),
        ("2026-03-02t02:00:00z", datetime(2026, 3, 2, 2, 0, tzinfo=UTC)),
        ("2026-03-02 10:00:00.25+08:00", datetime(2026, 3, 2, 2, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-01T21:00:00-05:00", datetime(2026, 3, 2, 2, 0, tzinfo=UTC)),
    ],
)
def test_a_time_says_its_offset_and_is_shown_in_shanghai(text: str, at: datetime) -> None:
    found = moment(text, field="时间")
    assert found == at
    assert found.utcoffset() == timedelta(hours=8)
    assert moment(exact(found), field="时间") == found


def test_a_time_without_its_offset_is_refused_for_that() -> None:
    with pytest.raises(InvalidInput, match=r"XB-1001.*必须带时区"):
        moment("2026-03-02T10:00:00", field="时间")


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-03-02", "10:00:00+08:00", "2026-02-30T10:00:00+08:00", "2026-03-02T24:30:00+08:00", "tomorrow",
        "2026-03-02T10:00+08:00", "2026-03-02T10:00:00Z+08:00", "20260302T100000+0800",
        "2026-W10-1T10:00:00+08:00", "9999-12-31T23:59:59-23:00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="XB-1001"):
        moment(text, field="时间")


def test_a_duration_past_the_end_of_the_calendar_is_refused() -> None:
    with pytest.raises(InvalidInput, match="超出"):
        later(datetime(9999, 12, 1, tzinfo=UTC), timedelta(days=60), field="时长")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(days=3, hours=12, minutes=5), "3天12小时"),
        (timedelta(days=3, minutes=5), "3天"),
        (timedelta(days=-2), "2天"),
        (timedelta(minutes=90), "1小时30分钟"),
        (timedelta(milliseconds=20), "不到1秒"),
    ],
)
def test_a_length_is_spoken_in_its_two_greatest_units(length: timedelta, words: str) -> None:
    assert spoken(length) == words

"""Worked examples: every line passes, and the checker notices whatever is changed in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.library.timelimits.builders import CALENDAR
from xieban.errors import Reason, XiebanError
from xieban.timelimits import RULES
from xieban.timelimits.check import CheckReport, check_lines

VECTORS = Path(__file__).parents[2] / "vectors" / "limits.jsonl"
LINES = VECTORS.read_text(encoding="utf-8").splitlines()


def run(*lines: dict[str, object]) -> CheckReport:
    return check_lines([json.dumps(line) for line in lines], file="lines.jsonl", calendar=CALENDAR)


def base_line() -> dict[str, object]:
    return {
        "id": "x",
        "rule": "appeal_judgment",
        "input": {
            "start": "2024-09-23T09:00:00+08:00",
            "custody": True,
            "base": 10,
            "unit": "日",
            "policy": "rights",
            "month_rule": "js202",
        },
        "expected_due": "2024-10-08",
        "weekday": "二",
        "safe_due": "2024-10-03",
        "expected": {},
    }


def test_every_worked_example_passes() -> None:
    report = check_lines(LINES, file=VECTORS.name, calendar=CALENDAR)
    assert report.failed == ()
    assert len(report.passed) >= 362


def test_every_rule_has_a_worked_example_and_ids_are_unique() -> None:
    lines = [json.loads(line) for line in LINES]
    assert set(RULES) <= {line["rule"] for line in lines}
    assert len({line["id"] for line in lines}) == len(lines)


def test_the_unchanged_line_passes() -> None:
    assert run(base_line()).passed == ("x",)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("expected_due", lambda line: line.update(expected_due="2024-10-07")),
        ("safe_due", lambda line: line.update(safe_due="2024-10-02")),
        ("weekday", lambda line: line.update(weekday="一")),
        ("base", lambda line: line["input"].update(base=11)),
        ("base", lambda line: line["input"].update(unit="工作日")),
        ("policy", lambda line: line["input"].update(policy="state")),
        ("month_rule", lambda line: line["input"].update(month_rule="ga17")),
        ("expected.on_time", lambda line: line.update(expected={"on_time": True})),
        ("expected.unheard_of", lambda line: line.update(expected={"unheard_of": 1})),
        ("expected.allowed", lambda line: line.update(expected={"allowed": False})),
        ("rule", lambda line: line.update(rule="no_such_limit")),
    ],
)
def test_a_changed_line_fails_on_the_field_that_was_changed(
    field: str, change: Callable[[dict[str, object]], None]
) -> None:
    line = base_line()
    change(line)
    report = run(line)
    assert [item.field for failed in report.failed for item in failed.mismatches] == [field]


def test_what_a_line_repeats_of_the_row_is_never_used() -> None:
    line = base_line()
    line["input"] = {**line["input"], "base": 5, "policy": "state"}  # type: ignore[dict-item]
    fields = {item.field for item in run(line).failed[0].mismatches}
    assert fields == {"base", "policy"}


def test_two_years_and_twenty_four_months_are_the_same_base() -> None:
    line: dict[str, object] = {
        "id": "y",
        "rule": "freeze_securities",
        "input": {"start": "2024-03-15", "base": 24, "unit": "月"},
        "expected_due": "2026-03-15",
    }
    assert run(line).passed == ("y",)


def test_a_refused_line_fails_with_the_number_of_the_refusal() -> None:
    line = base_line()
    line["input"] = {"start": "2024-09-23T09:00:00"}
    assert "XB-4002" in str(run(line).failed[0].mismatches[0].got)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"id": "x"}',
        '{"id": "x", "rule": "bail_max"}',
        '{"id": "x", "rule": "bail_max", "input": {}, "expected_due": 5}',
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(XiebanError) as refused:
        check_lines(["", json.dumps(base_line()), line], file="lines.jsonl", calendar=CALENDAR)
    assert refused.value.reason is Reason.EXAMPLE_INVALID
    assert refused.value.metadata["line"] == "3"


@pytest.mark.parametrize(
    "fields",
    [
        {"start": "soon"},
        {"start": "2024-03-01", "custody": "yes"},
        {"start": "2024-03-01", "persons": [1]},
        {"start": "2024-03-01", "travel_hours": 1.5},
        {"start": "2024-03-01", "filed": {"mode": "post"}},
        {"start": "2024-03-01", "suspensions": [{"to": "2024-03-02", "reason": "travel"}]},
        {"start": "2024-03-01", "restart": {"event": "travel"}},
        {"start": "2024-03-01", "extensions": [{"kind": "add", "days": 1, "by": "物业公司"}]},
    ],
)
def test_facts_that_make_no_sense_fail_the_line_and_not_the_run(fields: dict[str, object]) -> None:
    assert len(run({"id": "z", "rule": "appeal_judgment", "input": fields, "expected_due": "2024-03-11"}).failed) == 1

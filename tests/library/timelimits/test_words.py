"""Explanations, the command line and the page of limits say what the data says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import limits_doc
from tests.library.timelimits.builders import add, again, appraisal, at, day, due, total
from xieban.cli.limits import limits_app
from xieban.timelimits import RULES, EventId, Facts, Office, Service, StepKind, Term
from xieban.timelimits.explain import READING_TEXTS, explain

ROOT = Path(__file__).parents[3]
RUNNER = CliRunner()


def test_the_page_of_limits_is_current_and_names_every_rule_and_event() -> None:
    text = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
    assert text.splitlines() == list(limits_doc.page())
    assert [name for name in (*RULES, *EventId) if f"`{name}`" not in text] == []


def test_every_reading_a_row_takes_is_put_into_words() -> None:
    assert {reading for row in RULES.values() for reading in row.readings} <= set(READING_TEXTS)


@pytest.mark.parametrize("rule_id", RULES)
def test_every_limit_can_be_explained_with_its_article(rule_id: str) -> None:
    facts = Facts(start=at("2024-09-05"), custody=True, term=Term(years=1, months=6))
    lines = explain(due(rule_id, facts))
    assert RULES[rule_id].article in lines[0]
    assert any(line.startswith("期满：") for line in lines)


def test_a_long_derivation_tells_every_step() -> None:
    facts = Facts(
        start=at("2024-01-10"),
        custody=True,
        restarts=(again("2024-02-20", EventId.JURISDICTION_CHANGED),),
        extensions=(total(Office.STATUTE, months=3), add(Office.UPPER_COURT, months=3)),
        suspensions=(
            appraisal("2024-03-01", "2024-03-11"),
            appraisal("2025-03-01", "2025-03-11"),
            appraisal("2024-08-30", None),
        ),
        travel_hours=24,
    )
    found = due("first_instance", facts)
    assert [step.kind for step in found.steps] == [
        StepKind.START,
        StepKind.RESTART,
        StepKind.BASE,
        StepKind.EXTENSION,
        StepKind.EXTENSION,
        StepKind.INTERVAL,
        StepKind.INTERVAL_VOID,
        StepKind.STOPPED,
        StepKind.TRAVEL,
        StepKind.HELD,
    ]
    # 20 February and six months make 20 August, ten days of appraisal 30 August, one of travel 31 August.
    assert found.due == day("2024-08-31")
    text = "\n".join(explain(found))
    for words in (
        "改变管辖",
        "上一级人民法院",
        "扣除 10日",
        "不能补救",
        "尚未结束",
        "路途时间",
        "A12",
        "存疑",
        "不因节假日延长",
    ):
        assert words in text, words


def test_a_provisional_date_and_a_safe_date_are_said_to_be_so() -> None:
    moved = "\n".join(explain(due("appeal_judgment", Facts(start=at("2024-09-23"), custody=True))))
    assert "顺延至节假日后第一日 2024-10-08" in moved
    assert "稳妥日：2024-10-03" in moved
    services = Facts(services=(Service(party="甲", received=day("2024-03-01")),))
    assert "甲 于 2024-03-01" in "\n".join(explain(due("judgment_effective", services)))


def test_check_prints_the_count_and_exits_zero_only_without_a_failure(tmp_path: Path) -> None:
    good = {"id": "g", "rule": "bail_max", "input": {"start": "2024-02-29"}, "expected_due": "2025-02-28"}
    bad = {**good, "id": "b", "expected_due": "2025-02-27"}
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps(good), encoding="utf-8")
    passed = RUNNER.invoke(limits_app, ["check", str(file)])
    assert (passed.exit_code, passed.stdout) == (0, "1 passed, 0 failed\n")
    file.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n", encoding="utf-8")
    failed = RUNNER.invoke(limits_app, ["check", str(file)])
    assert failed.exit_code == 1
    assert failed.stdout.splitlines() == ["b: expected_due: got 2025-02-28, expected 2025-02-27", "1 passed, 1 failed"]
    as_json = RUNNER.invoke(limits_app, ["check", str(file), "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["failures"][0]["id"] == "b"


@pytest.mark.parametrize(("content", "number"), [(None, "XB-6001"), (b"{\n", "XB-4016"), (b"\xff\xfe", "XB-6001")])
def test_check_tells_in_four_parts_why_a_file_cannot_be_read(
    content: bytes | None, number: str, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    if content is not None:
        file.write_bytes(content)
    result = RUNNER.invoke(limits_app, ["check", str(file)])
    assert result.exit_code == 2
    assert [line[:3] for line in result.stderr.splitlines()] == ["发生：", "原因：", "办法：", "编号："]
    assert number in result.stderr


def test_explain_takes_extensions_intervals_and_custody() -> None:
    arguments = ["explain", "inv_custody", "--start", "2023-12-30", "--custody", "--json"]
    arguments += ["--extension", "add:1月:上一级人民检察院@2024-02-20T10:00:00+08:00"]
    arguments += ["--suspension", "2024-02-01..2024-02-11:psychiatric_appraisal"]
    result = RUNNER.invoke(limits_app, arguments)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["due"], answer["safe_due"]) == (0, "2024-04-09", "2024-04-08")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["no_such_limit", "--start", "2024-01-01"], "XB-4001"),
        (["inv_custody", "--start", "2024-01-01T09:00:00"], "XB-4002"),
        (["inv_custody"], "XB-4003"),
        (["inv_custody", "--start", "tomorrow"], "XB-4004"),
        (["inv_custody", "--start", "2024-01-01", "--extension", "add:1月:检察长"], "XB-4005"),
        (["inv_custody", "--start", "2024-01-01", "--extension", "add:2月:上一级人民检察院"], "XB-4005"),
        (["inv_custody", "--start", "2024-01-01", "--extension", "1月"], "XB-1001"),
        (["inv_custody", "--start", "2024-01-01", "--extension", "add:1旬:检察长"], "XB-1001"),
        (
            ["inv_custody", "--start", "2024-01-01", "--suspension", "2024-01-09..2024-01-05:psychiatric_appraisal"],
            "XB-4009",
        ),
        (["inv_custody", "--start", "2024-01-01", "--suspension", "2024-01-02..2024-01-05:other_appraisal"], "XB-4010"),
        (["inv_custody", "--start", "2024-01-01", "--suspension", "2024-01-02..2024-01-05:weather"], "XB-4004"),
        (["inv_custody", "--start", "2024-01-01", "--restart", "2024-01-05:remanded"], "XB-4011"),
        (["inv_custody", "--start", "1999-01-01"], "XB-4013"),
    ],
)
def test_explain_refuses_bad_input_with_a_number(arguments: list[str], number: str) -> None:
    result = RUNNER.invoke(limits_app, ["explain", *arguments])
    assert result.exit_code == 2
    assert f"编号：{number}" in result.stderr


def test_rules_lists_every_limit_or_those_with_a_word() -> None:
    assert RUNNER.invoke(limits_app, ["rules"]).stdout.splitlines()[-1] == "共 201 项"
    assert len(json.loads(RUNNER.invoke(limits_app, ["rules", "羁押期限", "--json"]).stdout)) == 5


def test_the_package_reaches_no_clock_network_or_event_loop() -> None:
    program = (
        "import sys, xieban.timelimits.check, xieban.timelimits.explain; from xieban.timelimits import RULES; "
        "loaded = {'grpc', 'nats', 'aiosqlite', 'asyncio', 'sqlite3', 'opentelemetry', 'socket'} & set(sys.modules); "
        "print(*sorted(loaded))"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "")

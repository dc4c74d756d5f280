"""`xieban log verify`: the one verifier behind the installed command, with its exit codes and in four parts when it is misused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.library.bundles.tampering import base
from tests.library.bundles.town import pins
from xieban.cli.root import run
from xieban.verify.container import pack
from xieban.verify.showing import lines
from xieban.verify.verifier import verify


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.zip"
    file.write_bytes(pack(base(0, "police")))
    return file


def pinned() -> list[str]:
    return [word for pin in sorted(pins().roots) for word in ("--root-fingerprint", pin)]


def test_it_prints_the_verifiers_own_report(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "verify", str(good), *pinned()]) == 0
    assert capsys.readouterr().out.splitlines() == list(lines(verify(good.read_bytes(), pins=pins())))


def test_exit_codes_say_passed_failed_or_not_judged(good: Path, tmp_path: Path) -> None:
    bad, none = tmp_path / "bad.zip", tmp_path / "none.zip"
    bad.write_bytes(pack({**base(0, "police"), "checkpoint": base(1, "police")["checkpoint"]}))
    none.write_bytes(b"hello")
    assert run(["log", "verify", str(bad), *pinned()]) == 1
    assert run(["log", "verify", str(none), *pinned()]) == 2
    assert run(["log", "verify", str(good)]) == 2


def test_a_file_of_roots_and_fingerprints_are_the_same_to_it(good: Path, tmp_path: Path) -> None:
    roots = tmp_path / "roots.txt"
    roots.write_text(
        "# 核对人：\n" + "\n".join(pin.upper() for pin in pins().roots) + "\nthreshold 3\n", encoding="utf-8"
    )
    assert run(["log", "verify", str(good), "--roots", str(roots)]) == 0
    roots.write_text("threshold 2\n" + "\n".join(pins().roots), encoding="utf-8")
    assert run(["log", "verify", str(good), "--roots", str(roots)]) == 1


def test_json_is_the_report_and_nothing_else(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "verify", str(good), *pinned(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["verdict"], told["bundle"]["profile"]) == ("xieban-verification", "pass", "police")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["nowhere.zip"], "nowhere.zip"),
        (["{good}", "--root-fingerprint", "abc"], "abc"),
        (["{good}", "--roots", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_what_cannot_be_used_is_told_in_four_parts_with_exit_code_2(
    good: Path, arguments: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "verify", *(word.format(good=good) for word in arguments)]) == 2
    told = capsys.readouterr()
    assert [line[:3] for line in told.err.splitlines()] == ["发生：", "原因：", "办法：", "编号："]
    assert wrong in told.err

"""A small replay through real processes: launcher, broker, four nodes, driver, report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import services.replay
from services.chassis.clock import SystemClock
from services.provision import provision
from services.replay.__main__ import main, read_file
from services.replay.drive import drive
from services.replay.ledgers import read as read_ledgers
from services.replay.report import compile_report, duplicates, lost
from services.stack.processes import Stack, free_ports
from xieban.agency import Agency

pytestmark = pytest.mark.e2e
SHIPPED = Path(services.replay.__file__).parent / "data" / "timelines.jsonl"


def quiet(text: str) -> None:
    del text


def test_three_timelines_come_through_and_a_bad_line_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "three.jsonl", tmp_path / "deep" / "report.json"
    file.write_bytes(b"".join(SHIPPED.read_bytes().splitlines(keepends=True)[:3]) + b"{nonsense\n")
    assert main([str(file), "--report", str(out)]) == 0, capfd.readouterr()
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["cases"] == 3
    assert report["lost"] == report["duplicates"] == report["unverified"] == report["unfinished"] == 0
    assert (
        report["handoffs"] == report["delivered"] == report["complete"] == sum(c["planned"] for c in report["by_case"])
    )
    assert report["receipts_verified"] == report["receipts"] > report["handoffs"]
    assert report["limits_started"] > 0
    assert report["log_entries"] > report["handoffs"]
    assert report["rejected"] == 1
    assert report["rejected_named"][0]["code"] == "NOT_JSON"
    assert all(case["final_stage"] in ("S50_appeal_window", "S70_effective") for case in report["by_case"])
    assert "丢失 0，重复 0" in capfd.readouterr().out


def test_a_file_without_a_usable_line_is_refused_in_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b"{nonsense\n\n")
    assert main([str(file), "--report", str(tmp_path / "r.json")]) == 2
    assert "XB-6001" in capfd.readouterr().err
    assert main([str(tmp_path / "missing.jsonl"), "--report", str(tmp_path / "r.json")]) == 2
    assert main([str(tmp_path), "--report", str(tmp_path / "r.json")]) == 2


async def test_a_killed_node_is_started_again_and_the_records_still_agree(tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    file.write_bytes(b"".join(SHIPPED.read_bytes().splitlines(keepends=True)[:2]))
    clock = SystemClock()
    found = read_file(file, today=clock.now().date())
    first = min(step.at for one in found.plans for step in one.steps)
    home = provision(tmp_path / "city", now=clock.now(), ports=free_ports(), sandbox_start=first - timedelta(days=1))
    stack = Stack(home, tell=quiet)
    victims = iter(["police", "gateway", "court"])

    def strike(done: int, at: object) -> None:
        if done % 4 == 0 and (name := next(victims, "")):
            os.kill(stack.pids[name], signal.SIGKILL)

    async with stack.running():
        outcome = await drive(home, found.plans, tick=strike)
    assert sum(stack.restarts.values()) >= 2
    ledgers = read_ledgers(home)
    report = compile_report(found.plans, [], outcome, ledgers, elapsed=1.0, restarts=stack.restarts)
    assert report.sound, report.content

    # The comparison itself must be able to fail: take one thing away, or put one there twice, and it is named.
    police = ledgers.agencies[Agency.POLICE]
    eid, header = next(iter(police.sent.items()))
    taken = ledgers.agencies[Agency(header.receiver.agency)].taken
    removed = taken.pop(eid)
    assert any(item.eid == eid and "没有收到" in item.where for item in lost(ledgers))
    taken[eid] = removed
    ledgers.gateway.statements.discard(next(iter(police.written)))
    assert [item.where for item in lost(ledgers)] == ["gateway 没有收到"]
    receipt_eid, receipt = next(iter(police.written.items()))
    police.written["0" * 64] = receipt
    assert any("fact" in item.what for item in duplicates(ledgers))
    del police.written["0" * 64]
    police.sent["1" * 64] = header  # as if a second one had been sent in the same place of its lane
    assert any("lane" in item.what for item in duplicates(ledgers)), receipt_eid


async def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    clock = SystemClock()
    ports = free_ports()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", ports.court)
    async with server:
        home = provision(tmp_path / "city", now=clock.now(), ports=replace(ports))
        with pytest.raises(Exception, match="XB-5005"):
            async with Stack(home, tell=quiet).running():
                raise AssertionError("started on a taken port")


async def test_up_is_found_again_and_down_stops_exactly_what_it_started(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.stack", "down", "--home", str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert "没有在运行" in out.decode()

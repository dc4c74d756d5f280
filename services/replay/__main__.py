"""Runs a replay: `python -m services.replay FILE --report OUT.json [--home DIR] [--keep]`.

Exit code 0 when nothing was lost, doubled, unverified or left undone; 1 when something was, or the run failed; 2 when the file holds
nothing to replay or cannot be read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import uvloop

from services.chassis.clock import SystemClock
from services.provision import Home, provision
from services.replay.drive import Outcome, drive, recognise
from services.replay.ledgers import read as read_ledgers
from services.replay.plan import CasePlan, plan
from services.replay.report import Report, compile_report
from services.replay.shown import progress, summary
from services.replay.timeline import Refusal
from services.replay.timeline import read as read_lines
from services.stack.processes import Stack, free_ports
from xieban.agency import city
from xieban.errors import InvalidInput, Reason, XiebanError, failure

MAX_FILE = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Read:
    """A file of timelines, planned."""

    plans: list[CasePlan]
    refusals: list[Refusal]


def read_file(file: Path, *, today: date, token: str = "lanzhou") -> Read:
    """Plans for every usable line. Errors: FILE_UNREADABLE, also when no line at all can be replayed."""
    try:
        if file.stat().st_size > MAX_FILE:
            raise failure(Reason.FILE_UNREADABLE, file=file, detail=f"超过 {MAX_FILE} 字节")
        with file.open("rb") as lines:
            timelines, refusals = read_lines(lines, today=today)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file, detail=error.strerror or "读取失败") from error
    plans: list[CasePlan] = []
    for timeline in timelines:
        planned = plan(timeline, city=city(token))
        if isinstance(planned, Refusal):
            refusals.append(planned)
        else:
            plans.append(planned)
    refusals.sort(key=lambda refusal: refusal.line)
    if not plans:
        first = f"，第 {refusals[0].line} 行 {refusals[0].code}：{refusals[0].detail}" if refusals else ""
        raise failure(Reason.FILE_UNREADABLE, file=file, detail=f"没有一行可以回放的时间线{first}")
    return Read(plans, refusals)


async def replay(found: Read, *, home: Path | None, keep: bool) -> Report:
    """Drive everything through a city of its own, or through the running sandbox city of `home`, and lay the records side by side."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        restarts: dict[str, int] = {}
        if home is None:
            folder = Path(tempfile.mkdtemp(prefix="xieban-replay-"))
            if not keep:
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            first = min(step.at for one in found.plans for step in one.steps)
            place = provision(folder, now=clock.now(), ports=free_ports(), sandbox_start=first - timedelta(days=1))
            tree = Stack(place, tell=_aside)
            async with tree.running():
                outcome, elapsed = await _timed(place, found.plans, clock)
            restarts = tree.restarts
            if keep:
                _aside(f"城市目录保留在 {folder}")
        else:
            place = recognise(home)
            outcome, elapsed = await _timed(place, found.plans, clock)
        ledgers = read_ledgers(place)
        return compile_report(found.plans, found.refusals, outcome, ledgers, elapsed=elapsed, restarts=restarts)


async def _timed(home: Home, plans: Sequence[CasePlan], clock: SystemClock) -> tuple[Outcome, float]:
    began = clock.ticks()
    total = sum(len(one.steps) for one in plans)
    print(f"回放 {len(plans)} 件案件、{total} 份流转，三机关共用沙箱时钟", flush=True)
    with progress(total) as tick:
        outcome = await drive(home, plans, tick=tick)
    return outcome, clock.ticks() - began


def _aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write(report: Report, file: Path) -> None:
    """The report as JSON, whole or not at all. Errors: FILE_UNREADABLE."""
    scratch = file.with_name(file.name + ".tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(report.content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        os.replace(scratch, file)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file, detail=error.strerror or "写入失败") from error


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring for the exit codes."""
    parser = argparse.ArgumentParser(
        prog="python -m services.replay", description="把案件时间线放进一座沙箱城市重走一遍"
    )
    parser.add_argument("file", type=Path, help="时间线文件，每行一个 JSON 对象")
    parser.add_argument("--report", type=Path, required=True, help="报告写到这里（JSON）")
    parser.add_argument("--home", type=Path, default=None, help="使用这个目录中正在运行的沙箱城市，而不另建一座")
    parser.add_argument("--keep", action="store_true", help="保留另建的城市目录")
    chosen = parser.parse_args(arguments)
    try:
        found = read_file(chosen.file, today=SystemClock().now().date())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(replay(found, home=chosen.home, keep=chosen.keep))
        write(report, chosen.report)
    except XiebanError as error:
        print(error.explain(), file=sys.stderr, flush=True)
        return 2 if isinstance(error, InvalidInput) else 1
    except KeyboardInterrupt:
        return 130
    print(summary(report.content), flush=True)
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

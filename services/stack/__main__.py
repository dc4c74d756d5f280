"""Commands of the launcher.

python -m services.stack demo     a fresh sandbox city, real timelines driven through it, pages until Ctrl-C
python -m services.stack up       a city with its data kept, detached;  down stops it
python -m services.stack run      what `up` starts: in the foreground, until a signal
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from services.chassis.clock import SHANGHAI, SystemClock
from services.provision import Home, Ports, provision
from services.stack.processes import ROOT, STOP_GRACE, Say, Stack, end, refuse_taken, say
from services.stack.record import kill, launcher, orphans, recorded, survivors
from xieban.errors import Reason, XiebanError, failure

TIMELINES: Final = ROOT / "services" / "replay" / "data" / "timelines.jsonl"
# Before anything a timeline may hold; the replay moves the clock to its first day.
SANDBOX_START: Final = datetime(1996, 1, 1, tzinfo=SHANGHAI)


async def demo(folder: Path, timelines: Path) -> int:
    """Fresh city, replay, summary, pages until a signal."""
    if launcher(folder):
        raise failure(Reason.PORT_TAKEN, port=Ports().page)
    _clear_orphans(folder)
    refuse_taken(Ports())
    shutil.rmtree(folder, ignore_errors=True)
    say("协办演示：公安、检察、法院、监督网关各为独立进程，沙箱时钟，演示数据")
    now = SystemClock().now()
    home = provision(folder, now=now, sandbox_start=SANDBOX_START)
    stack = Stack(home)
    stopping = _signalled()
    async with stack.running():
        with recorded(home, stack):
            replay = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.replay", str(timelines), "--home", str(home.folder),
                "--report", str(home.folder / "report.json"), cwd=ROOT,
            )  # fmt: skip
            code = await _until(replay, stopping)
            if not stopping.is_set():
                if code != 0:
                    say(f"! 回放没有全部通过（退出码 {code}），详见 {home.folder / 'report.json'}")
                say(f"\n监督页面 {home.page}\n命令行   {_cli(home)}\n按 Ctrl-C 停止")
                await stopping.wait()
        say("\n正在停止……")
    say("已全部停止")
    return code if not stopping.is_set() else 0


async def run(folder: Path, tell: Say = say) -> int:
    """The kept city in the foreground until SIGTERM or SIGINT."""
    home = provision(folder, now=SystemClock().now())
    stack = Stack(home, tell=tell)
    stopping = _signalled()
    async with stack.running():
        with recorded(home, stack):
            await stopping.wait()
        tell("正在停止……")
    tell("已全部停止")
    return 0


def up(folder: Path) -> int:
    """Start `run` detached and return when it is ready or has failed."""
    folder.mkdir(parents=True, exist_ok=True)
    if pid := launcher(folder):
        say(f"已在运行（进程 {pid}）")
        return 0
    _clear_orphans(folder)
    refuse_taken(Ports())
    log = folder / "stack.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.stack", "run", "--home", str(folder)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    shown = 0
    while True:
        ready = launcher(folder) is not None
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[shown:]:
            say(line)
        shown = len(lines)
        if ready:
            break
        try:
            return child.wait(timeout=0.1) or 1
        except subprocess.TimeoutExpired:
            continue
    home = Home(folder=folder.resolve(), city="lanzhou")
    say(f"监督页面 {home.page}\n命令行   {_cli(home)}\n停止     make down")
    return 0


def down(folder: Path) -> int:
    """Stop what `up` started, if it is still that process."""
    pid = launcher(folder)
    if pid is None:
        say("已停止遗留的进程" if _clear_orphans(folder) else "没有在运行")
        return 0
    os.kill(pid, signal.SIGTERM)
    clock = SystemClock()
    patience = clock.ticks() + 2 * STOP_GRACE + 5
    while launcher(folder) and clock.ticks() < patience:
        time.sleep(0.1)
    kill(survivors(folder))
    say("已全部停止")
    return 0


def _clear_orphans(folder: Path) -> bool:
    """End what a killed launcher left behind: it still holds the ports and the databases."""
    left = orphans(folder)
    kill(left)
    return bool(left)


def _cli(home: Home) -> str:
    return f"xieban case list --profile {home.client('police')}"


def _signalled() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _until(process: asyncio.subprocess.Process, stopping: asyncio.Event) -> int:
    """The process's exit code; a wish to stop ends it first."""
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(process.wait())
        wished = group.create_task(stopping.wait())
        await asyncio.wait([ended, wished], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await end(process)
        wished.cancel()
    return ended.result()


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 a coded failure, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m services.stack", description="启动或停止一座城市的全部进程")
    commands = parser.add_subparsers(dest="command", required=True, metavar="命令")
    for name, default, text in (
        ("demo", "var/demo", "全新沙箱，回放真实案件时间线，打开监督页面，Ctrl-C 停止"),
        ("up", "var/city", "在后台启动，数据保留"),
        ("down", "var/city", "停止后台的城市"),
        ("run", "var/city", "在前台运行，直到收到信号"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--home", type=Path, default=Path(default), help=f"城市目录（默认 {default}）")
        if name == "demo":
            command.add_argument("--timelines", type=Path, default=TIMELINES, help="时间线文件（JSON Lines）")
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "demo":
                return _loop(demo(chosen.home, chosen.timelines))
            case "run":
                return _loop(run(chosen.home))
            case "up":
                return up(chosen.home)
            case _:
                return down(chosen.home)
    except XiebanError as error:
        print(error.explain(), file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _loop(work: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The launcher: a broker, three agencies and a gateway as separate processes of one city, watched and restarted.

    python -m services.stack demo     a fresh sandbox city, real timelines driven through it, pages until Ctrl-C
    python -m services.stack up       the same city with its data kept, detached;  down stops it
    python -m services.stack run      what `up` starts: in the foreground, until a signal

A child that dies is reported and started again with back-off; one that refuses to start (exit code 78: configuration, a newer
database, a taken port) ends the whole, because a person has to act. Children are sessions of their own, so Ctrl-C reaches only the
launcher, which stops them in reverse order: SIGTERM, then SIGKILL after a grace. What must not go in: what the processes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from services.chassis.bus import nats_server_binary
from services.chassis.clock import SHANGHAI, SystemClock
from services.provision import HOST, NODES, Home, Ports, provision
from xieban.agency import NAMES, Agency
from xieban.client import Profile
from xieban.errors import Reason, XiebanError, failure

ROOT: Final = Path(__file__).resolve().parent.parent
TIMELINES: Final = Path(__file__).parent / "replay" / "data" / "timelines.jsonl"
REFUSED: Final = 78
READY_WITHIN: Final = 60.0
STOP_GRACE: Final = 15.0
RESTART_PAUSES: Final = (0.2, 0.5, 1.0, 3.0, 10.0)
STEADY_AFTER: Final = 60.0
_TITLES: Final = {"nats": "消息总线", **{agency.value: f"{NAMES[agency]}节点" for agency in NODES}, "gateway": "监督网关"}

Say = Callable[[str], None]


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(text, flush=True)


@dataclass(slots=True)
class _Child:
    name: str
    command: list[str]
    log: Path
    process: asyncio.subprocess.Process | None = None


class Stack:
    """The processes of one provisioned home. Use `running`; `pids` and `restarts` tell what is alive and what fell over."""

    def __init__(self, home: Home, *, tell: Say = say) -> None:
        self.home = home
        self.restarts: dict[str, int] = {}
        self._tell = tell
        self._clock = SystemClock()
        self._stopping = False
        command = {
            "nats": [str(nats_server_binary()), "-c", str(home.nats_config)],
            **{
                agency.value: [sys.executable, "-m", f"services.{agency}", "--config", str(home.node(agency) / "config.toml")]
                for agency in NODES
            },
        }
        self._children = {name: _Child(name, line, home.logs / f"{name}.log") for name, line in command.items()}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by name: nats and the four nodes."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process is not None and child.process.returncode is None
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything, wait until all are healthy, watch; stop everything on leaving.

        Errors: PORT_TAKEN, BROKER_MISSING, PEER_UNREACHABLE (not healthy in time), whatever a process refused to start with.
        """
        refuse_taken(self.home.ports)
        try:
            async with asyncio.TaskGroup() as group:
                watchers = [group.create_task(self._keep(child), name=child.name) for child in self._children.values()]
                try:
                    async with asyncio.timeout(READY_WITHIN):
                        await self._ready()
                    yield
                finally:
                    self._stopping = True
                    await self._stop()
                    for watcher in watchers:
                        watcher.cancel()
        except* (XiebanError, TimeoutError) as problems:
            first = _first(problems)
            raise first if isinstance(first, XiebanError) else failure(Reason.PEER_UNREACHABLE, peer="城市节点") from None

    async def _ready(self) -> None:
        for name in self._children:
            while not await self._healthy(name):
                await self._clock.sleep(0.05)
            self._tell(f"  {_TITLES[name]} 已就绪（{HOST}:{self.home.ports.all()[name]}）")

    async def _healthy(self, name: str) -> bool:
        child = self._children[name]
        if child.process is None or child.process.returncode is not None:
            return False
        if name == "nats":
            return not _free(self.home.ports.nats)
        return await healthy(node_profile(self.home, Agency(name)))

    async def _keep(self, child: _Child) -> None:
        """Start the child, and start it again whenever it ends without being told to."""
        failures = 0
        while True:
            born = self._clock.ticks()
            with child.log.open("ab") as log:
                child.process = await asyncio.create_subprocess_exec(
                    *child.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
                )
            code = await child.process.wait()
            if self._stopping:
                return
            if code == REFUSED:
                self._tell(f"! {_TITLES[child.name]} 拒绝启动：\n{_tail(child.log)}")
                raise failure(Reason.CONFIG_INVALID, file=child.log, detail=f"{_TITLES[child.name]} 拒绝启动，详见日志")
            failures = 0 if self._clock.ticks() - born > STEADY_AFTER else failures + 1
            pause = RESTART_PAUSES[min(failures, len(RESTART_PAUSES)) - 1]
            self.restarts[child.name] = self.restarts.get(child.name, 0) + 1
            self._tell(f"! {_TITLES[child.name]} 意外退出（{_ending(code)}），{pause:g} 秒后重新启动")
            await self._clock.sleep(pause)

    async def _stop(self) -> None:
        """The nodes first, all at once, and the broker they still want to talk to last."""
        nodes = [child for child in self._children.values() if child.name != "nats"]
        for group in (nodes, [self._children["nats"]]):
            await asyncio.gather(*(_end(child.process) for child in group if child.process is not None))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_GRACE):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def node_profile(home: Home, agency: Agency) -> Profile:
    """The sandbox operator's way to a node: clock and health."""
    operator = Profile.load(home.client("sandbox"))
    return replace(operator, target=f"{HOST}:{home.ports.of(agency)}", server_name=f"xieban.{agency}")


async def healthy(profile: Profile) -> bool:
    """Whether the process at the profile's target says SERVING."""
    async with profile.channel() as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def refuse_taken(ports: Ports) -> None:
    """Errors: PORT_TAKEN naming the first port somebody else listens on."""
    for port in ports.all().values():
        if not _free(port):
            raise failure(Reason.PORT_TAKEN, port=port)


def free_ports() -> Ports:
    """Ports nobody listens on at this moment, for a city beside others."""
    names = tuple(Ports().all())
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in names]
        for probe in probes:
            probe.bind((HOST, 0))
        return Ports(**{name: int(probe.getsockname()[1]) for name, probe in zip(names, probes, strict=True)})


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _first(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    for problem in problems.exceptions:
        return _first(problem) if isinstance(problem, BaseExceptionGroup) else problem
    raise AssertionError("an exception group is never empty")


def _ending(code: int) -> str:
    return f"信号 {signal.Signals(-code).name}" if code < 0 else f"退出码 {code}"


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


# --- the commands


async def demo(folder: Path, timelines: Path) -> int:
    """Fresh city, replay, summary, pages until a signal."""
    if _alive(folder):
        raise failure(Reason.PORT_TAKEN, port=Ports().page)
    shutil.rmtree(folder, ignore_errors=True)
    say("协办演示：公安、检察、法院、监督网关各为独立进程，沙箱时钟，演示数据")
    now = SystemClock().now()
    start = _sandbox_start(timelines)
    home = provision(folder, now=now, sandbox_start=start)
    stack = Stack(home)
    stopping = _signalled()
    async with stack.running(), _recorded(home, stack):
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
    async with stack.running(), _recorded(home, stack):
        tell(f"监督页面 {home.page}")
        await stopping.wait()
        tell("正在停止……")
    tell("已全部停止")
    return 0


def up(folder: Path) -> int:
    """Start `run` detached and return when it is ready or has failed."""
    folder.mkdir(parents=True, exist_ok=True)
    if _alive(folder):
        say(f"已在运行（进程 {_record(folder)['pid']}）")
        return 0
    refuse_taken(Ports())
    log = folder / "stack.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.stack", "run", "--home", str(folder)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    shown = 0
    while True:
        text = log.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()
        for line in lines[shown:]:
            say(line)
        shown = len(lines)
        if _alive(folder):
            break
        try:
            child.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        say(_tail(log))
        return child.returncode or 1
    home = Home(folder=folder.resolve(), city="lanzhou")
    say(f"命令行   {_cli(home)}\n停止     make down")
    return 0


def down(folder: Path) -> int:
    """Stop what `up` started, if it is still that process."""
    if not _alive(folder):
        say("没有在运行")
        return 0
    pid = int(str(_record(folder)["pid"]))
    os.kill(pid, signal.SIGTERM)
    clock = SystemClock()
    patience = clock.ticks() + 2 * STOP_GRACE + 5
    while _alive(folder) and clock.ticks() < patience:
        asyncio.run(clock.sleep(0.1))
    if _alive(folder):
        _kill_recorded(folder)
    say("已全部停止")
    return 0


def _cli(home: Home) -> str:
    return f"xieban case list --profile {home.client('police')}"


def _sandbox_start(timelines: Path) -> datetime:
    """A day before anything of the file happened; any date that is none is the replay's to refuse."""
    found = set()
    for line in timelines.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found |= {event["date"] for event in json.loads(line)["events"]}
    first = min(found, default="2020-01-01")
    return datetime.fromisoformat(f"{first}T00:00:00").replace(tzinfo=SHANGHAI, year=int(first[:4]) - 1)


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
            await _end(process)
        wished.cancel()
    return ended.result()


# --- the pid file


@asynccontextmanager
async def _recorded(home: Home, stack: Stack) -> AsyncIterator[None]:
    """While the city is up, say in the home which processes it is, with their birth so that a reused pid is not mistaken for it."""
    file = home.folder / "stack.json"
    pids = {"launcher": os.getpid(), **stack.pids}
    record = {"pid": os.getpid(), "born": {str(pid): _born(pid) for pid in pids.values()}, "children": pids}
    scratch = file.with_suffix(".tmp")
    scratch.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _record(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(folder: Path) -> bool:
    record = _record(folder)
    return bool(record) and _ours(record, record.get("pid"))


def _ours(record: dict[str, object], pid: object) -> bool:
    born = record.get("born")
    return isinstance(born, dict) and isinstance(pid, int) and _born(pid) not in ("", None) and born.get(str(pid)) == _born(pid)


def _kill_recorded(folder: Path) -> None:
    record = _record(folder)
    children = record.get("children")
    for pid in children.values() if isinstance(children, dict) else ():
        if _ours(record, pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _born(pid: int) -> str:
    """What tells a process from a later one with its pid: start time and program. Empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return f"{fields[19]}"
    except (OSError, IndexError):
        pass
    found = subprocess.run(["ps", "-o", "lstart=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()

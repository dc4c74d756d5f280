"""The processes of one city: started, waited for, watched, restarted, stopped.

A child that dies is reported and started again with back-off; one that refuses to start (exit code 78: configuration, a newer
database, a taken port) ends the whole, because a person has to act. Children are sessions of their own, so Ctrl-C reaches only the
launcher, which stops the nodes first and the broker they still want to talk to last: SIGTERM, then SIGKILL after a grace.
What must not go in: what the processes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from services.chassis.bus import nats_server_binary
from services.chassis.clock import SystemClock
from services.provision import HOST, NODES, Home, Ports
from xieban.agency import NAMES, Agency
from xieban.client import Profile
from xieban.errors import Reason, failure

ROOT: Final = Path(__file__).resolve().parents[2]
REFUSED: Final = 78
READY_WITHIN: Final = 60.0
STOP_GRACE: Final = 15.0
RESTART_PAUSES: Final = (0.2, 0.5, 1.0, 3.0, 10.0)
STEADY_AFTER: Final = 60.0
_LOW, _HIGH = 20_000, 32_000
_TITLES: Final = {
    "nats": "消息总线",
    **{agency.value: f"{NAMES[agency]}节点" for agency in NODES},
    "gateway": "监督网关",
}

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
        self.on_start: Callable[[], None] | None = None
        self._tell = tell
        self._clock = SystemClock()
        self._stopping = asyncio.Event()
        command = {
            "nats": [str(nats_server_binary()), "-c", str(home.nats_config)],
            **{
                agency.value: [
                    sys.executable,
                    "-m",
                    f"services.{agency}",
                    "--config",
                    str(home.node(agency) / "config.toml"),
                ]
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
                    await self._ready()
                    yield
                finally:
                    self._stopping.set()
                    await self._stop()
                    for watcher in watchers:
                        watcher.cancel()
        except BaseExceptionGroup as problems:
            raise first_of(problems) from None

    async def _ready(self) -> None:
        patience = self._clock.ticks() + READY_WITHIN
        for name in self._children:
            while not await self._healthy(name):
                if self._clock.ticks() > patience:
                    raise failure(Reason.PEER_UNREACHABLE, peer=_TITLES[name])
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
            if self._stopping.is_set():  # the wish to stop came while the child was being born
                await end(child.process)
                return
            if self.on_start is not None:
                self.on_start()
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            if code == REFUSED:
                self._tell(f"! {_TITLES[child.name]} 拒绝启动：\n{tail(child.log)}")
                raise failure(Reason.CONFIG_INVALID, file=child.log, detail=f"{_TITLES[child.name]} 拒绝启动，详见日志")
            failures = 1 if self._clock.ticks() - born > STEADY_AFTER else failures + 1
            pause = RESTART_PAUSES[min(failures, len(RESTART_PAUSES)) - 1]
            self.restarts[child.name] = self.restarts.get(child.name, 0) + 1
            self._tell(f"! {_TITLES[child.name]} 意外退出（{_ending(code)}），{pause:g} 秒后重新启动")
            await self._clock.sleep(pause)

    async def _stop(self) -> None:
        """The nodes first, all at once, and the broker they still want to talk to last."""
        nodes = [child for child in self._children.values() if child.name != "nats"]
        for group in (nodes, [self._children["nats"]]):
            await asyncio.gather(*(end(child.process) for child in group if child.process is not None))


async def end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL when the grace is over."""
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
    """Ports nobody listens on at this moment, for a city beside others.

    They lie below those that kernels give to outgoing connections, one of which could take a port before its node starts.
    """
    found: dict[str, int] = {}
    while len(found) < len(Ports().all()):
        port = _LOW + secrets.randbelow(_HIGH - _LOW)
        if port not in found.values() and _free(port):
            found[tuple(Ports().all())[len(found)]] = port
    return Ports(**found)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def first_of(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a task group really failed of: its first problem, however deep it lies."""
    first = problems.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _ending(code: int) -> str:
    return f"信号 {signal.Signals(-code).name}" if code < 0 else f"退出码 {code}"


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log file."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

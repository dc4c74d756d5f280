"""A real nats-server for tests: on a free port of 127.0.0.1, killable, restartable on the same port, and wipeable."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.chassis.bus import nats_server_binary
from services.stack.processes import free_ports


class Broker(str):
    """The broker's URL, with the means to mistreat the process behind it."""

    port: int
    folder: Path
    config: Path | None
    _process: asyncio.subprocess.Process | None

    @classmethod
    def at(cls, folder: Path, *, port: int | None = None, config: Path | None = None) -> Broker:
        """`config`: a configuration that says `port` itself; without one the broker is open to everybody."""
        chosen = port or free_ports().nats
        broker = cls(f"nats://127.0.0.1:{chosen}")
        broker.port = chosen
        broker.folder = folder
        broker.config = config
        broker._process = None
        return broker

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.config or self.folder / "nats.conf"
        if self.config is None:
            config.write_text(
                f'listen: "127.0.0.1:{self.port}"\n'
                f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always }}\n',
                encoding="utf-8",
            )
        self._process = await asyncio.create_subprocess_exec(
            str(nats_server_binary()), "-c", str(config), "-l", str(self.folder / "nats.log")
        )
        for _ in range(500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)  # a foreign process's start has no event to wait for
                continue
            writer.close()
            return
        raise AssertionError("nats-server did not start")

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: the connection stands and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def wipe(self) -> None:
        """Lose the whole store; the broker must have been killed before."""
        assert self._process is None
        shutil.rmtree(self.folder / "store", ignore_errors=True)


@asynccontextmanager
async def broker(tmp_path: Path, *, started: bool = True) -> AsyncIterator[Broker]:
    """`async with broker(tmp_path) as url`: a started broker whose value is its URL."""
    running = Broker.at(tmp_path / "broker")
    if started:
        await running.start()
    try:
        yield running
    finally:
        await running.kill()

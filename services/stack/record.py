"""The pid file of a running city: who it is, so that `down` stops this city and never a stranger with a reused pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.provision import Home
from services.stack.processes import Stack

FILE = "stack.json"


@contextmanager
def recorded(home: Home, stack: Stack) -> Iterator[None]:
    """While the city is up, its home says which processes it is; kept current when one is started again."""

    def write() -> None:
        pids = {"launcher": os.getpid(), **stack.pids}
        content = {"pid": os.getpid(), "born": {str(pid): _born(pid) for pid in pids.values()}, "pids": pids}
        scratch = home.folder / f"{FILE}.tmp"
        scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(scratch, home.folder / FILE)

    write()
    stack.on_start = write
    try:
        yield
    finally:
        stack.on_start = None
        (home.folder / FILE).unlink(missing_ok=True)


def launcher(folder: Path) -> int | None:
    """The pid of the launcher of this home, if it still runs."""
    return _living(folder).get("launcher")


def orphans(folder: Path) -> dict[str, int]:
    """Processes of this home whose launcher was killed: name to pid."""
    living = _living(folder)
    return {} if "launcher" in living else living


def kill(pids: dict[str, int]) -> None:
    """The last resort, for processes known to be ours."""
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def survivors(folder: Path) -> dict[str, int]:
    """Everything recorded in this home that still runs."""
    return _living(folder)


def _living(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        pids, born = dict(found["pids"]), dict(found["born"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {name: pid for name, pid in pids.items() if born.get(str(pid)) and _born(pid) == born[str(pid)]}


def _born(pid: int) -> str:
    """What tells a process from a later one with its pid: when it started. Empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return "" if fields[0] == "Z" else fields[19]

"""Folders of a city on disks of their own: one that forgets what was not synced, and a small one that fills up.

A disk takes the place of a folder that exists and begins with its content. Both need root and Linux; `FORGETFUL` and `SMALL` skip where
they cannot be had, and say why.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from pathlib import Path
from typing import Final

import pytest

from services.stack.processes import ROOT
from tests.storage.platter import Names, Platter

CAP_SYS_ADMIN: Final = 21


def _may_mount() -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    return False


def _lacking() -> str:
    """Why no forgetful disk can be had here."""
    if not _may_mount():
        return "没有挂载文件系统的权限 no right to mount file systems"
    if not Path("/dev/fuse").exists():
        return "没有 /dev/fuse  no /dev/fuse"
    if find_library("fuse3") is None:
        return "没有 libfuse3（apt-get install libfuse3-3）  no libfuse3"
    return ""


FORGETFUL = pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "there is one")
SMALL = pytest.mark.skipif(not _may_mount(), reason="没有挂载文件系统的权限 no right to mount file systems")


class Drive:
    """A disk over `folder` that keeps only what was synced. It is a process; killing it is the power cut."""

    def __init__(self, folder: Path, *, names: Names, survives: float = 0.0, seed: int = 0) -> None:
        self.folder = folder
        self._platter = folder.with_name(f"{folder.name}.platter")
        self._options = ["--names", names, "--survives", str(survives), "--seed", str(seed)]
        self._process: asyncio.subprocess.Process | None = None
        _take_up(Platter(self._platter, names=names), folder)

    async def start(self) -> None:
        """Mount what the platter holds."""
        command = [sys.executable, "-m", "tests.storage.disk", str(self.folder), str(self._platter), *self._options]
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, start_new_session=True)
        for _ in range(200):
            if _mounted(self.folder):
                return
            assert self._process.returncode is None, "the disk's process ended"
            await asyncio.sleep(0.05)  # a foreign process's mount has no event to wait for
        raise AssertionError("the disk was not mounted")

    def cut(self) -> None:
        """From now on nothing is written any more, and what was not synced is gone. Again is a no-op."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def detach(self) -> None:
        """Take the dead disk out of the tree; what is in the folder then is not the city's."""
        self.cut()
        if self._process is not None:
            await self._process.wait()
            self._process = None
        if _mounted(self.folder):
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[None]:
    """`folder` lies on a disk of `size` bytes of its own."""
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _take_up(platter: Platter, folder: Path) -> None:
    """What lies in the folder is on the disk, and durable."""
    for file in sorted(folder.rglob("*")):
        inode = platter.make(f"/{file.relative_to(folder)}", file.stat().st_mode)
        if stat.S_ISREG(inode.mode):
            platter.write(inode, file.read_bytes(), 0)
            platter.sync(inode)
    for place in [folder, *(file for file in folder.rglob("*") if file.is_dir())]:
        platter.sync_folder(platter.find(f"/{place.relative_to(folder)}" if place != folder else "/"))


def _mounted(folder: Path) -> bool:
    """Also by a disk whose process is dead, which cannot even be looked at."""
    try:
        return folder.is_mount()
    except OSError:
        return True

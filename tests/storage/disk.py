"""A platter mounted as a file system: `python -m tests.storage.disk MOUNT PLATTER --names …`. Killing this process is the power cut.

The kernel hands every write over before the writer goes on (nothing is cached here but reads), so what this process has not put on the
platter when it is killed is exactly what was not synced. One thread: calls come one after another.
"""

from __future__ import annotations

import argparse
import itertools
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mfusepy

from tests.storage.platter import PAGE, Inode, Names, Platter

BLOCKS = 1 << 20
"""4 GiB are free, whatever is written: the broker asks before it starts."""


class Disk(mfusepy.Operations):  # type: ignore[misc]
    """What the kernel asks for. A handle is a number given at `open`; content is reached by handle, because names go."""

    use_ns = True

    def __init__(self, platter: Platter) -> None:
        self._platter = platter
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[Inode, bool]] = {}

    # --- looking

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        inode = self._platter.find(path)
        size = len(inode.data)
        return {
            "st_mode": inode.mode,
            "st_nlink": 2 if inode.is_folder else 1,
            "st_size": size,
            "st_blocks": (size + 511) // 512,
            "st_uid": os.getuid(),
            "st_gid": os.getgid(),
            "st_atime": inode.changed,
            "st_mtime": inode.changed,
            "st_ctime": inode.changed,
        }

    def readdir(self, path: str, fh: int) -> Iterable[str]:
        return [".", "..", *self._platter.find(path).entries]

    def statfs(self, path: str) -> dict[str, int]:
        free = dict.fromkeys(("f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail"), BLOCKS)
        return {"f_bsize": PAGE, "f_frsize": PAGE, "f_namemax": 255, **free}

    # --- names

    def mkdir(self, path: str, mode: int) -> int:
        self._made(path, stat.S_IFDIR | stat.S_IMODE(mode))
        return 0

    def create(self, path: str, mode: int, flags: int) -> int:
        return self._handle(self._made(path, stat.S_IFREG | stat.S_IMODE(mode)), flags)

    def unlink(self, path: str) -> int:
        self._platter.remove(path)
        return 0

    def rmdir(self, path: str) -> int:
        self._platter.remove(path)
        return 0

    def rename(self, old: str, new: str) -> int:
        self._platter.rename(old, new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        inode = self._platter.find(path)
        inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._platter.find(path).changed = times[1] if times else time.monotonic_ns()
        return 0

    # --- contents

    def open(self, path: str, flags: int) -> int:
        return self._handle(self._platter.find(path), flags)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh][0].data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        inode, through = self._open[fh]
        self._platter.write(inode, data, offset)
        inode.changed = time.monotonic_ns()
        if through:
            self._platter.sync(inode)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._platter.truncate(self._platter.find(path), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._platter.sync(self._open[fh][0])
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._platter.sync_folder(self._platter.find(path))
        return 0

    def release(self, path: str, fh: int) -> int:
        del self._open[fh]
        return 0

    def _made(self, path: str, mode: int) -> Inode:
        inode = self._platter.make(path, mode)
        inode.changed = time.monotonic_ns()
        return inode

    def _handle(self, inode: Inode, flags: int) -> int:
        number = next(self._numbers)
        self._open[number] = (inode, bool(flags & (os.O_SYNC | os.O_DSYNC)))
        return number


def main() -> None:
    """Serve until killed or unmounted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mount", type=Path)
    parser.add_argument("platter", type=Path)
    parser.add_argument("--names", type=Names, required=True)
    parser.add_argument("--survives", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    told = parser.parse_args()
    platter = Platter(told.platter, names=told.names, survives=told.survives, seed=told.seed)
    mfusepy.FUSE(Disk(platter), str(told.mount), foreground=True, nothreads=True, kernel_cache=True)


if __name__ == "__main__":
    main()

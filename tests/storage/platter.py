"""A disk as a power cut shows it: what was written is in memory, and a folder holds what was synced and nothing else.

    platter/names.json    the directories as they were synced last
    platter/<number>      a file's content as it was synced last; a file without one is empty

Dropping the object is the power cut, reading the folder again is the next boot. Numbers are those of inodes and are never used twice.
What must not go in: how anybody reaches it; that is the face in `disk`.
"""

from __future__ import annotations

import errno
import json
import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

PAGE = 4096
ROOT = 1


class Names(StrEnum):
    """When a name (a creation, a renaming, a removal) is durable. Real disks do something between the two ends."""

    WITH_DIRECTORY = "with-directory"
    """When its directory was synced and not before: all that POSIX promises."""
    WITH_FILE = "with-file"
    """Also when the file was synced: what ext4, XFS and btrfs do."""
    AT_ONCE = "at-once"
    """Before any content: a file that was not synced comes back empty, also one that took another's place by renaming."""


@dataclass(eq=False, slots=True)
class Inode:
    """A file or a directory, and what of it the disk does not have yet. `changed` in nanoseconds."""

    number: int
    mode: int
    changed: int = 0
    data: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    entries: dict[str, int] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Platter:
    """The disk. `survives` is the share of unsynced pages that reach it all the same, out of turn, as `seed` draws them."""

    def __init__(self, folder: Path, *, names: Names, survives: float = 0.0, seed: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._names = names
        self._survives = survives
        self._draw = random.Random(seed)
        self._inodes = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o755)}
        self._durable: dict[int, dict[str, int]] = {ROOT: {}}
        self._next = ROOT + 1
        self._boot()

    # --- names

    def find(self, path: str) -> Inode:
        """Errors: OSError ENOENT."""
        inode = self._inodes[ROOT]
        for part in filter(None, path.split("/")):
            number = inode.entries.get(part)
            if number is None:
                raise OSError(errno.ENOENT, path)
            inode = self._inodes[number]
        return inode

    def make(self, path: str, mode: int) -> Inode:
        """A new file or directory; `mode` says which."""
        folder, name = self._place(path)
        inode = self._inodes[self._next] = Inode(self._next, mode)
        self._next += 1
        folder.entries[name] = inode.number
        self._renamed(folder)
        return inode

    def remove(self, path: str) -> None:
        """Errors: OSError ENOTEMPTY for a directory with entries."""
        folder, name = self._place(path)
        if self.find(path).entries:
            raise OSError(errno.ENOTEMPTY, path)
        del folder.entries[name]
        self._renamed(folder)

    def rename(self, old: str, new: str) -> None:
        """Put a file in another's place."""
        source, name = self._place(old)
        target, other = self._place(new)
        target.entries[other] = source.entries.pop(name)
        self._renamed(source)
        self._renamed(target)

    # --- contents

    def write(self, inode: Inode, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if len(inode.data) < offset:
            self._grow(inode, offset)
        inode.data[offset:end] = data
        pages = range(offset // PAGE, (end + PAGE - 1) // PAGE)
        inode.dirty.update(pages)
        if self._survives:
            self._keep(inode, [page for page in pages if self._draw.random() < self._survives])

    def truncate(self, inode: Inode, length: int) -> None:
        if length > len(inode.data):
            self._grow(inode, length)
        else:
            del inode.data[length:]
            inode.dirty.add(length // PAGE)

    def sync(self, inode: Inode) -> None:
        """fsync: the file's content and size are durable; its name only as `names` says."""
        self._keep(inode, sorted(page for page in inode.dirty if page * PAGE < len(inode.data)))
        with self._content(inode) as descriptor:
            os.ftruncate(descriptor, len(inode.data))
        inode.dirty.clear()
        if self._names is Names.WITH_FILE:
            for folder in self._above(inode):
                self._durable[folder.number] = dict(folder.entries)
            self._write_names()

    def sync_folder(self, folder: Inode) -> None:
        """fsync of a directory: its entries are durable, not what they lead to."""
        self._durable[folder.number] = dict(folder.entries)
        self._write_names()

    # --- what is durable

    def _renamed(self, folder: Inode) -> None:
        if self._names is Names.AT_ONCE:
            self.sync_folder(folder)

    def _grow(self, inode: Inode, length: int) -> None:
        first = len(inode.data) // PAGE
        inode.data.extend(bytes(length - len(inode.data)))
        inode.dirty.update(range(first, (length + PAGE - 1) // PAGE))

    def _keep(self, inode: Inode, pages: list[int]) -> None:
        if not pages:
            return
        with self._content(inode) as descriptor:
            for page in pages:
                os.pwrite(descriptor, inode.data[page * PAGE : (page + 1) * PAGE], page * PAGE)

    @contextmanager
    def _content(self, inode: Inode) -> Iterator[int]:
        descriptor = os.open(self._folder / str(inode.number), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _write_names(self) -> None:
        """At once or not at all, as a journal does it."""
        named = {ROOT} | {number for entries in self._durable.values() for number in entries.values()}
        modes = {number: self._inodes[number].mode for number in named}
        scratch = self._folder / "names.new"
        scratch.write_text(json.dumps({"modes": modes, "entries": self._durable}), encoding="utf-8")
        os.replace(scratch, self._folder / "names.json")

    def _boot(self) -> None:
        """Take up what the last life left; what no name leads to is gone."""
        file = self._folder / "names.json"
        if file.exists():
            self._read_names(json.loads(file.read_text(encoding="utf-8")))
        for content in self._folder.iterdir():
            if content.name.isdecimal():
                number = int(content.name)
                self._next = max(self._next, number + 1)
                if number in self._inodes:
                    self._inodes[number].data = bytearray(content.read_bytes())

    def _read_names(self, told: dict[str, dict[str, Any]]) -> None:
        waiting = [ROOT]
        while waiting:
            number = waiting.pop()
            entries = told["entries"].get(str(number), {})
            inode = self._inodes[number] = Inode(number, told["modes"][str(number)], entries=dict(entries))
            if inode.is_folder:
                self._durable[number] = dict(entries)
            waiting.extend(entries.values())
        self._next = 1 + max(int(number) for number in told["modes"])

    def _place(self, path: str) -> tuple[Inode, str]:
        folder, _, name = path.rpartition("/")
        return self.find(folder), name

    def _above(self, inode: Inode) -> list[Inode]:
        """The directories that lead to it."""
        found: list[Inode] = []
        while (
            folder := next((one for one in self._inodes.values() if inode.number in one.entries.values()), None)
        ) is not None:
            found.append(folder)
            inode = folder
        return found

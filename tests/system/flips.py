"""Flips single bits in copies of a database file and asks fsck about each that changed content."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from services.admin.fsck.report import Report

Dump = dict[str, list[tuple[object, ...]]]


@dataclass(slots=True)
class Figures:
    """`silent`: flips that changed no row; `found`: by table of the first finding; `missed`: where each lay and what it changed."""

    silent: int = 0
    unreadable: int = 0
    found: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        return self.found.total() + len(self.missed)

    def __str__(self) -> str:
        told = ", ".join(f"{table} {count}" for table, count in self.found.most_common())
        return (
            f"{self.changed} of {self.changed + self.silent} flips changed content ({self.unreadable} made the file unreadable), "
            f"{self.found.total()} found, {len(self.missed)} missed; first named: {told}"
        )


def dump(file: Path) -> Dump | None:
    """Every row of every table in the order of the file, bytes as they are; None when it cannot be read to its end."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = bytes
            names = [row[0].decode() for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: database.execute(f'SELECT * FROM "{name}" NOT INDEXED').fetchall() for name in sorted(names)}
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        return None


def flip(database: Path, scratch: Path, *, count: int, seed: int, check: Callable[[Path], Report]) -> Figures:
    """Flip `count` bits, one at a time and each in a fresh copy, anywhere in the file."""
    draw = random.Random(seed)
    content = database.read_bytes()
    whole = dump(database)
    assert whole is not None
    figures = Figures()
    for _ in range(count):
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        scratch.write_bytes(changed)
        now = dump(scratch)
        if now == whole:
            figures.silent += 1
            continue
        figures.unreadable += now is None
        report = check(scratch)
        if report.findings:
            figures.found[report.findings[0].table] += 1
        else:
            figures.missed.append(f"byte {place} bit {bit}: {_difference(whole, now)}")
    return figures


def _difference(before: Dump, after: Dump | None) -> str:
    if after is None:
        return "unreadable"
    return "; ".join(
        f"{table}: {set(before.get(table, ())) ^ set(after.get(table, ()))}"[:400]
        for table in before.keys() | after.keys()
        if before.get(table) != after.get(table)
    )

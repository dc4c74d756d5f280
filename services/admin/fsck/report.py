"""What a check found, each thing by its table and key, in words a person can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from services.admin.showing import Tick
from xieban.errors import XiebanError

MOST: Final = 1000
"""Findings kept; a file that is all wrong need not be listed row by row."""


class Finding(msgspec.Struct, frozen=True, order=True):
    """`key`: of the row; empty when it is about the table as a whole."""

    table: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} [{self.key}] {self.what}" if self.key else f"{self.table} {self.what}"


class Report(msgspec.Struct):
    """`checked`: how many rows of each table were laid beside what vouches for them."""

    city: str
    agency: str
    database: str
    findings: list[Finding] = msgspec.field(default_factory=list)
    checked: dict[str, int] = msgspec.field(default_factory=dict)
    truncated: bool = False


class Book:
    """Takes down findings while the check runs."""

    def __init__(self, report: Report, tick: Tick) -> None:
        self.report = report
        self._seen: set[Finding] = set()
        self._tick = tick

    def find(self, table: str, key: object, what: str) -> None:
        """The same thing found twice is one finding."""
        finding = Finding(table, _shown(key), what)
        if finding in self._seen:
            return
        if len(self.report.findings) >= MOST:
            self.report.truncated = True
            return
        self._seen.add(finding)
        self.report.findings.append(finding)

    def expect(self, holds: bool, table: str, key: object, what: str) -> None:
        if not holds:
            self.find(table, key, what)

    def count(self, table: str, rows: int = 1) -> None:
        self.report.checked[table] = self.report.checked.get(table, 0) + rows

    def step(self, what: str, done: int, total: int) -> None:
        self._tick(what, done, total)

    @contextmanager
    def reading(self, table: str, key: object = "") -> Iterator[None]:
        """Whatever cannot be read or understood in here is a finding and never the end of the check."""
        try:
            yield
        except XiebanError as error:
            self.find(table, key, f"{error.happened}：{error.cause}（{error.reason.number}）")
        except Exception as error:  # bytes that were changed can break any reader in any way
            self.find(table, key, f"无法读取或者核对（{type(error).__name__}：{str(error)[:120]}）")


Check = Callable[[], None]


def _shown(key: object) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(str(part)[:64] for part in parts).encode("utf-8", "replace").decode()

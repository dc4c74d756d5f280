"""Strict reading of one TOML row: every key known, every required key there, every value of its kind, or a coded refusal.

A row of law with a slip in it must stop the program, never compute. What the rows mean is in `table` and `events`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from enum import Enum
from importlib.resources import files
from typing import TypeVar

from xieban.errors import Reason, XiebanError, failure

Choice = TypeVar("Choice", bound=Enum)
Content = Mapping[str, object]


def read_package_file(name: str) -> str:
    """The text of a data file of this package."""
    return files("xieban.timelimits").joinpath(name).read_text(encoding="utf-8")


def parse(text: str, *, file: str, keys: frozenset[str]) -> Content:
    """The TOML document, whose top level holds exactly `keys`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise failure(Reason.STATUTES_INVALID, file=file, row="0", detail=error, article="—") from error
    if set(content) != keys:
        detail = f"顶层应有 {sorted(keys)}，实有 {sorted(content)}"
        raise failure(Reason.STATUTES_INVALID, file=file, row="0", detail=detail, article="—")
    return content


def tables(value: object, *, file: str, row: str) -> list[Content]:
    """A list of tables."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise failure(Reason.STATUTES_INVALID, file=file, row=row, detail="应为表的列表", article="—")
    return value


class Row:
    """One table being read. Ask for every key by its kind, then call `finish`, which refuses keys nobody asked for."""

    __slots__ = ("_asked", "_content", "_file", "_name")

    def __init__(self, content: Content, *, file: str, name: str) -> None:
        self._content = content
        self._file = file
        self._name = name
        self._asked: set[str] = set()

    def refuse(self, detail: object) -> XiebanError:
        """The coded error for this row, with the article it was to carry."""
        article = self._content.get("article", "—")
        return failure(Reason.STATUTES_INVALID, file=self._file, row=self._name, detail=detail, article=article)

    def text(self, key: str, *, default: str | None = None) -> str:
        """A non-empty string, or the default when the key is absent."""
        value = self._take(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.refuse(f"{key} 应为文字")
        return value

    def number(self, key: str, *, default: int | None = None) -> int:
        """A whole number of at least 0."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.refuse(f"{key} 应为不小于零的整数")
        return value

    def flag(self, key: str) -> bool:
        """True or false; absent is false."""
        value = self._take(key, False)
        if not isinstance(value, bool):
            raise self.refuse(f"{key} 应为 true 或 false")
        return value

    def day(self, key: str) -> date:
        """A TOML date."""
        value = self._take(key, None)
        if type(value) is not date:
            raise self.refuse(f"{key} 应为日期")
        return value

    def choice(self, key: str, kind: type[Choice], *, default: Choice | None = None) -> Choice:
        """A member of a closed set, by value."""
        value = self._take(key, default.value if default is not None else None)
        return self.member(kind, value, key)

    def member(self, kind: type[Choice], value: object, key: str) -> Choice:
        """`value` as a member of `kind`."""
        try:
            return kind(value)
        except ValueError as error:
            raise self.refuse(f"{key} 不能是 {value!r}") from error

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        """A list of strings; not empty unless optional."""
        value = self._take(key, [] if optional else None)
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.refuse(f"{key} 应为文字列表")
        if not value and not optional:
            raise self.refuse(f"{key} 不能为空")
        if len(set(value)) != len(value):
            raise self.refuse(f"{key} 有重复项")
        return tuple(value)

    def rows(self, key: str) -> list[Row]:
        """Sub-tables; none when the key is absent."""
        parts = tables(self._take(key, []), file=self._file, row=self._name)
        return [
            Row({"article": self._content.get("article"), **part}, file=self._file, name=self._name) for part in parts
        ]

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        if unknown := set(self._content) - self._asked - {"article"}:
            raise self.refuse(f"有不认识的项 {sorted(unknown)}")

    def _take(self, key: str, default: object) -> object:
        self._asked.add(key)
        if key in self._content:
            return self._content[key]
        if default is None:
            raise self.refuse(f"缺少 {key}")
        return default

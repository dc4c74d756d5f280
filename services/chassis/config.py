"""Strict configuration: a TOML file becomes a frozen value, or the program does not start.

An unknown key is refused with a suggestion, because a misspelt setting that is silently ignored runs with the default for years.
Relative paths are meant from the file's own folder. What must not go in: any particular program's settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from xieban.errors import Reason, XiebanError, failure

T = TypeVar("T")
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING: Final = re.compile(r"Object missing required field `([^`]+)`")
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")


def load(file: Path, shape: type[T]) -> T:
    """The settings in `file` as `shape`, a frozen msgspec Struct or dataclass. CONFIG_INVALID says where and why."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(file, f"无法读取（{error.strerror}）") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(file, f"不是有效的 TOML（{error}）") from error
    return read(table, shape, file=file)


def read(table: dict[str, Any], shape: type[T], *, file: Path) -> T:
    """As `load`, from a table already parsed; `file` names it in errors and anchors relative paths."""

    def convert(wanted: type[Any], value: Any) -> Any:
        if wanted is Path or issubclass(wanted, Path):
            if isinstance(value, str):
                return file.parent / value
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec adds the place
        raise NotImplementedError(f"no way to configure {wanted}")

    _refuse_unknown(table, shape, file=file, place="")
    try:
        return msgspec.convert(table, shape, strict=True, dec_hook=convert)
    except msgspec.ValidationError as error:
        raise _invalid(file, _explained(str(error))) from error


def _refuse_unknown(value: Any, shape: Any, *, file: Path, place: str) -> None:
    fields = _fields(shape)
    if fields is not None and isinstance(value, dict):
        for key, inner in value.items():
            here = f"{place}.{key}" if place else key
            if key not in fields:
                raise _invalid(file, f"未知的设置 {here}{_suggestion(key, fields)}")
            _refuse_unknown(inner, fields[key], file=file, place=here)
        return
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            if _fields(option) is not None or typing.get_origin(option) is not None:
                _refuse_unknown(value, option, file=file, place=place)
    elif origin in (list, tuple) and isinstance(value, list) and arguments:
        for index, inner in enumerate(value):
            _refuse_unknown(inner, arguments[0], file=file, place=f"{place}[{index}]")
    elif origin is dict and isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unknown(inner, arguments[1], file=file, place=f"{place}.{key}")


def _fields(shape: Any) -> dict[str, Any] | None:
    """The settings a table of this shape may have; None for anything but a table of settings."""
    if not isinstance(shape, type):
        return None
    hints = typing.get_type_hints
    if issubclass(shape, msgspec.Struct):
        return {field.encode_name: hints(shape)[field.name] for field in msgspec.structs.fields(shape)}
    if dataclasses.is_dataclass(shape):
        return {field.name: hints(shape)[field.name] for field in dataclasses.fields(shape)}
    return None


def _suggestion(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"，是否应为 {close[0]}" if close else f"，可用的有 {'、'.join(sorted(known))}"


def _explained(message: str) -> str:
    place = _PLACE.search(message)
    where = place[1] if place else ""
    if missing := _MISSING.search(message):
        return f"缺少设置 {f'{where}.' if where else ''}{missing[1]}"
    if expected := _EXPECTED.search(message):
        return f"{where} 应为 {expected[1]}，实为 {expected[2]}"
    return f"{where} 不合要求（{_PLACE.sub('', message)}）"


def _invalid(file: Path, detail: str) -> XiebanError:
    return failure(Reason.CONFIG_INVALID, file=file, detail=detail)

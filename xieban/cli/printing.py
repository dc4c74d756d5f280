"""Output: plain tables whose columns stay aligned with Chinese in them, and JSON whose keys stay the same from version to version."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import typer

from xieban.agency import Office


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns, two spaces between, no frames: survives pipes and any terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(width(line[column]) for line in [list(headings), *cells]) for column in range(len(headings))]
    for line in [list(headings), *cells]:
        padded = (text + " " * (wide - width(text)) for text, wide in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def fields(rows: Sequence[tuple[str, object]]) -> None:
    """One labelled value a line."""
    wide = max(width(label) for label, _ in rows)
    for label, value in rows:
        typer.echo(f"{label}{' ' * (wide - width(label))}  {_cell(value)}".rstrip())


def width(text: str) -> int:
    """Columns a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def as_json(value: Any) -> None:
    """Values of `xieban.views` as JSON on stdout."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def plain(value: Any) -> Any:
    """A value as JSON knows it: times in ISO 8601 with offset, offices with their name, file contents by size only."""
    if isinstance(value, Office):
        return {"agency": value.agency.value, "division": value.division, "name": value.name}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__struct_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M")


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    return "" if value is None else str(value)

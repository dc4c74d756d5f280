"""Canonical JSON and closed schemas: one value has one spelling, and nothing that a schema does not name.

A schema is a function that says whether a decoded value is of its form. Bytes are accepted only if writing the decoded value again gives
the same bytes, which refuses duplicate keys, other spellings of numbers and texts, white space and another order.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

Schema = Callable[[Any], bool]

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LARGEST: Final = 2**53 - 1
LATEST: Final = 4_102_444_800_000_000


class NotCanonical(Exception):
    """Not canonical JSON of the schema; the message says which of the two."""


def read(data: bytes, schema: Schema) -> Any:
    """The value of canonical bytes. Errors: NotCanonical."""
    try:
        text = data.decode()
        value = json.loads(text, parse_float=_refuse, parse_constant=_refuse)
        same = spell(value) == data
    except (ValueError, RecursionError) as error:  # also what is no UTF-8, and numbers without end
        raise NotCanonical("不是规范编码") from error
    if not same or not _is_clean(text):
        raise NotCanonical("不是规范编码")
    if not schema(value):
        raise NotCanonical("字段不合规定")
    return value


def spell(value: Any) -> bytes:
    """The canonical bytes of a value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _is_clean(text: str) -> bool:
    # Of the escapes only those of backslash and quotation mark have no other spelling.
    if "\\" in text.replace(r"\\", "").replace(r"\"", ""):
        return False
    return not _FORBIDDEN.search(text) and unicodedata.is_normalized("NFC", text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def whole(least: int = 0, most: int = LARGEST) -> Schema:
    """An integer."""
    return lambda value: type(value) is int and least <= value <= most


def text(longest: int, least: int = 0) -> Schema:
    """A text of so many characters."""
    return lambda value: isinstance(value, str) and least <= len(value) <= longest


def matching(pattern: str) -> Schema:
    """A text that is wholly of the pattern."""
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def one_of(*values: str) -> Schema:
    return lambda value: isinstance(value, str) and value in values


def just(expected: Any) -> Schema:
    return lambda value: type(value) is type(expected) and value == expected


def flag(value: Any) -> bool:
    """true or false."""
    return isinstance(value, bool)


def maybe(schema: Schema) -> Schema:
    """null, or of the schema."""
    return lambda value: value is None or schema(value)


def listing(schema: Schema, most: int, least: int = 0) -> Schema:
    """A list of so many members."""
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(schema, value))


def record(**fields: Schema) -> Schema:
    """An object with exactly these members. A trailing underscore is no part of a name."""
    return exactly({name.rstrip("_"): schema for name, schema in fields.items()})


def exactly(fields: Mapping[str, Schema], *, unless_empty: Mapping[str, Schema] | None = None) -> Schema:
    """As `record`, for members that are given as a mapping. Those of `unless_empty` are left out where they would say nothing."""
    rare = unless_empty or {}
    every = {**fields, **rare}

    def holds(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and fields.keys() <= value.keys() <= every.keys()
            and all(every[name](inner) for name, inner in value.items())
        )

    return holds


def tagged(tag: str, kinds: Mapping[str, Schema]) -> Schema:
    """An object whose member `tag` says which of `kinds` it is of."""

    def holds(value: Any) -> bool:
        kind = value.get(tag) if isinstance(value, dict) else None
        return isinstance(kind, str) and kind in kinds and kinds[kind](value)

    return holds

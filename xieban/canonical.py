"""Canonical JSON: one value, one spelling.

A payload is accepted only if decoding it into its closed schema and encoding it again gives the same bytes. That single check
refuses unknown fields, duplicate keys, other number spellings, white space and re-ordered keys, so no two readers can take two
meanings from one signed text. Integers only; strings are NFC, without control characters or direction overrides.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeVar

import msgspec

from xieban.errors import Reason, failure

MAX_PAYLOAD = 16 * 1024
MAX_TEXT = 4 * 1024

_T = TypeVar("_T")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(value: object) -> bytes:
    """Canonical bytes of a closed struct."""
    return _ENCODER.encode(value)


def decode(payload: bytes, schema: type[_T], *, limit: int = MAX_PAYLOAD) -> _T:
    """Read `payload` as `schema`, or refuse. Errors: MESSAGE_TOO_LARGE, PAYLOAD_NOT_CANONICAL."""
    if len(payload) > limit:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=len(payload), limit=limit)
    try:
        value = msgspec.json.decode(payload, type=schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failure(Reason.PAYLOAD_NOT_CANONICAL) from error
    if _ENCODER.encode(value) != payload or not _is_clean(payload):
        raise failure(Reason.PAYLOAD_NOT_CANONICAL)
    return value


def _is_clean(payload: bytes) -> bool:
    """Whether the texts of encoded bytes are NFC and free of control and direction characters."""
    # C0 controls can only be there as escapes; the two escapes that remain allowed are taken away first.
    if b"\\" in payload and b"\\" in payload.replace(rb"\\", b"").replace(rb"\"", b""):
        return False
    text = payload.decode()
    return not _FORBIDDEN.search(text) and unicodedata.is_normalized("NFC", text)


def text(value: str, *, field: str, limit: int = MAX_TEXT) -> str:
    """Normalise and check one text from outside: NFC, no control or direction characters, at most `limit` characters.

    Names pass whatever their length or script: rare characters outside the basic plane, the middle dot, a single character.
    Errors: TEXT_FORBIDDEN, FIELD_INVALID.
    """
    normal = unicodedata.normalize("NFC", value)
    if _FORBIDDEN.search(normal):
        raise failure(Reason.TEXT_FORBIDDEN, field=field)
    if len(normal) > limit:
        raise failure(Reason.FIELD_INVALID, field=field, detail=f"超过 {limit} 个字符")
    return normal


def read(payload: bytes, schema: type[_T]) -> _T:
    """Read a payload that `decode` has accepted before: what a database of ours holds. Not for anything from outside."""
    return msgspec.json.decode(payload, type=schema)

"""Hostile input for whatever reads from outside, and the one demand on every reader: it ends soon, with a value or with a coded refusal.

Bytes of any kind, sound ones with a piece put in or taken out, JSON with any fragment in any place, and messages with any value in any
field. What must not go in: the readers themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from xieban.errors import XiebanError

LIMIT = 1.0
"""Seconds for one input, whatever it is."""
QUICK, THOROUGH = 25, 400
"""Inputs of one kind for one reader."""

FRAGMENTS = (
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"[" * 2_000 + b"]" * 2_000,
    b"9" * 5_000,
    b"-9" + b"9" * 400,
    b"1e400",
    b"1e-400",
    b"-0",
    b"0.5",
    b"9223372036854775808",
    b"18446744073709551616",
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"' + b"x" * 5_000 + b'"',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    '"a\u202eb"'.encode(),
    '"e\u0301"'.encode(),
    b'{"v":1,"v":1}',
    b'"',
    b"",
)
"""What may stand in the place of a value: deep, huge, twice, no text at all."""
WORDS = (
    "", " ", "police", "gateway", "620102", "999999", "lanzhou", "arrest_request", "detained", "P1", "ab" * 32, "AB" * 32,
    "A6201020000002026030001", "2026-02-30", "2026-03-02T16:00:00+08:00", "9" * 400, "-1", "\u0663", "\x00", "a\u202eb",
    "e\u0301", "𠮷", "秘密" + " " * 3000 + "x", "秘密" * 1500, "（" * 3000, "%s{}{0}", "'; --", "字" * 5000,
)  # fmt: skip
NUMBERS = (0, 1, 2, -1, 99, 2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 253_402_300_800)


@dataclass(frozen=True, slots=True)
class Reader:
    """Something that reads bytes from outside. `refusal`: what it may raise; `sample`: bytes that it takes; `cost`: of one that verifies
    much more than what is changed, how many times fewer inputs it gets."""

    name: str
    read: Callable[[bytes], object]
    sample: bytes
    refusal: tuple[type[Exception], ...] = (XiebanError,)
    cost: int = 1

    def stands(self, data: bytes) -> None:
        """The demand: a value or a refusal, and in time."""
        in_time(lambda: self.read(data), refusal=self.refusal)


def in_time(read: Callable[[], object], *, refusal: tuple[type[Exception], ...]) -> None:
    """Fails when `read` raises anything but a refusal, or takes longer than `LIMIT`."""
    began = time.monotonic()
    with suppress(*refusal):
        read()
    took = time.monotonic() - began
    assert took < LIMIT, f"took {took:.2f} s"


def effort(examples: int) -> settings:
    """The quick profile is the same in every run; the thorough one draws anew each time and prints how to repeat what failed."""
    return settings(
        max_examples=examples,
        deadline=None,  # `in_time` measures, and says of what
        database=None,
        derandomize=examples <= QUICK,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


@st.composite
def cut(draw: st.DrawFn, sample: bytes) -> bytes:
    """A sound text with a piece put in, taken out, doubled, or with bits turned."""
    one, other = draw(st.integers(0, len(sample))), draw(st.integers(0, len(sample)))
    start, end = min(one, other), max(one, other)
    piece = draw(st.binary(max_size=40) | st.just(sample[start:end]) | st.sampled_from(FRAGMENTS))
    if draw(st.booleans()):
        return sample[:start] + piece + sample[end:]
    at = draw(st.integers(0, len(sample) - 1))
    return sample[:at] + bytes([sample[at] ^ draw(st.integers(1, 255))]) + sample[at + 1 :]


@st.composite
def twisted(draw: st.DrawFn, sample: bytes) -> bytes:
    """Canonical JSON with another fragment in the place of one of its values, or a member twice."""
    value = json.loads(sample)
    target: Any = value
    while True:
        places = sorted(target) if isinstance(target, dict) else range(len(target))
        place = draw(st.sampled_from(places))
        if isinstance(target[place], dict | list) and target[place] and draw(st.booleans()):
            target = target[place]
            continue
        target[place] = "@@"
        break
    fragment = draw(st.sampled_from(FRAGMENTS) | st.text(max_size=20).map(lambda text: json.dumps(text).encode()))
    whole = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return whole.replace(b'"@@"', fragment)


def messages(kind: type[Message], *, depth: int = 4) -> st.SearchStrategy[Any]:
    """A message of `kind` with any value in any field."""
    return st.builds(kind, **{field.name: _values(field, depth) for field in _fields(kind, depth)})


def _fields(kind: type[Message], depth: int) -> list[Any]:
    return [one for one in kind.DESCRIPTOR.fields if depth > 0 or one.message_type is None]


def _values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    single = _single(field, depth)
    if field.is_repeated:
        return st.lists(single, max_size=3)
    return st.none() | single


def _single(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(GetMessageClass(field.message_type), depth=depth - 1)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=70) | st.just(bytes(33))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 99, -1])
    low, high = _RANGES[field.cpp_type]
    return st.sampled_from([number for number in NUMBERS if low <= number <= high])


_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}

"""Whatever a file holds, reading it ends soon and with a list or a coded refusal."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.samples import key
from tests.library.trust.city import NOW, founded, issue, pins, seal, signed
from xieban.errors import XiebanError
from xieban.trust import add, parse

CHAIN = signed(add(founded(), seal(key(12).public, from_index=40), issue=issue(40)))
DATA = CHAIN.encode()
PINS = pins(CHAIN)
LIMIT = 1000
"""Milliseconds for one file."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=30,
)


def read(data: bytes) -> None:
    try:
        parse(data, pins=PINS).effective(now=NOW)
    except XiebanError:
        return
    assert data == DATA


@settings(max_examples=300, deadline=LIMIT)
@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    read(data)


@settings(max_examples=300, deadline=LIMIT)
@given(JSON)
def test_any_json(value: Any) -> None:
    read(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=LIMIT)
@given(st.integers(0, len(DATA)), st.integers(0, len(DATA)), st.binary(max_size=40))
def test_a_true_file_with_a_piece_put_in_or_taken_out(start: int, end: int, piece: bytes) -> None:
    read(DATA[: min(start, end)] + piece + DATA[max(start, end) :])


@settings(max_examples=300, deadline=LIMIT)
@given(st.data())
def test_a_true_list_with_any_value_in_any_place(data: st.DataObject) -> None:
    """Behind the envelope: the payload itself is changed, so that the schema and not the signature has to answer first."""
    file = json.loads(DATA)
    row = file["lists"][data.draw(st.sampled_from([0, 1]))]
    value = json.loads(base64.b64decode(row["payload"]))
    target: Any = value
    while True:
        place = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if isinstance(target[place], dict | list) and target[place] and data.draw(st.booleans()):
            target = target[place]
            continue
        target[place] = data.draw(JSON)
        break
    payload = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    row["payload"] = base64.b64encode(payload.encode("utf-8", "surrogatepass")).decode()
    read(json.dumps(file, sort_keys=True, separators=(",", ":")).encode())


def test_a_file_of_a_thousand_open_brackets_is_refused_like_any_other() -> None:
    read(b"[" * 100_000)
    read(b'{"lists":' * 50_000)

"""Whatever comes from outside, reading it ends soon: with a value, or with a coded refusal, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks import fuzzing, readers
from tests.attacks.fuzzing import FRAGMENTS, QUICK, THOROUGH, WORDS, Reader, cut, effort, in_time, messages, twisted
from xieban.dossier import has_secret_mark
from xieban.errors import Reason
from xieban.notice import check_explanation
from xieban.supervision import Cause, Measure

BYTES = (*readers.ENVELOPES, *readers.PAYLOADS, *readers.TEXTS, *readers.BUNDLES, *readers.MESSAGE_BYTES)
JSON = (*readers.PAYLOADS, *readers.JSON_MEMBERS)
EVERY = (*BYTES, *readers.JSON_MEMBERS, *readers.TEXT_MEMBERS)
AMOUNTS = [pytest.param(QUICK, id="quick"), pytest.param(THOROUGH, id="thorough", marks=pytest.mark.slow)]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Reader) else getattr(value, "__name__", "")


@pytest.mark.parametrize("reader", EVERY, ids=name_of)
def test_every_sample_is_taken(reader: Reader) -> None:
    """Or nothing below would get any further than the first check."""
    assert reader.read(reader.sample) is not None


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("reader", EVERY, ids=name_of)
def test_what_is_deep_huge_double_or_no_text_is_read_or_refused_in_time(reader: Reader, amount: int) -> None:
    for fragment in FRAGMENTS[:: reader.cost if amount == QUICK else 1]:
        reader.stands(fragment)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("reader", BYTES, ids=name_of)
def test_any_bytes(reader: Reader, amount: int) -> None:
    @effort(amount // reader.cost)
    @given(st.binary(max_size=600))
    def holds(data: bytes) -> None:
        reader.stands(data)

    holds()


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("reader", EVERY, ids=name_of)
def test_a_sound_text_with_a_piece_put_in_taken_out_or_turned(reader: Reader, amount: int) -> None:
    @effort(amount // reader.cost)
    @given(cut(reader.sample))
    def holds(data: bytes) -> None:
        reader.stands(data)

    holds()


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("reader", JSON, ids=name_of)
def test_a_sound_value_with_anything_in_any_place(reader: Reader, amount: int) -> None:
    @effort(amount // reader.cost)
    @given(twisted(reader.sample))
    def holds(data: bytes) -> None:
        reader.stands(data)

    holds()


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize(("kind", "read"), [*readers.REQUESTS, *readers.ANSWERS], ids=name_of)
def test_a_message_with_anything_in_any_field(kind: type[Message], read: Callable[[Any], object], amount: int) -> None:
    @effort(amount)
    @given(messages(kind))
    def holds(message: Message) -> None:
        in_time(lambda: read(message), refusal=readers.REFUSALS)

    holds()


@pytest.mark.parametrize(
    "word", [*WORDS, "秘密" + " " * 400_000 + "x", "密级" + "：" * 200_000, "秘密" + "9" * 400_000]
)
def test_a_text_as_long_as_a_message_may_be_is_searched_for_a_mark_in_time(word: str) -> None:
    in_time(lambda: has_secret_mark(word), refusal=())


@pytest.mark.parametrize("text", [word for word in WORDS if word])
def test_an_explanation_of_any_text_is_taken_or_refused(text: str) -> None:
    in_time(lambda: check_explanation(Cause.HANDOVER, [Measure.EXPEDITE], "2026-03-12", text), refusal=readers.REFUSALS)
    in_time(lambda: check_explanation(Cause.HANDOVER, [Measure.EXPEDITE], text, "说明"), refusal=readers.REFUSALS)


@pytest.mark.parametrize("named", ["reason", "self", "case", "", "{0}", "case.__class__"])
def test_the_details_of_an_error_may_be_named_anything(named: str) -> None:
    info = error_details_pb2.ErrorInfo(reason="CASE_NOT_FOUND", domain="xieban", metadata={named: "A1"})
    assert Reason.CASE_NOT_FOUND.number in readers.read_error(readers.status(info))


def test_an_error_whose_details_are_no_details_is_an_error_still() -> None:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    broken = status_pb2.Status(code=5, details=[any_pb2.Any(type_url=kind, value=b"\xff\xff")])
    assert Reason.DEFECT.number in readers.read_error(broken.SerializeToString())


def test_a_reader_that_lets_another_error_out_or_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demand can fail: a reader that trusts what it reads does not stand."""
    naive = Reader("naive", json.loads, b"{}")
    with pytest.raises(json.JSONDecodeError):
        naive.stands(b"{")
    naive.stands(b"{}")
    monkeypatch.setattr(fuzzing, "LIMIT", 0.0)
    with pytest.raises(AssertionError, match="took"):
        naive.stands(b"{}")

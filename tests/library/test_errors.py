"""The catalogue of reasons: unique numbers, four parts a clerk can act on, and no field that could hold content."""

from __future__ import annotations

import re
import string

import pytest

from xieban.errors import Broken, Denied, InvalidInput, NotFound, Reason, XiebanError, failure

# Metadata fields a text may name: codes, counts, identifiers, file names and rule texts. A new one is a decision.
FIELDS = frozenset(
    [
        "act",
        "agency",
        "algorithm",
        "article",
        "at",
        "begin",
        "by",
        "calendar",
        "case",
        "claimed",
        "client_ref",
        "count",
        "day",
        "detail",
        "due",
        "edition",
        "end",
        "event",
        "expiry",
        "field",
        "fingerprint",
        "file",
        "first",
        "granted",
        "handoff",
        "held",
        "identity",
        "index",
        "item",
        "keeps",
        "keyid",
        "kind",
        "limit",
        "log",
        "line",
        "mode",
        "notice",
        "office",
        "outcome",
        "peer",
        "port",
        "purposes",
        "receiver",
        "request",
        "requested",
        "role",
        "row",
        "rule",
        "seen",
        "sender",
        "seq",
        "size",
        "stage",
        "state",
        "supervision",
        "trace",
        "version",
        "waiting",
        "what",
        "whom",
        "witness",
    ]
)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_number_is_used_once_and_has_the_form_of_a_number() -> None:
    numbers = [reason.number for reason in Reason]
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"XB-[1-9]\d{3}", number) for number in numbers)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_four_parts_and_names_only_known_fields(reason: Reason) -> None:
    text = reason.value
    assert text.happened
    assert text.cause
    assert text.remedy
    assert fields(text.cause) | fields(text.remedy) <= FIELDS
    assert not fields(text.happened)
    assert issubclass(text.error, XiebanError)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_explains_itself_with_all_its_fields_and_with_none(reason: Reason) -> None:
    names = fields(reason.value.cause) | fields(reason.value.remedy)
    told = failure(reason, **{name: f"<{name}>" for name in names}).explain()
    assert [line[:3] for line in told.splitlines()] == ["发生：", "原因：", "办法：", "编号："]
    assert all(f"<{name}>" in told for name in names)
    assert "{" not in told
    silent = failure(reason).explain()
    assert ("—" in silent) == bool(names)


def test_a_failure_is_of_the_class_its_reason_names() -> None:
    assert isinstance(failure(Reason.HANDOFF_NOT_FOUND), NotFound)
    assert isinstance(failure(Reason.SEAL_INVALID), Denied)
    assert isinstance(failure(Reason.DEFECT), Broken)
    assert isinstance(failure(Reason.FIELD_INVALID, field="a", detail=3), InvalidInput)
    assert failure(Reason.FIELD_INVALID, detail=3).metadata == {"detail": "3"}


def test_braces_in_a_value_are_only_text() -> None:
    assert "{stage}" in failure(Reason.FIELD_INVALID, field="{stage}", detail="{0}").cause


def test_the_number_tells_the_family() -> None:
    assert {reason.number[:4] for reason in Reason} == {"XB-1", "XB-2", "XB-3", "XB-4", "XB-5", "XB-6", "XB-7"}

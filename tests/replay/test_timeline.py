"""Reading timelines: whatever a line holds, it becomes a timeline or a coded refusal."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.timeline import read

TODAY = date(2026, 11, 2)


def line(**changes: Any) -> bytes:
    row: dict[str, Any] = {
        "id": "a1",
        "court": "某县人民法院",
        "procuratorate": None,
        "case_no": "(2018)甘0102刑初1号",
        "indictment_no": None,
        "charge": "盗窃罪",
        "procedure": "summary",
        "events": [{"type": "detained", "date": "2018-01-02"}, {"type": "judged", "date": "2018-04-02"}],
        "evidence": [{"kind": "书证", "title": "户籍"}],
    }
    row.update(changes)
    return (
        json.dumps({key: value for key, value in row.items() if value != "GONE"}, ensure_ascii=False).encode() + b"\n"
    )


def event(kind: Any = "judged", on: Any = "2018-04-02") -> list[dict[str, Any]]:
    return [{"type": kind, "date": on}]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"not json\n", "NOT_JSON"),
        (b"[1,2]\n", "NOT_JSON"),
        (b"\xff\xfe{}\n", "NOT_JSON"),
        (b"[" * 100_000 + b"\n", "NOT_JSON"),
        (b'{"id": "' + b"x" * 300_000 + b'"}\n', "LINE_TOO_LONG"),
        (line(id="GONE"), "FIELD_MISSING"),
        (line(id="  "), "FIELD_MISSING"),
        (line(id=7), "FIELD_INVALID"),
        (line(id="a\u202eb"), "TEXT_FORBIDDEN"),
        (line(events="GONE"), "FIELD_MISSING"),
        (line(events=[]), "EVENTS_EMPTY"),
        (line(events="x"), "FIELD_INVALID"),
        (line(events=[{"type": "judged"}]), "FIELD_MISSING"),
        (line(events=event("acquitted")), "EVENT_UNKNOWN"),
        (line(events=event(["judged"])), "EVENT_UNKNOWN"),
        (line(events=event(on="2018-02-30")), "DATE_INVALID"),
        (line(events=event(on="20180401")), "DATE_INVALID"),
        (line(events=event(on=20180401)), "DATE_INVALID"),
        (line(events=event(on="0001-01-01")), "DATE_INVALID"),
        (line(events=event(on="2026-11-03")), "DATE_FUTURE"),
        (line(procedure="GONE"), "FIELD_MISSING"),
        (line(procedure="quick"), "FIELD_INVALID"),
        (line(evidence=[{"kind": "传闻", "title": "x"}]), "FIELD_INVALID"),
        (line(evidence=[{"kind": "书证", "title": "侦查报告（机密）"}]), "SECRET_MARK"),
        (line(charge="盗窃\x00罪"), "TEXT_FORBIDDEN"),
    ],
)
def test_a_line_that_cannot_be_what_it_claims_is_refused_with_its_code(raw: bytes, code: str) -> None:
    timelines, refusals = read([line(id="good"), raw], today=TODAY)
    assert [timeline.id for timeline in timelines] == ["good"]
    assert [(refusal.line, refusal.code) for refusal in refusals] == [(2, code)]


def test_of_two_lines_with_one_id_the_first_counts() -> None:
    timelines, refusals = read([line(charge="盗窃罪"), line(charge="抢劫罪")], today=TODAY)
    assert [timeline.charge for timeline in timelines] == ["盗窃罪"]
    assert refusals[0].code == "DUPLICATE_ID"


def test_unsorted_events_are_put_in_order_and_blank_lines_and_a_byte_order_mark_are_passed_over() -> None:
    events = [{"type": "judged", "date": "2018-04-02"}, {"type": "detained", "date": "2018-01-02"}]
    timelines, refusals = read([b"\xef\xbb\xbf" + line(events=events), b"\n", b"   \n"], today=TODAY)
    assert [item.type for item in timelines[0].events] == ["detained", "judged"]
    assert refusals == []


def test_rare_characters_missing_offices_and_unknown_extras_pass() -> None:
    timelines, refusals = read([line(court=None, charge="𠮷㐂䶮·罪", evidence="GONE", note={"deep": [1]})], today=TODAY)
    assert refusals == []
    assert timelines[0].charge == "𠮷㐂䶮·罪"
    assert timelines[0].court == ""


def test_a_refusal_shows_nothing_invisible_of_what_it_refuses() -> None:
    _, refusals = read([line(events=event("\u202e\x1b[31mjudged"))], today=TODAY)
    assert refusals[0].detail.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["id", "events", "type", "date", "evidence", "procedure", "charge"]) | st.text(), inner
            )
        ),
    )
)
def test_no_value_of_json_breaks_the_reader(value: Any) -> None:
    timelines, refusals = read([json.dumps(value).encode()], today=TODAY)
    assert len(timelines) + len(refusals) == 1

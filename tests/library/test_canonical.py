"""One value, one spelling: every other way to write a header is refused, and no change of a byte goes unnoticed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.samples import header
from xieban import canonical
from xieban.dossier import CaseNumbers, Document, Manifest, Person
from xieban.errors import InvalidInput, Reason, TooLarge, XiebanError
from xieban.handoff import LATEST, Act, CaseRef, ClockAct, Commitment, Header, Lane, Party

SOUND = canonical.encode(header())
# What a text may hold: everything but controls, direction controls, surrogates and what NFC would rewrite.
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30).map(
    lambda text: canonical.text(
        "".join(c for c in text if c not in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
        field="text",
    )
)
COUNTS = st.integers(min_value=0, max_value=2**53 - 1)
TIMES = st.integers(0, LATEST - 1)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
TAGS = st.just("") | st.integers(1, 999).map(lambda number: f"P{number}")
CASES = st.text("ABCXYZ0189", min_size=4, max_size=32)
PARTIES = st.builds(Party, city=TEXTS, agency=TEXTS, office=TEXTS)
ACTS = st.builds(Act, what=TEXTS, at=TIMES, person=TAGS, custody=st.none() | st.booleans(), derived=st.booleans())
NUMBERS = st.integers(1, 99_999_999).map(lambda number: f"示例公（刑）延字〔2026〕{number}号")
CLOCKS = st.builds(
    ClockAct, effect=st.sampled_from(["start", "stop", "extend", "exclude", "restart"]), rule=TEXTS, event=TEXTS, at=TIMES,
    until=TIMES, by=TEXTS, kind=st.sampled_from(["", "add", "total"]), months=COUNTS, days=COUNTS, hours=COUNTS, person=TAGS,
    document=st.just("") | NUMBERS,
)  # fmt: skip
HEADERS = st.builds(
    Header, v=COUNTS, id=st.binary(min_size=12, max_size=12).map(bytes.hex), client_ref_hash=DIGESTS,
    sender=PARTIES, receiver=PARTIES, inc=COUNTS, case=st.builds(CaseRef, id=CASES, stage=TEXTS), kind=TEXTS, outcome=TEXTS,
    lane=st.builds(Lane, seq=COUNTS, prev=st.just("") | DIGESTS), re=st.lists(DIGESTS, max_size=3),
    secrecy=st.sampled_from(["none", "internal"]), acts=st.lists(ACTS, max_size=3), sent_at=TIMES,
    dossier=st.builds(Commitment, commit=DIGESTS, files=COUNTS, bytes=COUNTS, pages=COUNTS), rules=TEXTS,
    clocks=st.lists(CLOCKS, max_size=2),
)  # fmt: skip


def refused(payload: bytes) -> Reason:
    with pytest.raises(XiebanError) as raised:
        canonical.decode(payload, Header)
    return raised.value.reason


def changed(old: bytes, new: bytes) -> bytes:
    assert SOUND.count(old) == 1, "the sample must hold it exactly once"
    return SOUND.replace(old, new)


def test_the_sample_itself_is_accepted() -> None:
    assert canonical.decode(SOUND, Header) == header()


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(changed(b'"inc":1,', b'"inc":1,"extra":1,'), id="an unknown field"),
        pytest.param(changed(b'"inc":1,', b'"inc":1,"inc":1,'), id="a duplicate key"),
        pytest.param(changed(b'"inc":1,', b'"inc":2,"inc":1,'), id="a duplicate key with another value"),
        pytest.param(changed(b'"inc":1,', b'"inc":1.0,'), id="an integer spelled as a float"),
        pytest.param(changed(b'"inc":1,', b'"inc":1e0,'), id="an integer with an exponent"),
        pytest.param(changed(b'"inc":1,', b'"inc":01,'), id="a leading zero"),
        pytest.param(changed(b'"inc":1,', b'"inc":-0,'), id="minus nought"),
        pytest.param(changed(b'"inc":1,', b'"inc":1.5,'), id="a float"),
        pytest.param(changed(b'"inc":1,', b'"inc":"1",'), id="a number in quotation marks"),
        pytest.param(changed(b'"inc":1,', b'"inc":null,'), id="null where a number belongs"),
        pytest.param(changed(b'"inc":1,', b'"inc":true,'), id="true where a number belongs"),
        pytest.param(changed(b'"inc":1,', b'"inc":-1,'), id="a negative count"),
        pytest.param(changed(b'"inc":1,', b'"inc":9007199254740993,'), id="a number no double can hold"),
        pytest.param(changed(b'"inc":1,', b'"inc":36893488147419103232,'), id="a number of more than 64 bits"),
        pytest.param(changed(b'"inc":1,', b'"inc": 1,'), id="a space"),
        pytest.param(
            changed(b'"sent_at":1772500000000000', b'"sent_at":4102444800000000'), id="a time beyond the century"
        ),
        pytest.param(SOUND + b"\n", id="a line feed at the end"),
        pytest.param(b"\xef\xbb\xbf" + SOUND, id="a byte order mark"),
        pytest.param(SOUND + b"{}", id="something after the end"),
        pytest.param(SOUND[:-1], id="a missing end"),
        pytest.param(
            changed(b'"inc":1,"kind":"arrest_request",', b'"kind":"arrest_request","inc":1,'), id="other order"
        ),
        pytest.param(changed(b"arrest_request", b"\\u0061rrest_request"), id="an escape that is not needed"),
        pytest.param(changed(b"arrest_request", b"arrest\\/request"), id="an escaped slash"),
        pytest.param(changed(b'"none"', b'"secret"'), id="a word outside the closed list"),
        pytest.param(changed(b'"rules":"2026-11",', b""), id="a missing field"),
        pytest.param(changed(b"2026-11", b"\xff\xfe"), id="bytes that are no UTF-8"),
        pytest.param(changed(b"2026-11", b"\xed\xa0\x80"), id="a lone surrogate in UTF-8"),
        pytest.param(changed(b"2026-11", b"\\ud800"), id="a lone surrogate as an escape"),
        pytest.param(changed(b"2026-11", "e\u0301".encode()), id="a letter and its accent apart"),
        pytest.param(changed(b"2026-11", "\uf900".encode()), id="a compatibility ideograph"),
        pytest.param(changed(b"2026-11", b"a\x00b"), id="a raw NUL"),
        pytest.param(changed(b"2026-11", b"a\\u0000b"), id="an escaped NUL"),
        pytest.param(changed(b"2026-11", b"a\\nb"), id="an escaped line feed"),
        pytest.param(changed(b"2026-11", b'a\\\\\\"\\tb'), id="a tab behind escapes that are allowed"),
        pytest.param(changed(b"2026-11", b"a\x7fb"), id="a DEL"),
        pytest.param(changed(b"2026-11", "a\u0085b".encode()), id="a C1 control"),
        pytest.param(changed(b"2026-11", "a\u202eb".encode()), id="a right-to-left override"),
        pytest.param(changed(b"2026-11", "a\u2066b".encode()), id="a direction isolate"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 5000 + b"]" * 5000, id="deep nesting"),
    ],
)
def test_every_other_spelling_of_a_header_is_refused(payload: bytes) -> None:
    assert refused(payload) is Reason.PAYLOAD_NOT_CANONICAL


def test_quotation_marks_and_backslashes_are_ordinary_characters() -> None:
    value = header(rules='a "quoted" \\ text')
    assert canonical.decode(canonical.encode(value), Header) == value


def test_a_payload_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge) as raised:
        canonical.decode(b"x" * (canonical.MAX_PAYLOAD + 1), Header)
    assert raised.value.metadata["limit"] == "16384"
    assert refused(b"x" * canonical.MAX_PAYLOAD) is Reason.PAYLOAD_NOT_CANONICAL


@given(HEADERS)
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_decodes_to_the_same_value(value: Header) -> None:
    assert canonical.decode(canonical.encode(value), Header, limit=10**6) == value


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_change_of_one_byte_is_refused_or_is_another_value(position: int, difference: int) -> None:
    mutated = bytearray(SOUND)
    mutated[position] ^= difference
    value: Header | None
    try:
        value = canonical.decode(bytes(mutated), Header)
    except InvalidInput as error:
        value, reason = None, error.reason
    else:
        reason = Reason.PAYLOAD_NOT_CANONICAL
        assert canonical.encode(value) == bytes(mutated)
    assert value != header()
    assert reason is Reason.PAYLOAD_NOT_CANONICAL


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_with_a_coded_error(noise: bytes) -> None:
    assert refused(noise) is Reason.PAYLOAD_NOT_CANONICAL


def test_texts_are_normalised_and_names_of_any_script_and_length_pass() -> None:
    for name in ("𠮷", "阿·买买提", "李", "㛃䶮", "N" * 4096, "阿卜杜热西提·" * 100):
        assert canonical.text(name, field="name") == name
    assert canonical.text("e\u0301", field="name") == "\u00e9"
    assert unicodedata.is_normalized("NFC", canonical.text("\uf900", field="name"))


@pytest.mark.parametrize("bad", ["a\nb", "a\x00", "\x7f", "\u0085", "\u202ea", "\u2066", "\u200f", "\ud800"])
def test_texts_with_invisible_controls_are_refused_by_field_name(bad: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        canonical.text(bad, field="remark")
    assert raised.value.reason is Reason.TEXT_FORBIDDEN
    assert raised.value.metadata == {"field": "remark"}


def test_a_text_over_its_limit_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        canonical.text("长" * 129, field="client_ref", limit=128)
    assert raised.value.reason is Reason.FIELD_INVALID


def test_a_manifest_with_rare_names_keeps_them() -> None:
    manifest = Manifest(
        v=1, document=Document(title="起诉意见书", number="1", date=""),
        persons=[Person(tag="P1", name="𠮷·测试某", in_custody=False, place="")],
        evidence=[], files=[], case_numbers=CaseNumbers(), charge="", remark='"\\',
    )  # fmt: skip
    assert canonical.decode(canonical.encode(manifest), Manifest).persons[0].name == "𠮷·测试某"

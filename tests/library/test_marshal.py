"""What goes through the generated messages comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xieban import marshal
from xieban.agency import PARTIES, office
from xieban.dossier import EVIDENCE_KINDS, CaseNumbers, Document, Dossier, EvidenceItem, File, Person
from xieban.errors import InvalidInput, Reason
from xieban.handoff import LATEST
from xieban.ids import KeyId
from xieban.seal import Sealed, Signature
from xieban.wire.v1 import dossier_pb2, handoff_pb2

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**31 - 1)
DOSSIERS = st.builds(
    Dossier,
    document=st.builds(Document, title=TEXTS, number=TEXTS, date=TEXTS),
    persons=st.lists(st.builds(Person, tag=TEXTS, name=TEXTS, in_custody=st.booleans(), place=TEXTS), max_size=3).map(
        tuple
    ),
    evidence=st.lists(
        st.builds(EvidenceItem, kind=st.sampled_from(EVIDENCE_KINDS), title=TEXTS, pages=COUNTS), max_size=3
    ).map(tuple),
    files=st.lists(
        st.builds(File, name=TEXTS, media_type=TEXTS, content=st.binary(max_size=20), pages=COUNTS), max_size=3
    ).map(tuple),
    case_numbers=st.builds(CaseNumbers, police=TEXTS, procuratorate=TEXTS, court=TEXTS),
    charge=TEXTS,
    remark=TEXTS,
)
SEALED = st.builds(
    Sealed, type=TEXTS, payload=st.binary(max_size=50),
    signatures=st.lists(st.builds(Signature, keyid=TEXTS.map(KeyId), sig=st.binary(max_size=64)), max_size=3).map(tuple),
)  # fmt: skip


@given(DOSSIERS)
@settings(max_examples=60, deadline=None)
def test_a_dossier_comes_back_as_it_was(value: Dossier) -> None:
    wire = marshal.dossier_to_pb(value).SerializeToString()
    assert marshal.dossier_from_pb(dossier_pb2.Dossier.FromString(wire)) == value


@given(SEALED)
@settings(max_examples=60, deadline=None)
def test_an_envelope_comes_back_as_it_was(value: Sealed) -> None:
    data = marshal.sealed_to_bytes(value)
    assert marshal.sealed_from_bytes(data) == value
    assert marshal.stored_payload(data) == value.payload


@given(st.integers(0, LATEST))
@settings(max_examples=60, deadline=None)
def test_a_time_comes_back_to_the_microsecond(value: int) -> None:
    assert marshal.micros(marshal.moment(value)) == value
    assert marshal.time_from_pb(marshal.time_to_pb(value)) == value


def test_the_same_instant_in_another_zone_is_the_same_time() -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=8)))
    assert marshal.micros(at) == marshal.micros(at.astimezone(UTC)) == 1_772_413_200_000_000


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        marshal.micros(datetime(2026, 3, 2))  # noqa: DTZ001
    assert raised.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize("agency", PARTIES)
def test_an_office_comes_back_as_it_was(agency: str) -> None:
    value = office(agency, "620102")
    assert marshal.office_from_pb(marshal.office_to_pb(value)) == value


def test_an_office_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        marshal.office_from_pb(handoff_pb2.Office(agency="police", division="000000"))
    assert raised.value.reason is Reason.OFFICE_UNKNOWN


@pytest.mark.parametrize("kind", [0, 9, 1000])
def test_a_kind_of_evidence_outside_the_law_is_refused(kind: int) -> None:
    message = dossier_pb2.Dossier(evidence=[dossier_pb2.EvidenceItem(kind=kind, title="x")])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as raised:
        marshal.dossier_from_pb(message)
    assert raised.value.reason is Reason.FIELD_INVALID

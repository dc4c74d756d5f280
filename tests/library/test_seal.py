"""A seal holds for one agency, one type and one text; everything else is refused before anything is parsed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.library.samples import CITY, DIRECTORY, POLICE_KEY, PROCURATORATE_KEY, STRANGER_KEY
from xieban.agency import Agency
from xieban.errors import Denied, InvalidInput, Reason, TooLarge, XiebanError
from xieban.keys import keyid
from xieban.marshal import sealed_from_bytes, sealed_to_bytes
from xieban.seal import Directory, DirectoryEntry, Sealed, Signature, entry, pae
from xieban.wire.v1 import seal_pb2

SEALED = POLICE_KEY.seal("header", b'{"a":1}')


def refused(sealed: Sealed, *, city: str = CITY, agency: Agency = Agency.POLICE) -> Reason:
    with pytest.raises(XiebanError) as raised:
        DIRECTORY.verify(sealed, city=city, agency=agency)
    return raised.value.reason


def test_what_is_signed_names_the_type_and_both_lengths() -> None:
    assert pae("header", b"ab c") == b"DSSEv1 6 header 4 ab c"
    assert pae("a", b"1 b") != pae("a 1", b"b")


def test_a_sound_seal_is_accepted() -> None:
    DIRECTORY.verify(SEALED, city=CITY, agency=Agency.POLICE)


def test_another_key_in_the_place_of_the_signature_is_refused() -> None:
    forged = replace(
        SEALED,
        signatures=(replace(SEALED.signatures[0], sig=STRANGER_KEY.seal("header", SEALED.payload).signatures[0].sig),),
    )
    assert refused(forged) is Reason.SEAL_INVALID


def test_a_key_outside_the_directory_is_refused() -> None:
    assert refused(STRANGER_KEY.seal("header", SEALED.payload)) is Reason.KEY_UNKNOWN


def test_another_agencys_own_key_does_not_speak_for_the_police() -> None:
    assert refused(PROCURATORATE_KEY.seal("header", SEALED.payload)) is Reason.KEY_UNKNOWN


def test_the_same_agency_of_another_city_is_refused() -> None:
    assert refused(SEALED, city="jiuquan") is Reason.KEY_UNKNOWN


@pytest.mark.parametrize("position", range(len(SEALED.payload)))
def test_a_changed_payload_is_refused(position: int) -> None:
    payload = bytearray(SEALED.payload)
    payload[position] ^= 1
    assert refused(replace(SEALED, payload=bytes(payload))) is Reason.SEAL_INVALID


def test_a_seal_of_one_type_does_not_hold_for_another() -> None:
    assert refused(replace(SEALED, type="receipt")) is Reason.SEAL_INVALID


@pytest.mark.parametrize("sig", [b"", b"\x00" * 64, SEALED.signatures[0].sig[:-1], SEALED.signatures[0].sig + b"\x00"])
def test_a_truncated_or_empty_signature_is_refused(sig: bytes) -> None:
    assert refused(replace(SEALED, signatures=(replace(SEALED.signatures[0], sig=sig),))) is Reason.SEAL_INVALID


def test_no_signature_and_two_signatures_are_refused() -> None:
    assert refused(replace(SEALED, signatures=())) is Reason.SEAL_INVALID
    assert refused(replace(SEALED, signatures=SEALED.signatures * 2)) is Reason.SEAL_INVALID


def test_a_payload_over_the_limit_is_refused_before_it_is_verified() -> None:
    with pytest.raises(TooLarge):
        DIRECTORY.verify(POLICE_KEY.seal("header", b"x" * 16_385), city=CITY, agency=Agency.POLICE)


def test_the_eid_is_the_digest_of_what_was_signed_and_not_of_who_signed() -> None:
    assert SEALED.eid == STRANGER_KEY.seal("header", SEALED.payload).eid
    assert SEALED.eid != POLICE_KEY.seal("receipt", SEALED.payload).eid


def test_an_envelope_survives_the_wire_byte_for_byte() -> None:
    data = sealed_to_bytes(SEALED)
    assert sealed_from_bytes(data) == SEALED
    assert sealed_to_bytes(sealed_from_bytes(data)) == data


def test_an_envelope_has_one_spelling() -> None:
    data = sealed_to_bytes(SEALED)
    unknown_field = data + b"\x7a\x01x"
    repeated = data + seal_pb2.Sealed(type="header").SerializeToString()
    reordered = seal_pb2.Sealed(payload=SEALED.payload).SerializeToString() + data
    many = seal_pb2.Sealed(type="header", payload=b"x", signatures=[seal_pb2.Signature(keyid="k", sig=b"s")] * 33)
    for other in (
        unknown_field,
        repeated,
        reordered,
        data[:-1],
        b"\xff\xff",
        many.SerializeToString(deterministic=True),
    ):
        with pytest.raises(InvalidInput) as raised:
            sealed_from_bytes(other)
        assert raised.value.reason is Reason.PAYLOAD_NOT_CANONICAL


def test_a_directory_does_not_take_a_key_twice() -> None:
    rows = [entry(POLICE_KEY, city=CITY, agency=agency) for agency in (Agency.POLICE, Agency.COURT)]
    with pytest.raises(XiebanError) as raised:
        Directory(rows)
    assert raised.value.reason is Reason.TRUST_BROKEN


@pytest.mark.parametrize(("index", "holds"), [(9, False), (10, True), (19, True), (20, False)])
def test_a_key_counts_from_its_first_index_and_up_to_but_not_including_its_last(index: int, holds: bool) -> None:
    row = DirectoryEntry(city=CITY, agency=Agency.POLICE, key=POLICE_KEY.public, from_index=10, until_index=20)
    directory = Directory([row], at=10)
    if holds:
        assert directory.verify(SEALED, city=CITY, agency=Agency.POLICE, index=index) is row
        return
    with pytest.raises(Denied) as raised:
        directory.verify(SEALED, city=CITY, agency=Agency.POLICE, index=index)
    assert raised.value.reason is Reason.KEY_OUT_OF_SPAN
    assert str(index) in raised.value.explain()


def test_what_has_no_index_yet_is_judged_at_the_directorys_own() -> None:
    row = DirectoryEntry(city=CITY, agency=Agency.POLICE, key=POLICE_KEY.public, from_index=10, until_index=20)
    Directory([row], at=19).verify(SEALED, city=CITY, agency=Agency.POLICE)
    with pytest.raises(Denied):
        Directory([row], at=20).verify(SEALED, city=CITY, agency=Agency.POLICE)
    Directory([row], at=None).verify(SEALED, city=CITY, agency=Agency.POLICE)


def test_a_key_id_is_sixteen_digits_of_the_public_keys_digest() -> None:
    assert keyid(POLICE_KEY.public) == POLICE_KEY.keyid == SEALED.signatures[0].keyid
    assert len(POLICE_KEY.keyid) == 16


def test_a_wrong_seal_is_a_denial_and_tells_nothing_of_the_payload() -> None:
    secret = POLICE_KEY.seal("header", "张三".encode())
    with pytest.raises(Denied) as raised:
        DIRECTORY.verify(
            replace(secret, signatures=(Signature(POLICE_KEY.keyid, b"x" * 64),)), city=CITY, agency=Agency.POLICE
        )
    assert "张三" not in raised.value.explain()

"""Offices have names a clerk recognises, a level and a counterpart; unknown ones are refused."""

from __future__ import annotations

import pytest

from xieban.agency import PARTIES, Agency, cities, city, counties, office
from xieban.errors import Reason, XiebanError
from xieban.ids import case_id, eid, new_handoff_id, person_tag

PS, PP, CT = PARTIES


@pytest.mark.parametrize(
    ("agency", "division", "name", "level"),
    [
        (PS, "620102", "兰州市公安局城关分局", "county"),
        (PP, "620102", "兰州市城关区人民检察院", "county"),
        (CT, "620102", "兰州市城关区人民法院", "county"),
        (PS, "620121", "永登县公安局", "county"),
        (PP, "620121", "永登县人民检察院", "county"),
        (CT, "620525", "张家川回族自治县人民法院", "county"),
        (PS, "620981", "玉门市公安局", "county"),
        (PS, "620100", "兰州市公安局", "city"),
        (PP, "620100", "兰州市人民检察院", "city"),
        (CT, "620100", "兰州市中级人民法院", "city"),
        (CT, "620700", "张掖市中级人民法院", "city"),
    ],
)
def test_an_office_has_its_full_name_and_level(agency: Agency, division: str, name: str, level: str) -> None:
    found = office(agency, division)
    assert (found.name, found.level) == (name, level)


def test_every_office_of_the_pilot_cities_has_a_name_of_its_own_and_counterparts_of_its_level() -> None:
    offices = [office(a, d) for c in cities() for d in (c.code, *counties(c)) for a in PARTIES]
    assert len({found.name for found in offices}) == len(offices) == 3 * (5 + 30)
    for found in offices:
        for agency in PARTIES:
            assert found.counterpart(agency) == office(agency, found.division)
        assert found.city in cities()


def test_the_upper_office_is_the_citys_and_above_it_there_is_none_yet() -> None:
    assert office(CT, "620121").upper() == office(CT, "620100")
    with pytest.raises(XiebanError) as raised:
        office(CT, "620100").upper()
    assert raised.value.reason is Reason.OFFICE_UNKNOWN


@pytest.mark.parametrize(
    ("agency", "division"),
    [
        ("gateway", "620102"),
        ("army", "620102"),
        ("", "620102"),
        (PS, "620199"),
        (PS, "110101"),
        (PS, ""),
        (PS, "62010２"),
        (PS, "620191"),
    ],
)
def test_an_office_that_does_not_exist_is_refused(agency: str, division: str) -> None:
    with pytest.raises(XiebanError) as raised:
        office(agency, division)
    assert raised.value.reason is Reason.OFFICE_UNKNOWN


def test_the_committee_is_no_party() -> None:
    assert Agency.GATEWAY not in PARTIES


def test_the_pilot_cities_are_found_by_token() -> None:
    assert [found.token for found in cities()] == ["lanzhou", "jinchang", "tianshui", "zhangye", "jiuquan"]
    assert city("jiuquan").name == "酒泉市"
    with pytest.raises(XiebanError):
        city("beijing")
    assert counties(city("jinchang")) == ("620302", "620321")


@pytest.mark.parametrize("text", ["A6201020000002026030001", "ABCD", "0" * 32])
def test_a_case_number_of_capitals_and_digits_passes(text: str) -> None:
    assert case_id(text) == text


@pytest.mark.parametrize("text", ["", "ABC", "A" * 33, "a6201", "张三案", "A 6201", "A6201\n", "Ａ6201"])
def test_a_case_number_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(XiebanError) as raised:
        case_id(text)
    assert raised.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize("text", ["P1", "P10", "P999"])
def test_a_person_is_named_by_a_tag(text: str) -> None:
    assert person_tag(text) == text


@pytest.mark.parametrize("text", ["", "P0", "P01", "P1000", "p1", "张三", "P1 ", "P1\n", "P１"])
def test_a_person_is_never_named_by_a_name(text: str) -> None:
    with pytest.raises(XiebanError):
        person_tag(text)


def test_an_eid_is_sixty_four_small_hexadecimal_digits() -> None:
    assert eid("0a" * 32) == "0a" * 32
    for text in ("", "0a" * 31, "0A" * 32, "0g" * 32, "0a" * 32 + "\n"):
        with pytest.raises(XiebanError):
            eid(text)


def test_handoff_ids_are_drawn_anew() -> None:
    assert len({new_handoff_id() for _ in range(100)}) == 100
    assert len(new_handoff_id()) == 24

"""The search for canaries finds one wherever it is and however it is spelt."""

from __future__ import annotations

import base64

import pytest

from tests.attacks.canaries import search, spellings

NAME = "𠮷䶮·阿鹮木㐂某"


@pytest.mark.parametrize("spelling", sorted(spellings(NAME)))
def test_in_every_spelling(spelling: str) -> None:
    raw = spellings(NAME)[spelling]
    assert spelling in {one.spelling for one in search(b"\x00x" + raw + b"y\xff", {"name": NAME}, where="here")}


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_inside_of_something_that_was_encoded_as_a_whole(before: str, encode: type[bytes]) -> None:
    whole = encode(f'{before}{{"name":"{NAME}","n":1}}'.encode())
    assert search(whole, {"name": NAME}, where="here")


def test_and_nothing_where_there_is_nothing() -> None:
    assert search("𠮷䶮·阿鹮木㐂".encode(), {"name": NAME}, where="here") == []

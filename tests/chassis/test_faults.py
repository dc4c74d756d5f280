from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis import faults
from xieban.errors import InvalidInput


class Crash(BaseException):
    pass


def crash() -> None:
    raise Crash


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.disarm()


def test_a_point_that_is_not_armed_does_nothing() -> None:
    faults.point("S1")
    faults.arm("S2", action=crash)
    faults.point("S1")


def test_an_armed_point_acts_once_at_its_turn() -> None:
    faults.arm("G2", hits=3, action=crash)
    faults.point("G2")
    faults.point("G2")
    with pytest.raises(Crash):
        faults.point("G2")
    faults.point("G2")


def test_an_unknown_label_cannot_be_armed() -> None:
    with pytest.raises(InvalidInput):
        faults.arm("S9")


def test_the_environment_may_name_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XIEBAN_FAULT", "R1, R2:4")
    monkeypatch.setattr(faults, "die", crash)
    faults.enable_from_environment()
    assert {label: armed.hits_left for label, armed in faults._armed.items()} == {"R1": 1, "R2": 4}
    monkeypatch.setenv("XIEBAN_FAULT", "R1:x")
    with pytest.raises(InvalidInput):
        faults.enable_from_environment()


def test_every_label_is_a_point_in_the_code_and_every_point_has_a_label() -> None:
    """A label that no code passes would let a crash test wait for ever, or never be written."""
    files = Path(faults.__file__).parents[1].rglob("*.py")
    found = {label for file in files for label in re.findall(r'faults\.point\("(\w+)"\)', file.read_text("utf-8"))}
    assert found == faults.LABELS

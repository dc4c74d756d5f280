from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from services.chassis.config import load
from xieban.errors import Reason, XiebanError


class BusSettings(msgspec.Struct, frozen=True):
    url: str
    timeout: float = 5.0


class Peer(msgspec.Struct, frozen=True):
    agency: str
    address: str


@dataclass(frozen=True)
class Settings:
    city: str
    bus: BusSettings
    database: Path = Path("node.db")
    peers: tuple[Peer, ...] = ()
    named: dict[str, Peer] = field(default_factory=dict)
    extra: BusSettings | None = None


GOOD = """
city = "lanzhou"
database = "data/x.db"
[bus]
url = "nats://127.0.0.1:4222"
[[peers]]
agency = "court"
address = "127.0.0.1:1"
[named.one]
agency = "court"
address = "127.0.0.1:1"
"""


def refused(tmp_path: Path, text: str) -> str:
    file = tmp_path / "node.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(XiebanError) as caught:
        load(file, Settings)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert caught.value.metadata["file"] == str(file)
    return caught.value.metadata["detail"]


def test_a_good_file_becomes_a_frozen_value_with_paths_from_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD, encoding="utf-8")
    settings = load(file, Settings)
    assert settings.bus == BusSettings("nats://127.0.0.1:4222")
    assert settings.database == tmp_path / "data/x.db"
    assert settings.peers == (Peer("court", "127.0.0.1:1"),)
    assert settings.named == {"one": Peer("court", "127.0.0.1:1")}


@pytest.mark.parametrize(
    ("change", "place", "suggestion"),
    [
        (("city =", "ciyt ="), "ciyt", "city"),
        (("url =", "urll ="), "bus.urll", "url"),
        (("address =", "adress ="), "peers[0].adress", "address"),
        (("[bus]", "[bus]\nzzz = 1"), "bus.zzz", "timeout、url"),
        (("[named.one]", "[named.one]\nagencies = 1"), "named.one.agencies", "agency"),
        (("[bus]", "[extra]\nurl='x'\ntimeot = 1\n[bus]"), "extra.timeot", "timeout"),
    ],
)
def test_an_unknown_key_is_refused_with_its_place_and_a_suggestion(
    tmp_path: Path, change: tuple[str, str], place: str, suggestion: str
) -> None:
    detail = refused(tmp_path, GOOD.replace(*change))
    assert place in detail
    assert suggestion in detail


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('city = "lanzhou"', "city = 5"), "city 应为 str，实为 int"),
        (("[bus]", '[bus]\ntimeout = "5"'), "bus.timeout 应为 float，实为 str"),
        (('url = "nats://127.0.0.1:4222"', ""), "缺少设置 bus.url"),
        (('city = "lanzhou"', ""), "缺少设置 city"),
        (('database = "data/x.db"', "database = 3"), "database 应为 str，实为 int"),
        (("[bus]", "[bus"), "不是有效的 TOML"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert expected in refused(tmp_path, GOOD.replace(*change))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XiebanError, match="无法读取"):
        load(tmp_path / "none.toml", Settings)

"""The container: any zip tool can read it, and nothing but its one form is taken."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.library.bundles.tampering import base, loose
from xieban.verify import container
from xieban.verify.container import Unreadable, pack, unpack


def test_any_zip_tool_can_read_a_bundle() -> None:
    members = base(0, "police")
    with zipfile.ZipFile(io.BytesIO(pack(members))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert archive.namelist() == sorted(members)


def test_the_same_members_make_the_same_bytes_in_any_order() -> None:
    members = base(0, "court")
    assert pack(members) == pack(dict(reversed(members.items())))
    assert unpack(pack(members)).members == members


def test_a_time_a_comment_or_an_attribute_is_not_of_its_form() -> None:
    data = pack(base(0, "court"))
    for at in (data.find(b"PK\x01\x02") + 12, data.find(b"PK\x01\x02") + 38, len(data) - 2, 10):
        changed = data[:at] + b"\x01" + data[at + 1 :]
        assert unpack(changed).defects == [("zip", "容器不是规定的形式")]


def zipped(*parts: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return stream.getvalue()


def test_a_bomb_is_refused_before_anything_is_unfolded() -> None:
    bomb = zipped(("bundle.json", b"0" * 50_000_000), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 60_000
    with pytest.raises(Unreadable, match="压缩"):
        unpack(bomb)


def test_a_bundle_that_was_zipped_anew_is_not_taken_for_the_original() -> None:
    assert unpack(zipped(*sorted(base(0, "court").items()))).defects == [("zip", "容器不是规定的形式")]


def test_too_many_members_and_too_large_a_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack(base(0, "court"))
    monkeypatch.setattr(container, "MAX_MEMBERS", 10)
    with pytest.raises(Unreadable):
        unpack(data)
    monkeypatch.setattr(container, "MAX_BUNDLE", 1000)
    with pytest.raises(Unreadable):
        unpack(data)


def test_names_that_lead_elsewhere_or_come_twice_are_named_and_left_out() -> None:
    parts = [
        ("../x", b"1"),
        ("/etc/passwd", b"1"),
        ("bundle.json", b"{}"),
        ("bundle.json", b"[]"),
        ("checkpoint\n", b""),
    ]
    found = unpack(loose(parts))
    assert found.members == {"bundle.json": b"{}"}
    assert [name for name, _ in found.defects] == ["../x", "/etc/passwd", "bundle.json", "checkpoint\n"]

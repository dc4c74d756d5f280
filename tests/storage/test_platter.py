"""The forgetful disk itself: what it must lose and what it must keep. Without this the tests beside it would prove nothing."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from tests.storage.platter import PAGE, Inode, Names, Platter

FILE, FOLDER = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700


def written(platter: Platter, path: str, content: bytes) -> Inode:
    inode = platter.make(path, FILE)
    platter.write(inode, content, 0)
    return inode


def after_a_cut(folder: Path) -> Platter:
    """What would be there if the power went now; the disk itself lives on."""
    left = Path(tempfile.mkdtemp(dir=folder.parent)) / "left"
    shutil.copytree(folder, left)
    return Platter(left, names=Names.WITH_DIRECTORY)


def content(platter: Platter, path: str) -> bytes:
    return bytes(platter.find(path).data)


@pytest.mark.parametrize("names", Names)
def test_what_was_synced_with_its_name_is_there_after_a_cut_and_what_came_later_is_not(
    tmp_path: Path, names: Names
) -> None:
    platter = Platter(tmp_path / "disk", names=names)
    inode = written(platter, "/a", b"first")
    platter.sync(inode)
    platter.sync_folder(platter.find("/"))
    platter.write(inode, b"SECOND, and longer", 0)
    assert content(platter, "/a") == b"SECOND, and longer"
    assert content(after_a_cut(tmp_path / "disk"), "/a") == b"first"


def test_a_file_is_gone_unless_its_directory_was_synced(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.WITH_DIRECTORY)
    platter.make("/box", FOLDER)
    platter.sync(written(platter, "/box/a", b"content"))
    platter.sync_folder(platter.find("/box"))
    with pytest.raises(FileNotFoundError):
        after_a_cut(tmp_path / "disk").find("/box")
    platter.sync_folder(platter.find("/"))
    assert content(after_a_cut(tmp_path / "disk"), "/box/a") == b"content"


def test_a_synced_file_takes_its_name_along_where_file_systems_do_so(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.WITH_FILE)
    platter.make("/box", FOLDER)
    platter.sync(written(platter, "/box/a", b"content"))
    written(platter, "/box/b", b"never synced")
    left = after_a_cut(tmp_path / "disk")
    assert content(left, "/box/a") == b"content"
    with pytest.raises(FileNotFoundError):
        left.find("/box/b")


def test_where_names_come_first_a_file_that_replaced_another_unsynced_is_empty(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.AT_ONCE)
    platter.sync(written(platter, "/clock", b"old"))
    written(platter, "/clock.tmp", b"new")
    platter.rename("/clock.tmp", "/clock")
    assert content(platter, "/clock") == b"new"
    assert content(after_a_cut(tmp_path / "disk"), "/clock") == b""


def test_a_removal_that_was_not_synced_did_not_happen(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.WITH_DIRECTORY)
    platter.sync(written(platter, "/a", b"content"))
    platter.sync_folder(platter.find("/"))
    platter.remove("/a")
    assert content(after_a_cut(tmp_path / "disk"), "/a") == b"content"


def test_a_truncation_is_durable_only_when_synced(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.AT_ONCE)
    inode = written(platter, "/a", b"x" * (2 * PAGE + 1))
    platter.sync(inode)
    platter.truncate(inode, PAGE // 2)
    assert len(content(after_a_cut(tmp_path / "disk"), "/a")) == 2 * PAGE + 1
    platter.sync(inode)
    assert content(after_a_cut(tmp_path / "disk"), "/a") == b"x" * (PAGE // 2)


def test_a_share_of_what_was_not_synced_may_survive_page_by_page(tmp_path: Path) -> None:
    platter = Platter(tmp_path / "disk", names=Names.AT_ONCE, survives=0.5, seed=3)
    inode = written(platter, "/a", bytes(64 * PAGE))
    platter.sync(inode)
    platter.write(inode, b"\x01" * 64 * PAGE, 0)
    left = content(after_a_cut(tmp_path / "disk"), "/a")
    pages = {left[at : at + PAGE] for at in range(0, len(left), PAGE)}
    assert pages == {bytes(PAGE), b"\x01" * PAGE}

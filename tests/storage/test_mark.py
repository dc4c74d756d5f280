"""The mark beside the database is not waited for: a power cut may leave it as old as it likes, or empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.reconcile.mark import Mark, Reached
from tests.storage.platter import Names, Platter
from xieban.errors import XiebanError

CONTENT = 0o100600


def after_a_cut(folder: Path, *, synced: bool) -> Mark:
    """A mark that was written once more after it had been synced, or never synced."""
    disk = folder / "disk"
    platter = Platter(disk, names=Names.AT_ONCE)
    inode = platter.make("/data.mark", CONTENT)
    for reached in (Reached(inc=1, handoff=5), Reached(inc=1, handoff=6)):
        written = folder / f"{reached.handoff}.mark"
        mark = Mark(written)
        mark.write(reached)
        mark.close()
        platter.write(inode, written.read_bytes(), 0)
        if synced and reached.handoff == 5:
            platter.sync(inode)
    left = folder / "data.mark"
    left.write_bytes(Platter(disk, names=Names.AT_ONCE).find("/data.mark").data)
    return Mark(left)


def test_a_mark_left_behind_is_too_low_and_accuses_nobody(tmp_path: Path) -> None:
    assert after_a_cut(tmp_path, synced=True).read() == Reached(inc=1, handoff=5)


def test_a_mark_that_was_just_being_made_counts_as_none(tmp_path: Path) -> None:
    """Then the node asks before it speaks, as after a restore, instead of waiting for a person."""
    assert after_a_cut(tmp_path, synced=False).read() is None


def test_a_mark_that_says_anything_else_is_still_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.mark"
    file.write_bytes(bytes(129))
    with pytest.raises(XiebanError, match="XB-"):
        Mark(file).read()

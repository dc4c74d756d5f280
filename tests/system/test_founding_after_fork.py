"""After a proven fork: a new log begins with what both histories share, its witnesses sign again, and it is held to one history."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.admin.commands import main as node_command
from services.agency import log_views
from services.agency.witness import view_of
from services.gateway import checkpoints
from tests.system.ceremony import listed, put
from tests.system.refounding import (
    GATEWAY,
    SECOND,
    cosigned,
    kinds,
    refounded,
    restarted,
    size,
    stored,
)
from tests.system.rig import PP, PS, City, whole_city
from tests.system.test_log_views import REFUSED, handed_over, split, until, view_in
from tests.system.test_log_views import settled as settled_views
from tests.system.test_restore import witnessed
from tests.system.test_restore_drill import block, shell
from tests.system.two_faced import two_faced
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, XiebanError
from xieban.keys import files
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, SigningKey


@pytest_asyncio.fixture
async def forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """A city without its gateway, in which another can be put in its place."""
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    monkeypatch.setattr(checkpoints, "IDLE", 0.2)
    monkeypatch.setattr(log_views, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(log_views, "LONGEST_PAUSE", 0.1)
    async with whole_city(tmp_path / "city", gateway=False) as running:
        yield running


async def proven(city: City, *, police: int, procuratorate: int) -> Agency:
    """Both have cosigned ten entries, then each its own history; who has convicted the log. The gateway keeps the police's."""
    async with two_faced(city, common=10) as gateway:
        assert await gateway.show(PS)
        assert await gateway.show(PP)
        await split(city, gateway, police=police, procuratorate=procuratorate)
        there = await handed_over(city)
        answer = city.draft("early_opinion", case=there.case_id, sender=PP, receiver=PS, acts=())
        await city.procuratorate.answer(there.eid, answer)
        judge = PS if police > procuratorate else PP
        await until(lambda: city.rows(judge, REFUSED))
        await gateway.grow(judge, 1)
        assert not await gateway.show(judge), "nothing is cosigned any more"
    shutil.copyfile(city.home.folder / "log-police.db", city.home.node(GATEWAY) / "data.db")
    return judge


@pytest.mark.parametrize(("police", "procuratorate"), [(7, 3), (2, 30)])
async def test_after_a_proven_fork_the_city_goes_on_under_a_new_log_and_its_witnesses_sign_again(
    forked: City, tmp_path: Path, police: int, procuratorate: int
) -> None:
    city = forked
    judge = await proven(city, police=police, procuratorate=procuratorate)
    told = await asyncio.to_thread(shell(tmp_path), block("log-common"), city.home.folder)
    trees = [(int(count), int(size)) for count, size, _ in map(str.split, told.splitlines())]
    assert {(3, 10), (2, 10 + police), (1, 10 + procuratorate)} <= set(trees)
    assert [size for count, size in trees if count == 3] == [10], "the court has cosigned nothing"
    here = size(city)
    seen = max(here, 10 + procuratorate)
    put(city.home, refounded(listed(city.home), city, keeps=10, first=seen, reason="compromised"))
    await restarted(city)
    await city.start_gateway()
    status = await cosigned(city)
    assert len(status["witnesses"]) == len(PARTIES)
    assert kinds(city, here)[: seen - here + 1] == ["LOST"] * (seen - here) + ["REFOUNDED"]
    (row,) = stored(city, "SELECT detail FROM log_entry WHERE kind = 'REFOUNDED'")
    assert row["detail"] == f"10:{here}:{SECOND}"
    assert len(city.rows(judge, REFUSED)) == 1, "the evidence stays"
    for agency in (PS, PP):
        assert await settled_views(city, agency) == ()
        assert node_command(["fsck", "--config", str(city.home.node(agency) / "config.toml")]) == 0
    sent = await handed_over(city)
    view = view_in(city, PP, sent.eid)
    assert view is not None
    assert view.size > seen, "headers tell of the new log"
    assert await settled_views(city, PP) == ()


async def test_a_fork_is_no_reason_to_hold_more_than_is_kept_while_the_list_says_the_log_was_lost(forked: City) -> None:
    city = forked
    await proven(city, police=7, procuratorate=3)
    put(city.home, refounded(listed(city.home), city, keeps=10, first=size(city), reason="lost"))
    await restarted(city)
    with pytest.raises(XiebanError) as raised:
        await city.start_gateway()
    assert raised.value.reason is Reason.LOG_KEEPS_OTHER


async def test_under_its_new_name_the_log_is_held_to_one_history_as_before(forked: City) -> None:
    city = forked
    judge = await proven(city, police=7, procuratorate=3)
    put(city.home, refounded(listed(city.home), city, keeps=10, first=size(city), reason="compromised"))
    await restarted(city)
    await city.start_gateway()
    await cosigned(city)
    await city.stop_gateway()
    seen = await witnessed(city, judge)
    for agency in (PS, PP):
        (city.home.folder / f"log-{agency}.db").unlink()
    async with two_faced(city, common=seen + 5) as gateway:
        assert not await gateway.show(judge)
        assert await gateway.noted(judge) == [f"xieban.lanzhou/{judge}"]
    assert len(city.rows(judge, REFUSED)) == 2
    assert await witnessed(city, judge) == seen


async def test_a_view_of_the_new_log_that_waits_is_sound_and_one_that_its_key_never_signed_is_its_senders_defect(
    forked: City,
) -> None:
    city = forked
    await proven(city, police=7, procuratorate=3)
    put(city.home, refounded(listed(city.home), city, keeps=10, first=size(city), reason="compromised"))
    await restarted(city)
    key = Ed25519PrivateKey.from_private_bytes(files.load_private(city.home.node(GATEWAY) / "log.key").raw)
    for name, signed in ((SECOND, True), ("xieban.lanzhou/log", False)):
        tree = Checkpoint(name, 10**6, b"\1" * 32)
        signing = SigningKey(name, Algorithm.ED25519, key)
        view = view_of(note.Note(tree.text, (checkpoint.sign(tree, signing),)).encode(), log=signing.public)
        await city.say_header(city.header(log=view))
        rows = "SELECT 1 FROM log_view WHERE size = 1000000 AND is_signed = ?"
        await until(lambda rows=rows, signed=signed: city.rows(PP, rows, int(signed)))  # type: ignore[misc]
    assert node_command(["fsck", "--config", str(city.home.node(PP) / "config.toml")]) == 0

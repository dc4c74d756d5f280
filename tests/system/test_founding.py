"""A log is founded after another: what was lost is seen, what was kept is proven, and nobody signs where the list and the nodes differ."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.admin.commands import main as node_command
from services.agency import fence as agency_fence
from services.agency.witness import Witness
from services.chassis.database import Database
from services.gateway import checkpoints, fence, founding, log
from services.gateway.app import MIGRATIONS
from services.gateway.fence import LogFence
from services.stack.processes import ROOT
from tests.library.test_cli import xieban
from tests.system.ceremony import listed, put
from tests.system.refounding import (
    GATEWAY,
    SECOND,
    both_verify,
    cosigned,
    kinds,
    lost,
    published_again,
    refounded,
    restarted,
    road,
    size,
    stored,
)
from tests.system.rig import CT, City, whole_city
from tests.system.test_bundle import exported
from tests.system.test_restore import witnessed
from tests.system.test_restore_drill import block, shell
from tests.world import Crash
from xieban.agency import PARTIES
from xieban.errors import Reason, XiebanError
from xieban.trust import Log


@pytest_asyncio.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    monkeypatch.setattr(checkpoints, "IDLE", 0.2)
    monkeypatch.setattr(agency_fence, "PAUSE", 0.05)
    async with whole_city(tmp_path / "city") as running:
        yield running


def started(config: Path) -> subprocess.CompletedProcess[str]:
    """The gateway as its supervisor starts it, to its end."""
    command = [sys.executable, "-m", "services.gateway", "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
async def test_a_city_whose_gateway_lost_entries_goes_on_by_the_page_alone(city: City, tmp_path: Path) -> None:
    run = shell(tmp_path)
    config = city.home.node(GATEWAY) / "config.toml"
    await road(city)
    assert node_command(["backup", "--config", str(config), "--out", str(tmp_path / "02.00")]) == 0
    case, eids = await road(city)
    before, after = tmp_path / "before.zip", tmp_path / "after.zip"
    assert (await exported(city, "committee", case, before)).code == 0
    await city.stop_gateway()
    assert node_command(["restore", "--from", str(tmp_path / "02.00"), "--config", str(config), "--force"]) == 0
    refused = await asyncio.to_thread(started, config)
    assert refused.returncode == 78
    assert Reason.LOG_BEHIND.number in refused.stderr

    home = city.home.folder
    told = await asyncio.to_thread(run, block("log-reach"), home)
    kept = int(re.findall(r"存有 (\d+) 条", told)[0])
    begin = max(int(number) for number in re.findall(r"到 (\d+) 条", told))
    assert kept == size(city) < begin
    old = next(entry.id for entry in listed(city.home).last.value.entries if isinstance(entry, Log))
    drafted = await asyncio.to_thread(partial(run, OLD=old, BEGIN=begin, KEPT=kept), block("log-found"), home)
    assert "另行设立，保留前" in drafted
    for number in (1, 3, 5):
        signing = f"xieban trust sign {home}/trust-v2.json --key {home}/roots/root-{number}.key --yes"
        await asyncio.to_thread(run, signing, home)
    await asyncio.to_thread(run, block("log-place"), home)
    await restarted(city)
    await city.start_gateway()

    assert kinds(city, kept)[: begin - kept + 2] == ["LOST"] * (begin - kept) + ["REFOUNDED", "TRUSTLIST"]
    (row,) = stored(city, "SELECT position, detail FROM log_entry WHERE kind = 'REFOUNDED'")
    assert (row["position"], row["detail"]) == (begin + 1, f"{kept}:{kept}:{SECOND}")
    assert stored(city, "SELECT value FROM node WHERE name = 'incarnation'") == [{"value": "2"}]
    assert await published_again(city) == ()
    known = {row["eid"] for row in stored(city, "SELECT eid FROM handoff")}
    assert known >= set(eids)
    status = await cosigned(city)
    assert status["size"] > begin
    assert len(status["witnesses"]) == 3
    assert (await exported(city, "committee", case, after)).code == 0
    await both_verify(city, before, after)
    await road(city)
    for node in (GATEWAY, *PARTIES):
        assert node_command(["fsck", "--config", str(city.home.node(node) / "config.toml")]) == 0, node


async def test_a_list_that_keeps_another_number_is_refused_and_nothing_is_written(city: City) -> None:
    kept, reached, _ = await lost(city)
    put(city.home, refounded(listed(city.home), city, keeps=kept + 1, first=reached))
    await restarted(city)
    for keeps in (kept + 1, kept - 1):
        if keeps < kept:  # taken back, and drawn up again with another wrong number
            put(city.home, refounded(listed(city.home), city, keeps=keeps, first=reached, name=SECOND + "b"))
            await restarted(city)
        with pytest.raises(XiebanError) as raised:
            await city.start_gateway()
        await city.stop_gateway()
        assert raised.value.reason is Reason.LOG_KEEPS_OTHER
        assert (raised.value.metadata["keeps"], raised.value.metadata["size"]) == (str(keeps), str(kept))
        assert size(city) == kept
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached, name=SECOND + "c"))
    await restarted(city)
    await city.start_gateway()
    await cosigned(city, SECOND + "c")


async def test_a_log_that_would_begin_before_what_somebody_has_seen_is_refused_and_nothing_is_written(
    city: City,
) -> None:
    kept, _, _ = await lost(city)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=kept))
    await restarted(city)
    told = []
    for mark in ("kept", "lost"):  # the gateway's own mark tells, and without it the witnesses do
        if mark == "lost":
            (city.home.node(GATEWAY) / "data.mark").unlink()
        with pytest.raises(XiebanError) as raised:
            await city.start_gateway()
        await city.stop_gateway()
        assert raised.value.reason is Reason.LOG_BEGINS_EARLY
        assert int(raised.value.metadata["held"]) > kept
        told.append(raised.value.metadata["witness"])
        assert size(city) == kept
    assert told[0] == "本机记录"
    assert told[1] in PARTIES


async def test_a_log_that_would_begin_before_what_the_gateway_itself_holds_is_refused(city: City) -> None:
    await road(city)
    await city.stop_gateway()
    seen = size(city)
    async with await Database.open(city.home.node(GATEWAY) / "data.db", migrations=MIGRATIONS) as database:
        await database.write(lambda tx: log.append(tx, [log.Note("LOOKUP")] * 3, at=1))  # nobody has seen these
    put(city.home, refounded(listed(city.home), city, keeps=seen, first=seen))
    await restarted(city)
    with pytest.raises(XiebanError) as raised:
        await city.start_gateway()
    assert raised.value.reason is Reason.LOG_BEGINS_EARLY
    assert raised.value.metadata["held"] == str(seen + 3)
    assert size(city) == seen + 3


async def test_a_gateway_that_differs_from_a_tree_that_is_kept_does_not_found_a_log(city: City) -> None:
    await road(city)
    await city.stop_gateway()
    here = size(city)
    changed(city, 3)
    put(city.home, refounded(listed(city.home), city, keeps=here, first=here))
    await restarted(city)
    with pytest.raises(XiebanError) as raised:
        await city.start_gateway()
    assert raised.value.reason is Reason.LOG_BEHIND
    assert size(city) == here


async def test_no_log_is_founded_before_every_witness_has_said_what_it_has_seen(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, reached, _ = await lost(city)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached))
    await restarted(city)
    await city.node(CT).stop()
    told: list[bool] = []
    cleared = LogFence.cleared

    async def noted(self: LogFence) -> bool:
        told.append(await cleared(self))
        return told[-1]

    monkeypatch.setattr(LogFence, "cleared", noted)
    monkeypatch.setattr(fence, "PAUSE", 0.05)
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(city.start_gateway())
        async with asyncio.timeout(30):
            while len(told) < 3 and not starting.done():
                await asyncio.sleep(0.02)
        assert told == [False] * len(told)
        assert size(city) == kept, "two of three have answered, and nothing is written"
        await city.node(CT).start()
    assert told[-1]
    await cosigned(city)


@pytest.mark.parametrize("hits", [1, 3])
async def test_a_gateway_that_dies_while_it_writes_what_was_lost_goes_on_at_its_next_start(
    city: City, monkeypatch: pytest.MonkeyPatch, hits: int
) -> None:
    kept, reached, _ = await lost(city)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached))
    await restarted(city)
    monkeypatch.setattr(founding, "AT_ONCE", 2)
    with city.crashing("G4", hits=hits):
        with pytest.raises(Crash):
            await city.start_gateway()
        await city.stop_gateway()
    assert kinds(city, kept) == ["LOST"] * 2 * hits
    await city.start_gateway()
    told = kinds(city, kept)
    assert told[: reached - kept + 1] == ["LOST"] * (reached - kept) + ["REFOUNDED"]
    assert Counter(told)["REFOUNDED"] == 1
    (row,) = stored(city, "SELECT detail FROM log_entry WHERE kind = 'REFOUNDED'")
    assert row["detail"] == f"{kept}:{kept}:{SECOND}"
    assert stored(city, "SELECT value FROM node WHERE name = 'incarnation'") == [{"value": "2"}]
    await cosigned(city)
    await city.stop_gateway()
    await city.start_gateway()
    assert kinds(city, kept).count("REFOUNDED") == 1, "a founded log is not founded again"


def changed(city: City, position: int) -> None:
    """One entry of the gateway's log says something else, and its leaf agrees."""
    with closing(sqlite3.connect(city.home.node(GATEWAY) / "data.db")) as database, database:
        database.row_factory = sqlite3.Row
        (guard,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'log_entry_no_update'").fetchone()
        database.execute("DROP TRIGGER log_entry_no_update")
        database.execute("UPDATE log_entry SET detail = 'another' WHERE position = ?", (position,))
        row = database.execute("SELECT * FROM log_entry WHERE position = ?", (position,)).fetchone()
        database.execute("UPDATE log_entry SET leaf = ? WHERE position = ?", (log.entry_of(row).leaf(), position))
        database.execute(guard)


async def test_a_gateway_that_changed_an_entry_that_is_kept_gets_no_cosignature_under_the_new_name(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, reached, _ = await lost(city)
    changed(city, kept - 2)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached))
    await restarted(city)
    (city.home.node(GATEWAY) / "data.mark").unlink()
    bare = [await witnessed(city, agency) for agency in PARTIES]
    # The honest program refuses by itself where a witness's newest tree is one that is kept; a dishonest one does not look.
    monkeypatch.setattr(LogFence, "_hold", lambda self, tx, seen, name: None)
    await city.start_gateway()
    async with asyncio.timeout(30):
        while Counter(kinds(city, reached))["WITNESS_REFUSED"] < len(PARTIES):
            await asyncio.sleep(0.05)
    assert [await witnessed(city, agency) for agency in PARTIES] == bare
    for agency in PARTIES:
        assert city.rows(agency, "SELECT 1 FROM witness_refusal"), agency
    ran = await xieban("log", "status", "--json", profile=city.home.client("committee"))
    told = ran.json["log"]
    assert (told["origin"], told["quorum"], told["witnesses"]) == (SECOND, False, [])
    assert told["witnessed_size"] is None, "a tree of the former name is not shown for one of this log"


async def test_the_same_gateway_is_cosigned_when_its_witnesses_ask_for_no_proof_of_what_is_kept(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the same story with the witnesses' demand taken away."""
    kept, reached, _ = await lost(city)
    changed(city, kept - 2)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached))
    await restarted(city)
    (city.home.node(GATEWAY) / "data.mark").unlink()
    held = Witness._held

    def own_name_only(self: Witness, tx: Any) -> Any:
        newest = tx.one("SELECT size FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
        return held(self, tx) if newest is not None and newest["size"] > reached else None

    monkeypatch.setattr(Witness, "_held", own_name_only)
    monkeypatch.setattr(LogFence, "_hold", lambda self, tx, seen, name: None)
    await city.start_gateway()
    await cosigned(city)


async def test_what_was_lost_counts_against_nobody_and_a_second_loss_is_met_the_same_way(city: City) -> None:
    kept, reached, _ = await lost(city)
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached))
    await restarted(city)
    await city.start_gateway()
    await cosigned(city)
    kept, reached, _ = await lost(city)
    third = "xieban.lanzhou/log-3"
    put(city.home, refounded(listed(city.home), city, keeps=kept, first=reached, name=third))
    await restarted(city)
    await city.start_gateway()
    await cosigned(city, third)
    rows = stored(city, "SELECT detail FROM log_entry WHERE kind = 'REFOUNDED' ORDER BY position")
    assert [row["detail"].rpartition(":")[2] for row in rows] == [SECOND, third]
    assert await published_again(city) == ()
    assert node_command(["fsck", "--config", str(city.home.node(GATEWAY) / "config.toml")]) == 0

"""A log is founded after another: what was lost is seen, what was kept is proven, and nobody signs where the list and the nodes differ."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.admin.commands import main as node_command
from services.agency import fence as agency_fence
from services.gateway import checkpoints
from services.stack.processes import ROOT
from tests.library.bundles import second
from tests.library.bundles.tampering import Case
from tests.library.test_cli import xieban
from tests.system.ceremony import amended, listed
from tests.system.rig import City, main_road, whole_city
from tests.system.test_bundle import exported, pinned
from tests.system.test_restore import aside, grown, put_back, witnessed
from tests.system.test_restore_drill import block, shell
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason
from xieban.keys import algorithm, files
from xieban.reconcile import Difference
from xieban.reconcile_client import ReconcileClient
from xieban.trust import Chain, Log, add, revoke

GATEWAY = Agency.GATEWAY
SECOND = "xieban.lanzhou/log-2"


@pytest_asyncio.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    monkeypatch.setattr(checkpoints, "IDLE", 0.2)
    monkeypatch.setattr(agency_fence, "PAUSE", 0.05)
    async with whole_city(tmp_path / "city") as running:
        yield running


def stored(city: City, sql: str, *params: object) -> list[dict[str, Any]]:
    """Rows of the gateway's database."""
    path = city.home.node(GATEWAY) / "data.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql, params)]


def size(city: City) -> int:
    return int(stored(city, "SELECT COUNT(*) AS n FROM log_entry")[0]["n"])


def kinds(city: City, after: int) -> list[str]:
    rows = stored(city, "SELECT kind FROM log_entry WHERE position > ? ORDER BY position", after)
    return [row["kind"] for row in rows]


async def road(city: City) -> tuple[str, list[str]]:
    """A new case down the main road, settled and cosigned; its number and the eids of its handoffs."""
    case = city.new_case()
    eids = await main_road(city, case)
    await city.settled(case)
    seen = size(city)
    for agency in PARTIES:
        await grown(city, agency, seen - 1)
    return case, eids


def refounded(chain: Chain, city: City, *, keeps: int, first: int, name: str = SECOND, reason: Any = "lost") -> Chain:
    """A draft that ends the log there is and founds another; its key is in the gateway's place for one."""
    now = next(one for one in chain.last.value.entries if isinstance(one, Log) and one.end is None)
    key = algorithm("ed25519+sha256").generate()
    file = city.home.node(GATEWAY) / "log.key"
    file.rename(file.with_name(f"{now.id}.key"))
    files.save_private(file, key)
    new = Log(name=name, algorithm=key.public.name, public=key.public.raw.hex(), from_index=first, keeps=keeps)
    draft = revoke(chain, id=now.id, reason=reason, from_index=None, issue=amended(first))
    return add(draft, new, issue=amended(first))


async def restarted(city: City) -> None:
    """The agencies with the list that is there now."""
    for agency in PARTIES:
        await city.node(agency).restart()


async def lost(city: City) -> tuple[int, int, list[str]]:
    """A city whose gateway was put back from before its last case: entries it has, entries there were, handoffs of that case."""
    await road(city)
    await city.stop_gateway()
    kept, copy = size(city), aside(city, GATEWAY)
    await city.start_gateway()
    _, eids = await road(city)
    seen = max([await witnessed(city, agency) for agency in PARTIES])
    await city.stop_gateway()
    reached = max(seen, size(city))
    put_back(city, GATEWAY, copy)
    assert kept < seen
    return kept, reached, eids


async def cosigned(city: City, name: str = SECOND) -> Any:
    """The status of the log by that name, once its newest tree has its quorum."""
    async with asyncio.timeout(30):
        while True:
            ran = await xieban("log", "status", "--json", profile=city.home.client("committee"))
            if ran.code == 0 and ran.json["log"]["origin"] == name and ran.json["log"]["quorum"]:
                return ran.json["log"]
            await asyncio.sleep(0.1)


async def published_again(city: City) -> tuple[Difference, ...]:
    """What still differs when the authors have been asked to publish again what the gateway lacks."""
    async with ReconcileClient.open(city.home.client("committee")) as client:
        for _ in range(100):
            found = await client.run(repair=True)
            if not found.differences and not found.in_flight:
                break
            await asyncio.sleep(0.1)
        return found.differences


async def both_verify(city: City, *bundles: Path) -> None:
    """Both off-line verifiers pass them."""
    given = [Case(file.name, file.read_bytes(), pinned(city), honest=True) for file in bundles]
    told = second.by_python(given)
    assert [one["verdict"] for one in told] == ["pass"] * len(given), told
    assert second.NODE is not None, "the second verifier runs in Node"
    assert second.disagreements(given, told, await second.by_node(given)) == []


def started(config: Path) -> subprocess.CompletedProcess[str]:
    """The gateway as its supervisor starts it, to its end."""
    command = [sys.executable, "-m", "services.gateway", "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


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

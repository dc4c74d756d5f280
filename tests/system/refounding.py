"""A city whose log is founded after another: what its gateway stores, the lists that found one, and the loss that asks for it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.library.bundles import second
from tests.library.bundles.tampering import Case
from tests.library.test_cli import xieban
from tests.system.ceremony import amended
from tests.system.rig import City, main_road
from tests.system.test_bundle import pinned
from tests.system.test_restore import aside, grown, put_back, witnessed
from xieban.agency import PARTIES, Agency
from xieban.keys import algorithm, files
from xieban.reconcile import Difference
from xieban.reconcile_client import ReconcileClient
from xieban.trust import Chain, Log, add, revoke

GATEWAY = Agency.GATEWAY
SECOND = "xieban.lanzhou/log-2"


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
    if second.NODE is not None:
        assert second.disagreements(given, told, await second.by_node(given)) == []
        return
    async with second.chromium() as browser:
        assert second.disagreements(given, told, await browser(given)) == []

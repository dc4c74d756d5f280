"""One row is taken out of one database of a running city, and the statement is named; nothing is named when nothing is wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio

from services.agency.store import outbox_finish
from tests.system.rig import CT, PP, PS, City, main_road, whole_city
from tests.world import START
from xieban.agency import Agency
from xieban.client import SandboxClient
from xieban.errors import Denied
from xieban.reconcile import Difference, Flaw, Problem, Reconciliation
from xieban.reconcile_client import ReconcileClient
from xieban.views import ActView

pytestmark = pytest.mark.asyncio(loop_scope="module")
GATEWAY = Agency.GATEWAY
PATIENCE = 60.0


@dataclass(frozen=True)
class Settled:
    """A city in which a case has gone its way from the police to the court, and every last word was given."""

    city: City
    case: str
    eids: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settled]:
    async with whole_city(tmp_path_factory.mktemp("reconciled")) as city:
        case = city.new_case()
        eids = await main_road(city, case)
        acts = (ActView("prosecuted", START), ActView("arrested", START, "P1"))
        draft = city.draft("public_prosecution", case=case, sender=PP, receiver=CT, acts=acts)
        sued = await city.procuratorate.send(draft)
        await city.arrive(city.court, sued.eid)
        assert (await city.settled(case)).clean
        yield Settled(city, case, [*eids, sued.eid])


async def reconciled(city: City, caller: str = "committee", *, repair: bool = False) -> Reconciliation:
    async with ReconcileClient.open(city.home.client(caller)) as client:
        return await client.run(repair=repair)


def harm(city: City, agency: Agency, sql: str, *params: object) -> int:
    """Change a node's database from outside, as a broken disk or a hand would: what forbids it is taken away first."""
    with closing(sqlite3.connect(city.home.node(agency) / "data.db", timeout=20)) as database:
        guards = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        with database:
            for name, _ in guards:
                database.execute(f"DROP TRIGGER {name}")
            changed = database.execute(sql, params).rowcount
            for _, made in guards:
                database.execute(made)
        return changed


def receipt_of(city: City, agency: Agency, eid: str, kind: str) -> str:
    rows = city.rows(agency, "SELECT receipt FROM receipt_fact WHERE eid = ? AND kind = ?", eid, kind)
    return str(rows[0]["receipt"])


def told(found: Reconciliation) -> set[tuple[Problem, str, str]]:
    return {(one.problem, one.eid, one.at) for one in found.differences}


@pytest.mark.parametrize("caller", ["committee", "sandbox", "police", "procuratorate", "court"])
async def test_where_nothing_is_wrong_nothing_is_named(settled: Settled, caller: str) -> None:
    found = await reconciled(settled.city, caller)
    assert found.differences == ()
    assert found.complete
    assert found.in_flight == 0
    assert {pair.counterpart for pair in found.pairs} >= {"procuratorate", "court"} - {caller}
    assert all(pair.held_here == pair.held_there for pair in found.pairs)
    assert sum(pair.held_here for pair in found.pairs) > len(settled.eids)


async def test_nothing_is_named_while_handoffs_are_flowing(settled: Settled) -> None:
    city = settled.city
    over = asyncio.Event()

    async def flow() -> int:
        sent = 0
        while not over.is_set():
            drafts = [city.draft("early_opinion_request", case=city.new_case()) for _ in range(8)]
            sent += len(await asyncio.gather(*(city.police.send(draft) for draft in drafts)))
        return sent

    async with asyncio.TaskGroup() as group:
        flowing = group.create_task(flow())
        for caller in ("committee", "police", "procuratorate") * 2:
            found = await reconciled(city, caller)
            assert found.differences == (), f"{caller}: {found.differences}"
        over.set()
    assert await flowing > 20
    await city.settled()


# store, what is done to it (of a handoff from the police to the procuratorate), and what is to be said: problem, of what, where
HARM = {
    "the sender's handoff": (PS, "DELETE FROM handoff WHERE eid = ? AND box = 'out'", "", Problem.EXTRA),
    "the receiver's handoff": (PP, "DELETE FROM handoff WHERE eid = ? AND box = 'in'", "", Problem.MISSING),
    "the gateway's handoff": (GATEWAY, "DELETE FROM handoff WHERE eid = ?", "", Problem.DIFFERENT),
    "the gateway's statement of a handoff": (GATEWAY, "DELETE FROM statement WHERE eid = ?", "", Problem.MISSING),
    "the author's receipt": (PP, "DELETE FROM receipt WHERE eid = ? AND box = 'out'", "accepted", Problem.EXTRA),
    "the addressee's receipt": (PS, "DELETE FROM receipt WHERE eid = ? AND box = 'in'", "accepted", Problem.MISSING),
    "the gateway's statement of a receipt": (
        GATEWAY, "DELETE FROM statement WHERE eid = ?", "accepted", Problem.MISSING,
    ),
    "the author's fact": (PP, "DELETE FROM receipt_fact WHERE receipt = ?", "accepted", Problem.DIFFERENT),
    "the addressee's fact": (PS, "DELETE FROM receipt_fact WHERE receipt = ?", "accepted", Problem.DIFFERENT),
    "the gateway's fact": (GATEWAY, "DELETE FROM receipt_fact WHERE receipt = ?", "accepted", Problem.DIFFERENT),
    "the sender's dossier": (PS, "DELETE FROM dossier WHERE eid = ?", "", Problem.DIFFERENT),
    "the receiver's dossier": (PP, "DELETE FROM dossier WHERE eid = ?", "", Problem.DIFFERENT),
    "a byte of the receiver's handoff": (
        PP, "UPDATE handoff SET sealed = CAST(sealed || x'00' AS BLOB) WHERE eid = ?", "", Problem.DIFFERENT,
    ),
}  # fmt: skip
BEYOND_REPAIR = {
    "the sender's handoff", "the author's receipt", "the sender's dossier", "the receiver's dossier",
    "a byte of the receiver's handoff",
}  # fmt: skip


@pytest.mark.parametrize("what", HARM)
async def test_one_lost_row_is_named_by_both_who_can_see_it_and_sent_again_if_its_author_has_it(
    settled: Settled, what: str
) -> None:
    city, (victim, sql, fact, problem) = settled.city, HARM[what]
    transfer = settled.eids[2]
    eid = receipt_of(city, victim, transfer, fact) if fact else transfer
    saved = city.home.node(victim) / "data.db"
    before = sqlite3.connect(saved).serialize() if what in BEYOND_REPAIR else b""
    assert harm(city, victim, sql, eid) == 1

    expected = {(problem, eid, str(victim))}
    for caller in {"committee", "police" if victim is not PP else "procuratorate"}:
        found = await reconciled(city, caller)
        assert told(found) == expected, caller
        (one,) = found.differences
        assert one.case_id == settled.case
        assert (one.series.sender, one.series.receiver) == ((PP, PS) if fact else (PS, PP))
        assert one.kind == (fact or "prosecution_transfer")
        assert str(victim) not in one.held_by
        assert len(one.held_by) >= 2 - (what == "the sender's handoff")

    if what in BEYOND_REPAIR:
        await put_back(city, victim, before, sql, eid)
    else:
        await mended(city, victim)
    assert (await reconciled(city)).differences == ()
    findings = await city.settled(settled.case)
    assert findings.clean, str(findings)


async def put_back(city: City, victim: Agency, before: bytes, sql: str, eid: str) -> None:
    """The rows of that statement as they were."""
    table = sql.split(" FROM ")[1].split()[0] if " FROM " in sql else "handoff"
    with (
        closing(sqlite3.connect(":memory:")) as old,
        closing(sqlite3.connect(city.home.node(victim) / "data.db", timeout=20)) as now,
    ):
        old.deserialize(before)
        rows = old.execute(f"SELECT * FROM {table} WHERE eid = ?", (eid,)).fetchall()
        with now:
            now.execute(f"DELETE FROM {table} WHERE eid = ?", (eid,))
            now.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)


async def mended(city: City, victim: Agency) -> None:
    """Have it repaired by the node that lacks it, and wait until everybody agrees."""
    caller = "committee" if victim is GATEWAY else str(victim)
    found = await reconciled(city, caller, repair=True)
    assert [one.repairing for one in found.differences] == [True]
    async with asyncio.timeout(PATIENCE):
        while (await reconciled(city)).differences:
            await asyncio.sleep(0.1)


async def test_a_sender_whom_nobody_answers_is_in_flight_first_and_a_difference_after_the_grace(
    settled: Settled,
) -> None:
    city = settled.city
    await city.broker.kill()
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    found = await reconciled(city)
    assert (found.differences, found.in_flight) == ((), 0), "the gateway has never heard of it"
    found = await reconciled(city, "police")
    assert (found.differences, found.in_flight) == ((), 1)
    async with SandboxClient.open(city.home.client("police")) as _:
        pass
    await advance(city, timedelta(minutes=16))
    found = await reconciled(city, "police")
    assert told(found) == {(Problem.MISSING, sent.eid, "procuratorate"), (Problem.MISSING, sent.eid, "gateway")}
    await city.broker.start()
    await city.arrive(city.procuratorate, sent.eid)
    await city.settled(sent.case_id)
    assert (await reconciled(city, "police")).differences == ()


async def advance(city: City, by: timedelta) -> None:
    from xieban.client import SandboxCity

    async with SandboxCity.open(city.home.client("sandbox")) as operator:
        clocks = await operator.clocks()
        now = max(reading.now for reading in clocks.values() if hasattr(reading, "now"))
        await operator.move(now + by)


async def test_one_that_was_acknowledged_and_is_gone_is_named_however_young_it_is(settled: Settled) -> None:
    city = settled.city
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.settled(sent.case_id)
    assert harm(city, GATEWAY, "DELETE FROM statement WHERE eid = ?", sent.eid) == 1
    assert told(await reconciled(city)) == {(Problem.MISSING, sent.eid, "gateway")}
    await mended(city, GATEWAY)


async def test_a_node_that_is_away_is_named_as_not_asked(settled: Settled) -> None:
    city = settled.city
    await city.node(CT).stop()
    try:
        found = await reconciled(city)
        assert {pair.counterpart: pair.trouble for pair in found.pairs}["court"] == "XB-5002"
        assert found.differences == ()
        assert not found.complete
    finally:
        await city.node(CT).start()


async def test_only_peoples_systems_have_a_run_and_only_nodes_ask_each_other(settled: Settled) -> None:
    async with ReconcileClient.open(settled.city.home.client("court")) as client:
        profile = client.profile
    from dataclasses import replace

    elsewhere = replace(profile, target=f"127.0.0.1:{settled.city.home.ports.police}", server_name="xieban.police")
    async with ReconcileClient.open(elsewhere) as client:
        with pytest.raises(Denied):
            await client.run()


__all__ = ["Difference", "Flaw", "outbox_finish"]

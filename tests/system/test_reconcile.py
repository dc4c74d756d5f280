"""One row is taken out of one database of a running city, and the statement is named; nothing is named when nothing is wrong."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from services.reconcile.nightly import next_at
from tests.system.rig import CT, PP, PS, City, main_road, whole_city
from tests.world import START
from xieban.agency import Agency
from xieban.errors import Denied
from xieban.reconcile import Problem, Reconciliation
from xieban.reconcile_client import ReconcileClient
from xieban.sandbox_client import SandboxCity
from xieban.views import ActView

pytestmark = pytest.mark.asyncio(loop_scope="module")
GATEWAY = Agency.GATEWAY
PATIENCE = 30.0


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


async def reconciled(
    city: City, caller: str = "committee", *, repair: bool = False, away: tuple[str, ...] = ()
) -> Reconciliation:
    """A run in which everybody could be asked but those `away`; a node that has just started may not have reached all others yet."""
    async with asyncio.timeout(60), ReconcileClient.open(city.home.client(caller)) as client:
        while True:
            found = await client.run(repair=repair)
            if all(pair.counterpart in away for pair in found.pairs if pair.trouble):
                return found
            await asyncio.sleep(0.05)


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
    named = "of_eid" if agency is GATEWAY else "eid"
    with closing(sqlite3.connect(city.home.node(agency) / "data.db", timeout=20)) as database:
        sql = f"SELECT receipt FROM receipt_fact WHERE {named} = ? AND kind = ?"
        return str(database.execute(sql, (eid, kind)).fetchone()[0])


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
    findings = await city.settled()
    assert findings.clean, str(findings)


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
    "the sender's handoff", "the author's receipt", "a byte of the receiver's handoff",
}  # fmt: skip


@pytest.mark.parametrize("what", HARM)
async def test_one_lost_row_is_named_by_both_who_can_see_it_and_sent_again_if_its_author_has_it(
    settled: Settled, what: str
) -> None:
    city, (victim, sql, fact, problem) = settled.city, HARM[what]
    transfer = settled.eids[2]
    eid = receipt_of(city, victim, transfer, fact) if fact else transfer
    rows = stored(city, victim, sql, eid)
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
        put_back(city, victim, sql, eid, rows)
    else:
        await mended(city, victim)
    assert (await reconciled(city)).differences == ()
    findings = await city.persistent(settled.case)
    # A handoff that was taken back stands behind what came after it, and no record says where it stood before.
    findings.lost = [one for one in findings.lost if not one.what.startswith("effect on the case")]
    assert findings.clean, str(findings)


def stored(city: City, victim: Agency, sql: str, eid: str) -> list[tuple[object, ...]]:
    """The rows of a statement in the table that is about to be harmed."""
    with closing(sqlite3.connect(city.home.node(victim) / "data.db", timeout=20)) as database:
        named = "receipt" if "receipt = ?" in sql else "eid"
        return database.execute(f"SELECT * FROM {table_of(sql)} WHERE {named} = ?", (eid,)).fetchall()


def put_back(city: City, victim: Agency, sql: str, eid: str, rows: list[tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(city.home.node(victim) / "data.db", timeout=20)) as database, database:
        database.execute(f"DELETE FROM {table_of(sql)} WHERE eid = ?", (eid,))
        database.executemany(f"INSERT INTO {table_of(sql)} VALUES ({','.join('?' * len(rows[0]))})", rows)


def table_of(sql: str) -> str:
    return sql.removeprefix("DELETE FROM ").removeprefix("UPDATE ").split()[0]


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
    await idle(city)
    await city.broker.kill()
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    found = await reconciled(city)
    assert (found.differences, found.in_flight) == ((), 1), "its author says that it is on its way"
    found = await reconciled(city, "police")
    assert (found.differences, found.in_flight) == ((), 1)
    await advance(city, timedelta(minutes=16))
    found = await reconciled(city, "police")  # time has also brought notices that cannot arrive
    # That the log has no entry of it is named as well, once a tree was cosigned that should have one.
    named = {one for one in told(found) if one[1] == sent.eid and one[0] is not Problem.UNLOGGED}
    assert named == {(Problem.MISSING, sent.eid, "procuratorate"), (Problem.MISSING, sent.eid, "gateway")}
    await city.broker.start()
    await city.arrive(city.procuratorate, sent.eid)
    async with asyncio.timeout(PATIENCE):
        while (await reconciled(city)).differences or (await reconciled(city, "police")).differences:
            await asyncio.sleep(0.1)


async def idle(city: City) -> None:
    """Until nobody owes anything."""
    async with asyncio.timeout(PATIENCE):
        while any(city.rows(agency, "SELECT eid FROM outbox WHERE done = 0") for agency in (PS, PP, CT)):
            await asyncio.sleep(0.1)


async def advance(city: City, by: timedelta) -> None:
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
        found = await reconciled(city, away=("court",))
        assert {pair.counterpart: pair.trouble for pair in found.pairs}["court"] == "XB-5002"
        assert found.differences == ()
        assert not found.complete
    finally:
        await city.node(CT).start()


async def test_only_peoples_systems_have_a_run_and_only_nodes_ask_each_other(settled: Settled) -> None:
    async with ReconcileClient.open(settled.city.home.client("court")) as client:
        profile = client.profile
    elsewhere = replace(profile, target=f"127.0.0.1:{settled.city.home.ports.police}", server_name="xieban.police")
    async with ReconcileClient.open(elsewhere) as client:
        with pytest.raises(Denied):
            await client.run()


async def command(city: City, caller: str, *arguments: str) -> tuple[int, str]:
    """`xieban reconcile` in a process of its own: exit code and what it printed."""
    words = ["reconcile", "--profile", str(city.home.client(caller)), *arguments]
    code = "import sys; from xieban.cli.root import run; sys.exit(run(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_the_command_says_it_in_words_in_json_and_by_its_exit_code(settled: Settled) -> None:
    city = settled.city
    await idle(city)
    code, told = await command(city, "committee")
    assert (code, "没有差异。" in told) == (0, True), told
    assert harm(city, PS, "DELETE FROM receipt WHERE eid = ?", receipt_of(city, PP, settled.eids[2], "accepted")) == 1
    code, told = await command(city, "committee")
    print(told)
    assert code == 1
    assert "缺失" in told
    assert "公安节点" in told
    code, told = await command(city, "committee", "--json", "--since", "2026-01-01")
    (row,) = json.loads(told)["reconciliation"]["differences"]
    assert (code, row["problem"], row["what"], row["at"]) == (1, "missing", "receipt", "police")
    code, told = await command(city, "committee", "--since", "2026-12-01")
    assert code == 0
    code, told = await command(city, "police", "--repair")
    assert (code, "已重新发送" in told) == (1, True)
    async with asyncio.timeout(PATIENCE):
        while (await reconciled(city)).differences:
            await asyncio.sleep(0.1)
    await city.node(CT).stop()
    try:
        code, told = await command(city, "committee")
        assert (code, "没有核对" in told) == (2, True), told
    finally:
        await city.node(CT).start()


async def test_the_run_of_the_night_logs_a_difference_once_shows_it_and_has_it_repaired(settled: Settled) -> None:
    city, eid = settled.city, settled.eids[0]
    for agency in (GATEWAY, PS):
        config = city.home.node(agency) / "config.toml"
        config.write_text(config.read_text(encoding="utf-8") + "\n[reconcile]\nevery = 0.2\n", encoding="utf-8")
    assert harm(city, GATEWAY, "DELETE FROM statement WHERE eid = ?", eid) == 1
    receipt = receipt_of(city, PS, eid, "answered")
    assert harm(city, PS, "DELETE FROM receipt WHERE eid = ?", receipt) == 1
    await city.node(PS).restart()
    await city.stop_gateway()
    await city.start_gateway()
    async with asyncio.timeout(PATIENCE):
        while not entries(city, eid) or (await reconciled(city)).differences:
            await asyncio.sleep(0.1)
    assert entries(city, eid) == ["missing:handoff:gateway"]
    async with ReconcileClient.open(city.home.client("police")) as client, asyncio.timeout(PATIENCE):
        while (last := (await client.last())[0]) is None or last.differences:
            await asyncio.sleep(0.1)
    assert last.node == "police"


def entries(city: City, eid: str) -> list[str]:
    with closing(sqlite3.connect(city.home.node(GATEWAY) / "data.db", timeout=20)) as database:
        sql = "SELECT detail FROM log_entry WHERE kind = 'RECONCILE_DIFF' AND eid = ?"
        return [row[0] for row in database.execute(sql, (eid,))]


@pytest.mark.parametrize(
    ("now", "hour", "due"),
    [("2026-03-02T01:00", 2, "2026-03-02T02:00"), ("2026-03-02T02:00", 2, "2026-03-03T02:00")],
)
async def test_the_nights_run_comes_at_its_hour(now: str, hour: int, due: str) -> None:
    assert next_at(datetime.fromisoformat(now), hour=hour) == datetime.fromisoformat(due)

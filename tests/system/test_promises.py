"""What the gateway's tickets promise of its log, kept and looked after by the agencies: a gateway that breaks its word is named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest

from services.agency import auditing, promises
from services.gateway import checkpoints
from tests.library.samples import logged, promise
from tests.library.test_cli import xieban
from tests.system import false_promises
from tests.system.rig import PP, PS, City, main_road, whole_city
from tests.system.test_clock_commands import opened, operator
from tests.system.test_reconcile import reconciled
from tests.world import START, Crash
from xieban import canonical, subjects
from xieban.agency import Agency
from xieban.handoff import Node, Ticket
from xieban.marshal import micros, sealed_to_bytes
from xieban.reconcile import Problem, Reconciliation
from xieban.reconcile_client import ReconcileClient
from xieban.sandbox_client import SandboxCity
from xieban.seal import SealKey
from xieban.statement import open_ticket
from xieban.subjects import Address
from xieban.trust import parse
from xieban.views import HandoffView

PATIENCE = 30.0
PROMISED = "SELECT eid, kind, leaf_index, hex(leaf) AS leaf FROM promise ORDER BY leaf_index, eid"
GATEWAY = Agency.GATEWAY


@pytest.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """A city whose log is cosigned again all the time; a test may start its gateway with a seeded fault."""
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    monkeypatch.setattr(checkpoints, "IDLE", 0.1)
    async with whole_city(tmp_path, gateway=False) as running:
        yield running


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What the auditors of the city have logged as critical."""
    heard: list[logging.LogRecord] = []

    class Alarms(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.CRITICAL:
                heard.append(record)

    monkeypatch.setattr(auditing.log, "handlers", [Alarms()])
    return heard


async def until(holds: Callable[[], Any]) -> Any:
    """The first true answer; a node's own commit has no event outside of it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := holds()):
            await asyncio.sleep(0.02)
    return found


async def handed_over(city: City) -> HandoffView:
    """From the police to the procuratorate."""
    sent: HandoffView = await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.quiet_bus()
    return sent


def entries(city: City, sql: str, *params: object) -> list[tuple[Any, ...]]:
    with closing(opened(city)) as database:
        database.row_factory = None
        return database.execute(sql, params).fetchall()


async def promised(city: City, agency: Agency, eid: str, *kinds: str) -> list[dict[str, Any]]:
    """The promises about a handoff once those of these kinds are there."""

    def rows() -> list[dict[str, Any]]:
        found = [row for row in city.rows(agency, PROMISED) if row["eid"] == eid]
        return found if {row["kind"] for row in found} >= set(kinds) else []

    return await until(rows)  # type: ignore[no-any-return]


async def later(city: City, *, minutes: int = 20) -> None:
    """The clocks have gone on, and police and procuratorate have cosigned the log as it stands then."""
    async with SandboxCity.open(operator(city)) as clocks:
        await clocks.move(START + timedelta(minutes=minutes))
    due = int((START + timedelta(minutes=minutes)).timestamp())
    size = entries(city, "SELECT MAX(position) FROM log_entry")[0][0]
    sql = "SELECT 1 FROM witness_checkpoint WHERE cosigned_at >= ? AND size >= ?"
    for agency in (PS, PP):
        await until(partial(city.rows, agency, sql, due, size))
    witnessed = "SELECT COUNT(DISTINCT witness) FROM log_cosignature WHERE size >= ?"
    await until(lambda: entries(city, witnessed, size)[0][0] == 3)


def against(found: Reconciliation) -> set[tuple[Problem, str, str, int | None]]:
    return {(one.problem, one.eid, one.entry, one.index) for one in found.differences if one.at == GATEWAY}


async def standing(city: City, agency: Agency) -> set[tuple[Problem, str, str, int | None]]:
    async with ReconcileClient.open(city.home.client(str(agency))) as client:
        return {(one.problem, one.eid, one.entry, one.index) for one in await client.broken_promises()}


async def say_ticket(city: City, ticket: Ticket, *, key: SealKey | None = None, sender: Agency = GATEWAY) -> bytes:
    """A ticket as any process with a connection could put it on the wire; its bytes."""
    sealed = (key or city.key(sender)).seal("ticket", canonical.encode(ticket))
    connection = await nats.connect(str(city.broker))
    try:
        await connection.publish(subjects.ticket("lanzhou", sender, ticket.receiver.agency), sealed_to_bytes(sealed))
        await connection.flush()
    finally:
        await connection.close()
    return sealed_to_bytes(sealed)


async def test_sender_and_receiver_hold_the_same_promises_and_an_honest_log_keeps_them(
    city: City, alarms: list[logging.LogRecord]
) -> None:
    await city.start_gateway()
    sent = await main_road(city, city.new_case())
    await city.quiet()
    lodged = "SELECT eid, kind, position - 1, hex(leaf) FROM log_entry WHERE eid = ? AND kind IN ({}) ORDER BY position"
    for eid, way in zip(
        sent, ("LODGED DELIVERED COMPLETE ANSWERED", *["LODGED DELIVERED COMPLETE ACCEPTED"] * 2), strict=True
    ):
        mine = await promised(city, PS, eid, *way.split())
        theirs = await promised(city, PP, eid, *way.split())
        kinds = ", ".join(f"'{kind}'" for kind in {row["kind"] for row in mine})
        assert mine == theirs
        assert [tuple(row.values()) for row in mine] == entries(city, lodged.format(kinds), eid)
    await later(city)
    for agency in (PS, PP):
        assert against(await reconciled(city, str(agency))) == set()
        open_ones = city.rows(
            agency, "SELECT * FROM promise WHERE standing <> 'kept' OR contradicted = 1 OR ticket = 0"
        )
        assert open_ones == []
        assert city.rows(agency, "SELECT * FROM unlogged") == []
        assert int(city.rows(agency, "SELECT value FROM node WHERE name = 'audited'")[0]["value"]) >= len(sent)
    assert alarms == []


async def test_promises_that_were_lost_are_asked_for_and_nobody_is_named(
    city: City, monkeypatch: pytest.MonkeyPatch, alarms: list[logging.LogRecord]
) -> None:
    false_promises.no_word_on_the_log(monkeypatch, city)
    await city.start_gateway()
    sent = await handed_over(city)
    await later(city)
    for agency in (PS, PP):
        assert city.rows(agency, "SELECT * FROM promise") == []
        assert against(await reconciled(city, str(agency))) == set()
        (row,) = city.rows(agency, "SELECT * FROM promise")
        assert (row["eid"], row["kind"], row["standing"], row["ticket"]) == (sent.eid, "LODGED", "kept", 0)
        (entry,) = entries(city, "SELECT position - 1, leaf FROM log_entry WHERE eid = ? AND kind = 'LODGED'", sent.eid)
        assert (row["leaf_index"], row["leaf"]) == entry
    assert alarms == []


@pytest.mark.parametrize(
    "seed",
    [
        false_promises.promised_and_not_logged,
        false_promises.promised_beyond_the_log,
        false_promises.another_leaf_than_promised,
    ],
)
async def test_a_gateway_whose_log_does_not_keep_its_promise_is_named_by_both_ends(
    city: City, monkeypatch: pytest.MonkeyPatch, alarms: list[logging.LogRecord], seed: Callable[..., None]
) -> None:
    seed(monkeypatch, city)
    await city.start_gateway()
    sent = await handed_over(city)
    (word,) = [row for row in await promised(city, PS, sent.eid, "LODGED") if row["kind"] == "LODGED"]
    await promised(city, PP, sent.eid, "LODGED", "DELIVERED")
    await handed_over(city)
    await later(city)
    archive = parse((city.home.folder / "trust.json").read_bytes(), pins=None).last.value.archive()
    broken = (Problem.UNKEPT, sent.eid, "LODGED", word["leaf_index"])
    for agency in (PS, PP):
        found = await reconciled(city, str(agency))
        assert broken in against(found)
        (one,) = [one for one in found.differences if one.eid == sent.eid and one.problem is Problem.UNKEPT]
        assert (one.series.sender, one.series.receiver, one.case_id) == ("police", "procuratorate", sent.case_id)
        assert broken in await standing(city, agency)
        sql = (
            "SELECT t.sealed FROM promise p JOIN ticket t ON t.number = p.ticket WHERE p.eid = ? AND p.kind = 'LODGED'"
        )
        address = Address("lanzhou", "ticket", GATEWAY, agency)
        signed = open_ticket(city.rows(agency, sql, sent.eid)[0]["sealed"], address=address, directory=archive)
        assert (sent.eid, word["leaf_index"]) in {(one.eid, one.index) for one in signed.logged}
    assert {(record.handoff, record.kind) for record in alarms} >= {(sent.eid, "LODGED")}  # type: ignore[attr-defined]
    shown = await xieban("log", "status", profile=city.home.client("police"))
    assert shown.code == 0, shown.err
    assert "承诺未兑现" in shown.out
    assert f"LODGED，日志序号 {word['leaf_index']}" in shown.out
    assert sent.eid in shown.out
    told = await xieban("reconcile", "--json", profile=city.home.client("police"))
    assert told.code == 1
    rows = {(row["eid"], row["problem"], row["index"]) for row in told.json["reconciliation"]["differences"]}
    assert (sent.eid, "unkept", word["leaf_index"]) in rows


@pytest.mark.parametrize("seed", [false_promises.not_logged, false_promises.not_taken])
async def test_a_handoff_that_was_never_logged_is_named_although_no_ticket_came(
    city: City, monkeypatch: pytest.MonkeyPatch, alarms: list[logging.LogRecord], seed: Callable[..., None]
) -> None:
    seed(monkeypatch, city)
    false_promises.no_word_on_the_log(monkeypatch, city)
    await city.start_gateway()
    sent, other = await handed_over(city), await handed_over(city)
    assert [eid for (eid,) in entries(city, "SELECT eid FROM log_entry WHERE kind = 'LODGED'")] == [other.eid]
    for agency in (PS, PP):
        assert against(await reconciled(city, str(agency))) & {(Problem.UNLOGGED, sent.eid, "LODGED", None)} == set()
    await later(city)
    for agency in (PS, PP):
        await reconciled(city, str(agency))
        assert await standing(city, agency) == {(Problem.UNLOGGED, sent.eid, "LODGED", None)}
    assert {record.handoff for record in alarms} == {sent.eid}  # type: ignore[attr-defined]
    shown = await xieban("reconcile", profile=city.home.client("police"))
    assert shown.code == 1
    assert "未入日志" in shown.out
    shown = await xieban("log", "status", "--json", profile=city.home.client("police"))
    assert [(row["problem"], row["eid"]) for row in shown.json["broken_promises"]] == [("unlogged", sent.eid)]


async def test_promises_that_contradict_one_another_are_evidence_at_once(
    city: City, alarms: list[logging.LogRecord]
) -> None:
    await city.start_gateway()
    sent = await handed_over(city)
    (first, *_) = await promised(city, PS, sent.eid, "LODGED")
    other = logged(eid=sent.eid, index=first["leaf_index"] + 1_000)
    said = await say_ticket(city, promise(logged=[other]))
    await until(lambda: alarms)
    assert [(record.handoff, record.kind, record.sequence) for record in alarms] == [  # type: ignore[attr-defined]
        (sent.eid, "LODGED", other.index)
    ]
    assert await standing(city, PS) == {
        (Problem.CONTRADICTED, sent.eid, "LODGED", first["leaf_index"]),
        (Problem.CONTRADICTED, sent.eid, "LODGED", other.index),
    }
    rows = city.rows(PS, "SELECT t.sealed FROM promise p JOIN ticket t ON t.number = p.ticket WHERE p.contradicted = 1")
    assert said in {row["sealed"] for row in rows}
    assert len(rows) == 2
    shown = await xieban("log", "status", profile=city.home.client("police"))
    assert shown.out.count("承诺互相矛盾") == 2
    await city.node(PS).restart()
    assert len(await standing(city, PS)) == 2


async def test_what_stands_against_the_gateway_is_told_from_a_day_on_like_other_differences(city: City) -> None:
    await city.start_gateway()
    sent = await handed_over(city)
    (first, *_) = await promised(city, PS, sent.eid, "LODGED")
    unheard = "77" * 32  # nobody here has that header, so nobody knows its day
    for index in (5_000, 6_000):
        await say_ticket(city, promise(logged=[logged(eid=unheard, index=index)]))
        await say_ticket(city, promise(logged=[logged(eid=sent.eid, index=index + 1)]))
    await until(lambda: len(city.rows(PS, "SELECT * FROM promise WHERE contradicted = 1")) == 5)
    named = {(Problem.CONTRADICTED, unheard, "LODGED", index) for index in (5_000, 6_000)}
    known = {(Problem.CONTRADICTED, sent.eid, "LODGED", index) for index in (first["leaf_index"], 5_001, 6_001)}
    async with ReconcileClient.open(city.home.client("police")) as client:
        assert against(await client.run(since=micros(START))) == named | known
        assert against(await client.run(since=micros(START + timedelta(days=1)))) == named
    shown = await xieban("reconcile", profile=city.home.client("police"))
    assert f"承诺互相矛盾（LODGED，日志序号 5000）  {unheard[:12]}" in shown.out


async def test_a_ticket_that_may_not_speak_of_the_log_is_refused_whole(city: City) -> None:
    await city.start_gateway()
    unheard = logged(eid="77" * 32)
    held = city.draft("early_opinion_request", case=city.new_case())
    await city.stop_gateway()
    sent = await city.police.send(held)
    await city.arrive(city.procuratorate, sent.eid)
    owed = "SELECT 1 FROM outbox WHERE eid = ? AND audience = ? AND done = 0"
    words = {"holds": [sent.eid], "logged": [unheard]}
    agencys = Node(city="lanzhou", agency="procuratorate")
    await say_ticket(city, promise(**words), key=city.key(PP))
    await say_ticket(city, promise(**words), key=SealKey.generate())
    await say_ticket(city, promise(**{**words, "sender": agencys}), sender=PP)
    await say_ticket(city, promise(holds=[sent.eid], logged=[unheard] * 65))
    await say_ticket(city, promise(holds=[sent.eid], logged=[unheard] * 200))
    last = logged(eid="88" * 32)
    await say_ticket(city, promise(holds=[], logged=[last]))  # a sound one behind them: they had their turn
    await promised(city, PS, last.eid, "LODGED")
    assert [row["eid"] for row in city.rows(PS, PROMISED)] == [last.eid]
    assert city.rows(PS, owed, sent.eid, "gateway") != []


async def test_the_gateways_word_is_kept_in_the_transaction_that_finishes_the_outbox_row(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    await city.start_gateway()
    done = "SELECT 1 FROM outbox WHERE eid = ? AND audience = 'gateway' AND done = 1"
    with monkeypatch.context() as patch:
        patch.setattr(promises, "_add", crash)
        sent = await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
        await city.dead(PS)
        assert city.rows(PS, done, sent.eid) == []
    await city.node(PS).restart()
    await promised(city, PS, sent.eid, "LODGED")
    assert city.rows(PS, done, sent.eid) != []

"""Ingest on a real database: whatever the order, the batches, the repetitions and the crashes, the result is one."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis import faults
from services.chassis.bus import Verdict
from services.gateway.lines import LogLine
from services.gateway.log import first_changed
from tests.services.gateway.conftest import SAID, Gateway, gateway_at
from tests.services.gateway.script import Script, again, at, incoming, road
from xieban import canonical, subjects
from xieban.handoff import Header
from xieban.marshal import sealed_from_bytes, sealed_to_bytes
from xieban.seal import SealKey

CASE, OTHER = "A6201020000002026010001", "A6201020000002026010002"
POLICE, PP, COURT = "police", "procuratorate", "court"
TABLES = ("case_file", "handoff", "limit_clock", "stated_due", "violation", "receipt_fact")


class Crash(BaseException):
    """The end of a process at a fault point."""


def crash() -> None:
    raise Crash


async def everything(gateway: Gateway) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that states the result."""
    return {table: sorted(tuple(row) for row in await gateway.rows(f"SELECT * FROM {table}")) for table in TABLES}


def city() -> Script:
    """Two whole cases and a few oddities."""
    script = Script()
    road(script, CASE)
    road(script, OTHER)
    sent = script.send("A6209", "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    script.receipt(PP, POLICE, [(sent, "delivered", "2026-03-02 09:05")])
    script.send("A6209", "judgment_service", COURT, POLICE, "2026-03-05 09:00", stage="S40_first_instance")
    return script


CITY = city()


async def _result(
    path: Path, order: list[int], batch: int
) -> tuple[dict[str, list[tuple[Any, ...]]], Counter[tuple[str, str, str]]]:
    gateway, database = await gateway_at(path, CITY, now="2026-06-10 09:00")
    async with database:
        assert set(await gateway.take([CITY.messages[index] for index in order], batch=batch)) == {Verdict.ACK}
        await gateway.watch.round()
        return await everything(gateway), _net(await gateway.log())


def _net(log: list[LogLine]) -> Counter[tuple[str, str, str]]:
    """What the log says in the end: an interim reading that was taken back counts for nothing."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in log:
        if entry.kind.endswith("_LIFTED"):
            found[entry.kind.removesuffix("_LIFTED"), entry.eid, entry.detail] -= 1
        elif entry.kind not in SAID and not entry.kind.startswith("CLOCK_"):
            found[entry.kind, entry.eid, entry.detail] += 1
    return +found


@pytest.mark.parametrize("seed", range(8))
async def test_results_do_not_depend_on_the_order_of_arrival_nor_on_batches(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    order = list(range(len(CITY.messages)))
    dice.shuffle(order)
    plain = await _result(tmp_path / "plain.db", sorted(order), 256)
    mixed = await _result(tmp_path / "mixed.db", order, dice.choice((1, 3, 20, 256)))
    assert mixed[0] == plain[0]
    assert mixed[1] == plain[1]


async def test_every_start_and_stop_is_logged_once_when_statements_come_in_order(gateway: Gateway) -> None:
    road(gateway.script, CASE)
    await gateway.take(batch=1)
    kinds = await gateway.kinds()
    assert (kinds.count("CLOCK_START"), kinds.count("CLOCK_STOP"), kinds.count("LODGED")) == (12, 11, 10)
    assert kinds.count("DELIVERED") == kinds.count("COMPLETE") == kinds.count("ACCEPTED") == 10
    assert not {"CLOCK_VOID", "CLOCK_CHANGE", "VIOLATION", "OVERDUE"} & set(kinds)


async def test_a_duplicate_changes_nothing_and_is_answered_with_another_ticket(gateway: Gateway) -> None:
    road(gateway.script, CASE)
    await gateway.take()
    before, log, tickets = await everything(gateway), await gateway.kinds(), len(gateway.tickets())
    assert set(await gateway.take([again(message) for message in gateway.script.messages], batch=5)) == {Verdict.ACK}
    assert await everything(gateway) == before
    assert await gateway.kinds() == log
    repeated = {eid for ticket in gateway.tickets()[tickets:] for eid in ticket.holds}
    assert repeated == {sealed_from_bytes(message.data).eid for message in gateway.script.messages}


async def test_the_same_statement_twice_in_one_batch_is_one_statement(gateway: Gateway) -> None:
    gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    await gateway.take(gateway.script.messages * 2)
    assert await gateway.kinds() == ["LODGED"]


async def test_tickets_name_what_is_held_of_each_author_once(gateway: Gateway) -> None:
    for number in range(205):
        gateway.script.send(f"A62{number:05}", "arrest_request", POLICE, PP, "2026-01-05 09:00")
    eid = gateway.script.send("A6299999", "judgment_service", COURT, PP, "2026-01-05 09:00")
    await gateway.take()
    tickets = gateway.tickets()
    held = [(ticket.receiver.agency, eid) for ticket in tickets for eid in ticket.holds]
    assert Counter(agency for agency, _ in held) == {COURT: 1, POLICE: 205}
    assert len(set(held)) == len(held)
    assert next(ticket.holds for ticket in tickets if ticket.receiver.agency == COURT) == [eid]


async def test_a_lost_ticket_does_not_disturb_the_taking(gateway: Gateway) -> None:
    gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    gateway.wire.down = True
    assert await gateway.take() == [Verdict.ACK]
    assert await gateway.kinds() == ["LODGED"]


async def test_a_second_content_under_one_name_is_kept_without_effect_and_named(gateway: Gateway) -> None:
    name = "a" * 24
    first = gateway.script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00", id=name)
    second = gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-06 09:00", id=name)
    await gateway.take(batch=1)
    await gateway.take()
    assert await gateway.kinds() == ["LODGED", "EQUIVOCATION"]
    kept = {row["eid"]: row["standing"] for row in await gateway.rows("SELECT eid, standing FROM statement")}
    refused = [(row["digest"], row["number"]) for row in await gateway.rows("SELECT * FROM refused")]
    handoffs = [row["eid"] for row in await gateway.rows("SELECT eid FROM handoff")]
    assert kept == {first: "held", second: "equivocal"}
    assert (refused, handoffs) == ([(second, "XB-3003")], [first])


async def test_what_cannot_be_trusted_is_refused_once_without_its_content(gateway: Gateway) -> None:
    script = gateway.script
    script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    good = script.messages[0]
    sealed = sealed_from_bytes(good.data)
    header = canonical.decode(sealed.payload, Header)
    key = script.keys[POLICE]
    subject = subjects.handoff("lanzhou", POLICE, PP)
    spaced = sealed.payload.replace(b":", b": ", 1)
    unknown = canonical.encode(header).replace(b'{"acts"', b'{"aaa":1,"acts"', 1)
    far = canonical.encode(header).replace(str(header.sent_at).encode(), b"9" * 18, 1)
    nowhere = canonical.encode(header).replace(b'"office":"620102"', b'"office":"999999"', 1)
    secret = canonical.encode(header).replace(b'"secrecy":"none"', b'"secrecy":"secret"', 1)
    bad = {
        "XB-3001": [sealed_to_bytes(replace(sealed, payload=sealed.payload.replace(b"arrest", b"arrett")))],
        "XB-3002": [sealed_to_bytes(SealKey.generate().seal("header", sealed.payload))],
        "XB-1002": [
            b"\x00rubbish",
            *(sealed_to_bytes(key.seal("header", text)) for text in (spaced, unknown, secret, far)),
        ],
        "XB-1006": [sealed_to_bytes(key.seal("header", nowhere))],
    }
    messages = [incoming(subject, data) for rows in bad.values() for data in rows]
    expected = sorted(number for number, rows in bad.items() for _ in rows)
    assert set(await gateway.take(messages)) == {Verdict.DEAD}
    assert set(await gateway.take(messages)) == {Verdict.DEAD}
    assert await gateway.take([good]) == [Verdict.ACK]
    log = await gateway.log()
    assert sorted(entry.detail for entry in log if entry.kind == "REFUSED") == expected
    row = (await gateway.rows("SELECT * FROM refused"))[0]
    assert list(row.keys()) == ["digest", "subject", "number", "refused_at"]
    assert [ticket.holds for ticket in gateway.tickets() if ticket.receiver.agency == POLICE] == [[sealed.eid]]


async def test_a_good_neighbour_is_taken_from_a_batch_with_a_bad_message(gateway: Gateway) -> None:
    gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    bad = incoming("xieban.v1.lanzhou.handoff.police.procuratorate", b"?")
    assert await gateway.take([bad, *gateway.script.messages]) == [Verdict.DEAD, Verdict.ACK]
    assert sorted(await gateway.kinds()) == ["LODGED", "REFUSED"]


@pytest.mark.parametrize("label", ["G1", "G2"])
async def test_a_crash_between_any_two_steps_loses_nothing_and_does_nothing_twice(
    gateway: Gateway, tmp_path: Path, label: str
) -> None:
    road(gateway.script, CASE)
    reference, database = await gateway_at(tmp_path / "reference.db", gateway.script)
    async with database:
        await reference.take(batch=8)
        expected, log = await everything(reference), await reference.kinds()
    messages = gateway.script.messages
    for start in range(0, len(messages), 8):
        faults.arm(label, action=crash)
        with pytest.raises(Crash):
            await gateway.take(messages[start : start + 8])
        await gateway.take(messages[start : start + 8])
    assert await everything(gateway) == expected
    assert await gateway.kinds() == log


async def test_a_receipt_waits_for_its_header_and_then_takes_effect(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00")
    gateway.script.settle(sent, PP, POLICE, "2026-01-05 09:10")
    header, *receipts = gateway.script.messages
    await gateway.take(receipts)
    assert (await gateway.kinds(), await gateway.reading.facts_waiting()) == ([], 3)
    await gateway.take([header])
    assert await gateway.kinds() == ["LODGED", "DELIVERED", "COMPLETE", "ACCEPTED", "CLOCK_START"]
    timeline = await gateway.reading.timeline(CASE)
    assert (timeline.case.stage, await gateway.reading.facts_waiting()) == ("S20_prosecution_review", 0)


async def test_the_log_refuses_to_be_changed_and_a_change_behind_its_back_is_found(gateway: Gateway) -> None:
    road(gateway.script, CASE)
    await gateway.take()
    for statement in ("UPDATE log_entry SET detail = 'x'", "DELETE FROM log_entry", "DELETE FROM statement"):
        with pytest.raises(Exception, match=r"append-only|kept as signed"):
            await gateway.run(statement)
    query = "SELECT * FROM log_entry ORDER BY position"
    rows = [dict(zip(row.keys(), row, strict=True)) for row in await gateway.rows(query)]
    assert first_changed(rows) is None
    for column, value in (("detail", "x"), ("recorded_at", 1), ("nonce", b""), ("leaf", bytes(32)), ("eid", "")):
        changed = [dict(row) for row in rows]
        changed[20][column] = value
        assert first_changed(changed) == 21
    assert first_changed(rows[:10] + rows[11:]) == 11


async def test_the_watch_records_an_overdue_limit_once_and_at_once(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00")
    gateway.script.settle(sent, PP, POLICE, "2026-01-05 09:10")
    await gateway.take()
    gateway.now_is("2026-02-05 23:59")
    assert (await gateway.watch.round(), await gateway.watch.round()) == (2, 0)
    assert [entry.detail for entry in await gateway.log() if entry.kind == "CLOCK_WARN"] == [
        "prosecution_review:yellow",
        "prosecution_review:red",
    ]
    gateway.now_is("2026-02-06 00:00")
    assert (await gateway.watch.round(), await gateway.watch.round()) == (1, 0)
    await gateway.take()
    assert (await gateway.kinds()).count("OVERDUE") == 1
    summary = await gateway.reading.summary()
    assert (summary.limits_running, summary.limits_overdue) == (0, 1)


async def test_a_stop_sent_in_time_that_arrives_late_lifts_the_breach(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00")
    gateway.script.settle(sent, PP, POLICE, "2026-01-05 09:10")
    await gateway.take()
    gateway.now_is("2026-02-07 00:00")
    await gateway.watch.round()
    gateway.script.send(CASE, "nonprosecution_decision", PP, POLICE, "2026-02-05 17:00", stage="S20_prosecution_review")
    await gateway.take(gateway.script.messages[-1:])
    assert (await gateway.kinds())[-3:] == ["LODGED", "CLOCK_STOP", "OVERDUE_LIFTED"]
    (limit,) = (await gateway.reading.timeline(CASE)).limits
    assert (limit.state, limit.ended_at) == ("met", at("2026-02-05 17:00"))


async def test_a_stop_after_the_due_date_is_late_whether_or_not_the_watch_was_awake(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00")
    gateway.script.settle(sent, PP, POLICE, "2026-01-05 09:10")
    gateway.script.send(CASE, "nonprosecution_decision", PP, POLICE, "2026-02-20 17:00", stage="S20_prosecution_review")
    await gateway.take()
    (limit,) = (await gateway.reading.timeline(CASE)).limits
    assert limit.state == "late"
    assert (await gateway.kinds())[-3:] == ["CLOCK_START", "CLOCK_STOP", "OVERDUE"]

"""Receipts that do not come: told at the very minute, once for ever, and not at all where somebody has answered or nobody has to."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.chassis import faults
from services.chassis.clock import SandboxClock
from services.chassis.config import read
from services.gateway import silence
from services.gateway.app import GatewayConfig
from services.gateway.silence import HOUR, MINUTE, OFF, Awaited, Patience, checked
from services.gateway.watch import Watch
from services.gateway.web.app import pages
from tests.services.gateway.conftest import Gateway, gateway_at
from tests.services.gateway.script import Script, at, clock
from tests.services.gateway.test_targets import WHOLE
from xieban.agency import city
from xieban.errors import XiebanError
from xieban.handoff import FactKind
from xieban.marshal import micros, moment

CASE, POLICE, PP, KIND = "A6201", "police", "procuratorate", "prosecution_transfer"
SENT = "2026-03-02 09:00"
LONG_AFTER = "2026-03-20 09:00"
USUAL = Patience()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made, database = await gateway_at(tmp_path / "gateway.db", Script(), now=SENT, patience=USUAL)
    async with database:
        yield made


async def sent(gateway: Gateway, *facts: tuple[FactKind, str]) -> str:
    """A handoff that was sent at nine, with what its receiver has stated of it and when; its eid."""
    eid = gateway.script.send(CASE, KIND, POLICE, PP, SENT)
    for kind, when in facts:
        gateway.script.receipt(PP, POLICE, [(eid, kind, when)])
    await gateway.take()
    return eid


async def hear(gateway: Gateway, eid: str, kind: FactKind, when: str) -> None:
    """The receiver states something more, at `when` by everybody's clock."""
    gateway.now_is(when)
    gateway.script.receipt(PP, POLICE, [(eid, kind, when)])
    await gateway.take(gateway.script.messages[-1:])


async def looked(gateway: Gateway, when: str) -> list[str]:
    """What the log says of missing receipts once the watch has looked at `when`: `UNDELIVERED prosecution_transfer`."""
    gateway.now_is(when)
    await gateway.watch.round()
    return await told(gateway)


async def told(gateway: Gateway) -> list[str]:
    return [f"{e.kind} {e.detail}" for e in await gateway.log() if e.kind in ("UNDELIVERED", "UNOPENED")]


async def renewed(gateway: Gateway, patience: Patience) -> int:
    """A start of the gateway with these terms; how many handoffs it waits for anew."""
    return await silence.renew(gateway.database, patience=patience, now=micros(gateway.clock.now()))


async def awaited(gateway: Gateway) -> int:
    return int((await gateway.rows("SELECT COUNT(*) AS n FROM awaited"))[0]["n"])


def test_what_is_missing_is_a_function_of_the_handoff_and_of_the_operators_terms() -> None:
    waiting = Awaited(eid="e", case_id=CASE, kind=KIND, sent_at=1_000, delivered_at=None)
    ((when, note),) = waiting.absences(Patience(undelivered_minutes=2))
    assert (when, note.kind, note.case_id, note.eid, note.detail) == (
        1_000 + 2 * MINUTE,
        "UNDELIVERED",
        CASE,
        "e",
        KIND,
    )
    arrived = Awaited(eid="e", case_id=CASE, kind=KIND, sent_at=1_000, delivered_at=5_000)
    found = [(when, note.kind, note.detail) for when, note in arrived.absences(Patience(unopened_hours=(1, 30)))]
    assert found == [(5_000 + HOUR, "UNOPENED", f"{KIND}:1"), (5_000 + 30 * HOUR, "UNOPENED", f"{KIND}:30")]
    assert waiting.absences(OFF) == arrived.absences(OFF) == ()


async def test_a_handoff_that_is_not_delivered_is_told_of_at_the_fifteenth_minute_and_only_once(
    gateway: Gateway,
) -> None:
    eid = await sent(gateway)
    assert await looked(gateway, "2026-03-02 09:14:59") == []
    assert await looked(gateway, "2026-03-02 09:15:00") == [f"UNDELIVERED {KIND}"]
    assert await looked(gateway, LONG_AFTER) == [f"UNDELIVERED {KIND}"]
    (entry,) = [entry for entry in await gateway.log() if entry.kind == "UNDELIVERED"]
    assert (entry.case_id, entry.eid, entry.recorded_at) == (CASE, eid, at("2026-03-02 09:15:00"))


async def test_one_that_is_delivered_in_the_last_second_was_never_missing(gateway: Gateway) -> None:
    eid = await sent(gateway)
    await hear(gateway, eid, "delivered", "2026-03-02 09:14:59")
    assert await looked(gateway, "2026-03-02 09:30") == []


async def test_a_delivery_that_comes_late_ends_the_one_wait_and_begins_the_other(gateway: Gateway) -> None:
    eid = await sent(gateway)
    missing = [f"UNDELIVERED {KIND}"]
    assert await looked(gateway, "2026-03-02 09:15") == missing
    await hear(gateway, eid, "delivered", "2026-03-02 09:20")
    assert await looked(gateway, "2026-03-02 13:19:59") == missing
    assert await looked(gateway, "2026-03-02 13:20:00") == [*missing, f"UNOPENED {KIND}:4"]
    # That the dossier is complete too is the node's doing and nobody's answer.
    await hear(gateway, eid, "complete", "2026-03-02 13:30")
    assert await looked(gateway, "2026-03-03 09:19:59") == [*missing, f"UNOPENED {KIND}:4"]
    everything = [*missing, f"UNOPENED {KIND}:4", f"UNOPENED {KIND}:24"]
    assert await looked(gateway, "2026-03-03 09:20:00") == everything
    assert await looked(gateway, LONG_AFTER) == everything


@pytest.mark.parametrize("end", ["accepted", "returned", "rejected", "withdrawn", "answered"])
@pytest.mark.parametrize("delivered", [True, False])
async def test_whatever_ends_a_handoff_ends_the_wait_in_the_same_transaction(
    gateway: Gateway, end: FactKind, delivered: bool
) -> None:
    eid = await (sent(gateway, ("delivered", SENT)) if delivered else sent(gateway))
    assert await awaited(gateway) == 1
    await hear(gateway, eid, end, "2026-03-02 09:05")
    assert await awaited(gateway) == 0
    assert await looked(gateway, LONG_AFTER) == []


async def test_an_answer_after_four_hours_leaves_what_was_told_and_tells_nothing_more(gateway: Gateway) -> None:
    eid = await sent(gateway, ("delivered", SENT))
    assert await looked(gateway, "2026-03-02 13:00") == [f"UNOPENED {KIND}:4"]
    await hear(gateway, eid, "accepted", "2026-03-02 13:01")
    assert await looked(gateway, LONG_AFTER) == [f"UNOPENED {KIND}:4"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_receipts_that_overtake_one_another_and_their_header_are_not_missing(
    gateway: Gateway, order: tuple[int, ...]
) -> None:
    eid = gateway.script.send(CASE, KIND, POLICE, PP, SENT)
    gateway.script.receipt(PP, POLICE, [(eid, "delivered", "2026-03-02 09:01")])
    gateway.script.receipt(PP, POLICE, [(eid, "complete", "2026-03-02 09:02")])
    gateway.now_is("2026-03-02 09:10")
    await gateway.take([gateway.script.messages[place] for place in order], batch=1)
    assert await looked(gateway, "2026-03-02 13:00:59") == []
    assert await looked(gateway, "2026-03-02 13:01:00") == [f"UNOPENED {KIND}:4"]


async def test_a_receipt_of_somebody_else_ends_no_wait(gateway: Gateway) -> None:
    eid = await sent(gateway)
    gateway.script.receipt("court", POLICE, [(eid, "delivered", SENT)])
    await gateway.take(gateway.script.messages[-1:])
    assert await looked(gateway, "2026-03-02 09:15") == [f"UNDELIVERED {KIND}"]


async def test_nobody_puts_off_what_is_told_of_him_by_a_time_to_come(gateway: Gateway) -> None:
    eid = gateway.script.send(CASE, KIND, POLICE, PP, "2027-01-04 09:00")
    await gateway.take()
    assert await looked(gateway, "2026-03-02 09:15") == [f"UNDELIVERED {KIND}"]
    gateway.script.receipt(PP, POLICE, [(eid, "delivered", "2027-01-04 09:00")])
    await gateway.take(gateway.script.messages[-1:])
    await hear(gateway, eid, "complete", "2026-03-02 12:00")
    assert await looked(gateway, "2026-03-02 13:15") == [f"UNDELIVERED {KIND}", f"UNOPENED {KIND}:4"]


async def test_what_is_sent_to_the_gateway_itself_needs_no_receipt(gateway: Gateway) -> None:
    gateway.script.register(CASE, PP, SENT, clock("start", "inv_custody", SENT, person="P1"))
    await gateway.take()
    assert await awaited(gateway) == 0
    assert await looked(gateway, LONG_AFTER) == []


async def test_a_gateway_that_was_away_tells_every_hour_that_has_passed_and_nothing_that_has_been_answered(
    gateway: Gateway,
) -> None:
    gateway.now_is("2026-03-04 09:00")
    await sent(gateway, ("delivered", SENT))
    answered = gateway.script.send("A6202", KIND, POLICE, PP, SENT)
    gateway.script.settle(answered, PP, POLICE, "2026-03-03 15:00")
    await gateway.take(gateway.script.messages[2:])
    assert await looked(gateway, "2026-03-04 09:00") == [f"UNOPENED {KIND}:4", f"UNOPENED {KIND}:24"]


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (OFF, []),
        (Patience(unopened_hours=()), [f"UNDELIVERED {KIND}"]),
        (Patience(undelivered_minutes=0), [f"UNOPENED {KIND}:4", f"UNOPENED {KIND}:24"]),
        (Patience(unopened_hours=(2,)), [f"UNDELIVERED {KIND}", f"UNOPENED {KIND}:2"]),
    ],
    ids=["off", "undelivered", "unopened", "other hours"],
)
async def test_each_wait_is_switched_off_or_set_by_itself(
    tmp_path: Path, patience: Patience, expected: list[str]
) -> None:
    gateway, database = await gateway_at(tmp_path / "gateway.db", Script(), now=SENT, patience=patience)
    async with database:
        eid = await sent(gateway)
        await looked(gateway, "2026-03-02 10:00")
        await hear(gateway, eid, "delivered", "2026-03-02 10:00")
        assert await looked(gateway, LONG_AFTER) == expected
        assert await awaited(gateway) == (0 if patience == OFF else 1)


@pytest.mark.parametrize("label", ["G1", "G2"])
async def test_a_crash_around_the_commit_tells_it_once(gateway: Gateway, label: str) -> None:
    def crash() -> None:
        raise RuntimeError("fault")

    await sent(gateway)
    faults.arm(label, action=crash)
    with pytest.raises(RuntimeError):
        await looked(gateway, "2026-03-02 09:15")
    assert await told(gateway) == ([] if label == "G1" else [f"UNDELIVERED {KIND}"])
    assert await looked(gateway, LONG_AFTER) == [f"UNDELIVERED {KIND}"]


async def test_a_sandbox_that_lives_through_two_days_stops_at_every_moment(gateway: Gateway, tmp_path: Path) -> None:
    eid = await sent(gateway)
    sandbox = SandboxClock(tmp_path / "clock", start=moment(at(SENT)))
    watch = Watch(gateway.database, clock=sandbox, quiet_for=gateway.ingest.quiet_for, patience=USUAL)
    await watch.advance(sandbox, moment(at("2026-03-02 10:00")))
    await hear(gateway, eid, "delivered", "2026-03-02 10:00")
    await watch.advance(sandbox, moment(at("2026-03-04 09:00")))
    found = [entry.recorded_at for entry in await gateway.log() if entry.kind in ("UNDELIVERED", "UNOPENED")]
    assert found == [at("2026-03-02 09:15"), at("2026-03-02 14:00"), at("2026-03-03 10:00")]


async def test_a_restart_with_the_same_terms_changes_nothing(gateway: Gateway) -> None:
    assert await renewed(gateway, USUAL) == 0
    await sent(gateway)
    assert await looked(gateway, "2026-03-02 09:15") == [f"UNDELIVERED {KIND}"]
    before = [tuple(row) for row in await gateway.rows("SELECT * FROM awaited")]
    assert await renewed(gateway, USUAL) == 0
    assert [tuple(row) for row in await gateway.rows("SELECT * FROM awaited")] == before


async def test_what_was_in_flight_before_the_gateway_could_wait_is_waited_for_from_its_first_start(
    gateway: Gateway,
) -> None:
    await sent(gateway, ("delivered", SENT), ("complete", "2026-03-02 09:30"))
    gateway.script.settle(gateway.script.send("A6202", KIND, POLICE, PP, SENT), PP, POLICE, SENT)
    await gateway.take(gateway.script.messages[3:])
    await gateway.run("DELETE FROM awaited")
    assert await renewed(gateway, USUAL) == 1
    assert await looked(gateway, "2026-03-02 12:59:59") == []
    assert await looked(gateway, "2026-03-02 13:00:00") == [f"UNOPENED {KIND}:4"]


async def test_other_terms_count_from_the_next_start_and_what_was_told_is_not_told_again(gateway: Gateway) -> None:
    await renewed(gateway, USUAL)
    await sent(gateway, ("delivered", SENT))
    assert await looked(gateway, "2026-03-02 16:00") == [f"UNOPENED {KIND}:4"]
    others = Patience(unopened_hours=(4, 6, 48))
    assert await renewed(gateway, others) == 1
    gateway.watch._patience = others
    assert await looked(gateway, "2026-03-02 16:00") == [f"UNOPENED {KIND}:4", f"UNOPENED {KIND}:6"]
    assert await renewed(gateway, OFF) == 0
    assert await awaited(gateway) == 0


async def test_a_look_finds_what_is_due_by_an_index_that_holds_only_what_is_still_to_be_told(gateway: Gateway) -> None:
    await sent(gateway)
    await looked(gateway, "2026-03-02 09:15")
    for query in ("next_at <= 1 ORDER BY next_at LIMIT 500", "1 ORDER BY next_at LIMIT 1"):
        sql = f"EXPLAIN QUERY PLAN SELECT next_at FROM awaited WHERE next_at IS NOT NULL AND {query}"
        assert "awaited_next" in (await gateway.rows(sql))[0]["detail"]
    held = "SELECT COUNT(*) AS n FROM awaited INDEXED BY awaited_next WHERE next_at IS NOT NULL"
    assert ((await gateway.rows(held))[0]["n"], await awaited(gateway)) == (0, 1)
    with pytest.raises(sqlite3.OperationalError, match="no query solution"):  # the index does not know the other rows
        await gateway.rows("SELECT eid FROM awaited INDEXED BY awaited_next WHERE next_at IS NULL")


async def test_the_pages_say_what_is_missing_and_the_overview_counts_it_until_it_comes(gateway: Gateway) -> None:
    app = pages(
        gateway.reading,
        gateway.supervisions,
        look=gateway.lookups.timeline,
        silent=lambda: silence.silent(gateway.database),
        city=city("lanzhou"),
        clock=gateway.clock,
        sandbox=True,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as site:

        async def counted() -> list[str]:
            return re.findall(r"逾时无回执 (\d+)", (await site.get("/")).text)

        eid = await sent(gateway)
        assert await counted() == []
        await looked(gateway, "2026-03-02 09:15")
        assert await counted() == ["1"]
        await hear(gateway, eid, "delivered", "2026-03-02 09:20")
        assert await counted() == []
        await looked(gateway, "2026-03-02 13:20")
        assert await counted() == ["1"]
        html = (await site.get(f"/cases/{CASE}?purpose=routine")).text
        (section,) = re.findall(r'<section [^>]*"log">.*?</section>', html, re.DOTALL)
        rows = [re.sub(r"<[^>]+>|\s+", " ", row) for row in re.findall(r"<tr.*?</tr>", section, re.DOTALL)]
        shown = [" ".join(row.split()) for row in rows if "未" in row]
        assert ["未送达 移送审查起诉" in row for row in shown] == [True, False]
        assert "未开启 移送审查起诉（送达后 4 小时） 流转 1" in shown[1]
        await hear(gateway, eid, "accepted", "2026-03-02 13:30")
        assert await counted() == []


def test_the_terms_are_fifteen_minutes_four_and_twenty_four_hours_unless_the_operator_says_otherwise() -> None:
    plain = read(dict(WHOLE), GatewayConfig, file=Path("gateway.toml"))
    assert plain.silence == Patience(undelivered_minutes=15, unopened_hours=(4, 24))
    given = {**WHOLE, "silence": {"undelivered_minutes": 0, "unopened_hours": []}}
    assert checked(read(given, GatewayConfig, file=Path("gateway.toml")).silence) == OFF


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"undelivered_minutes": -1}, "undelivered_minutes"),
        ({"undelivered_minutes": 10_081}, "undelivered_minutes"),
        ({"unopened_hours": [24, 4]}, "由小到大"),
        ({"unopened_hours": [4, 4]}, "由小到大"),
        ({"unopened_hours": [0, 4]}, "由小到大"),
        ({"unopened_hours": [8_761]}, "由小到大"),
        ({"unopened_hours": 4}, "unopened_hours"),
        ({"undelivered_hours": 1}, "是否应为"),
    ],
)
def test_terms_that_cannot_be_are_refused_before_anything_starts(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(XiebanError, match=words) as refused:
        checked(read({**WHOLE, "silence": settings}, GatewayConfig, file=Path("gateway.toml")).silence)
    assert refused.value.reason.number == "XB-5003"

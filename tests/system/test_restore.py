"""A database put back from a copy: the node signs nothing until it knows again what it had said, and nobody ever sees a number twice."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.agency import fence as agency_fence
from services.agency.fence import Fence
from services.agency.recovery import lacking
from services.gateway import checkpoints
from tests.system.ceremony import amended, listed, put
from tests.system.rig import CT, PP, PS, City, whole_city
from tests.system.test_reconcile import harm
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, Unreachable, XiebanError
from xieban.handoff import State
from xieban.keys import algorithm, files
from xieban.reconcile import Reconciliation
from xieban.reconcile_client import ReconcileClient
from xieban.trust import Log, rotate

GATEWAY = Agency.GATEWAY


@pytest_asyncio.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    monkeypatch.setattr(checkpoints, "IDLE", 0.2)
    monkeypatch.setattr(agency_fence, "PAUSE", 0.05)
    async with whole_city(tmp_path) as running:
        yield running


def aside(city: City, agency: Agency) -> Path:
    """A copy of the stopped node's database."""
    copy = city.home.folder / f"{agency}.copy"
    shutil.copyfile(city.home.node(agency) / "data.db", copy)
    return copy


def put_back(city: City, agency: Agency, copy: Path) -> None:
    folder = city.home.node(agency)
    for name in ("data.db-wal", "data.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copyfile(copy, folder / "data.db")


async def sent_twice(city: City, case: str) -> tuple[Path, str, str]:
    """The police send, are copied aside, send once more and hear the answer; both eids."""
    first = await city.police.send(city.draft("early_opinion_request", case=case))
    await city.arrive(city.procuratorate, first.eid)
    await city.settled(case)
    await city.node(PS).stop()
    copy = aside(city, PS)
    await city.node(PS).start()
    second = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, second.eid)
    await city.procuratorate.accept(second.eid)
    await city.settle(city.police, second.eid, State.ACCEPTED)
    await city.settled(case)
    return copy, first.eid, second.eid


async def opened(city: City, agency: Agency) -> int:
    """Wait until the node is open; its incarnation."""
    async with asyncio.timeout(30), ReconcileClient.open(city.home.client(str(agency))) as client:
        while True:
            _, fence, inc = await client.last()
            if not fence:
                return inc
            await asyncio.sleep(0.05)


async def test_a_restored_sender_gets_its_own_words_back_and_goes_on_behind_them(city: City) -> None:
    case = city.new_case()
    copy, first, second = await sent_twice(city, case)
    await city.node(PS).stop()
    put_back(city, PS, copy)
    await city.node(PS).start()
    assert await opened(city, PS) == 2

    views, _ = await city.police.list(case_id=case)
    assert {view.eid for view in views} == {first, second}
    await city.settle(city.police, second, State.ACCEPTED)
    third = await city.police.send(city.draft("custody_extension_request", case=case))
    assert third.lane_seq == 3
    await city.arrive(city.procuratorate, third.eid)
    rows = city.rows(
        PP, "SELECT inc, lane_seq, state FROM handoff WHERE box = 'in' AND case_id = ? ORDER BY lane_seq", case
    )
    assert [(row["inc"], row["lane_seq"]) for row in rows] == [(1, 1), (1, 2), (2, 3)]
    assert "rejected" not in {row["state"] for row in rows}
    assert (await agreed(city, "committee")).differences == (), "the receiver has given back its dossier"


async def test_without_the_fence_a_number_is_used_twice_and_the_receiver_sees_it(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the same story with the fence taken away."""

    async def open_at_once(self: Fence) -> None:
        await self._open()

    case = city.new_case()
    copy, _, _ = await sent_twice(city, case)
    await city.node(PS).stop()
    put_back(city, PS, copy)
    monkeypatch.setattr(Fence, "begin", open_at_once)
    await city.node(PS).start()
    again = await city.police.send(city.draft("custody_extension_request", case=case))
    assert again.lane_seq == 2, "the number of a handoff that the procuratorate has accepted"
    assert await city.reject_heard(PS, again.eid) == [Reason.LANE_BROKEN.name]


async def test_a_restored_receiver_states_nothing_twice(city: City) -> None:
    case = city.new_case()
    first = await city.police.send(city.draft("early_opinion_request", case=case))
    await city.arrive(city.procuratorate, first.eid)
    await city.settled(case)
    await city.node(PP).stop()
    copy = aside(city, PP)
    await city.node(PP).start()
    second = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, second.eid)
    await city.procuratorate.accept(second.eid)
    await city.settle(city.police, second.eid, State.ACCEPTED)
    await city.settled(case)
    told = city.rows(PS, "SELECT eid FROM receipt WHERE box = 'in'")

    await city.node(PP).stop()
    put_back(city, PP, copy)
    await city.node(PP).start()
    assert await opened(city, PP) == 2
    await city.settle(city.procuratorate, second.eid, State.ACCEPTED)
    await city.quiet_bus()
    assert city.rows(PS, "SELECT eid FROM receipt WHERE box = 'in'") == told
    assert {row["eid"] for row in city.rows(PP, "SELECT eid FROM receipt WHERE box = 'out'")} >= {
        row["eid"] for row in told
    }
    (row,) = city.rows(PP, "SELECT state FROM handoff WHERE eid = ?", second.eid)
    assert row["state"] == State.ACCEPTED
    assert (await agreed(city, "procuratorate")).differences == (), "its dossier is fetched again"


async def test_an_author_that_has_lost_one_statement_fetches_it_back_at_its_next_start(city: City) -> None:
    case = city.new_case()
    _, first, second = await sent_twice(city, case)
    receipt = city.rows(PP, "SELECT receipt FROM receipt_fact WHERE eid = ? AND kind = 'accepted'", second)[0][
        "receipt"
    ]
    assert harm(city, PS, "DELETE FROM handoff WHERE eid = ?", first) == 1
    assert harm(city, PP, "DELETE FROM receipt WHERE eid = ?", receipt) == 1
    for agency in (PS, PP):
        await city.node(agency).restart()
        assert await opened(city, agency) == 2
    for caller in ("committee", "police", "procuratorate"):
        assert (await agreed(city, caller)).differences == (), caller


async def agreed(city: City, caller: str) -> Reconciliation:
    """The comparison once it finds nothing, or what is left when patience ends."""
    async with ReconcileClient.open(city.home.client(caller)) as client:
        for _ in range(100):
            found = await client.run()
            if not found.differences:
                break
            await asyncio.sleep(0.1)
        return found


async def test_a_restored_node_refuses_its_own_systems_while_somebody_cannot_be_asked(city: City) -> None:
    case = city.new_case()
    copy, _, second = await sent_twice(city, case)
    await city.node(PS).stop()
    put_back(city, PS, copy)
    await city.stop_gateway()
    await city.node(PS).start()
    with pytest.raises(Unreachable) as raised:
        await city.police.send(city.draft("custody_extension_request", case=case))
    assert raised.value.reason is Reason.NODE_FENCED
    assert "gateway" in raised.value.explain()
    assert city.rows(PS, "SELECT eid FROM handoff WHERE eid = ?", second) == []
    await city.start_gateway()
    assert await opened(city, PS) == 2
    assert len(city.rows(PS, "SELECT eid FROM handoff WHERE eid = ?", second)) == 1


async def test_an_ordinary_start_needs_nobody(city: City) -> None:
    case = city.new_case()
    await sent_twice(city, case)
    await city.stop_gateway()
    await city.node(PP).stop()
    await city.node(PS).restart()
    sent = await city.police.send(city.draft("custody_extension_request", case=case))
    assert sent.lane_seq == 3
    assert await opened(city, PS) == 1
    await city.node(PP).start()


async def test_what_is_sent_while_somebody_is_asked_late_is_not_taken_for_lost(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    up, asked = asyncio.Event(), asyncio.Event()
    original = lacking

    async def while_the_city_works(*arguments: Any, **options: Any) -> set[str]:
        if arguments[1].name != PP or options["me"] != PS:
            return await original(*arguments, **options)
        await up.wait()
        await original(*arguments, **options)  # an error means that it is not reached yet; then it is asked again
        if not sent:
            handoff = await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
            sent.append(handoff.eid)
            await city.arrive(city.procuratorate, handoff.eid)
        found = await original(*arguments, **options)
        asked.set()
        return found

    await city.node(PS).stop()
    await city.node(PP).stop()
    await city.node(PS).start()
    monkeypatch.setattr(agency_fence, "LATER", 0.05)
    monkeypatch.setattr(agency_fence, "lacking", while_the_city_works)
    await city.node(PP).start()
    up.set()
    async with asyncio.timeout(30):
        await asked.wait()
    process = city.node(PS).process
    assert process is not None
    await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
    await city.settled()
    assert process.error is None
    assert await opened(city, PS) == 1


async def test_a_word_of_a_later_version_comes_back_and_moves_nothing(city: City) -> None:
    later = await city.say_header(city.header(kind="of_a_later_version"))
    assert await city.reject_heard(PS, later.eid) == [Reason.KIND_UNKNOWN.name]
    await city.node(PS).restart()
    assert await opened(city, PS) == 2
    (row,) = city.rows(PS, "SELECT kind, case_id FROM handoff WHERE eid = ?", later.eid)
    assert row["kind"] == "of_a_later_version"
    assert city.rows(PS, "SELECT stage FROM case_file WHERE case_id = ?", row["case_id"]) == [
        {"stage": "S10_investigation"}
    ]


async def test_a_node_that_said_two_things_under_one_number_stays_closed_until_somebody_has_looked(city: City) -> None:
    one = city.header()
    other = msgspec.structs.replace(one, receiver=msgspec.structs.replace(one.receiver, agency="court"))
    kept = await city.say_header(one), await city.say_header(other)
    await city.quiet_bus()
    assert [len(city.rows(at, "SELECT 1 FROM handoff WHERE box = 'in'")) for at in (PP, CT)] == [1, 1]
    await city.node(PS).restart()
    async with asyncio.timeout(30), ReconcileClient.open(city.home.client("police")) as client:
        while "仍有取不回的报文" not in (await client.last())[1]:
            await asyncio.sleep(0.05)
    back = {row["eid"] for row in city.rows(PS, "SELECT eid FROM handoff WHERE box = 'out'")}
    assert len(back) == 1
    assert back < {sealed.eid for sealed in kept}


async def test_a_node_that_dies_while_it_catches_up_begins_again(city: City) -> None:
    case = city.new_case()
    copy, _, second = await sent_twice(city, case)
    await city.node(PS).stop()
    put_back(city, PS, copy)
    with city.crashing("B1") as died:
        await city.node(PS).start()
        await died.wait()
        await city.dead(PS)
    await city.node(PS).restart()
    assert await opened(city, PS) == 2
    assert len(city.rows(PS, "SELECT eid FROM handoff WHERE eid = ?", second)) == 1


async def witnessed(city: City, agency: Agency) -> int:
    rows = city.rows(agency, "SELECT MAX(size) AS size FROM witness_checkpoint")
    return int(rows[0]["size"] or 0)


async def grown(city: City, agency: Agency, beyond: int) -> int:
    """Wait until the witness has seen more than `beyond`."""
    async with asyncio.timeout(30):
        while (size := await witnessed(city, agency)) <= beyond:
            await asyncio.sleep(0.05)
    return size


async def test_a_restored_witness_takes_back_its_own_cosignature_before_it_signs(city: City) -> None:
    case = city.new_case()
    copy, _, _ = await sent_twice(city, case)
    with closing(sqlite3.connect(copy)) as old:
        (size,) = old.execute("SELECT COALESCE(MAX(size), 0) FROM witness_checkpoint").fetchone()
    latest = await grown(city, PS, size)
    await city.node(PS).stop()
    put_back(city, PS, copy)
    assert await witnessed(city, PS) == size < latest
    await city.node(PS).start()
    await opened(city, PS)
    await grown(city, PS, latest - 1)
    rows = city.rows(PS, "SELECT value FROM node WHERE name = 'witness'")
    assert rows == []
    assert city.rows(PS, "SELECT * FROM witness_refusal") == []


async def test_a_gateway_that_is_behind_its_witnesses_refuses_to_start_and_says_what_to_do(city: City) -> None:
    case = city.new_case()
    first = await city.police.send(city.draft("early_opinion_request", case=case))
    await city.arrive(city.procuratorate, first.eid)
    await city.settled(case)
    await grown(city, PS, 0)
    await city.stop_gateway()
    copy = aside(city, GATEWAY)
    await city.start_gateway()
    seen = await witnessed(city, PS)
    second = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, second.eid)
    await city.settled(case)
    await grown(city, PS, seen)
    await city.stop_gateway()
    put_back(city, GATEWAY, copy)
    for mark in ("kept", "lost"):  # the gateway's own mark tells, and without it the witnesses do
        if mark == "lost":
            (city.home.node(GATEWAY) / "data.mark").unlink()
        with pytest.raises(XiebanError) as raised:
            await city.start_gateway()
        assert raised.value.reason is Reason.LOG_BEHIND
        assert "备份" in raised.value.explain()
        await city.stop_gateway()


async def test_what_a_witness_cosigned_under_the_logs_key_from_before_its_rotation_still_answers_for_the_log(
    city: City,
) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("early_opinion_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    await city.settled(case)
    for agency in PARTIES:
        await grown(city, agency, 0)
    await city.stop_gateway()
    size = max([await witnessed(city, agency) for agency in PARTIES])
    (old,) = [one for one in listed(city.home).last.value.entries if isinstance(one, Log)]
    fresh, file = algorithm("ed25519+sha256").generate(), city.home.node(GATEWAY) / "log.key"
    put(city.home, rotate(listed(city.home), id=old.id, to=fresh.public, overlap=0, issue=amended(size)))
    file.unlink()
    files.save_private(file, fresh)
    for agency in PARTIES:
        await city.node(agency).restart()
    (city.home.node(GATEWAY) / "data.mark").unlink()  # so that witnesses have to be asked
    async with asyncio.timeout(20):
        await city.start_gateway()
    await grown(city, PS, size)

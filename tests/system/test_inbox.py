"""The inbox stream tells every step once, from wherever its reader left off."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from services.chassis.rpc import RpcServer
from tests.system.rig import PATIENCE, PP, PS, City, main_road, persist
from tests.world import World, world
from xieban.client import Page, everything
from xieban.handoff import State
from xieban.views import InboxEvent

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def read(city: City, case: str, *, after: int, until: int) -> list[InboxEvent]:
    """Events of a case with a cursor in (after, until]."""
    found = []
    async with asyncio.timeout(PATIENCE), aclosing(city.police.watch(after)) as events:
        async for event in events:
            if event.handoff.case_id == case:
                found.append(event)
            if event.cursor >= until:
                break
    return found


def last(city: City) -> int:
    return int(city.rows(PS, "SELECT MAX(seq) AS n FROM inbox_event")[0]["n"])


async def test_a_reader_that_stops_anywhere_resumes_without_a_gap_or_a_repetition(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    await city.settled(case)
    end = last(city)
    whole = await read(city, case, after=0, until=end)
    assert [event.cursor for event in whole] == sorted({event.cursor for event in whole})
    for event in whole:
        if event.cursor < end:
            rest = await read(city, case, after=event.cursor, until=end)
            assert [item.cursor for item in rest] == [item.cursor for item in whole if item.cursor > event.cursor]


async def test_each_step_of_a_handoff_is_told_as_it_was_at_that_moment(city: City) -> None:
    case = city.new_case()
    eids = await main_road(city, case)
    await city.settled(case)
    whole = await read(city, case, after=0, until=last(city))
    states = {eid: [event.handoff.state for event in whole if event.handoff.eid == eid] for eid in eids}
    order = list(State)
    for told in states.values():
        assert told[0] is State.DELIVERED
        assert told == sorted(set(told), key=order.index), "each once and upwards"
    assert states[eids[0]][-1] is State.ANSWERED
    assert states[eids[2]][-1] is State.ACCEPTED


async def test_a_watch_lives_through_a_restart_and_tells_nothing_twice(city: City) -> None:
    case = city.new_case()
    start = last(city)
    seen: list[int] = []
    first, both = asyncio.Event(), asyncio.Event()

    async def watch() -> None:
        async with aclosing(city.police.watch(start)) as events:
            async for event in events:
                seen.append(event.cursor)
                if event.handoff.state is State.COMPLETE and event.handoff.case_id == case:
                    (both if first.is_set() else first).set()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        await city.police.send(city.draft("arrest_request", case=case))
        await asyncio.wait_for(first.wait(), PATIENCE)
        await city.node(PS).restart()
        await city.node(PP).restart()
        draft = city.draft("custody_extension_request", case=case)
        await persist(lambda: city.police.send(draft))
        await asyncio.wait_for(both.wait(), PATIENCE)
        watching.cancel()
    recorded = [row["seq"] for row in city.rows(PS, "SELECT seq FROM inbox_event WHERE seq > ? ORDER BY seq", start)]
    assert seen == recorded[: len(seen)]


async def test_lists_are_paged_without_a_gap_or_a_repetition(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    for size in (1, 2, 3):
        rows = await everything(lambda page, size=size: city.police.list(Page(size, page.token), case_id=case))  # type: ignore[misc]
        assert [row.kind for row in rows] == ["prosecution_transfer", "arrest_decision", "arrest_request"]


async def test_a_node_that_stops_does_not_wait_for_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RpcServer.stop, "__defaults__", (10 * PATIENCE,))

    async def read_for_ever(city: World) -> None:
        async with aclosing(city.police.watch()) as events:
            async for _ in events:
                pytest.fail("nothing was sent")

    async with world(tmp_path, agencies=(PS,)) as city, asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read_for_ever(city))
        await city.police.list()  # on the same connection, after the stream
        await city.nodes[PS].stop()
        reader.cancel()

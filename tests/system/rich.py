"""A city in which a good deal has happened, so that hardly a table of its stores is empty: cases, returns, a supervision, forgeries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.gateway import checkpoints
from tests.system.rig import PP, City, main_road, whole_city
from tests.system.test_clock_commands import opened, operator
from xieban.handoff import State
from xieban.notice_client import NoticeClient, SupervisionClient
from xieban.sandbox_client import SandboxCity
from xieban.seal import SealKey
from xieban.supervision import Cause, Measure
from xieban.views import DefectView

PATIENCE = 60.0
OVERDUE_AT = datetime(2026, 3, 9, 16, 0, tzinfo=UTC)


@asynccontextmanager
async def lived_in(folder: Path, *, roads: int = 2) -> AsyncIterator[City]:
    """Yields the running city once nothing is left to do in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "BUSY", 0.05)
        async with whole_city(folder) as city, AsyncExitStack() as stack:
            await live(city, stack, roads=roads)
            yield city


async def live(city: City, stack: AsyncExitStack, *, roads: int) -> None:
    clocks = await stack.enter_async_context(SandboxCity.open(operator(city)))
    committee = await stack.enter_async_context(SupervisionClient.open(city.home.client("committee")))
    office = await stack.enter_async_context(NoticeClient.open(city.home.client("procuratorate")))
    for _ in range(roads):
        await main_road(city, city.new_case())
    returned = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, returned.eid)
    await city.procuratorate.return_(returned.eid, [DefectView(code="evidence", article="刑诉88", item="1")])
    await city.settle(city.police, returned.eid, State.RETURNED)
    await city.say_header(city.header(), key=SealKey.generate())
    twin = city.header()
    await city.say_header(twin)
    await city.say_header(msgspec.structs.replace(twin, secrecy="internal"))
    late = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, late.eid)
    await city.quiet()
    await clocks.move(OVERDUE_AT)
    (draft, *_), _ = await committee.list(case_id=late.case_id)
    await committee.issue(draft.supervision_id, by="ZF0012", remark="请说明超期原因")
    await until_held(city, draft.supervision_id)
    await office.acknowledge(draft.supervision_id, by="620102A7")
    await office.explain(
        draft.supervision_id, by="620102A7", cause=Cause.HANDOVER, measures=[Measure.EXPEDITE], expected="2026-03-12",
        text="承办人交接，已确定新的承办人",
    )  # fmt: skip
    await city.quiet_bus()
    await done(city)


async def until_held(city: City, supervision: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not city.rows(PP, "SELECT 1 FROM matter WHERE supervision = ?", supervision):
            await asyncio.sleep(0.02)  # another process's commit has no event here


async def done(city: City) -> None:
    """Until nobody owes anything and all three witnesses have cosigned the log as it stands."""
    sql = (
        "SELECT (SELECT COUNT(*) FROM outbox WHERE done = 0) + (SELECT COUNT(DISTINCT witness) < 3 FROM log_cosignature"
        " WHERE size = (SELECT MAX(position) FROM log_entry))"
    )
    async with asyncio.timeout(PATIENCE):
        while True:
            with closing(opened(city)) as database:
                left = database.execute(sql).fetchone()[0]
            if not left:
                return
            await asyncio.sleep(0.05)  # foreign processes: looked at again, within bounds

"""Receipts that do not come, in a whole city: what the log tells of a node that is down and of an office that does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.admin.fsck import check
from services.admin.node import node_of
from tests.system.rig import PP, PS, City, whole_city
from tests.system.test_backup import quietly
from tests.system.test_clock_commands import clocks, log, node
from tests.system.test_supervision_survival import gateway_again
from tests.world import START
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import State
from xieban.marshal import moment
from xieban.sandbox_client import SandboxClient

pytestmark = pytest.mark.asyncio(loop_scope="session")
KIND = "arrest_request"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def own(tmp_path: Path) -> AsyncIterator[City]:
    """A city whose clocks may go where no other test expects them."""
    async with whole_city(tmp_path) as running:
        yield running


async def live(city: City, to: datetime, *, agency: Agency = Agency.GATEWAY) -> None:
    """Let a node live until then."""
    async with SandboxClient.open(node(city, agency)) as client:
        await client.advance(to)


def missing(city: City) -> list[tuple[datetime, str, str]]:
    """What the log says of receipts that did not come: when, kind, detail."""
    return [
        (moment(entry["recorded_at"]), entry["kind"], entry["detail"])
        for entry in log(city)
        if entry["kind"] in ("UNDELIVERED", "UNOPENED")
    ]


async def test_a_node_that_is_down_is_told_of_once_through_a_restart_and_its_answer_ends_it(own: City) -> None:
    back = START + 2 * HOUR
    await live(own, back, agency=PP)  # so that what it states on its return is of that time
    await own.node(PP).stop()
    sent = await own.police.send(own.draft(KIND))
    await own.quiet_bus()
    await live(own, START + 15 * MINUTE - timedelta(seconds=1))
    assert missing(own) == []
    await live(own, START + 15 * MINUTE)
    undelivered = [(START + 15 * MINUTE, "UNDELIVERED", KIND)]
    assert missing(own) == undelivered
    await own.stop_gateway()
    await own.start_gateway()
    await live(own, back)
    assert missing(own) == undelivered
    async with httpx.AsyncClient(base_url=own.home.page) as browser:
        assert "逾时无回执 1" in (await browser.get("/")).text
        assert "未送达" in (await browser.get(f"/cases/{sent.case_id}?purpose=routine")).text

    await own.node(PP).start()
    await own.arrive(own.procuratorate, sent.eid)
    await own.procuratorate.accept(sent.eid)
    await own.settle(own.police, sent.eid, State.ACCEPTED)
    await own.quiet()
    await live(own, START + 30 * 24 * HOUR)
    assert missing(own) == undelivered
    assert {entry["kind"] for entry in log(own)} >= {"DELIVERED", "COMPLETE", "ACCEPTED"}


@pytest.mark.parametrize("label", ["G1", "G2"])
@pytest.mark.parametrize("hour", [4, 24])
async def test_a_gateway_that_dies_while_it_tells_that_nobody_answers_tells_each_hour_once(
    own: City, label: str, hour: int
) -> None:
    sent = await own.police.send(own.draft(KIND))
    await own.arrive(own.procuratorate, sent.eid)
    await own.quiet()
    await live(own, START + hour * HOUR - timedelta(seconds=1))
    with own.crashing(label) as died, suppress(XiebanError):
        await live(own, START + 25 * HOUR)
    assert died.is_set()
    await gateway_again(own)
    await live(own, START + 25 * HOUR)
    assert missing(own) == [
        (START + 4 * HOUR, "UNOPENED", f"{KIND}:4"),
        (START + 24 * HOUR, "UNOPENED", f"{KIND}:24"),
    ]
    assert await clocks(own, PS, PP) == {START}
    gateway = own.home.node(Agency.GATEWAY) / "config.toml"
    assert check.node(node_of(gateway), tick=quietly).findings == []

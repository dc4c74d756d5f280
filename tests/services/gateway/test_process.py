"""The whole gateway over a real broker and real gRPC, beside real agencies or fed by a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.chassis import faults
from services.chassis.config import load
from services.chassis.lifecycle import Process
from services.gateway.app import GatewayConfig, serve
from tests.world import START, World, world
from xieban.agency import Agency, office
from xieban.client import OversightClient, Profile
from xieban.errors import Denied, InvalidInput, NotAllowed, NotFound
from xieban.handoff import State
from xieban.lookup import Purpose
from xieban.sandbox_client import SandboxClient
from xieban.views import ClockView, Draft, DueView

CASE = "A6201020000002026030001"
PATIENCE = 20.0
pytestmark = pytest.mark.e2e


@dataclass
class Running:
    """A city with its gateway, and the committee's and the operator's clients of it."""

    world: World
    process: Process
    committee: OversightClient
    operator: SandboxClient

    async def restart(self) -> None:
        await self.process.stack.aclose()
        self.process = await _start(self.world)


async def _start(city: World) -> Process:
    process = Process()
    await serve(process, load(city.home.node(Agency.GATEWAY) / "config.toml", GatewayConfig))
    return process


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with world(tmp_path, agencies=(Agency.POLICE, Agency.PROCURATORATE)) as city:
        profile = Profile.load(city.home.client("sandbox"))
        async with (
            OversightClient.open(city.home.client("committee")) as committee,
            SandboxClient.open(profile) as operator,
        ):
            made = Running(city, await _start(city), committee, operator)
            yield made
            await made.process.stack.aclose()


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; the other processes give no sign when they are done."""
    async with asyncio.timeout(PATIENCE):
        while not await question():
            await asyncio.sleep(0.02)


async def _reviewed(running: Running) -> str:
    """An arrest request on its way to acceptance; its eid."""
    sent = await running.world.police.send(running.world.draft("arrest_request", case=CASE))
    await running.world.arrive(running.world.procuratorate, sent.eid)
    await running.world.procuratorate.accept(sent.eid)

    async def seen() -> bool:
        try:
            timeline = await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)
        except NotFound:
            return False
        return timeline.handoffs[0].state is State.ACCEPTED and len(timeline.handoffs[0].receipts) == 3

    await until(seen)
    return sent.eid


async def test_a_handoff_between_agencies_is_seen_with_its_limit_and_the_limit_runs_out_on_the_way(
    running: Running,
) -> None:
    eid = await _reviewed(running)
    limit, detention = (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).limits
    assert (detention.rule, detention.person, detention.state) == ("detention_arrest_request", "P1", "met")
    assert (limit.rule, limit.state, limit.due, limit.in_custody) == (
        "arrest_review_custody",
        "running",
        "2026-03-09",
        True,
    )
    await running.operator.advance(START + timedelta(days=30))
    timeline = await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)
    assert [row.state for row in timeline.limits] == ["overdue", "met"]
    (overdue,) = [entry for entry in timeline.log if entry.kind == "OVERDUE"]
    assert overdue.recorded_at.astimezone(UTC) == datetime(2026, 3, 9, 16, 0, tzinfo=UTC)
    assert (overdue.eid, overdue.detail) == (eid, "arrest_review_custody")
    summary = await running.committee.summary()
    assert (summary.cases, summary.limits_overdue, summary.sandbox) == (1, 1, True)


async def test_every_outbox_is_finished_by_receipts_and_tickets(running: Running) -> None:
    await _reviewed(running)
    for agency in (Agency.POLICE, Agency.PROCURATORATE):
        home = running.world.home
        profile = replace(
            Profile.load(home.client("sandbox")),
            target=f"127.0.0.1:{home.ports.of(agency)}",
            server_name=f"xieban.{agency}",
        )
        async with SandboxClient.open(profile) as node:

            async def clear(node: SandboxClient = node) -> bool:
                return (await node.backlog()).clear

            await until(clear)
    assert (await running.operator.backlog()).clear


def _custody(**changes: Any) -> ClockView:
    values: dict[str, Any] = {"effect": "start", "rule": "inv_custody", "at": START - timedelta(days=1), "person": "P1"}
    return ClockView(**{**values, "document": "兰城公〔2026〕7号", **changes})


async def test_an_act_the_platform_cannot_see_is_registered_with_the_gateway_and_finished_by_its_ticket(
    running: Running,
) -> None:
    await _reviewed(running)
    world = running.world
    to = office(Agency.GATEWAY, "620100")

    def draft(**changes: Any) -> Draft:
        return replace(world.draft("limit_registration", case=CASE, acts=()), receiver=to, **changes)

    sent = await world.police.send(draft(clocks=(_custody(),)))
    assert sent.state is State.SENT

    async def seen() -> bool:
        limits = (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).limits
        return [limit.due for limit in limits if limit.rule == "inv_custody"] == ["2026-05-01"]

    await until(seen)
    profile = replace(
        Profile.load(world.home.client("sandbox")),
        target=f"127.0.0.1:{world.home.ports.of(Agency.POLICE)}",
        server_name="xieban.police",
    )
    async with SandboxClient.open(profile) as node:

        async def clear() -> bool:
            return (await node.backlog()).clear

        await until(clear)
    with pytest.raises(NotAllowed, match="XB-4005"):
        extended = _custody(effect="extend", by="court", kind="add", months=1, at=START)
        await world.police.send(draft(client_ref="文〔2026〕999号", clocks=(extended,)))
    assert [view.client_ref for view in (await world.police.list(case_id=CASE))[0]].count("文〔2026〕999号") == 0
    # What was refused left nothing behind: the same document number can be used for the act as it should be.
    granted = _custody(effect="extend", by="upper_procuratorate", kind="add", months=1, at=START)
    await world.police.send(draft(client_ref="文〔2026〕999号", clocks=(granted,)))

    async def moved() -> bool:
        limits = (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).limits
        return [limit.due for limit in limits if limit.rule == "inv_custody"] == ["2026-06-01"]

    await until(moved)


async def test_a_due_date_that_an_agency_system_states_is_told_beside_the_gateway_s_own(running: Running) -> None:
    world = running.world
    dues = (DueView("detention_arrest_request", "2026-03-06", "P1"),)
    sent = await world.police.send(replace(world.draft("arrest_request", case=CASE), dues=dues))

    async def seen() -> bool:
        try:
            return bool((await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).limits)
        except NotFound:
            return False

    await until(seen)
    timeline = await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)
    (limit,) = [limit for limit in timeline.limits if limit.rule == "detention_arrest_request"]
    (stated,) = limit.stated
    assert (limit.due, stated.due, stated.differs, stated.eid) == ("2026-03-05", "2026-03-06", True, sent.eid)
    assert stated.by == office(Agency.POLICE, "620102")
    assert [entry.detail for entry in timeline.log if entry.kind == "CLOCK_DIFFERS"] == [
        "detention_arrest_request:2026-03-06"
    ]


async def test_a_gateway_that_was_away_catches_up_and_repeats_nothing(running: Running) -> None:
    await running.process.stack.aclose()
    sent = await running.world.police.send(running.world.draft("arrest_request", case=CASE))
    await running.world.arrive(running.world.procuratorate, sent.eid)
    running.process = await _start(running.world)
    await running.world.procuratorate.accept(sent.eid)

    async def seen() -> bool:
        try:
            return (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).handoffs[0].state is State.ACCEPTED
        except NotFound:
            return False

    await until(seen)
    await running.restart()
    log = (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).log
    kinds = [entry.kind for entry in log if entry.kind != "LOOKUP"]
    assert sorted(kinds) == ["ACCEPTED", "CLOCK_START", "CLOCK_START", "CLOCK_STOP", "COMPLETE", "DELIVERED", "LODGED"]


@pytest.mark.parametrize("label", ["G1", "G2"])
async def test_a_batch_that_fails_at_a_fault_point_is_delivered_again(running: Running, label: str) -> None:
    def fail() -> None:
        raise RuntimeError("fault")

    faults.arm(label, action=fail)
    await _reviewed(running)
    log = (await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)).log
    kinds = [entry.kind for entry in log if entry.kind != "LOOKUP"]
    assert sorted(kinds) == ["ACCEPTED", "CLOCK_START", "CLOCK_START", "CLOCK_STOP", "COMPLETE", "DELIVERED", "LODGED"]


async def test_only_committee_and_operators_may_look_and_only_operators_may_move_the_clock(running: Running) -> None:
    home = running.world.home
    committee = Profile.load(home.client("committee"))
    police = replace(Profile.load(home.client("police")), target=committee.target, server_name=committee.server_name)
    async with OversightClient.open(police) as outsider:
        for call in (
            outsider.summary(),
            outsider.cases(),
            outsider.limits(),
            outsider.timeline(CASE, purpose=Purpose.ROUTINE),
        ):
            with pytest.raises(Denied, match="XB-5001"):
                await call
    async with SandboxClient.open(committee) as curious:
        with pytest.raises(Denied, match="XB-5001"):
            await curious.advance(START + timedelta(days=1))
    sandbox = Profile.load(home.client("sandbox"))
    async with OversightClient.open(replace(committee, certificate=sandbox.certificate, key=sandbox.key)) as operator:
        assert (await operator.summary()).cases == 0


async def test_wrong_questions_get_coded_answers(running: Running) -> None:
    with pytest.raises(NotFound, match="XB-2009"):
        await running.committee.timeline(CASE, purpose=Purpose.ROUTINE)
    with pytest.raises(InvalidInput, match="XB-1001"):
        await running.committee.timeline("<script>", purpose=Purpose.ROUTINE)
    with pytest.raises(InvalidInput, match="XB-1001"):
        await running.committee.limits(state="late?")
    with pytest.raises(InvalidInput, match="XB-1001"):
        await running.operator.advance(START - timedelta(days=1))


async def test_the_page_is_served_by_the_same_process(running: Running) -> None:
    await _reviewed(running)
    async with httpx.AsyncClient(base_url=running.world.home.page) as browser:
        assert CASE in (await browser.get("/")).text
        assert "审查批准逮捕" in (await browser.get(f"/cases/{CASE}?purpose=routine")).text

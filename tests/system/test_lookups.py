"""Looking at a case: no purpose, no case; each look is in the log before it is answered, and the agencies of the case can read it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import httpx
import pytest
import pytest_asyncio

from tests.library.test_cli import xieban
from tests.system.rig import CT, PP, PS, City, channel, main_road
from tests.system.test_clock_commands import log
from xieban.agency import Agency
from xieban.client import OversightClient, Profile
from xieban.errors import InvalidInput, NotFound, Reason
from xieban.lookup import PURPOSE_NAMES, Purpose
from xieban.lookup_views import PURPOSES
from xieban.notice_client import SupervisionClient
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import oversight_pb2, oversight_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def case(city: City) -> str:
    made = city.new_case()
    await main_road(city, made)
    await city.quiet()
    return made


@asynccontextmanager
async def committee(city: City) -> AsyncIterator[OversightClient]:
    async with OversightClient.open(city.home.client("committee")) as client:
        yield client


@asynccontextmanager
async def party(city: City, agency: Agency) -> AsyncIterator[OversightClient]:
    async with OversightClient.open(Profile.load(city.home.client(agency)).at_gateway()) as client:
        yield client


def looked(city: City, case: str) -> list[str]:
    return [str(entry["detail"]) for entry in log(city) if (entry["kind"], entry["case_id"]) == ("LOOKUP", case)]


async def test_every_look_at_a_case_is_logged_with_its_purpose_who_looked_and_the_officer(
    city: City, case: str
) -> None:
    async with committee(city) as client:
        seen = await client.timeline(case, purpose=Purpose.PETITION, officer="ZF0012")
        assert [entry.detail for entry in seen.log if entry.kind == "LOOKUP"] == ["petition:gateway/committee:ZF0012"]
        now = (await client.summary()).now
        await client.forecast(until=now, case_id=case, purpose=Purpose.STATISTICS)
    assert looked(city, case) == ["petition:gateway/committee:ZF0012", "statistics:gateway/committee:"]


async def test_lists_and_counts_are_no_look_at_a_case(city: City, case: str) -> None:
    async with committee(city) as client:
        before = len(log(city))
        await client.summary()
        await client.cases()
        await client.limits()
        await client.log()
        await client.forecast(until=(await client.summary()).now)
    assert (looked(city, case), len(log(city))) == ([], before)


@pytest.mark.parametrize("purpose", [0, 99])
async def test_without_a_purpose_of_the_closed_set_nothing_is_shown_and_nothing_logged(
    city: City, case: str, purpose: Any
) -> None:
    async with channel(city, city.home.client("committee"), to=Agency.GATEWAY) as wire:
        stub: Any = oversight_pb2_grpc.OversightServiceStub(wire)
        for call in (
            stub.GetTimeline(oversight_pb2.GetTimelineRequest(case_id=case, purpose=purpose)),
            stub.ForecastLimits(oversight_pb2.ForecastLimitsRequest(case_id=case, purpose=purpose)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert error_from_rpc(caught.value).reason is Reason.PURPOSE_MISSING
    assert looked(city, case) == []


async def test_a_name_is_no_officer_number_and_a_case_that_is_not_there_leaves_no_entry(city: City, case: str) -> None:
    async with committee(city) as client:
        with pytest.raises(InvalidInput, match="XB-1001"):
            await client.timeline(case, purpose=Purpose.ROUTINE, officer="张某")
        with pytest.raises(NotFound, match="XB-2009"):
            await client.timeline("A6299999999999999999999", purpose=Purpose.ROUTINE)
    assert looked(city, case) == looked(city, "A6299999999999999999999") == []


async def test_looking_at_a_supervision_is_looking_at_its_case(city: City, case: str) -> None:
    async with SupervisionClient.open(city.home.client("committee")) as client:
        with pytest.raises(NotFound, match="XB-7002"):
            await client.get("2026-999")
    assert looked(city, case) == []


async def test_the_page_asks_for_the_purpose_first_and_says_it_is_logged(city: City, case: str) -> None:
    address = city.home.page
    async with httpx.AsyncClient(base_url=address, trust_env=False) as browser:
        form = (await browser.get(f"/cases/{case}")).text
        assert [name for name in PURPOSE_NAMES.values() if name not in form] == []
        assert "记入监督日志" in form
        assert "流转时间线" not in form
        assert looked(city, case) == []
        page = (await browser.get(f"/cases/{case}", params={"purpose": "inspection", "officer": "ZF0012"})).text
        assert "流转时间线" in page
        assert "专项检查 · 监督页面 · 工号 ZF0012" in page
        wrong = await browser.get(f"/cases/{case}", params={"purpose": "curiosity"})
        assert (wrong.status_code, "XB-7007" in wrong.text) == (400, True)
    assert looked(city, case) == ["inspection:gateway/page:ZF0012"]


async def test_the_agencies_of_the_case_read_who_looked_newest_first_and_nobody_else_does(
    city: City, case: str
) -> None:
    async with committee(city) as client:
        for why in (Purpose.ROUTINE, Purpose.PETITION):
            await client.timeline(case, purpose=why, officer="ZF0012")
        own, _ = await client.lookups(case)
    for agency in (PS, PP):
        async with party(city, agency) as client:
            found, token = await client.lookups(case)
            assert ([row.purpose for row in found], token) == ([Purpose.PETITION, Purpose.ROUTINE], "")
            assert (found[0].caller, found[0].officer, found) == ("gateway/committee", "ZF0012", own)
            with pytest.raises(NotFound, match="XB-2009"):
                await client.lookups("A6299999999999999999999")
    async with party(city, CT) as client:  # it has had nothing of this case
        with pytest.raises(NotFound, match="XB-2009"):
            await client.lookups(case)


async def test_the_commands_of_committee_and_agency(city: City, case: str) -> None:
    profile = city.home.client("committee")
    refused = await xieban("limits", "list", "--case", case, profile=profile)
    assert refused.code == 1
    assert "XB-7007" in refused.err
    shown = await xieban(
        "limits", "list", "--case", case, "--purpose", "routine", "--officer", "ZF0012", profile=profile
    )
    assert shown.code == 0
    told = await xieban("case", "lookups", case, profile=city.home.client("police"))
    assert "日常监督" in told.out
    assert "政法委系统" in told.out
    told = await xieban("case", "lookups", case, "--json", profile=city.home.client("police"))
    assert [row["purpose"] for row in json.loads(told.out)["lookups"]] == ["routine"]


async def test_the_wire_knows_every_purpose_and_no_other(city: City) -> None:
    assert set(PURPOSES.values()) == set(oversight_pb2.LookupPurpose.values()) - {0}

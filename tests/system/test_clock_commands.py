"""`xieban clock` against a running city: what is shown, what is refused, and that the dry run comes true to the letter."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from services.agency.app import AgencyConfig
from services.agency.app import serve as serve_agency
from services.chassis import faults
from services.chassis.config import load
from services.chassis.lifecycle import Process
from services.gateway.app import GatewayConfig
from services.gateway.app import serve as serve_gateway
from tests.library.test_cli import xieban
from tests.system.rig import PP, PS, City, main_road, whole_city
from tests.world import RULEBOOKS, START, World, world
from xieban.agency import PARTIES, Agency
from xieban.client import OversightClient, Profile, everything
from xieban.errors import Denied, InvalidInput, NotFound
from xieban.lookup import Purpose
from xieban.marshal import moment
from xieban.sandbox_client import SandboxClient
from xieban.wire.v1 import sandbox_pb2, sandbox_pb2_grpc

NODES = (*PARTIES, Agency.GATEWAY)
BEGIN = "2026-03-02T09:00:00+08:00"
MONTH = timedelta(days=30)
BROUGHT_BY_TIME = ("CLOCK_WARN", "OVERDUE", "CLOCK_LAPSED")


pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def own(tmp_path: Path) -> AsyncIterator[City]:
    """A city whose clocks may go where no other test expects them."""
    async with whole_city(tmp_path) as running:
        yield running


def operator(city: City | World) -> Path:
    return city.home.client("sandbox")


async def two_cases(city: City) -> tuple[str, str]:
    """One that goes the main road, and one that nobody takes any further; everything is settled."""
    road, left = city.new_case(), city.new_case()
    await main_road(city, road)
    sent = await city.police.send(city.draft("arrest_request", case=left))
    await city.arrive(city.procuratorate, sent.eid)
    await city.quiet()
    return road, left


def opened(city: City) -> sqlite3.Connection:
    """The gateway's database, to look into."""
    database = sqlite3.connect(f"{(city.home.node(Agency.GATEWAY) / 'data.db').as_uri()}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    return database


def log(city: City) -> list[dict[str, Any]]:
    with closing(opened(city)) as database:
        return [dict(row) for row in database.execute("SELECT * FROM log_entry ORDER BY position")]


def everything_in(city: City) -> list[str]:
    """Every row of the gateway's; but roots are signed and cosigned every few seconds, whoever asks for what."""
    with closing(opened(city)) as database:
        signed = ('INSERT INTO "log_checkpoint"', 'INSERT INTO "log_cosignature"')
        return [line for line in database.iterdump() if not line.startswith(signed)]


async def clocks(city: City | World, *agencies: Agency) -> set[datetime]:
    found = set()
    for agency in agencies or NODES:
        async with SandboxClient.open(node(city, agency)) as client:
            found.add(await client.clock())
    return found


def node(city: City | World, agency: Agency) -> Profile:
    home = city.home
    way = Profile.load(operator(city))
    return replace(way, target=f"127.0.0.1:{home.ports.of(agency)}", server_name=f"xieban.{agency}")


async def test_the_clock_of_every_node_is_shown_with_its_distance_from_real_time(city: City) -> None:
    shown, told = await asyncio.gather(
        xieban("clock", "show", profile=operator(city)), xieban("clock", "show", "--json", profile=operator(city))
    )
    assert (shown.code, told.code) == (0, 0), shown.err
    assert [line.split()[:3] for line in shown.out.splitlines()[1:5]] == [
        [name, BEGIN, "冻结"] for name in ("公安节点", "检察节点", "法院节点", "监督网关")
    ]
    assert shown.out.splitlines()[5] == "各节点时间一致"
    clock = told.json["clock"]
    assert clock["agree"] is True
    for row in clock["nodes"]:
        distance = datetime.fromisoformat(row["now"]) - datetime.fromisoformat(row["machine_now"])
        assert row["offset_seconds"] == distance.total_seconds()
        assert row["frozen"] is True


async def test_clocks_that_differ_are_shown_as_such_and_the_next_advance_brings_them_together_first(
    own: City,
) -> None:
    ahead = START + timedelta(days=2)
    async with SandboxClient.open(node(own, PS)) as police:
        await police.advance(ahead)
    shown = await xieban("clock", "show", profile=operator(own))
    assert [line.split("  ")[-1].strip() for line in shown.out.splitlines()[1:5]] == ["一致", *["落后 2天"] * 3]
    assert "各节点时间不一致；对齐：xieban clock set 2026-03-04T09:00:00+08:00" in shown.out
    moved = await xieban("clock", "advance", "5d", profile=operator(own))
    assert moved.code == 0, moved.err
    assert "上一次推进没有完成" in moved.out
    assert await clocks(own) == {ahead}
    moved = await xieban("clock", "advance", "5d", profile=operator(own))
    assert "上一次" not in moved.out
    assert await clocks(own) == {ahead + timedelta(days=5)}


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("set", "2026-03-05T09:00:00"), "必须带时区"),
    (("set", "2026-03-02T08:59:59+08:00"), f"只能前进，当前为 {BEGIN}"),
    (("set", "yesterday"), "不能识别"),
    (("advance", "0d"), "须大于零"),
    (("advance", "3 weeks"), "不能识别"),
    (("timeline", "--until", "2026-03-01T09:00:00+08:00"), f"不能早于网关的当前时间 {BEGIN}"),
    (("timeline", "--until", "2026-05-01T09:00:00"), "必须带时区"),
    (("timeline", "--until", "2026-05-01T09:00:00+08:00", "--for", "3d"), "不能与 --for 同时给出"),
]


async def test_a_time_that_cannot_be_is_refused_and_no_clock_moves(city: City) -> None:
    answers = await asyncio.gather(*(xieban("clock", *arguments, profile=operator(city)) for arguments, _ in REFUSED))
    for (arguments, words), ran in zip(REFUSED, answers, strict=True):
        assert (ran.code, ran.out) == (1, ""), arguments
        assert "XB-1001" in ran.err, arguments
        assert words in ran.err, arguments
    assert await clocks(city) == {START}


async def test_a_dry_run_records_nothing_and_moving_the_clock_then_fires_exactly_what_it_said(own: City) -> None:
    road, left = await two_cases(own)
    before, log_before = everything_in(own), log(own)
    shown, told = (
        await xieban("clock", "timeline", "--for", "30d", profile=operator(own)),
        await xieban("clock", "timeline", "--until", "2026-04-01T09:00:00+08:00", "--json", profile=operator(own)),
    )
    assert (shown.code, told.code) == (0, 0), shown.err + told.err
    assert log(own) == log_before
    assert everything_in(own) == before
    assert await clocks(own) == {START}

    entries = told.json["forecast"]["entries"]
    assert {entry["limit"]["case_id"] for entry in entries} == {road, left}
    assert {entry["kind"] for entry in entries} >= {"CLOCK_WARN", "OVERDUE"}
    assert shown.out.rstrip().endswith(f"共 {len(entries)} 项")
    row = next(line for line in shown.out.splitlines() if left in line and "超期" in line)
    assert "审查批准逮捕" in row
    assert "2026-03-09" in row
    assert "1 超期羁押" in row
    assert "兰州市城关区人民检察院" in row

    moved = await xieban("clock", "advance", "30d", profile=operator(own))
    assert moved.code == 0, moved.err
    fired = [entry for entry in log(own)[len(log_before) :] if entry["kind"] in BROUGHT_BY_TIME]
    assert [(moment(e["recorded_at"]), e["kind"], e["detail"], e["case_id"]) for e in fired] == [
        (
            datetime.fromisoformat(e["due_at"]), e["kind"],
            ":".join(filter(None, (e["limit"]["rule"], e["rung"]))), e["limit"]["case_id"],
        )
        for e in entries
    ]  # fmt: skip
    besides = [entry for entry in log(own)[len(log_before) :] if entry not in fired]
    # What the offices are told of it, that nobody opened what is left, and nothing else.
    assert {entry["kind"] for entry in besides} == {"NOTICE", "SUPERVISION", "UNOPENED"}
    lines = [line for line in moved.out.splitlines() if road in line or left in line]
    assert len(lines) == len(entries)
    assert f"预警 {sum(e['kind'] == 'CLOCK_WARN' for e in entries)} 次" in moved.out
    assert "50%  沙箱时间 2026-03-17 09:00" in moved.out
    assert await clocks(own) == {START + MONTH}
    assert (
        await xieban("clock", "timeline", "--for", "30d", "--case", left, "--purpose", "routine", profile=operator(own))
    ).code == 0
    again = await xieban("clock", "set", "2026-04-01T09:00:00+08:00", profile=operator(own))
    assert (again.code, again.out) == (0, "各节点已经是 2026-04-01T09:00:00+08:00，没有改动\n")


async def test_a_dry_run_of_one_case_is_that_case_alone_and_the_committee_may_ask_for_it_too(city: City) -> None:
    road, left = await two_cases(city)
    async with OversightClient.open(city.home.client("committee")) as committee:
        until = START + MONTH
        whole = await everything(lambda page: committee.forecast(page, until=until), size=2)
        mine, _ = await committee.forecast(until=until, case_id=left, purpose=Purpose.ROUTINE)
        assert mine == tuple(entry for entry in whole if entry.limit.case_id == left)
        assert {entry.limit.case_id for entry in whole} >= {road, left}
        with pytest.raises(NotFound, match="XB-2009"):
            await committee.forecast(until=until, case_id="A6299999999999999999999", purpose=Purpose.ROUTINE)
        with pytest.raises(InvalidInput, match="XB-1001"):
            await committee.forecast(until=START - timedelta(seconds=1))
    police = Profile.load(city.home.client("police"))
    gateway = Profile.load(city.home.client("committee"))
    async with OversightClient.open(replace(police, target=gateway.target, server_name="xieban.gateway")) as outsider:
        for call in (outsider.forecast(until=until), outsider.log()):
            with pytest.raises(Denied, match="XB-5001"):
                await call


# Whoever started the tests in the background has made every process below deaf to Ctrl-C.
HEARS_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from xieban.cli import main
main()
"""


async def test_an_advance_that_is_interrupted_is_finished_by_the_same_command_and_fires_nothing_twice(
    own: City,
) -> None:
    _, left = await two_cases(own)
    log_before = log(own)
    told = await xieban("clock", "timeline", "--for", "30d", "--json", profile=operator(own))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HEARS_INTERRUPTS, "clock", "advance", "30d",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XIEBAN_PROFILE": str(operator(own))},
    )  # fmt: skip
    # Ctrl-C at the very moment at which the gateway records the first that time brings.
    faults.arm("G1", action=lambda: os.kill(process.pid, signal.SIGINT))
    out, err = await process.communicate()
    assert process.returncode == 130, out + err
    assert "xieban clock set 2026-04-01T09:00:00+08:00" in err.decode()
    assert await clocks(own, *PARTIES) == {START + MONTH}
    assert max(await clocks(own, Agency.GATEWAY)) < START + MONTH

    again = await xieban("clock", "advance", "30d", profile=operator(own))
    assert again.code == 0, again.err
    assert "上一次推进没有完成" in again.out
    assert await clocks(own) == {START + MONTH}
    fired = [(e["kind"], e["case_id"], e["detail"]) for e in log(own)[len(log_before) :]]
    assert len(fired) == len(set(fired))
    by_time = [kind for kind, _, _ in fired if kind in BROUGHT_BY_TIME]
    assert len(by_time) == len(told.json["forecast"]["entries"])
    assert ("OVERDUE", left, "arrest_review_custody") in fired


async def test_on_a_terminal_a_bar_runs_and_what_fired_stands_above_it(own: City) -> None:
    _, left = await two_cases(own)
    reader, writer = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from xieban.cli import main; main()", "clock", "advance", "10d",
        stdin=asyncio.subprocess.DEVNULL, stdout=writer, stderr=writer,
        env={**os.environ, "XIEBAN_PROFILE": str(operator(own)), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(writer)
    seen = bytearray()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take() -> None:
        try:
            seen.extend(os.read(reader, 65536))
        except OSError:  # how a terminal says that nobody writes any more
            loop.remove_reader(reader)
            ended.set()

    loop.add_reader(reader, take)
    assert await process.wait() == 0, seen.decode()
    await ended.wait()
    os.close(reader)
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "━" in screen
    assert "100%" in screen
    assert "25%  沙箱时间" not in screen
    assert re.search(rf"2026-03-10 00:00  ■ 超期  .*  {left}", screen)


async def test_when_a_node_does_not_answer_it_is_shown_and_no_clock_moves(own: City) -> None:
    await own.node(PP).stop()
    shown, moved = await asyncio.gather(
        xieban("clock", "show", profile=operator(own)), xieban("clock", "advance", "3d", profile=operator(own))
    )
    assert shown.code == 0
    assert "检察节点  —                          没有应答" in shown.out
    assert "各节点时间一致" not in shown.out
    assert moved.code == 1
    assert "XB-5002" in moved.err
    assert await clocks(own, PS, Agency.COURT, Agency.GATEWAY) == {START}


async def test_while_a_dossier_is_awaited_no_clock_moves_and_the_node_that_waits_is_named(own: City) -> None:
    await own.say_header(own.header())  # its dossier exists nowhere
    await own.quiet_bus()
    moved = await xieban("clock", "advance", "3d", "--patience", "1", profile=operator(own))
    assert moved.code == 1
    assert "XB-5002" in moved.err
    assert "检察节点有 0 份未收讫、1 份未收齐，1 秒没有进展" in moved.err
    assert await clocks(own) == {START}


async def test_only_the_operators_certificate_opens_the_clocks(city: City) -> None:
    commands = (("show",), ("set", "2026-04-01T09:00:00+08:00"), ("advance", "3d"))
    runs = [
        xieban("clock", *line, profile=city.home.client(who)) for who in ("committee", "police") for line in commands
    ]
    assert [(ran.code, "XB-5001" in ran.err) for ran in await asyncio.gather(*runs)] == [(1, True)] * 6
    assert await clocks(city) == {START}


async def test_without_the_profiles_of_all_nodes_clocks_are_shown_and_not_moved(city: City, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "sandbox"
    alone.mkdir(parents=True)
    for file in operator(city).iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    shown, moved = await asyncio.gather(
        xieban("clock", "show", profile=alone), xieban("clock", "advance", "3d", profile=alone)
    )
    assert shown.code == 0
    assert "没有接口配置的节点：公安节点、检察节点、法院节点" in shown.out
    assert (moved.code, "XB-6002" in moved.err) == (1, True)
    assert await clocks(city) == {START}


def as_production(home: Any, agency: Agency) -> Path:
    """The node's configuration without its sandbox."""
    file: Path = home.node(agency) / "config.toml"
    file.write_text(file.read_text(encoding="utf-8").partition("[sandbox]")[0], encoding="utf-8")
    return file


@pytest_asyncio.fixture(loop_scope="session")
async def production(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and three agencies whose configuration says nothing of a sandbox."""
    async with world(tmp_path, agencies=()) as city:
        process = Process()
        for agency in PARTIES:
            await serve_agency(process, RULEBOOKS[agency], load(as_production(city.home, agency), AgencyConfig))
        await serve_gateway(process, load(as_production(city.home, Agency.GATEWAY), GatewayConfig))
        yield city
        await process.stack.aclose()


async def test_in_production_there_is_no_clock_service_and_the_command_says_so(production: World) -> None:
    for agency in NODES:
        async with node(production, agency).channel() as way:
            stub = sandbox_pb2_grpc.SandboxServiceStub(way)
            calls: list[tuple[Any, Any]] = [
                (stub.GetClock, sandbox_pb2.GetClockRequest()),
                (stub.AdvanceClock, sandbox_pb2.AdvanceClockRequest()),
                (stub.GetBacklog, sandbox_pb2.GetBacklogRequest()),
            ]
            for method, request in calls:
                with pytest.raises(grpc.aio.AioRpcError) as unknown:
                    await method(request, timeout=10)
                assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    commands = (("show",), ("show", "--json"), ("set", "2099-01-01T00:00:00+08:00"), ("advance", "3d"))
    for ran in await asyncio.gather(*(xieban("clock", *line, profile=operator(production)) for line in commands)):
        assert (ran.code, ran.out) == (1, "")
        assert "原因：模拟时钟只能在沙箱中使用" in ran.err
        assert "XB-5007" in ran.err


async def test_in_production_the_dry_run_works_because_it_only_reads(production: World) -> None:
    ran = await xieban("clock", "timeline", profile=production.home.client("committee"))
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1] == "没有预警，也没有超期"


async def test_in_a_city_with_one_production_node_that_node_is_shown_and_nothing_is_moved(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        process = Process()
        await serve_gateway(process, load(as_production(city.home, Agency.GATEWAY), GatewayConfig))
        try:
            shown = await xieban("clock", "show", profile=operator(city))
            moved = await xieban("clock", "advance", "3d", profile=operator(city))
        finally:
            await process.stack.aclose()
        assert "监督网关  —                          正式环境，系统时钟" in shown.out
        assert (moved.code, "XB-5007" in moved.err) == (1, True)
        assert await clocks(city, *PARTIES) == {START}

"""Warnings as they are recorded: each rung once for each date, through crashes, jumps of the clock, extensions and restarts."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.chassis import faults, telemetry
from services.chassis.clock import SandboxClock
from services.chassis.database import Database
from services.gateway.app import MIGRATIONS
from services.gateway.clocks import DEFAULT
from services.gateway.follow import Follower
from services.gateway.recalculate import recalculate
from services.gateway.reckoning import Reckoner
from services.gateway.watch import Watch
from tests.services.gateway.conftest import Gateway, gateway_at
from tests.services.gateway.script import Script, at, clock
from tests.services.gateway.test_clock_acts import CASE, PP, fifteen_days, only, review
from xieban.marshal import moment
from xieban.timelimits import Calendar, read_overlay

POLICE = "police"


class Crash(BaseException):
    """The end of a process at a fault point."""


def crash() -> None:
    raise Crash


async def warnings(gateway: Gateway) -> list[str]:
    """What was told of limits by the passing of time, with what was taken back."""
    told = ("CLOCK_WARN", "CLOCK_WARN_LIFTED", "OVERDUE", "CLOCK_LAPSED")
    return [f"{entry.kind} {entry.detail.rpartition(':')[2]}" for entry in await gateway.log() if entry.kind in told]


async def test_a_crash_in_the_middle_of_a_round_neither_loses_nor_repeats_a_warning(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-10 09:00")
    faults.arm("G1", action=crash)
    with pytest.raises(Crash):
        await gateway.watch.round()
    assert await warnings(gateway) == []
    assert (await gateway.watch.round(), await gateway.watch.round()) == (3, 0)
    assert await warnings(gateway) == ["CLOCK_WARN yellow", "CLOCK_WARN red", "OVERDUE prosecution_review"]


async def test_a_warning_given_twice_for_one_date_would_break_the_transaction(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-01 09:00")
    await gateway.watch.round()
    with pytest.raises(sqlite3.IntegrityError):
        await gateway.run("INSERT INTO limit_rung SELECT * FROM limit_rung")


async def test_an_extension_takes_warnings_back_and_they_are_given_anew_for_the_new_date(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    await gateway.watch.round()
    assert (await only(gateway, "prosecution_review")).rungs_warned == ("red", "yellow")
    gateway.script.register(CASE, PP, "2026-04-02 10:00", fifteen_days("2026-04-02 10:00"))
    await gateway.take(gateway.script.messages[-1:])
    assert (await only(gateway, "prosecution_review")).rungs_warned == ()
    gateway.now_is("2026-04-17 09:00")
    await gateway.watch.round()
    assert await warnings(gateway) == [
        "CLOCK_WARN yellow", "CLOCK_WARN red", "CLOCK_WARN_LIFTED red", "CLOCK_WARN_LIFTED yellow",
        "CLOCK_WARN yellow", "CLOCK_WARN red",
    ]  # fmt: skip


async def test_a_warning_stands_when_more_is_heard_of_the_case(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    await gateway.watch.round()
    gateway.script.send(CASE, "evidence_supply_request", PP, POLICE, "2026-04-02 09:00", stage="S20_prosecution_review")
    await gateway.take(gateway.script.messages[-1:])
    (row,) = await gateway.rows("SELECT urgency, next_at FROM limit_clock")
    assert (row["urgency"], row["next_at"]) == (0, at("2026-04-03 00:00"))


async def test_a_limit_that_is_void_for_a_while_does_not_warn_again_for_the_same_date(gateway: Gateway) -> None:
    script = gateway.script
    eid = script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    script.receipt(PP, POLICE, [(eid, "delivered", "2026-03-02 09:00")])
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    await gateway.watch.round()
    await gateway.run("DELETE FROM limit_clock")
    script.receipt(PP, POLICE, [(eid, "complete", "2026-03-02 09:10")])
    await gateway.take(script.messages[-1:])
    assert await gateway.watch.round() == 0
    assert await warnings(gateway) == ["CLOCK_WARN yellow", "CLOCK_WARN red"]


async def test_a_sandbox_that_lives_through_a_month_stops_at_every_rung(gateway: Gateway, tmp_path: Path) -> None:
    review(gateway.script)
    await gateway.take()
    sandbox = SandboxClock(tmp_path / "clock", start=moment(at("2026-03-02 09:00")))
    watch = Watch(gateway.database, clock=sandbox, quiet_for=gateway.ingest.quiet_for)
    await watch.advance(sandbox, moment(at("2026-05-01 00:00")))
    recorded = [
        moment(e.recorded_at).astimezone(None) for e in await gateway.log() if e.kind in ("CLOCK_WARN", "OVERDUE")
    ]
    ends = moment(at("2026-04-03 00:00"))
    length = ends - moment(at("2026-03-02 09:00"))
    assert recorded == [ends - length / 5, ends - length / 20, ends]


async def test_what_a_crash_left_untold_is_told_before_the_clock_of_a_sandbox_moves_on(
    gateway: Gateway, tmp_path: Path
) -> None:
    review(gateway.script)
    await gateway.take()
    sandbox = SandboxClock(tmp_path / "clock", start=moment(at("2026-03-02 09:00")))
    watch = Watch(gateway.database, clock=sandbox, quiet_for=gateway.ingest.quiet_for, desk=gateway.watch._desk)
    faults.arm("G2", action=crash)  # recorded, and not told yet
    with pytest.raises(Crash):
        await watch.advance(sandbox, moment(at("2026-05-01 00:00")))
    await watch.advance(sandbox, moment(at("2026-05-01 00:00")))
    told = [row["sent_at"] for row in await gateway.rows("SELECT sent_at FROM notice ORDER BY sent_at")]
    assert told == [e.recorded_at for e in await gateway.log() if e.kind in ("CLOCK_WARN", "OVERDUE")]


async def test_lateness_is_measured_from_the_moment_a_warning_was_due(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(telemetry, "meter", MeterProvider(metric_readers=[reader]).get_meter)
    watch = Watch(gateway.database, clock=gateway.clock, quiet_for=gateway.ingest.quiet_for)
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-03 00:00:07")
    await watch.round()
    data: Any = reader.get_metrics_data()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    points = {point.attributes["kind"]: point for point in metric.data.data_points}
    assert (metric.name, metric.unit, points["CLOCK_WARN"].count) == ("xieban.gateway.lateness", "s", 2)
    assert (points["OVERDUE"].count, points["OVERDUE"].max) == (1, 7.0)


async def test_the_overview_puts_people_held_too_long_first_and_then_warnings(gateway: Gateway) -> None:
    script = gateway.script
    for case, acts in (("A6211", []), ("A6212", [("detained", "2026-01-02 09:00")]), ("A6213", [])):
        sent = script.send(case, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00", acts=acts)
        script.settle(sent, PP, POLICE, "2026-01-05 09:10")
    for case, day in (("A6214", "25"), ("A6215", "10"), ("A6216", "18")):
        sent = script.send(case, "prosecution_transfer", POLICE, PP, f"2026-01-{day} 09:00")
        script.settle(sent, PP, POLICE, f"2026-01-{day} 09:10")
    await gateway.take()
    gateway.now_is("2026-02-09 12:00")
    await gateway.watch.round()
    overview = await gateway.reading.overview(rows=12)
    assert [(limit.case_id, limit.severity) for limit in overview.overdue] == [("A6212", 1), ("A6211", 3), ("A6213", 3)]
    assert (overview.due_next[0].case_id, overview.due_next[0].urgency) == ("A6215", 0)
    assert [limit.urgency for limit in overview.due_next] == sorted(limit.urgency for limit in overview.due_next)


FILE = """
version = "国办发明电〔2026〕9号"
[[year]]
year = 2027
days_off = ["2027-01-01..2027-01-03", "2027-02-05..2027-02-11"]
working_days = ["2027-02-14"]
"""


async def test_when_the_holidays_of_a_year_are_published_running_limits_are_recalculated_once_and_it_is_logged(
    tmp_path: Path,
) -> None:
    script = Script()
    review(script, when="2027-01-09 09:00")
    unmoved = script.send("A6299", "prosecution_transfer", POLICE, PP, "2027-02-10 09:00")
    script.settle(unmoved, PP, POLICE, "2027-02-10 09:00")
    gateway, database = await gateway_at(tmp_path / "gateway.db", script, now="2027-01-10 09:00")
    async with database:
        await gateway.take()
        limit = await only(gateway, "prosecution_review")
        assert (limit.due, limit.provisional) == ("2027-02-09", True)
        reckoner = Reckoner(Calendar.published().overlaid(read_overlay(FILE, name="2027.toml")))
        follower = Follower(reckoner, DEFAULT)
        assert await recalculate(database, follower, clock=gateway.clock) == 2
        limit = await only(gateway, "prosecution_review")
        assert (limit.due, limit.provisional, limit.calendar) == ("2027-02-12", False, reckoner.version)
        changes = [entry.detail for entry in await gateway.log() if entry.kind == "CLOCK_CHANGE"]
        assert changes == [f"prosecution_review:{reckoner.version}"]
        assert "国办发明电〔2026〕9号" in changes[0]
        assert await recalculate(database, follower, clock=gateway.clock) == 0


async def test_a_recalculation_that_was_cut_off_is_begun_again_whatever_calendar_comes_next(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    follower = Follower(Reckoner(), DEFAULT)
    assert await recalculate(gateway.database, follower, clock=gateway.clock) == 0
    # Another calendar was tried, and the process died before it was through.
    await gateway.run("UPDATE node SET value = '' WHERE name = 'calendar'")
    await gateway.run("UPDATE limit_clock SET calendar = 'tried'")
    assert await recalculate(gateway.database, follower, clock=gateway.clock) == 1
    assert (await only(gateway, "prosecution_review")).calendar == follower.calendar


async def test_a_database_of_the_older_form_gets_ledgers_and_rungs_at_the_next_start(tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(MIGRATIONS, older, ignore=shutil.ignore_patterns("000[2-9]*", "00[1-9]*", "__pycache__"))
    script = Script()
    review(script)
    gateway, database = await gateway_at(tmp_path / "new.db", script, now="2026-03-02 10:00")
    async with database:
        await gateway.take()
    path = tmp_path / "old.db"
    async with await Database.open(path, migrations=older):
        pass
    with closing(sqlite3.connect(path)) as old:
        old.execute("ATTACH DATABASE ? AS new", (str(tmp_path / "new.db"),))
        for table in ("statement", "receipt_fact", "case_file", "log_entry"):
            old.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
        for table in ("handoff", "limit_clock"):
            columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        old.commit()
    gateway, database = await gateway_at(path, script, now="2026-03-02 10:00")
    async with database:
        before = await only(gateway, "prosecution_review")
        assert await recalculate(database, Follower(Reckoner(), DEFAULT), clock=gateway.clock) == 1
        after = await only(gateway, "prosecution_review")
        assert (before.calendar, after.due, after.consequence, after.severity) == ("", "2026-04-02", "M2", 3)
        assert (await gateway.kinds()).count("CLOCK_CHANGE") == 0
        timeline = await gateway.reading.timeline(CASE)
        assert [line.touch.kind for line in timeline.ledgers[after.key]] == ["start"]
        gateway.now_is("2026-03-31 09:00")
        await gateway.watch.round()
        assert await warnings(gateway) == ["CLOCK_WARN yellow"]


def test_the_script_states_a_clock_act_with_its_document() -> None:
    assert clock("start", "inv_custody", "2026-01-05 09:00").document == "兰城公〔2026〕7号"

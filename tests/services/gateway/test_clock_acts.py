"""Acts that offices state about limits take effect, once each, whatever the order of arrival; what the law forbids is left out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.gateway.clocks import Limit
from services.gateway.ledger import Touch
from services.gateway.rows import EVENT_COLUMNS, touches_standing
from tests.services.gateway.conftest import Gateway, gateway_at
from tests.services.gateway.script import Script, at, clock
from xieban.handoff import ClockAct

POLICE, PP, COURT = "police", "procuratorate", "court"
S20, S30, S40, S60 = "S20_prosecution_review", "S30_court_intake", "S40_first_instance", "S60_second_instance"
CASE = "A6201"


async def limits(gateway: Gateway) -> list[Limit]:
    return list((await gateway.reading.timeline(CASE)).limits)


async def only(gateway: Gateway, rule: str) -> Limit:
    (limit,) = [limit for limit in await limits(gateway) if limit.rule == rule]
    return limit


async def ledger(gateway: Gateway, rule: str = "") -> list[Touch]:
    """Lines that stand, in order of legal time."""
    rows = await gateway.rows(f"SELECT {EVENT_COLUMNS}, undone FROM limit_event ORDER BY position")
    standing = touches_standing(rows).get(CASE, set())
    return sorted((touch for touch in standing if rule in ("", touch.rule)), key=lambda touch: (touch.at, touch.kind))


async def violations(gateway: Gateway) -> list[str]:
    return sorted(row["number"] for row in await gateway.rows("SELECT number FROM violation"))


def review(script: Script, *, when: str = "2026-03-02 09:00") -> None:
    """A case under prosecution review, nobody held: due 2026-04-02."""
    transfer = script.send(CASE, "prosecution_transfer", POLICE, PP, when)
    script.settle(transfer, PP, POLICE, when)


def fifteen_days(when: str, by: str = "procuratorate", **more: Any) -> ClockAct:
    return clock("extend", "prosecution_review", when, by=by, kind="add", days=15, **more)


async def test_an_extension_moves_the_due_date_and_says_so(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    assert (await only(gateway, "prosecution_review")).due == "2026-04-02"
    eid = gateway.script.register(CASE, PP, "2026-03-30 10:00", fifteen_days("2026-03-30 09:00"))
    await gateway.take(gateway.script.messages[-1:])
    limit = await only(gateway, "prosecution_review")
    assert (limit.due, limit.safe_due) == ("2026-04-17", "2026-04-17")
    assert (await gateway.kinds())[-2:] == ["LODGED", "CLOCK_CHANGE"]
    (line,) = [line for line in await ledger(gateway) if line.kind == "extension"]
    assert (line.eid, line.detail, line.document, line.by, line.standing) == (
        eid,
        "add:0:15:0:procuratorate",
        "兰城公〔2026〕7号",
        (PP, "620102"),
        "effective",
    )


@pytest.mark.parametrize(
    ("act", "number"),
    [
        (fifteen_days("2026-03-30 09:00", by="upper_court"), "XB-4005"),
        (fifteen_days("2026-03-30 09:00", by="the_king"), "XB-4005"),
        (clock("extend", "prosecution_review", "2026-03-30 09:00", by="procuratorate", kind="add", days=30), "XB-4006"),
        (clock("extend", "prosecution_review", "2026-03-30 09:00", by="procuratorate", kind="add", months=2**31), "XB-4006"),
        (fifteen_days("2026-04-03 09:00"), "XB-4007"),
        (
            clock("exclude", "prosecution_review", "2026-03-10 09:00", event="psychiatric_appraisal", until="2026-03-05 09:00"),
            "XB-4009",
        ),
        (clock("exclude", "prosecution_review", "2026-03-10 09:00", event="trial_suspended"), "XB-4010"),
        (clock("exclude", "prosecution_review", "2026-03-10 09:00", event="other_appraisal"), "XB-4010"),
        (clock("exclude", "prosecution_review", "2026-03-10 09:00", event="holiday_on_mars"), "XB-4010"),
        (clock("restart", "prosecution_review", "2026-03-10 09:00", event="new_important_crime"), "XB-4011"),
        (clock("restart", "inv_custody", "2026-03-10 09:00", event="holiday_on_mars"), "XB-4011"),
        (clock("start", "no_such_limit", "2026-03-10 09:00"), "XB-4001"),
        (clock("start", "sentence_term_end", "2026-03-10 09:00"), "XB-4003"),
        (clock("start", "first_instance", "1970-02-01 09:00"), "XB-4013"),
    ],
)  # fmt: skip
async def test_what_the_law_forbids_is_left_out_named_and_breaks_nothing(
    gateway: Gateway, act: ClockAct, number: str
) -> None:
    review(gateway.script)
    eid = gateway.script.register(CASE, PP, "2026-04-03 10:00", act)
    await gateway.take()
    assert (await only(gateway, "prosecution_review")).due == "2026-04-02"
    assert [(e.eid, e.detail) for e in await gateway.log() if e.kind == "VIOLATION"] == [(eid, number)]
    await gateway.take()
    assert await violations(gateway) == [number]


async def test_a_second_extension_by_the_upper_court_is_a_violation_and_the_first_stands(gateway: Gateway) -> None:
    trial(gateway.script)
    more: dict[str, Any] = {"by": "upper_court", "kind": "add", "months": 3}
    gateway.script.register(
        CASE, COURT, "2026-05-20 09:00", clock("extend", "first_instance", "2026-05-20 09:00", **more)
    )
    gateway.script.register(
        CASE, COURT, "2026-07-20 09:00", clock("extend", "first_instance", "2026-07-20 09:00", **more)
    )
    await gateway.take()
    assert (await only(gateway, "first_instance")).due == "2026-09-14"
    assert await violations(gateway) == ["XB-4006"]


def trial(script: Script, *, accepted: str = "2026-03-13 10:00") -> None:
    """A case at the court of first instance, nobody held."""
    script.settle(
        script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-02-02 09:00"), PP, POLICE, "2026-02-02 10:00"
    )
    indict = script.send(
        CASE, "public_prosecution", PP, COURT, "2026-03-02 09:00", stage=S20, acts=[("prosecuted", "2026-03-02 09:00")]
    )
    script.settle(indict, COURT, PP, "2026-03-02 09:30")
    intake = script.send(
        CASE, "court_intake_result", COURT, PP, accepted,
        stage=S30, outcome="accepted", re=[indict], acts=[("case_accepted", accepted)],
    )  # fmt: skip
    script.settle(intake, PP, COURT, accepted)


async def test_first_instance_is_due_at_three_months_and_warns_from_two_without_any_decision(gateway: Gateway) -> None:
    trial(gateway.script)
    stated = clock("extend", "first_instance", "2026-05-08 09:00", by="court", kind="total", months=3)
    gateway.script.register(CASE, COURT, "2026-05-08 09:00", stated)
    await gateway.take()
    limit = await only(gateway, "first_instance")
    assert (limit.due, limit.safe_due, await violations(gateway)) == ("2026-06-15", "2026-05-13", [])


async def test_an_excluded_interval_stops_the_limit_and_moves_it_when_it_ends(gateway: Gateway) -> None:
    trial(gateway.script)
    gateway.script.register(
        CASE, COURT, "2026-06-01 09:00", clock("exclude", "first_instance", "2026-06-01 09:00", event="trial_suspended")
    )
    await gateway.take()
    limit = await only(gateway, "first_instance")
    assert (limit.stopped, limit.due) == (True, "2026-06-15")
    gateway.now_is("2026-08-01 00:00")
    assert await gateway.watch.round() == 0
    gateway.script.register(
        CASE, COURT, "2026-08-03 09:00",
        clock("exclude", "first_instance", "2026-06-01 11:00", event="trial_suspended", until="2026-08-03 09:00"),
    )  # fmt: skip
    await gateway.take()
    limit = await only(gateway, "first_instance")
    assert (limit.stopped, limit.due) == (False, "2026-08-17")
    assert [(line.kind, line.standing) for line in await ledger(gateway, "first_instance")] == [
        ("start", "effective"),
        ("exclusion", "superseded"),
        ("exclusion", "effective"),
    ]


async def test_one_defendant_s_suspension_does_not_stop_the_trial_of_the_others(gateway: Gateway) -> None:
    script = gateway.script
    for person in ("P1", "P2"):
        act = clock("start", "bail_max", "2026-01-10 09:00", person=person)
        script.register(CASE, POLICE, "2026-01-10 10:00", act)
    acts = [("detained", "2026-01-02 18:00")]
    script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00", acts=acts)
    trial(script)
    suspended = clock("exclude", "first_instance", "2026-04-01 09:00", event="trial_suspended", person="P2")
    script.register(CASE, COURT, "2026-04-01 09:00", suspended)
    await gateway.take()
    assert not (await only(gateway, "first_instance")).stopped
    assert [limit.person for limit in await limits(gateway) if limit.rule == "bail_max"] == ["P1", "P2"]


async def test_a_discovered_crime_starts_the_custody_limit_anew_and_ends_what_was_extended(gateway: Gateway) -> None:
    script = gateway.script
    script.register(CASE, POLICE, "2026-01-10 12:00", clock("start", "inv_custody", "2026-01-10 08:30", person="P1"))
    extend: dict[str, Any] = {"by": "upper_procuratorate", "kind": "add", "months": 1, "person": "P1"}
    script.register(CASE, POLICE, "2026-03-01 12:00", clock("extend", "inv_custody", "2026-03-01 09:00", **extend))
    await gateway.take()
    assert (await only(gateway, "inv_custody")).due == "2026-04-10"
    crime = clock("restart", "inv_custody", "2026-04-01 09:00", event="new_important_crime", person="P1")
    script.register(CASE, POLICE, "2026-04-02 12:00", crime)
    await gateway.take(script.messages[-1:])
    limit = await only(gateway, "inv_custody")
    assert (limit.due, limit.bearer_agency, limit.severity) == ("2026-06-01", POLICE, 2)


async def test_a_restart_after_the_limit_had_ended_begins_another_run_that_its_judgment_ends(gateway: Gateway) -> None:
    script = gateway.script
    trial(script)
    acts = [("judged", "2026-05-06 10:00")]
    script.send(CASE, "judgment_service", COURT, PP, "2026-05-06 15:00", stage=S40, acts=acts)
    script.register(
        CASE, COURT, "2026-09-01 10:00", clock("restart", "first_instance", "2026-09-01 09:00", event="remanded")
    )
    await gateway.take()
    first, again = (limit for limit in await limits(gateway) if limit.rule == "first_instance")
    assert (first.state, first.ended_at, again.ended_at, again.due) == (
        "met",
        at("2026-05-06 10:00"),
        None,
        "2026-12-01",
    )
    script.send(
        CASE, "judgment_service", COURT, PP, "2026-10-09 15:00", stage=S40, acts=[("judged", "2026-10-09 10:00")]
    )
    await gateway.take(script.messages[-1:])
    again = [limit for limit in await limits(gateway) if limit.rule == "first_instance"][-1]
    assert (again.state, again.ended_at) == ("met", at("2026-10-09 10:00"))


async def test_any_limit_may_be_started_and_stopped_by_registration(gateway: Gateway) -> None:
    script = gateway.script
    script.register(CASE, POLICE, "2026-01-05 09:00", clock("start", "lawyer_meeting", "2026-01-05 09:20"))
    script.register(CASE, COURT, "2026-01-05 09:00", clock("start", "appeal_judgment", "2026-01-05 09:20", person="P1"))
    script.register(CASE, PP, "2026-01-06 09:00", clock("stop", "lawyer_meeting", "2026-01-06 17:00"))
    await gateway.take()
    meeting, appeal = await only(gateway, "lawyer_meeting"), await only(gateway, "appeal_judgment")
    assert (meeting.due, meeting.ended_at, meeting.bearer_agency) == (
        "2026-01-07T10:00:00+08:00",
        at("2026-01-06 17:00"),
        "",
    )
    assert (appeal.duty, appeal.due) == (False, "2026-01-15")
    gateway.now_is("2026-01-17 09:00")
    await gateway.watch.round()
    assert "OVERDUE" not in await gateway.kinds()
    assert ((await gateway.kinds())[-1], (await only(gateway, "appeal_judgment")).state) == ("CLOCK_LAPSED", "lapsed")


async def test_an_act_stated_by_two_offices_counts_once(gateway: Gateway) -> None:
    review(gateway.script)
    gateway.script.register(CASE, PP, "2026-03-30 10:00", fifteen_days("2026-03-30 09:00"))
    gateway.script.register(CASE, POLICE, "2026-03-31 10:00", fifteen_days("2026-03-30 10:30"))
    await gateway.take()
    assert ((await only(gateway, "prosecution_review")).due, await violations(gateway)) == ("2026-04-17", [])
    assert [line.standing for line in await ledger(gateway) if line.kind == "extension"] == ["effective", "superseded"]


async def test_a_stop_registered_in_time_but_told_late_lifts_the_breach(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-05 09:00")
    await gateway.watch.round()
    gateway.script.register(CASE, PP, "2026-04-05 09:00", clock("stop", "prosecution_review", "2026-04-01 16:00"))
    await gateway.take(gateway.script.messages[-1:])
    assert (await gateway.kinds())[-3:] == ["LODGED", "CLOCK_STOP", "OVERDUE_LIFTED"]


async def test_acts_of_a_withdrawn_or_rejected_handoff_are_undone_by_a_line_of_their_own(gateway: Gateway) -> None:
    script = gateway.script
    review(script)
    eid = script.send(
        CASE,
        "evidence_supply_request",
        PP,
        POLICE,
        "2026-03-30 10:00",
        stage=S20,
        clocks=[fifteen_days("2026-03-30 09:00")],
    )
    await gateway.take()
    assert (await only(gateway, "prosecution_review")).due == "2026-04-17"
    script.receipt(POLICE, PP, [(eid, "withdrawn", "2026-03-31 09:00")])
    await gateway.take(script.messages[-1:])
    assert (await only(gateway, "prosecution_review")).due == "2026-04-02"
    assert [line.kind for line in await ledger(gateway)] == ["start"]
    rows = await gateway.rows("SELECT kind, undone FROM limit_event ORDER BY position")
    assert [(row["kind"], row["undone"]) for row in rows] == [("start", 0), ("extension", 0), ("extension", 1)]


async def test_an_interval_that_begins_after_a_run_has_ended_belongs_to_the_next_one_only(gateway: Gateway) -> None:
    script = gateway.script
    review(script)
    script.register(CASE, PP, "2026-03-20 09:00", clock("stop", "prosecution_review", "2026-03-20 09:00"))
    appraised = clock(
        "exclude", "prosecution_review", "2026-04-10 09:00", event="psychiatric_appraisal", until="2026-04-20 09:00"
    )
    script.register(CASE, PP, "2026-04-20 09:00", appraised)
    anew = clock("restart", "prosecution_review", "2026-04-06 09:00", event="jurisdiction_changed")
    script.register(CASE, PP, "2026-04-20 10:00", anew, division="620103")
    await gateway.take()
    first, second = await limits(gateway)
    assert (first.due, second.due, second.bearer_office) == ("2026-04-02", "2026-05-18", "620103")
    assert [line.kind for line in await ledger(gateway) if line.start_eid == first.start_eid] == ["start", "stop"]


async def test_what_has_lapsed_lapses_once_whatever_is_heard_of_the_case_later(gateway: Gateway) -> None:
    script = gateway.script
    script.register(CASE, COURT, "2026-01-05 09:00", clock("start", "appeal_judgment", "2026-01-05 09:20", person="P1"))
    await gateway.take()
    gateway.now_is("2026-01-17 09:00")
    await gateway.watch.round()
    review(script)
    await gateway.take(script.messages[1:])
    assert await gateway.watch.round() == 0
    assert (await gateway.kinds()).count("CLOCK_LAPSED") == 1


async def test_the_ledger_refuses_to_be_changed(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-01 09:00")
    await gateway.watch.round()
    for statement in ("UPDATE limit_event SET at = 1", "DELETE FROM limit_event", "UPDATE limit_rung SET rung = ''",
                      "DELETE FROM limit_rung"):  # fmt: skip
        with pytest.raises(Exception, match=r"append-only|are kept"):
            await gateway.run(statement)


async def test_what_is_sent_to_the_gateway_is_held_with_its_arrival_and_not_under_way(gateway: Gateway) -> None:
    eid = gateway.script.register(CASE, POLICE, "2026-01-05 09:00", clock("start", "inv_custody", "2026-01-05 08:00"))
    await gateway.take()
    assert [ticket.holds for ticket in gateway.tickets()] == [[eid]]
    assert (await gateway.reading.summary()).in_flight == 0
    assert await violations(gateway) == []


def _city() -> Script:
    """Everything above in one case, in its order of time."""
    script = Script()
    script.register(CASE, POLICE, "2026-01-10 12:00", clock("start", "inv_custody", "2026-01-10 08:30", person="P1"))
    trial(script)
    acts: Sequence[tuple[str, ClockAct]] = (
        ("2026-02-20 09:00", fifteen_days("2026-02-20 09:00")),
        ("2026-02-21 09:00", fifteen_days("2026-02-20 09:00")),
        ("2026-02-22 09:00", fifteen_days("2026-02-22 09:00")),
        ("2026-04-01 09:00", clock("exclude", "first_instance", "2026-04-01 09:00", event="trial_suspended")),
        ("2026-04-20 09:00",
         clock("exclude", "first_instance", "2026-04-01 09:00", event="trial_suspended", until="2026-04-20 09:00")),
        ("2026-05-02 09:00", clock("restart", "first_instance", "2026-05-02 09:00", event="trial_supplement_retransfer")),
        ("2026-05-20 09:00", clock("extend", "first_instance", "2026-05-20 09:00", by="high_court", kind="add", months=3)),
        ("2026-05-21 09:00", clock("extend", "first_instance", "2026-05-21 09:00", by="high_court", kind="add", months=3)),
    )  # fmt: skip
    for when, act in acts:
        script.register(CASE, COURT, when, act)
    script.send(
        CASE, "judgment_service", COURT, PP, "2026-06-02 15:00", stage=S40, acts=[("judged", "2026-06-02 10:00")]
    )
    script.register(
        CASE, COURT, "2026-09-01 10:00", clock("restart", "first_instance", "2026-09-01 09:00", event="remanded")
    )
    return script


CITY = _city()


async def _outcome(path: Path, order: Sequence[int], batch: int) -> tuple[Any, ...]:
    gateway, database = await gateway_at(path, CITY, now="2026-10-10 09:00")
    async with database:
        await gateway.take([CITY.messages[index] for index in order], batch=batch)
        await gateway.watch.round()
        return await limits(gateway), await violations(gateway), set(await ledger(gateway))


@pytest.mark.parametrize("seed", range(6))
async def test_limits_ledgers_and_violations_are_a_function_of_the_set_of_statements(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    order = list(range(len(CITY.messages)))
    plain = await _outcome(tmp_path / "plain.db", order, 256)
    dice.shuffle(order)
    assert await _outcome(tmp_path / "mixed.db", order, dice.choice((1, 2, 5))) == plain
    assert plain[1] == ["XB-4006", "XB-4006"]

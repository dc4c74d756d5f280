"""Limits that the procedure starts and ends by itself, with dates worked out by hand from the articles.

2026: 5 and 6 April, 1 to 5 May, 19 to 21 June are holidays; 28 February and 9 May are Saturdays that are worked.
"""

from __future__ import annotations

import pytest

from services.gateway.clocks import Limit
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import DIVISION, Script, at, clock
from xieban.agency import PARTIES

CASE = "A6201"
POLICE, PP, COURT = PARTIES
MIDDLE = DIVISION[:4] + "00"
S20, S30, S40, S50, S60 = (
    "S20_prosecution_review", "S30_court_intake", "S40_first_instance", "S50_appeal_window", "S60_second_instance",
)  # fmt: skip


async def limits(gateway: Gateway, rule: str) -> list[Limit]:
    await gateway.take()
    return [limit for limit in (await gateway.reading.timeline(CASE)).limits if limit.rule == rule]


async def only(gateway: Gateway, rule: str) -> Limit:
    (limit,) = await limits(gateway, rule)
    return limit


def request(script: Script, when: str, *acts: tuple[str, ...], **more: object) -> str:
    eid = script.send(CASE, "arrest_request", POLICE, PP, when, acts=acts, **more)  # type: ignore[arg-type]
    script.receipt(PP, POLICE, [(eid, "delivered", when)])
    return eid


def transfer(script: Script, when: str, *acts: tuple[str, ...]) -> str:
    eid = script.send(CASE, "prosecution_transfer", POLICE, PP, when, acts=acts)
    script.settle(eid, PP, POLICE, when)
    return eid


def in_court(script: Script, *, track: str = "") -> None:
    """Before the court of first instance from 2 March on, nobody held."""
    transfer(script, "2026-02-02 09:00")
    indict = script.send(
        CASE, "public_prosecution", PP, COURT, "2026-02-24 09:00", stage=S20, acts=[("prosecuted", "2026-02-24 09:00")]
    )
    script.settle(indict, COURT, PP, "2026-02-24 09:10")
    acts = [("case_accepted", "2026-03-02 10:00")] + ([(track, "2026-03-02 10:00")] if track else [])
    intake = script.send(
        CASE,
        "court_intake_result",
        COURT,
        PP,
        "2026-03-02 10:00",
        stage=S30,
        outcome="accepted",
        re=[indict],
        acts=acts,
    )
    script.settle(intake, PP, COURT, "2026-03-02 10:10")


# --- detention, 刑诉91


async def test_three_days_after_detention_are_counted_from_its_legal_time_although_the_request_is_what_tells_of_it(
    gateway: Gateway,
) -> None:
    # Thursday the 5th; the third day is a Sunday, and nobody who is held waits for Monday (刑诉105④).
    request(gateway.script, "2026-03-08 23:00", ("detained", "2026-03-05 18:00"))
    limit = await only(gateway, "detention_arrest_request")
    assert (limit.due, limit.safe_due, limit.person) == ("2026-03-08", "2026-03-08T18:00:00+08:00", "P1")
    assert (limit.state, limit.ended_at, limit.bearer_agency, limit.bearer_office) == (
        "met", at("2026-03-08 23:00"), POLICE, DIVISION,
    )  # fmt: skip
    assert (limit.consequence, limit.severity) == ("M1", 1)


async def test_a_request_on_the_fourth_day_is_late_unless_the_extension_is_stated(gateway: Gateway) -> None:
    request(gateway.script, "2026-03-09 09:00", ("detained", "2026-03-05 18:00"))
    assert (await only(gateway, "detention_arrest_request")).state == "late"
    longer = clock(
        "extend",
        "detention_arrest_request",
        "2026-03-07 09:00",
        by="county_police_head",
        kind="add",
        days=4,
        person="P1",
    )
    gateway.script.register(CASE, POLICE, "2026-03-09 10:00", longer)
    limit = await only(gateway, "detention_arrest_request")
    assert (limit.due, limit.state) == ("2026-03-12", "met")
    assert "OVERDUE_LIFTED" in await gateway.kinds()


async def test_thirty_days_is_a_total_and_is_given_only_before_the_three_days_are_over(gateway: Gateway) -> None:
    total = {"by": "county_police_head", "kind": "total", "days": 30, "person": "P1"}
    given = clock("extend", "detention_arrest_request", "2026-03-04 09:00", **total)  # type: ignore[arg-type]
    request(gateway.script, "2026-04-01 09:00", ("detained", "2026-03-02 10:00"), clocks=[given])
    limit = await only(gateway, "detention_arrest_request")
    assert (limit.due, limit.state) == ("2026-04-01", "met")


async def test_whoever_was_told_of_only_later_is_not_meant_by_an_earlier_request(gateway: Gateway) -> None:
    request(gateway.script, "2026-03-05 09:00", ("detained", "2026-03-02 10:00", "P1"))
    request(gateway.script, "2026-03-07 09:00", ("detained", "2026-03-02 10:00", "P2"))
    found = {limit.person: limit.state for limit in await limits(gateway, "detention_arrest_request")}
    assert found == {"P1": "met", "P2": "late"}


async def test_a_request_that_comes_back_has_not_been_made_and_the_detained_person_s_time_runs_on(
    gateway: Gateway,
) -> None:
    sent = request(gateway.script, "2026-03-05 09:00", ("detained", "2026-03-02 10:00"))
    assert (await only(gateway, "detention_arrest_request")).ended_at == at("2026-03-05 09:00")
    gateway.script.receipt(PP, POLICE, [(sent, "returned", "2026-03-05 11:00")])
    limit = await only(gateway, "detention_arrest_request")
    assert (limit.ended_at, limit.due) == (None, "2026-03-05")
    assert "CLOCK_RESUME" in await gateway.kinds()
    request(gateway.script, "2026-03-05 16:00", ("detained", "2026-03-02 10:00"))
    limit = await only(gateway, "detention_arrest_request")
    assert (limit.state, limit.ended_at) == ("met", at("2026-03-05 16:00"))


@pytest.mark.parametrize("act", ["released", "bailed", "residential_surveillance"])
async def test_who_is_let_go_is_held_by_no_limit_from_that_moment_whoever_tells_of_it(
    gateway: Gateway, act: str
) -> None:
    script = gateway.script
    script.send(
        CASE, "early_opinion_request", POLICE, PP, "2026-03-03 09:00",
        acts=[("detained", "2026-03-02 10:00", "P1"), ("detained", "2026-03-02 10:00", "P2")],
    )  # fmt: skip
    assert [limit.ended_at for limit in await limits(gateway, "detention_arrest_request")] == [None, None]
    gateway.now_is("2026-03-06 09:00")
    await gateway.watch.round()
    transfer(script, "2026-03-09 09:00", (act, "2026-03-04 12:00", "P2"))
    first, second = await limits(gateway, "detention_arrest_request")
    assert (first.person, first.state) == ("P1", "late")
    assert (second.person, second.state, second.ended_at) == ("P2", "met", at("2026-03-04 12:00"))
    assert (await gateway.kinds()).count("OVERDUE_LIFTED") == 1


# --- investigation custody, 刑诉156


@pytest.mark.parametrize(
    ("arrested", "due"),
    [
        ("2026-01-10 08:30", "2026-03-10"),
        ("2025-12-31 20:00", "2026-02-28"),  # no 31 February: its last day
        ("2026-02-28 09:00", "2026-04-28"),  # and from a last day to the same day, not to the 30th (A4)
        ("2026-03-04 09:00", "2026-05-04"),  # within the May holidays
    ],
)
async def test_two_months_of_custody_run_from_the_execution_of_the_arrest(
    gateway: Gateway, arrested: str, due: str
) -> None:
    done = gateway.script.send(
        CASE,
        "arrest_execution_receipt",
        POLICE,
        PP,
        "2026-03-05 09:00",
        outcome="executed",
        acts=[("arrested", arrested)],
    )
    gateway.script.settle(done, PP, POLICE, "2026-03-05 09:10")
    limit = await only(gateway, "inv_custody")
    assert (limit.due, limit.person, limit.start_event, limit.started_at) == (due, "P1", "arrested", at(arrested))


async def test_the_custody_of_each_person_ends_by_itself_and_what_is_left_by_the_transfer(gateway: Gateway) -> None:
    script = gateway.script
    script.send(
        CASE, "arrest_execution_receipt", POLICE, PP, "2026-01-12 09:00", outcome="executed",
        acts=[("arrested", "2026-01-09 15:00", "P1"), ("arrested", "2026-01-12 08:00", "P2")],
    )  # fmt: skip
    transfer(script, "2026-03-09 23:30", ("bailed", "2026-02-11 10:00", "P2"))
    first, second = await limits(gateway, "inv_custody")
    assert (first.person, first.due, first.state, first.ended_at) == ("P1", "2026-03-09", "met", at("2026-03-09 23:30"))
    assert (second.person, second.state, second.ended_at) == ("P2", "met", at("2026-02-11 10:00"))
    # Nobody holds P2 on the last day any more, so the last of the three days after his arrest may wait for a working day.
    receipts = await limits(gateway, "arrest_execution_receipt")
    assert [(limit.person, limit.due, limit.state) for limit in receipts] == [
        ("P1", "2026-01-12", "met"), ("P2", "2026-01-15", "met"),
    ]  # fmt: skip


async def test_a_transfer_that_comes_back_ends_no_custody_limit(gateway: Gateway) -> None:
    script = gateway.script
    script.send(
        CASE, "arrest_execution_receipt", POLICE, PP, "2026-01-10 09:00", outcome="executed",
        acts=[("arrested", "2026-01-09 15:00")],
    )  # fmt: skip
    first = script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-06 09:00")
    script.receipt(PP, POLICE, [(first, "delivered", "2026-03-06 09:10"), (first, "returned", "2026-03-06 15:00")])
    limit = await only(gateway, "inv_custody")
    assert (limit.ended_at, limit.due) == (None, "2026-03-09")
    transfer(script, "2026-03-10 09:00")
    assert (await only(gateway, "inv_custody")).state == "late"


async def test_an_arrest_told_again_starts_nothing_and_one_after_a_release_starts_anew(gateway: Gateway) -> None:
    script = gateway.script
    arrest = ("arrested", "2026-01-09 15:00")
    script.send(CASE, "arrest_execution_receipt", POLICE, PP, "2026-01-10 09:00", outcome="executed", acts=[arrest])
    script.send(CASE, "custody_extension_request", POLICE, PP, "2026-02-20 09:00", acts=[arrest])
    assert (await only(gateway, "inv_custody")).ended_at is None
    again = [("released", "2026-02-21 09:00"), ("arrested", "2026-02-25 09:00")]
    script.send(CASE, "early_opinion_request", POLICE, PP, "2026-02-26 09:00", acts=again)
    first, second = await limits(gateway, "inv_custody")
    assert (first.ended_at, second.due, second.ended_at) == (at("2026-02-21 09:00"), "2026-04-25", None)


async def test_an_arrest_that_the_court_orders_starts_no_limit_of_the_investigation(gateway: Gateway) -> None:
    in_court(gateway.script)
    gateway.script.send(
        CASE, "hearing_notice", COURT, PP, "2026-03-05 09:00", stage=S40,
        acts=[("hearing", "2026-03-20 09:00"), ("arrested", "2026-03-04 09:00")],
    )  # fmt: skip
    assert await limits(gateway, "inv_custody") == []


# --- what follows on a decision about arrest, 检规286, 290, 公规141


async def test_after_a_refusal_the_receipt_is_a_duty_and_asking_for_reconsideration_a_right(gateway: Gateway) -> None:
    script = gateway.script
    asked = request(script, "2026-03-04 09:00", ("detained", "2026-03-02 10:00"))
    refused = script.send(CASE, "arrest_decision", PP, POLICE, "2026-03-09 15:00", outcome="not_approved", re=[asked])
    script.settle(refused, POLICE, PP, "2026-03-09 15:10")
    told = script.send(
        CASE, "arrest_execution_receipt", POLICE, PP, "2026-03-12 17:00", outcome="released", re=[refused],
        acts=[("released", "2026-03-10 08:00")],
    )  # fmt: skip
    script.settle(told, PP, POLICE, "2026-03-12 17:00")
    receipt = await only(gateway, "non_arrest_execution_receipt")
    assert (receipt.due, receipt.state, receipt.duty) == ("2026-03-12", "met", True)
    # The fifth day is Saturday the 14th; nobody is held then, so Monday the 16th is the last.
    right = await only(gateway, "arrest_reconsideration_request")
    assert (right.due, right.duty, right.bearer_agency) == ("2026-03-16", False, POLICE)
    gateway.now_is("2026-03-18 09:00")
    await gateway.watch.round()
    assert (await only(gateway, "arrest_reconsideration_request")).state == "lapsed"
    assert "OVERDUE" not in await gateway.kinds()


async def test_reconsideration_is_decided_in_seven_days_and_is_not_asked_for_twice(gateway: Gateway) -> None:
    script = gateway.script
    asked = request(script, "2026-03-04 09:00")
    refused = script.send(CASE, "arrest_decision", PP, POLICE, "2026-03-09 15:00", outcome="not_approved", re=[asked])
    script.settle(refused, POLICE, PP, "2026-03-09 15:10")
    again = script.send(CASE, "arrest_reconsideration", POLICE, PP, "2026-03-12 09:00", re=[refused])
    script.settle(again, PP, POLICE, "2026-03-12 09:10")
    upheld = script.send(CASE, "arrest_decision", PP, POLICE, "2026-03-19 22:00", outcome="not_approved", re=[again])
    script.settle(upheld, POLICE, PP, "2026-03-19 22:10")
    right, decided = (
        await only(gateway, "arrest_reconsideration_request"),
        await only(gateway, "arrest_reconsideration_decide"),
    )
    assert (right.state, right.ended_at) == ("met", at("2026-03-12 09:00"))
    assert (decided.due, decided.state, decided.bearer_agency) == ("2026-03-19", "met", PP)
    assert await limits(gateway, "non_arrest_execution_receipt") == []  # nobody was held


# --- the court, 解释219, 刑诉187, 202, 208


async def test_more_material_is_sent_in_three_days_and_the_indictment_stays_in_time(gateway: Gateway) -> None:
    script = gateway.script
    transfer(script, "2026-03-09 09:00")
    sued = {"stage": S20, "acts": [("prosecuted", "2026-04-08 09:00")]}
    first = script.send(CASE, "public_prosecution", PP, COURT, "2026-04-08 09:00", **sued)  # type: ignore[arg-type]
    script.receipt(COURT, PP, [(first, "delivered", "2026-04-08 09:10"), (first, "complete", "2026-04-08 09:10")])
    wanted = script.send(
        CASE, "court_intake_result", COURT, PP, "2026-04-10 09:00", stage=S30, outcome="supplement", re=[first]
    )
    script.receipt(COURT, PP, [(first, "returned", "2026-04-10 09:00")])
    script.settle(wanted, PP, COURT, "2026-04-10 09:10")
    await gateway.take()
    assert (await gateway.reading.timeline(CASE)).case.stage == S20
    second = script.send(CASE, "public_prosecution", PP, COURT, "2026-04-13 09:00", **sued)  # type: ignore[arg-type]
    script.settle(second, COURT, PP, "2026-04-13 09:10")
    supplement = await only(gateway, "court_intake_supplement")
    assert (supplement.due, supplement.state, supplement.bearer_agency) == ("2026-04-13", "met", PP)
    review = await only(gateway, "prosecution_review")
    assert (review.due, review.state, review.ended_at) == ("2026-04-09", "met", at("2026-04-08 09:00"))
    assert (await gateway.reading.timeline(CASE)).case.stage == S30
    assert [entry.detail for entry in await gateway.log() if entry.kind == "VIOLATION"] == []


@pytest.mark.parametrize(("sent", "state"), [("2026-05-17 23:00", "met"), ("2026-05-18 09:00", "late")])
async def test_the_prosecutor_is_told_of_a_hearing_three_days_before_it(
    gateway: Gateway, sent: str, state: str
) -> None:
    in_court(gateway.script)
    gateway.script.send(CASE, "hearing_notice", COURT, PP, sent, stage=S40, acts=[("hearing", "2026-05-20 09:00")])
    limit = await only(gateway, "hearing_notice")
    assert (limit.due, limit.state) == ("2026-05-17", state)


async def test_a_summary_trial_knows_no_three_days_before_the_hearing(gateway: Gateway) -> None:
    in_court(gateway.script, track="summary_procedure")
    hearing = [("hearing", "2026-03-10 09:00")]
    gateway.script.send(CASE, "hearing_notice", COURT, PP, "2026-03-09 09:00", stage=S40, acts=hearing)
    assert await limits(gateway, "hearing_notice") == []


async def test_the_trial_ends_with_the_pronouncement_and_not_with_the_letter_that_tells_of_it(gateway: Gateway) -> None:
    script = gateway.script
    in_court(script)
    judged = [("judged", "2026-06-02 10:00")]
    served = script.send(CASE, "judgment_service", COURT, PP, "2026-06-05 09:00", stage=S40, acts=judged)
    script.settle(served, PP, COURT, "2026-06-05 09:10")
    script.send(CASE, "judgment_service", COURT, POLICE, "2026-06-12 09:00", stage=S50, acts=judged)
    trial = await only(gateway, "first_instance")
    assert (trial.due, trial.state, trial.ended_at) == ("2026-06-02", "met", at("2026-06-02 10:00"))
    service = await only(gateway, "judgment_service")
    assert (service.due, service.state) == ("2026-06-08", "met")  # the fifth day is Sunday the 7th
    protest = await only(gateway, "protest_judgment")
    assert (protest.due, protest.bearer_agency, protest.duty) == ("2026-06-15", PP, False)


async def test_the_second_instance_runs_from_acceptance_and_warns_from_arrival(gateway: Gateway) -> None:
    script = gateway.script
    _appeal(script)
    limit = await only(gateway, "second_instance")
    # Two months from 2 March end on Saturday 2 May, in the holidays: 6 May. From the arrival on 27 February they end on 27 April (A14).
    assert (limit.due, limit.safe_due) == ("2026-05-06", "2026-04-27")
    assert (limit.state, limit.ended_at) == ("met", at("2026-05-06 10:00"))
    assert (limit.bearer_agency, limit.bearer_office) == (COURT, MIDDLE)


def _appeal(script: Script) -> None:
    sent = script.send(CASE, "appeal_transfer", COURT, COURT, "2026-02-27 09:00", stage=S50, to_division=MIDDLE)
    script.settle(sent, COURT, COURT, "2026-02-27 09:10", accepted="2026-03-02 09:00")
    for receiver, place in ((COURT, DIVISION), (PP, MIDDLE)):
        script.send(
            CASE, "second_instance_judgment", COURT, receiver, "2026-05-08 09:00", stage=S60, outcome="affirmed",
            division=MIDDLE, to_division=place, acts=[("second_instance_judged", "2026-05-06 10:00")],
        )  # fmt: skip


# --- what offices state besides


async def test_the_bearer_s_word_for_the_start_counts_and_anybody_else_s_is_only_kept(gateway: Gateway) -> None:
    script = gateway.script
    _appeal(script)
    script.register(CASE, PP, "2026-03-04 09:00", clock("start", "second_instance", "2026-03-01 10:00"))
    assert (await only(gateway, "second_instance")).started_at == at("2026-03-02 09:00")
    script.register(
        CASE, COURT, "2026-03-04 09:00", clock("start", "second_instance", "2026-03-03 10:00"), division=MIDDLE
    )
    limit = await only(gateway, "second_instance")
    # 受理 on 3 March, stated with its document: two months end on Sunday 3 May, so 6 May again.
    assert (limit.started_at, limit.due, limit.state) == (at("2026-03-03 10:00"), "2026-05-06", "met")
    loose = (await gateway.reading.timeline(CASE)).loose
    assert [(line.touch.standing, line.touch.by[0]) for line in loose] == [("superseded", PP)]

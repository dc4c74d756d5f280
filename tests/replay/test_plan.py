"""Plans: every derived date inside its window, the whole road travelled, and nothing in a timeline that can break planning."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import services.replay
from services.replay.dossiers import client_ref, dossier
from services.replay.plan import CasePlan, Step, plan
from services.replay.timeline import EVENTS, PROCEDURES, Event, Refusal, Timeline, read
from xieban.agency import city, counties
from xieban.dossier import pack
from xieban.procedure import CaseState, Proposal, advance, check, table
from xieban.procedure.case import FIRST_STAGE

LANZHOU = city("lanzhou")
SHIPPED = Path(services.replay.__file__).parent / "data" / "timelines.jsonl"


@cache
def shipped() -> tuple[CasePlan, ...]:
    timelines, refusals = read(SHIPPED.read_bytes().splitlines(), today=date(2026, 11, 2))
    assert refusals == []
    plans = [plan(timeline, city=LANZHOU) for timeline in timelines]
    return tuple(one for one in plans if isinstance(one, CasePlan))


def timeline(*events: tuple[str, date], procedure: str = "ordinary", identity: str = "t1") -> Timeline:
    return Timeline(
        line=1, id=identity, court="某法院", procuratorate="", case_no="", indictment_no="", charge="盗窃罪",
        procedure="summary" if procedure == "summary" else "fast_track" if procedure == "fast_track" else "ordinary",
        events=tuple(sorted((Event(kind, on) for kind, on in events), key=lambda item: item.on)), evidence=(),
    )  # fmt: skip


def days_between(plan_: CasePlan, first: str, then: str) -> int | None:
    found = {step.kind: step.at.date() for step in reversed(plan_.steps)}
    return (found[then] - found[first]).days if first in found and then in found else None


def obey_the_procedure(plan_: CasePlan) -> None:
    """Walk the plan through the table of handoffs, as the agencies will."""
    tables = table()
    case = CaseState(stage=FIRST_STAGE)
    for step in plan_.steps:
        answered = tuple(
            plan_.steps[n].kind for n in (*step.refers, *([step.answers] if step.answers is not None else []))
        )
        proposal = Proposal(
            kind=step.kind, outcome=step.outcome, sender=step.sender, receiver=step.receiver,
            acts=tuple(act.what for act in step.acts), answered=answered,
        )  # fmt: skip
        kind = check(proposal, case, tables)
        case = advance(case, kind, on="sent", outcome=step.outcome)
        if step.reception == "accept":
            case = advance(case, kind, on="accepted", outcome=step.outcome)


def test_all_shipped_timelines_are_planned_and_obey_the_procedure() -> None:
    assert len(shipped()) == 150
    for one in shipped():
        obey_the_procedure(one)


def test_every_kind_of_the_main_road_occurs_except_what_a_judged_case_cannot_have() -> None:
    kinds = Counter(step.kind for one in shipped() for step in one.steps)
    not_of_the_road = {"limit_registration"}
    assert set(table().kinds) - set(kinds) == {"nonprosecution_decision"} | not_of_the_road


def test_dates_of_the_timeline_are_kept() -> None:
    for one in shipped():
        told = {(act.what, act.at.date()) for step in one.steps for act in step.acts if not act.derived}
        for item in one.timeline.events:
            what = "case_accepted" if item.type == "court_accepted" else item.type
            if item.type in ("prosecuted", "court_accepted", "hearing", "judged"):
                assert any(what == act for act, _ in told)
            else:
                assert (what, item.on) in told or one.notes


def test_steps_of_a_case_never_go_back_in_time_and_tell_no_act_of_the_future() -> None:
    for one in shipped():
        assert [step.at for step in one.steps] == sorted(step.at for step in one.steps)
        for step in one.steps:
            assert all(act.at <= step.at or act.what == "hearing" for act in step.acts)


def test_derived_dates_lie_inside_their_statutory_windows() -> None:
    for one in shipped():
        review = days_between(one, "arrest_request", "arrest_decision")
        detained = [act for step in one.steps for act in step.acts if act.what == "detained"]
        assert review is None or 0 <= review <= (7 if detained else 15), one.timeline.id
        reconsidered = [step for step in one.steps if step.kind == "arrest_reconsideration"]
        for asked in reconsidered:
            decision = next(step for step in one.steps if step.kind == "arrest_decision")
            upheld = next(step for step in one.steps if step.answers == asked.number)
            assert (asked.at.date() - decision.at.date()).days <= 5
            assert (upheld.at.date() - asked.at.date()).days <= 7
        for step in one.steps:
            if step.kind == "arrest_execution_receipt":
                assert (step.at.date() - one.steps[step.answers or 0].at.date()).days <= 3
            if step.kind == "resubmission_after_supplement":
                assert (step.at.date() - one.steps[step.answers or 0].at.date()).days <= 28
        served = [step.at.date() for step in one.steps if step.kind == "judgment_service"]
        assert not served or (served[1] - served[0]).days <= 5
        appeal = next((step for step in one.steps if step.kind == "appeal_transfer"), None)
        if appeal is not None:
            assert 10 < (appeal.at.date() - served[1]).days <= 13


def test_the_last_review_before_prosecution_keeps_to_its_month() -> None:
    for one in shipped():
        started = [step for step in one.steps if step.kind in ("prosecution_transfer", "resubmission_after_supplement")]
        prosecuted = next(step for step in one.steps if step.kind == "public_prosecution")
        longest = 10 if one.timeline.procedure == "fast_track" else 28
        assert (prosecuted.at.date() - started[-1].at.date()).days <= longest, one.timeline.id


def test_detention_to_request_keeps_to_thirty_days_where_the_dates_leave_room() -> None:
    start = date(2018, 3, 1)
    for gap in range(1, 38):
        one = plan(
            timeline(
                ("detained", start), ("arrested", start + timedelta(gap)), ("prosecuted", start + timedelta(gap + 60))
            ),
            city=LANZHOU,
        )
        assert isinstance(one, CasePlan)
        request = next(step for step in one.steps if step.kind == "arrest_request").at.date()
        assert request - start <= timedelta(30)
        assert start + timedelta(gap) - request <= timedelta(7)


def test_a_case_is_never_returned_more_than_twice() -> None:
    for one in shipped():
        assert sum(step.kind == "return_supplementary_investigation" for step in one.steps) <= 2


def test_planning_is_the_same_every_time_and_cases_of_one_court_stay_together() -> None:
    again, _ = read(SHIPPED.read_bytes().splitlines(), today=date(2026, 11, 2))
    assert [plan(one, city=LANZHOU) for one in again] == list(shipped())
    seats = {one.timeline.court: one.division for one in shipped()}
    assert all(seats[one.timeline.court] == one.division for one in shipped())
    assert set(seats.values()) == set(counties(LANZHOU))


def test_document_numbers_are_unique_at_each_agency() -> None:
    numbers = [(step.sender.agency, client_ref(one, step)) for one in shipped() for step in one.steps]
    assert len(set(numbers)) == len(numbers)


def test_every_dossier_can_be_packed() -> None:
    for one in shipped():
        for step in one.steps:
            pack(dossier(one, step), salt=bytes(32))


def test_a_missing_prosecution_and_acceptance_are_derived_and_marked() -> None:
    one = plan(timeline(("arrested", date(2018, 1, 5)), ("judged", date(2018, 6, 1))), city=LANZHOU)
    assert isinstance(one, CasePlan)
    derived = {act.what for step in one.steps for act in step.acts if act.derived}
    assert {"prosecuted", "case_accepted"} <= derived
    assert one.steps[-1].kind in ("judgment_service", "second_instance_judgment")


def test_an_event_after_a_later_stage_is_passed_over_and_noted() -> None:
    one = plan(timeline(("judged", date(2018, 6, 1)), ("prosecuted", date(2018, 9, 1))), city=LANZHOU)
    assert isinstance(one, CasePlan)
    assert "prosecuted" in one.notes[0]


def test_a_timeline_in_which_nobody_hands_anything_over_is_refused() -> None:
    refused = plan(timeline(("bailed", date(2018, 6, 1))), city=LANZHOU)
    assert isinstance(refused, Refusal)
    assert refused.code == "NOTHING_TO_HAND_OVER"


def test_a_case_that_stops_early_is_driven_as_far_as_it_went() -> None:
    one = plan(timeline(("detained", date(2018, 1, 1)), ("arrested", date(2018, 1, 9))), city=LANZHOU)
    assert isinstance(one, CasePlan)
    assert one.steps[-1].kind == "arrest_execution_receipt"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(EVENTS), st.dates(date(1997, 1, 1), date(2026, 11, 1))), min_size=1, max_size=12
    ),
    st.sampled_from(PROCEDURES),
    st.text(min_size=1, max_size=12),
)
def test_no_order_of_events_breaks_planning_or_the_procedure(
    events: list[tuple[str, date]], procedure: str, identity: str
) -> None:
    one = plan(timeline(*events, procedure=procedure, identity=identity), city=LANZHOU)
    if isinstance(one, CasePlan):
        obey_the_procedure(one)
        assert [step.at for step in one.steps] == sorted(step.at for step in one.steps)
        assert all(act.at <= step.at or act.what == "hearing" for step in one.steps for act in step.acts)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(20, 200) | st.none())
def test_shares_never_lose_a_day(total: int, wanted: list[int], open_longest: int | None) -> None:
    from services.replay.windows import shares

    given_ = shares(total, wanted=wanted, longest=[28] * len(wanted), open_longest=open_longest)
    assert sum(given_) == total
    assert all(length >= 0 for length in given_)


def test_an_answer_is_never_planned_before_what_it_answers() -> None:
    for one in shipped():
        by_number: dict[int, Step] = {step.number: step for step in one.steps}
        assert all(step.answers is None or by_number[step.answers].number < step.number for step in one.steps)

"""The course of a case is a function of the set of its statements, also where many of them bear one time."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.course import Course, course
from services.gateway.record import Fact, Handoff
from tests.services.gateway.script import Script, at, road
from xieban.handoff import FactKind, Receipt, State
from xieban.marshal import sealed_from_bytes
from xieban.procedure import table
from xieban.statement import open_header, open_receipt
from xieban.subjects import parse

POLICE, PP, COURT = "police", "procuratorate", "court"
S20, S30 = "S20_prosecution_review", "S30_court_intake"
CASE = "A6201"


def read(script: Script) -> tuple[list[Handoff], list[Fact]]:
    """The statements of a script as the gateway would keep them."""
    handoffs: list[Handoff] = []
    facts: list[Fact] = []
    for message in script.messages:
        address = parse(message.subject)
        assert address is not None
        eid = sealed_from_bytes(message.data).eid
        if address.what == "handoff":
            _, header = open_header(message.data, address=address, directory=script.directory)
            handoffs.append(
                Handoff(
                    eid=eid,
                    case_id=header.case.id,
                    kind=header.kind,
                    outcome=header.outcome,
                    stage=header.case.stage,
                    sender=(header.sender.agency, header.sender.office),
                    receiver=(header.receiver.agency, header.receiver.office),
                    lane_seq=header.lane.seq,
                    lane_prev=header.lane.prev,
                    refers=tuple(header.re),
                    acts=tuple(header.acts),
                    files=1,
                    pages=1,
                    sent_at=header.sent_at,
                    clocks=tuple(header.clocks),
                )
            )
        else:
            _, receipt = open_receipt(message.data, address=address, directory=script.directory)
            facts += _facts(eid, receipt)
    return handoffs, facts


def _facts(eid: str, receipt: Receipt) -> list[Fact]:
    return [
        Fact(
            receipt=eid,
            position=position,
            of=fact.of,
            kind=fact.kind,
            at=fact.at,
            defects=(),
            answer=fact.answer,
            author=receipt.sender.agency,
            addressee=receipt.receiver.agency,
        )
        for position, fact in enumerate(receipt.facts)
    ]


def go(script: Script) -> Course:
    return course(*read(script), table())


def rules(result: Course) -> list[tuple[str, bool]]:
    return [(span.rule, span.ended_at is not None) for span in result.spans]


def numbers(result: Course) -> set[str]:
    return {violation.number for violation in result.violations}


def test_the_main_road_ends_in_the_appeal_window_with_every_limit_stopped_but_the_time_for_a_protest() -> None:
    script = Script()
    road(script, CASE)
    result = go(script)
    assert (result.stage, result.returns, result.custody) == ("S50_appeal_window", 1, {"P1": True})
    assert rules(result) == [
        ("arrest_review_custody", True),
        ("arrest_execution_receipt", True),
        ("prosecution_review", True),
        ("supplementary_investigation", True),
        ("prosecution_review", True),
        ("court_intake_review", True),
        ("first_instance", True),
        ("hearing_notice", True),
        ("judgment_service", True),
        ("protest_judgment", False),
        ("detention_arrest_request", True),
        ("inv_custody", True),
    ]
    assert result.violations == frozenset()


def _same_instant() -> Script:
    """Everything from arrest request to the court's intake at one frozen instant, as a sandbox produces it."""
    script = Script()
    now = "2026-03-02 09:00"

    def settle(eid: str, author: str, addressee: str) -> None:
        script.settle(eid, author, addressee, now)

    request = script.send(CASE, "arrest_request", POLICE, PP, now, acts=[("detained", "2026-03-01 09:00")])
    settle(request, PP, POLICE)
    settle(script.send(CASE, "arrest_decision", PP, POLICE, now, outcome="approved", re=[request]), POLICE, PP)
    settle(script.send(CASE, "prosecution_transfer", POLICE, PP, now), PP, POLICE)
    settle(script.send(CASE, "return_supplementary_investigation", PP, POLICE, now, stage=S20), POLICE, PP)
    stage = "S25_supplementary_investigation"
    settle(script.send(CASE, "resubmission_after_supplement", POLICE, PP, now, stage=stage), PP, POLICE)
    indict = script.send(CASE, "public_prosecution", PP, COURT, now, stage=S20, acts=[("prosecuted", now)])
    settle(indict, COURT, PP)
    acts = [("case_accepted", now), ("summary_procedure", now)]
    kind = "court_intake_result"
    settle(script.send(CASE, kind, COURT, PP, now, stage=S30, outcome="accepted", re=[indict], acts=acts), PP, COURT)
    return script


SAME_INSTANT = read(_same_instant())


def test_events_of_one_frozen_instant_are_put_into_the_order_in_which_they_can_have_happened() -> None:
    result = course(*SAME_INSTANT, table())
    assert (result.stage, result.returns, result.violations) == ("S40_first_instance", 1, frozenset())
    assert [rule for rule, ended in rules(result) if not ended] == ["summary_trial"]


@settings(max_examples=60, deadline=None)
@given(st.permutations(SAME_INSTANT[0]), st.permutations(SAME_INSTANT[1]))
def test_the_order_in_which_statements_are_listed_changes_nothing(
    handoffs: Sequence[Handoff], facts: Sequence[Fact]
) -> None:
    assert course(handoffs, facts, table()) == course(*SAME_INSTANT, table())


def test_a_header_sent_at_the_instant_of_an_acceptance_is_taken_at_its_word_about_which_came_first() -> None:
    script = Script()
    now = "2026-03-02 09:00"
    script.settle(script.send(CASE, "prosecution_transfer", POLICE, PP, now), PP, POLICE, now)
    script.settle(script.send(CASE, "custody_extension_request", POLICE, PP, now), PP, POLICE, now)
    result = go(script)
    assert (result.stage, numbers(result)) == ("S20_prosecution_review", set())


def test_a_rejected_handoff_moves_nothing_and_starts_nothing() -> None:
    script = Script()
    transfer = script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    facts: list[tuple[str, FactKind, str]] = [
        (transfer, "delivered", "2026-03-02 09:01"), (transfer, "rejected", "2026-03-02 09:02"),
    ]  # fmt: skip
    script.receipt(PP, POLICE, facts)
    result = go(script)
    assert (result.stage, result.spans, result.states[transfer]) == ("S10_investigation", (), State.REJECTED)


def test_returning_a_handoff_for_correction_stops_the_limit_it_had_started() -> None:
    script = Script()
    transfer = script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    script.receipt(
        PP, POLICE, [(transfer, "delivered", "2026-03-02 09:01"), (transfer, "returned", "2026-03-03 10:00")]
    )
    (span,) = go(script).spans
    assert (span.rule, span.ended_at) == ("prosecution_review", at("2026-03-03 10:00"))


def test_a_handoff_that_is_given_back_takes_its_move_and_its_count_with_it() -> None:
    script = Script()
    script.settle(
        script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00"), PP, POLICE, "2026-03-02 10:00"
    )
    back = script.send(CASE, "return_supplementary_investigation", PP, POLICE, "2026-03-10 09:00", stage=S20)
    script.receipt(POLICE, PP, [(back, "delivered", "2026-03-10 09:10")])
    moved = go(script)
    assert (moved.stage, moved.returns, moved.holder[0]) == ("S25_supplementary_investigation", 1, POLICE)
    script.receipt(POLICE, PP, [(back, "returned", "2026-03-10 15:00")])
    script.receipt(POLICE, PP, [(back, "returned", "2026-03-10 15:30")])
    result = go(script)
    assert (result.stage, result.returns, result.holder[0]) == (S20, 0, PP)
    # The procuratorate has the case again, and its limit has run all the time.
    assert rules(result) == [("prosecution_review", False), ("supplementary_investigation", True)]
    assert result.violations == frozenset()


def test_what_followed_before_a_handoff_came_back_keeps_the_stage_it_was_sent_in() -> None:
    script = Script()
    script.settle(
        script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00"), PP, POLICE, "2026-03-02 10:00"
    )
    now = "2026-03-09 09:00"
    sued = script.send(CASE, "public_prosecution", PP, COURT, now, stage=S20, acts=[("prosecuted", now)])
    script.receipt(COURT, PP, [(sued, "delivered", now), (sued, "complete", now)])
    more = script.send(CASE, "court_intake_result", COURT, PP, now, stage=S30, outcome="supplement", re=[sued])
    script.receipt(COURT, PP, [(sued, "returned", now)])
    script.settle(more, PP, COURT, now)
    again = script.send(CASE, "public_prosecution", PP, COURT, now, stage=S20, acts=[("prosecuted", now)])
    script.settle(again, COURT, PP, now)
    result = go(script)
    assert (result.stage, result.violations) == (S30, frozenset())


def test_a_third_return_for_supplement_is_a_violation_and_is_counted_all_the_same() -> None:
    script = Script()
    script.settle(
        script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-01-05 09:00"), PP, POLICE, "2026-01-05 10:00"
    )
    stage = "S25_supplementary_investigation"
    for month in ("02", "03", "04"):
        day = f"2026-{month}-02"
        back = script.send(CASE, "return_supplementary_investigation", PP, POLICE, f"{day} 09:00", stage=S20)
        script.settle(back, POLICE, PP, f"{day} 10:00")
        again = script.send(CASE, "resubmission_after_supplement", POLICE, PP, f"{day} 15:00", stage=stage)
        script.settle(again, PP, POLICE, f"{day} 16:00")
    result = go(script)
    assert (result.returns, numbers(result)) == (3, {"XB-2006"})


def test_a_stage_that_a_missing_receipt_could_explain_is_not_called_a_conflict_until_the_receiver_answers() -> None:
    script = Script()
    script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    indict = script.send(
        CASE, "public_prosecution", PP, COURT, "2026-03-09 09:00", stage=S20, acts=[("prosecuted", "2026-03-09 09:00")]
    )
    assert numbers(go(script)) == set()
    script.settle(indict, COURT, PP, "2026-03-09 10:00")
    assert numbers(go(script)) == {"XB-2012"}


def test_the_wrong_party_for_a_kind_and_a_receipt_by_a_third_agency_are_violations() -> None:
    script = Script()
    sent = script.send(CASE, "arrest_request", POLICE, COURT, "2026-03-02 09:00")
    script.receipt(PP, POLICE, [(sent, "accepted", "2026-03-02 10:00")])
    result = go(script)
    assert {(violation.eid == sent, violation.number) for violation in result.violations} == {
        (True, "XB-2003"),
        (False, "XB-2003"),
    }
    assert result.states[sent] is State.SENT


def test_a_header_that_names_another_predecessor_than_the_one_sent_is_a_broken_lane() -> None:
    script = Script()
    script.send(CASE, "arrest_request", POLICE, PP, "2026-03-02 09:00")
    script._lanes[CASE, POLICE, PP] = (1, "f" * 64)
    script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-03 09:00")
    assert numbers(go(script)) == {"XB-3005"}


def test_custody_that_ends_while_a_limit_runs_is_kept_with_the_limit() -> None:
    script = Script()
    first = script.send(
        CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00", acts=[("detained", "2026-03-01 09:00")]
    )
    script.settle(first, PP, POLICE, "2026-03-02 09:10")
    script.send(
        CASE, "evidence_supply_reply", POLICE, PP, "2026-03-10 09:00", stage=S20, acts=[("bailed", "2026-03-09 12:00")]
    )
    span = next(span for span in go(script).spans if span.rule == "prosecution_review")
    assert (span.custody, span.changes) == (True, ((at("2026-03-09 12:00"), False),))


def test_an_unknown_kind_is_a_violation_and_nothing_else() -> None:
    script = Script()
    script.send(CASE, "teleportation", POLICE, PP, "2026-03-02 09:00")
    result = go(script)
    assert (numbers(result), result.stage, result.spans) == ({"XB-2001"}, "S10_investigation", ())

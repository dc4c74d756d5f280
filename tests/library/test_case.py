"""Who may send what to whom at which stage, enumerated: the cells written down here pass, every other one is refused.

The expected table is written from the law, not read from the product's table.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.library.samples import header
from xieban.agency import PARTIES, Agency, Office, office
from xieban.errors import Reason, XiebanError
from xieban.handoff import Act
from xieban.procedure import CaseState, Proposal, advance, check, custody_after, open_case, retreat, table, track_of

PS, PP, CT, GW = Agency.POLICE, Agency.PROCURATORATE, Agency.COURT, Agency.GATEWAY
COUNTY, OTHER_COUNTY, CITY, OTHER_CITY = "620102", "620103", "620100", "620302"
STAGES = tuple(table().stages)
S10, S20, S25 = "S10_investigation", "S20_prosecution_review", "S25_supplementary_investigation"
S30, S40, S50 = "S30_court_intake", "S40_first_instance", "S50_appeal_window"
S60, S70, T4 = "S60_second_instance", "S70_effective", "T4_not_prosecuted"

# kind: senders, receivers, stages; at the same division unless said otherwise below
EXPECTED: dict[str, tuple[set[Agency], set[Agency], set[str]]] = {
    "early_opinion_request": ({PS}, {PP}, {S10}),
    "early_opinion": ({PP}, {PS}, {S10}),
    "arrest_request": ({PS}, {PP}, {S10}),
    "arrest_evidence_supplement": ({PP}, {PS}, {S10}),
    "arrest_decision": ({PP}, {PS}, {S10}),
    "arrest_execution_receipt": ({PS}, {PP}, {S10}),
    "arrest_reconsideration": ({PS}, {PP}, {S10}),
    "custody_extension_request": ({PS}, {PP}, {S10}),
    "custody_extension_decision": ({PP}, {PS}, {S10}),
    "prosecution_transfer": ({PS}, {PP}, {S10}),
    "prosecution_intake_result": ({PP}, {PS}, {S10, S20}),
    "evidence_supply_request": ({PP}, {PS}, {S20, S30, S40}),
    "evidence_supply_reply": ({PS}, {PP}, {S10, S20, S30, S40}),
    "return_supplementary_investigation": ({PP}, {PS}, {S20}),
    "resubmission_after_supplement": ({PS}, {PP}, {S25}),
    "nonprosecution_decision": ({PP}, {PS}, {S20}),
    "public_prosecution": ({PP}, {CT}, {S20}),
    "court_intake_result": ({CT}, {PP}, {S30}),
    "hearing_notice": ({CT}, {PP}, {S40}),
    "judgment_service": ({CT}, {PP, PS}, {S40, S50}),
    "appeal_transfer": ({CT}, {CT}, {S50}),
    "second_instance_judgment": ({CT}, {CT, PP}, {S60, S70}),
    "limit_registration": ({PS, PP, CT}, {GW}, set(STAGES)),
    "withdrawal": ({PS, PP, CT}, {PS, PP, CT}, set(STAGES)),
}
WITHIN_CITY = {"second_instance_judgment", "withdrawal", "limit_registration"}
# Every sender and receiver of one city, from a county, from another county and from the city, and one of another city.
OFFICES = [office(agency, place) for agency in PARTIES for place in (COUNTY, OTHER_COUNTY, CITY, OTHER_CITY)]
OFFICES += [office(GW, CITY), office(GW, "620300")]


def proposal(kind: str, sender: Office, receiver: Office, **changes: Any) -> Proposal:
    """Sound in everything but what the test is about."""
    row = table().kinds[kind]
    outcome = row.outcomes[0] if row.outcomes else ""
    value = Proposal(
        kind=kind, outcome=outcome, sender=sender, receiver=receiver, acts=row.required_acts(outcome), answered=()
    )
    return replace(value, **changes)


def lawful(kind: str, sender: Office, receiver: Office) -> bool:
    senders, receivers, _ = EXPECTED[kind]
    if sender.agency not in senders or receiver.agency not in receivers or sender == receiver:
        return False
    if kind == "appeal_transfer":
        return sender.level == "county" and receiver.level == "city" and sender.division[:4] == receiver.division[:4]
    if kind in WITHIN_CITY:
        return sender.division[:4] == receiver.division[:4]
    return sender.division == receiver.division


def example(kind: str) -> tuple[Office, Office]:
    return next((a, b) for a, b in itertools.product(OFFICES, OFFICES) if lawful(kind, a, b))


def outcome_of(offer: Proposal, case: CaseState) -> Reason | None:
    try:
        check(offer, case, table())
    except XiebanError as error:
        return error.reason
    return None


def test_the_expected_table_names_every_kind_there_is() -> None:
    assert set(EXPECTED) == set(table().kinds)


@pytest.mark.parametrize("kind", EXPECTED)
def test_only_the_lawful_sender_receiver_and_stage_pass(kind: str) -> None:
    passed = 0
    for sender, receiver, stage in itertools.product(OFFICES, OFFICES, STAGES):
        reason = outcome_of(proposal(kind, sender, receiver), CaseState(stage=stage))
        if not lawful(kind, sender, receiver):
            assert reason is Reason.PARTY_NOT_ALLOWED, (sender, receiver, stage)
        elif stage not in EXPECTED[kind][2]:
            assert reason is Reason.STAGE_NOT_ALLOWED, (sender, receiver, stage)
        else:
            assert reason is None, (sender, receiver, stage)
            passed += 1
    assert passed


@pytest.mark.parametrize("kind", EXPECTED)
def test_only_the_outcomes_of_the_kind_pass(kind: str) -> None:
    row = table().kinds[kind]
    case = CaseState(stage=next(iter(EXPECTED[kind][2])))
    everything = sorted({word for other in table().kinds.values() for word in other.outcomes} | {"", "perhaps"})
    for word in everything:
        offer = proposal(kind, *example(kind), outcome=word, acts=row.required_acts(word))
        allowed = word in row.outcomes if row.outcomes else word == ""
        assert outcome_of(offer, case) is (None if allowed else Reason.OUTCOME_NOT_ALLOWED), word


@pytest.mark.parametrize(
    ("kind", "outcome", "act"),
    [
        ("arrest_execution_receipt", "executed", "arrested"),
        ("public_prosecution", "", "prosecuted"),
        ("court_intake_result", "accepted", "case_accepted"),
        ("hearing_notice", "", "hearing"),
        ("judgment_service", "", "judged"),
        ("second_instance_judgment", "affirmed", "second_instance_judged"),
    ],
)
def test_the_act_a_limit_is_counted_from_must_be_given(kind: str, outcome: str, act: str) -> None:
    case = CaseState(stage=next(iter(EXPECTED[kind][2])))
    offer = proposal(kind, *example(kind), outcome=outcome, acts=(act,))
    assert outcome_of(offer, case) is None
    assert outcome_of(replace(offer, acts=()), case) is Reason.ACT_MISSING


def test_an_act_is_not_asked_for_with_an_outcome_that_has_none() -> None:
    offer = proposal("court_intake_result", *example("court_intake_result"), outcome="refused", acts=())
    assert outcome_of(offer, CaseState(stage=S30)) is None


def test_an_act_nobody_has_heard_of_is_refused() -> None:
    offer = proposal("arrest_request", *example("arrest_request"), acts=("flying",))
    assert outcome_of(offer, CaseState(stage=S10)) is Reason.FIELD_INVALID


@pytest.mark.parametrize("kind", EXPECTED)
def test_an_answer_answers_only_what_its_row_names(kind: str) -> None:
    answers = table().kinds[kind].answers
    case = CaseState(stage=next(iter(EXPECTED[kind][2])))
    for other in EXPECTED:
        reason = outcome_of(proposal(kind, *example(kind), answered=(other,)), case)
        assert reason is (Reason.ANSWER_NOT_ALLOWED if answers and other not in answers else None), other


@pytest.mark.parametrize(
    ("returns", "reason"), [(0, None), (1, None), (2, Reason.RETURN_LIMIT_REACHED), (3, Reason.RETURN_LIMIT_REACHED)]
)
def test_a_case_is_returned_for_supplement_twice_at_most(returns: int, reason: Reason | None) -> None:
    offer = proposal("return_supplementary_investigation", *example("return_supplementary_investigation"))
    assert outcome_of(offer, CaseState(stage=S20, returns=returns)) is reason


def test_the_third_return_is_refused_with_the_article_and_the_way_out() -> None:
    offer = proposal("return_supplementary_investigation", *example("return_supplementary_investigation"))
    with pytest.raises(XiebanError) as raised:
        check(offer, CaseState(stage=S20, returns=2), table())
    assert "一百七十五" in raised.value.explain()
    assert "起诉或者不起诉" in raised.value.remedy


def test_every_return_is_counted_when_it_is_sent_and_only_then() -> None:
    kind = table().kinds["return_supplementary_investigation"]
    sent = advance(CaseState(stage=S20), kind, on="sent", outcome="")
    assert sent == CaseState(stage=S25, returns=1)
    assert advance(sent, kind, on="accepted", outcome="") == sent


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_came_to_nothing_leaves_the_case_where_it_was_sent(kind: str) -> None:
    row = table().kinds[kind]
    for outcome, stage in itertools.product(row.outcomes or ("",), STAGES):
        before = CaseState(stage=stage, returns=1)
        sent = advance(before, row, on="sent", outcome=outcome)
        assert retreat(sent, row, stage=stage, outcome=outcome) == before


def test_what_came_to_nothing_takes_back_no_move_but_its_own() -> None:
    indictment, served = table().kinds["public_prosecution"], table().kinds["judgment_service"]
    # The case has gone on meanwhile.
    assert retreat(CaseState(stage=S40), indictment, stage=S20, outcome="") == CaseState(stage=S40)
    # The second service of a judgment moved nothing.
    assert retreat(CaseState(stage=S50), served, stage=S50, outcome="") == CaseState(stage=S50)
    assert retreat(CaseState(stage=S50), served, stage=S40, outcome="") == CaseState(stage=S40)


# kind, moment, outcome, from, to
MOVES = [
    ("prosecution_transfer", "accepted", "", S10, S20),
    ("return_supplementary_investigation", "sent", "", S20, S25),
    ("resubmission_after_supplement", "accepted", "", S25, S20),
    ("nonprosecution_decision", "sent", "", S20, T4),
    ("public_prosecution", "sent", "", S20, S30),
    ("court_intake_result", "sent", "accepted", S30, S40),
    ("court_intake_result", "sent", "refused", S30, S20),
    ("judgment_service", "sent", "", S40, S50),
    ("appeal_transfer", "sent", "", S50, "S55_second_transfer"),
    ("appeal_transfer", "accepted", "", "S55_second_transfer", S60),
    ("second_instance_judgment", "sent", "affirmed", S60, S70),
    ("second_instance_judgment", "sent", "changed", S60, S70),
]


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_case_moves_only_as_the_law_says(kind: str) -> None:
    row = table().kinds[kind]
    expected = {(on, outcome, origin): to for name, on, outcome, origin, to in MOVES if name == kind}
    for on, outcome, stage in itertools.product(("sent", "accepted"), row.outcomes or ("",), STAGES):
        moved = advance(CaseState(stage=stage), row, on=on, outcome=outcome).stage  # type: ignore[arg-type]
        assert moved == expected.get((on, outcome, stage), stage), (on, outcome, stage)


@pytest.mark.parametrize("kind", EXPECTED)
def test_only_the_police_open_a_case_and_only_with_a_first_handoff(kind: str) -> None:
    for sender in OFFICES:
        opened = open_case(proposal(kind, sender, office(PP, COUNTY)), table())
        first = kind in ("early_opinion_request", "arrest_request", "prosecution_transfer") and sender.agency is PS
        assert opened == (CaseState(stage=S10) if first else None)


def test_custody_follows_the_acts_in_the_order_of_their_legal_time() -> None:
    def act(what: str, at: int, person: str, custody: bool | None) -> Act:
        return Act(what=what, at=at, person=person, custody=custody, derived=False)

    acts = [
        act("released", 30, "P1", False),
        act("detained", 10, "P1", True),
        act("arrested", 20, "P2", True),
        act("judged", 40, "P1", None),
    ]
    assert custody_after({"P3": True}, acts) == {"P1": False, "P2": True, "P3": True}
    assert custody_after({}, header().acts) == {"P1": True}


def test_the_track_is_the_last_one_an_act_names() -> None:
    def act(what: str, at: int) -> Act:
        return Act(what=what, at=at, person="", custody=None, derived=False)

    assert track_of([], table()) == "ordinary"
    assert track_of([act("detained", 1), act("unknown", 2)], table()) == "ordinary"
    assert track_of([act("summary_procedure", 5), act("fast_track_proposed", 1)], table()) == "summary"

"""A sender is refused before it seals what the law does not know about limits, with the article."""

from __future__ import annotations

from typing import Any

import pytest

from xieban.errors import InvalidInput, NotAllowed, XiebanError
from xieban.handoff import Act, ClockAct
from xieban.marshal import micros
from xieban.procedure import check_clocks, table
from xieban.timelimits.clock_acts import moment_of

DAY = 86_400_000_000
MARCH_2 = 1_772_413_200_000_000  # 2026-03-02 09:00 in Shanghai
REGISTRATION = table().kinds["limit_registration"]


def act(effect: Any, rule: str, *, day: int = 0, until: int | None = None, **more: Any) -> ClockAct:
    """`day` counts from 2 March 2026."""
    values: dict[str, Any] = {
        "event": "", "by": "", "kind": "", "months": 0, "days": 0, "hours": 0, "person": "", "document": "", **more,
    }  # fmt: skip
    return ClockAct(
        effect=effect, rule=rule, at=MARCH_2 + day * DAY, until=0 if until is None else MARCH_2 + until * DAY, **values
    )


def check(*clocks: ClockAct, kind: str = "limit_registration", acts: tuple[Act, ...] = (), outcome: str = "") -> None:
    check_clocks(table().kinds[kind], outcome=outcome, acts=acts, clocks=clocks)


def add(by: str, *, rule: str = "inv_custody", months: int = 1, **more: Any) -> ClockAct:
    return act("extend", rule, by=by, kind="add", months=months, **more)


def test_the_helper_counts_from_the_second_of_march() -> None:
    assert moment_of(MARCH_2).isoformat() == "2026-03-02T09:00:00+08:00"
    assert micros(moment_of(MARCH_2)) == MARCH_2


@pytest.mark.parametrize(
    ("clock", "number"),
    [
        (act("start", "no_such_limit"), "XB-4001"),
        (act("start", "inv_custody", event="no_such_event"), "XB-1001"),
        (add("the_king"), "XB-4005"),
        (add("court"), "XB-4005"),
        (add("upper_procuratorate", months=3), "XB-4006"),
        (add("provincial_procuratorate", months=2**40), "XB-4006"),
        (act("extend", "inv_custody", by="upper_procuratorate", months=1), "XB-4005"),
        (act("extend", "arrest_review_custody", by="procuratorate", kind="add", days=1), "XB-4005"),
        (add("upper_procuratorate", day=5, until=4), "XB-4007"),
        (act("exclude", "first_instance", event="trial_suspended", day=5, until=4), "XB-4009"),
        (act("exclude", "first_instance", event="trial_adjourned_other", until=4), "XB-4010"),
        (act("exclude", "prosecution_review", event="trial_suspended", until=4), "XB-4010"),
        (act("exclude", "prosecution_review", event="", until=4), "XB-4010"),
        (act("restart", "inv_custody", event="remanded"), "XB-4011"),
        (act("restart", "inv_custody", event="nothing"), "XB-4011"),
        (act("start", "sentence_term_end"), "XB-4003"),
    ],
)
def test_what_no_row_of_law_knows_is_refused(clock: ClockAct, number: str) -> None:
    with pytest.raises(XiebanError, match=number) as refusal:
        check(clock)
    if number not in ("XB-1001", "XB-4001"):
        assert refusal.value.metadata["article"]


@pytest.mark.parametrize(
    "clocks",
    [
        (act("start", "inv_custody", person="P1"),),
        (add("upper_procuratorate"),),
        (add("provincial_procuratorate", months=2),),
        (add("upper_procuratorate"), add("provincial_procuratorate", months=2, day=9)),
        (add("upper_procuratorate"), add("provincial_procuratorate", months=2, day=9),
         add("provincial_procuratorate", months=2, day=20)),
        (add("supreme_court", rule="first_instance", months=3),),
        (act("extend", "first_instance", by="court", kind="total", months=3),),
        (act("exclude", "first_instance", event="trial_suspended"),),
        (act("exclude", "detention_arrest_request", event="travel", until=1),),
        (act("exclude", "inv_custody", event="identity_unknown", until=9),),
        (act("restart", "inv_custody", event="new_important_crime"),),
        (act("restart", "prosecution_review_fast", event="fast_track_dropped"),),
        (act("stop", "lawyer_meeting"),),
    ],
)  # fmt: skip
def test_what_the_law_knows_passes_also_where_it_follows_on_what_other_headers_say(
    clocks: tuple[ClockAct, ...],
) -> None:
    check(*clocks)


def test_a_second_extension_by_the_upper_court_in_one_header_is_refused() -> None:
    with pytest.raises(NotAllowed, match="XB-4006"):
        check(*(add("upper_court", rule="first_instance", months=3, day=day) for day in (1, 2)))


def test_an_extension_after_the_expiry_that_the_header_itself_states_is_refused() -> None:
    start = act("start", "inv_custody", person="P1")
    check(start, add("upper_procuratorate", person="P1", day=65))  # 2 May is a holiday, the first working day is 6 May
    with pytest.raises(NotAllowed, match="XB-4007"):
        check(start, add("upper_procuratorate", person="P1", day=66))
    # Another person's limit is another limit.
    check(start, add("upper_procuratorate", person="P2", day=66))


def test_an_act_of_the_header_that_starts_the_limit_counts_as_its_start() -> None:
    accepted = Act(what="case_accepted", at=MARCH_2, person="", custody=None, derived=False)
    late = add("upper_court", rule="first_instance", months=3, day=120)
    with pytest.raises(NotAllowed, match="XB-4007"):
        check(late, kind="court_intake_result", acts=(accepted,), outcome="accepted")
    check(late, kind="court_intake_result", acts=(accepted,), outcome="refused")


def test_an_approved_extension_of_custody_says_how_much_and_by_whom() -> None:
    kind: dict[str, Any] = {"kind": "custody_extension_decision"}
    check(add("upper_procuratorate", person="P1"), **kind, outcome="approved")
    check(**kind, outcome="not_approved")
    for clocks in (
        (),
        (act("start", "inv_custody"),),
        (act("extend", "prosecution_review", by="procuratorate", kind="add", days=15),),
    ):
        with pytest.raises(InvalidInput, match="XB-1001") as refusal:
            check(*clocks, **kind, outcome="approved")
        assert "逮捕后侦查羁押期限" in refusal.value.explain()


def test_an_act_of_the_person_counts_as_the_start_of_the_person_s_limit() -> None:
    arrested = Act(what="arrested", at=MARCH_2, person="P1", custody=True, derived=False)
    receipt: dict[str, Any] = {"kind": "arrest_execution_receipt", "outcome": "executed", "acts": (arrested,)}
    check(add("upper_procuratorate", person="P1", day=61), **receipt)
    with pytest.raises(NotAllowed, match="XB-4007"):
        check(add("upper_procuratorate", person="P1", day=70), **receipt)


def test_a_registration_without_anything_to_register_is_refused() -> None:
    with pytest.raises(InvalidInput, match="XB-1001"):
        check()
    check(kind="arrest_request")

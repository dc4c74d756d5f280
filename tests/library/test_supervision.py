"""Every step of a supervision, legal or not; and when a reply is due, day by day."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from xieban.errors import NotAllowed, Reason, XiebanError
from xieban.marshal import micros
from xieban.supervision import (
    ACT_NAMES,
    CAUSE_NAMES,
    DROPPED_NAMES,
    MEASURE_NAMES,
    SHANGHAI,
    STATE_NAMES,
    Act,
    Cause,
    Dropped,
    Measure,
    State,
    days_over,
    document_number,
    heard,
    officer,
    reply_term,
    step,
    supervision_id,
)
from xieban.timelimits import Calendar

CALENDAR = Calendar.published()
# The whole table as it was agreed, row by row, written down apart from the code. `.` is refused.
ACTS = (Act.ISSUE, Act.DISCARD, Act.ACKNOWLEDGE, Act.EXPLAIN, Act.CLOSE, Act.RETURN, Act.ESCALATE, Act.REMIND, Act.MISS,
        Act.LIFT, Act.RESTORE, Act.DRAFT)  # fmt: skip
PLAIN = {
    State.DRAFTED:      "issued discarded . . . . . . . drafted . .",
    State.DISCARDED:    ". . . . . . . . . . . .",
    State.ISSUED:       ". . acknowledged . . . . issued escalated issued . .",
    State.ACKNOWLEDGED: ". . . explained . . . acknowledged escalated acknowledged . .",
    State.EXPLAINED:    ". . . . closed returned escalated . . explained . .",
    State.RETURNED:     ". . . explained . . . returned escalated returned . .",
    State.ESCALATED:    ". . acknowledged . . . . escalated escalated escalated . .",
    State.CLOSED:       ". . . . . . . . . . . .",
}  # fmt: skip
LIFTED = {
    State.DRAFTED:      ". discarded . . . . . . . . drafted .",
    State.DISCARDED:    ". . . . . . . . . . . .",
    State.ISSUED:       ". . acknowledged . closed . . . . . issued .",
    State.ACKNOWLEDGED: ". . . explained closed . . . . . acknowledged .",
    State.EXPLAINED:    ". . . . closed . . . . . explained .",
    State.RETURNED:     ". . . explained closed . . . . . returned .",
    State.ESCALATED:    ". . acknowledged . closed . . . . . escalated .",
    State.CLOSED:       ". . . . . . . . . . . .",
}  # fmt: skip
CELLS = [
    pytest.param(lifted, state, act, target, id=f"{'lifted-' if lifted else ''}{state}-{act}")
    for lifted, table in ((False, PLAIN), (True, LIFTED))
    for state, row in table.items()
    for act, target in zip(ACTS, row.split(), strict=True)
]


def test_the_table_names_every_state_and_every_act() -> None:
    assert set(PLAIN) == set(LIFTED) == set(State)
    assert set(ACTS) == set(Act)
    assert len(CELLS) == 2 * len(State) * len(Act)


@pytest.mark.parametrize(("lifted", "state", "act", "target"), CELLS)
def test_a_step_leads_where_the_table_says_or_is_refused_with_a_number(
    lifted: bool, state: State, act: Act, target: str
) -> None:
    if target != ".":
        assert step(state, act, lifted=lifted, supervision="2026-1") is State(target)
        return
    with pytest.raises(NotAllowed) as refused:
        step(state, act, lifted=lifted, supervision="2026-1")
    row = PLAIN[state].split()[ACTS.index(act)]
    only_lifted = lifted and row != "."
    assert refused.value.reason is (Reason.SUPERVISION_LIFTED if only_lifted else Reason.SUPERVISION_STATE)
    assert ACT_NAMES[act] in str(refused.value)


@pytest.mark.parametrize("state", State)
def test_a_reader_takes_an_explanation_wherever_a_reply_is_owed_and_a_signature_for_the_demand_it_names(
    state: State,
) -> None:
    """Replies overtake one another on the bus, and cross escalations."""
    owing = {State.ISSUED, State.ACKNOWLEDGED, State.RETURNED, State.ESCALATED}
    assert heard(state, Act.EXPLAIN, of_latest=False) is (State.EXPLAINED if state in owing else state)
    signed = State.ACKNOWLEDGED if state in (State.ISSUED, State.ESCALATED) else state
    assert heard(state, Act.ACKNOWLEDGE, of_latest=True) is signed
    assert heard(state, Act.ACKNOWLEDGE, of_latest=False) is state


def test_every_code_has_its_chinese() -> None:
    assert set(STATE_NAMES) == set(State)
    assert set(ACT_NAMES) == set(Act)
    assert set(CAUSE_NAMES) == set(Cause)
    assert set(MEASURE_NAMES) == set(Measure)
    assert set(DROPPED_NAMES) == set(Dropped)


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI))


@pytest.mark.parametrize(
    ("issued", "days", "last", "reminded"),
    [
        ("2026-03-10 10:00", 3, "2026-03-13", "2026-03-12 09:00"),
        ("2026-03-12 16:00", 3, "2026-03-17", "2026-03-16 09:00"),  # over a weekend
        ("2026-03-14 12:00", 1, "2026-03-16", None),  # issued on a Saturday; Friday's morning has passed
        ("2026-04-30 09:00", 3, "2026-05-08", "2026-05-07 09:00"),  # 1 to 5 May are free
        ("2026-02-13 09:00", 2, "2026-02-24", "2026-02-14 09:00"),  # Saturday 14 February is a working day before the festival
        ("2026-09-29 23:59", 1, "2026-09-30", None),
    ],
)  # fmt: skip
def test_a_reply_is_due_at_the_end_of_a_working_day_and_reminded_of_the_working_day_before(
    issued: str, days: int, last: str, reminded: str | None
) -> None:
    term = reply_term(at(issued), days=days, remind_days=1, calendar=CALENDAR)
    assert term.last_day == date.fromisoformat(last)
    assert term.over_from == at(f"{last} 00:00") + 86_400_000_000
    assert term.remind_at == (at(reminded) if reminded else None)


def test_a_reminder_of_no_days_comes_on_the_last_morning() -> None:
    term = reply_term(at("2026-03-10 10:00"), days=3, remind_days=0, calendar=CALENDAR)
    assert term.remind_at == at("2026-03-13 09:00")


def test_the_first_day_over_counts_as_one() -> None:
    over = at("2026-03-10 00:00")
    assert [days_over(over, now=over + hours * 3_600_000_000) for hours in (-1, 0, 23, 24, 49)] == [0, 1, 1, 2, 3]


def test_a_supervision_is_named_by_year_and_number_or_as_it_is_printed() -> None:
    assert supervision_id(" 2026-3 ") == supervision_id("督办〔2026〕3号") == "2026-3"
    assert document_number("2026-3") == "督办〔2026〕3号"
    for wrong in ("", "3", "2026-03", "2026-0", "1999-3", "督办2026-3", "２０２６-3"):
        with pytest.raises(XiebanError, match="XB-1001"):
            supervision_id(wrong)


@pytest.mark.parametrize("wrong", ["", "1", "张三", "zf0012", "0" * 17, "ZF 12", "ZF0012\n"])
def test_an_officer_is_named_by_number_only(wrong: str) -> None:
    assert officer("ZF0012") == "ZF0012"
    with pytest.raises(XiebanError, match="XB-1001"):
        officer(wrong)

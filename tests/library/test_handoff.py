"""The ladder: every state with every fact, and nothing else moves a handoff."""

from __future__ import annotations

from typing import get_args

import pytest

from xieban.handoff import LADDER, SETTLED, FactKind, State, climb

S = State
OPEN = {S.SENT, S.DELIVERED, S.COMPLETE}
# fact: (states it moves, where to); every other state stays as it is
EXPECTED = {
    "delivered": ({S.SENT}, S.DELIVERED),
    "complete": ({S.SENT, S.DELIVERED}, S.COMPLETE),
    "accepted": (OPEN, S.ACCEPTED),
    "returned": (OPEN, S.RETURNED),
    "answered": (OPEN | {S.ACCEPTED}, S.ANSWERED),
    "rejected": (OPEN, S.REJECTED),
    "withdrawn": (OPEN, S.WITHDRAWN),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fact", EXPECTED)
def test_a_fact_moves_exactly_the_states_below_it(state: State, fact: FactKind) -> None:
    origins, target = EXPECTED[fact]
    assert climb(state, fact) is (target if state in origins else state)


def test_the_ladder_knows_every_fact_and_every_state_is_reached() -> None:
    assert set(LADDER) == set(EXPECTED) == set(get_args(FactKind))
    assert {target for _, target in EXPECTED.values()} == set(State) - {S.SENT}


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_a_settled_handoff_is_answered_once(state: State) -> None:
    reached = {climb(state, fact) for fact in get_args(FactKind)}
    assert reached == ({state, S.ANSWERED} if state is S.ACCEPTED else {state})


def test_facts_in_any_order_lead_to_the_same_end() -> None:
    for facts in (
        ("delivered", "complete", "accepted"),
        ("accepted", "delivered", "complete"),
        ("complete", "accepted", "delivered"),
    ):
        state = S.SENT
        for fact in facts:
            state = climb(state, fact)
        assert state is S.ACCEPTED

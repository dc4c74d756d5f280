"""What an agency makes of the notices of one supervision and its own replies, in whatever order the notices reach it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from services.agency.notices import Matter
from services.agency.noticing import matter_of
from tests.library.samples import demand, notice, reply
from xieban.notice import Notice, Occasion, Reply
from xieban.supervision import Cause, Measure, State


def of(
    occasion: Occasion, step: int, state: State, *, by: str = "", reply_by: str = "2026-03-13", level: int = 1
) -> Notice:
    """A notice of a supervision as it stood after `step`."""
    return notice(
        occasion=occasion, rung="", demand=demand(step=step, state=state, by=by, reply_by=reply_by, level=level)
    )


def eid(one: Notice) -> str:
    """A stand-in, from its step."""
    return f"{one.demand.step if one.demand else 0:064x}"


def after(*notices: Notice, replies: Sequence[Reply] = ()) -> Matter:
    """What these notices and our replies come to."""
    return matter_of([(eid(one), one) for one in notices], replies)


def said(act: str, to: Notice) -> Reply:
    more: dict[str, Any] = {"cause": Cause.OTHER, "measures": [Measure.DONE], "expected": "2026-03-12", "text": "好"}
    return reply(of=eid(to), act=act, **(more if act == "explain" else {}))


ISSUED = of(Occasion.ISSUED, 2, State.ISSUED, by="ZF0012")
REMINDED = of(Occasion.REMINDED, 3, State.ISSUED)
MISSED = of(Occasion.ESCALATED, 4, State.ESCALATED, reply_by="2026-03-18", level=2)
LIFTED = of(Occasion.LIFTED, 5, State.ESCALATED, reply_by="", level=2)


@pytest.mark.parametrize(
    "order",
    list(permutations((ISSUED, REMINDED, MISSED, LIFTED))),
    ids=lambda order: "-".join(one.occasion for one in order),
)
def test_notices_in_any_order_come_to_the_same(order: tuple[Notice, ...]) -> None:
    matter = after(*order)
    assert (matter.step, matter.level, matter.lifted, matter.state) == (5, 2, True, State.ESCALATED)
    assert (matter.demanded, matter.reply_by) == (eid(MISSED), "")


def test_replies_stand_after_the_demand_they_answer_whatever_came_first() -> None:
    replies = [said("acknowledge", ISSUED), said("acknowledge", MISSED), said("explain", MISSED)]
    assert after(MISSED, ISSUED, replies=replies[:1]).state is State.ESCALATED
    assert after(ISSUED, MISSED, replies=replies[:2]).state is State.ACKNOWLEDGED
    assert after(MISSED, REMINDED, ISSUED, replies=replies).state is State.EXPLAINED


def test_an_escalation_by_time_that_crosses_our_explanation_does_not_take_it_back() -> None:
    replies = [said("acknowledge", ISSUED), said("explain", ISSUED)]
    crossed = after(ISSUED, MISSED, replies=replies)
    assert (crossed.state, crossed.level, crossed.reply_by) == (State.EXPLAINED, 2, "")
    ordered = of(Occasion.ESCALATED, 4, State.ESCALATED, by="ZF0012", level=2)
    assert after(ISSUED, ordered, replies=replies).state is State.ESCALATED


@pytest.mark.parametrize("acts", [[], ["acknowledge"]])
def test_an_escalation_while_a_reply_is_owed_asks_for_another_signature(acts: list[str]) -> None:
    matter = after(ISSUED, MISSED, replies=[said(act, ISSUED) for act in acts])
    assert (matter.state, matter.demanded, matter.reply_by) == (State.ESCALATED, eid(MISSED), "2026-03-18")


def test_a_reminder_changes_nothing() -> None:
    assert after(ISSUED, REMINDED, replies=[said("acknowledge", ISSUED)]).state is State.ACKNOWLEDGED
    assert after(ISSUED, REMINDED).demanded == after(ISSUED).demanded


def test_an_officers_verdict_takes_an_explanation_back_and_a_closing_ends_it() -> None:
    explained = [said("acknowledge", ISSUED), said("explain", ISSUED)]
    returned = of(Occasion.RETURNED, 5, State.RETURNED, by="ZF0012")
    closed = of(Occasion.CLOSED, 7, State.CLOSED, by="ZF0012", reply_by="")
    assert after(ISSUED, returned, replies=explained).state is State.RETURNED
    assert after(ISSUED, returned, closed, replies=explained).state is State.CLOSED
    assert after(ISSUED, closed).reply_by == ""

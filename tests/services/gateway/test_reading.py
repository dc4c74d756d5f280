"""Pages of rows: every row once, tokens opaque, sizes bounded."""

from __future__ import annotations

import pytest

from tests.services.gateway.conftest import Gateway
from xieban.errors import InvalidInput, NotFound

POLICE, PP = "police", "procuratorate"


async def _many(gateway: Gateway, count: int) -> None:
    for number in range(count):
        day = 5 + number % 3
        eid = gateway.script.send(f"A62{number:04}", "prosecution_transfer", POLICE, PP, f"2026-01-{day:02} 09:00")
        gateway.script.settle(eid, PP, POLICE, f"2026-01-{day:02} 10:00")
    await gateway.take()


async def test_paging_through_cases_and_limits_shows_each_exactly_once(gateway: Gateway) -> None:
    await _many(gateway, 23)
    cases, limits = [], []
    token = ""
    while True:
        page, token = await gateway.reading.cases(size=5, token=token)
        assert len(page) <= 5
        cases += [line.case_id for line in page]
        if not token:
            break
    while True:
        rows, token = await gateway.reading.limits(state="running", size=7, token=token)
        limits += [limit.key for limit in rows]
        if not token:
            break
    assert len(cases) == len(set(cases)) == len(limits) == len(set(limits)) == 23


async def test_a_page_that_ends_exactly_at_the_last_row_has_no_successor(gateway: Gateway) -> None:
    await _many(gateway, 10)
    assert (await gateway.reading.cases(size=10))[1] == ""
    assert (await gateway.reading.cases(size=9))[1] != ""


@pytest.mark.parametrize("token", ["x", "W10", "WzEsMl0", "!!!!", "é"])
async def test_a_token_we_did_not_give_is_refused(gateway: Gateway, token: str) -> None:
    with pytest.raises(InvalidInput, match="XB-1001"):
        await gateway.reading.cases(token=token)
    with pytest.raises(InvalidInput, match="XB-1001"):
        await gateway.reading.limits(token=token)


async def test_sizes_and_states_outside_the_published_ones_are_refused(gateway: Gateway) -> None:
    with pytest.raises(InvalidInput):
        await gateway.reading.cases(size=201)
    with pytest.raises(InvalidInput):
        await gateway.reading.limits(state="OVERDUE")


async def test_a_case_nobody_sent_anything_about_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(NotFound, match="XB-2009"):
        await gateway.reading.timeline("A6201")


async def test_of_one_instant_an_answer_is_told_after_what_it_answers(gateway: Gateway) -> None:
    case = "A6201020000002026010099"
    asked, answered = [], []
    for number in range(4):  # with random eids one order would come about by chance half of the time
        name = f"{case[:-2]}{number:02}"
        asked.append(gateway.script.send(name, "arrest_request", "police", "procuratorate", "2026-01-05 09:00"))
        answered.append(
            gateway.script.send(
                name,
                "arrest_decision",
                "procuratorate",
                "police",
                "2026-01-05 09:00",
                outcome="approved",
                re=[asked[-1]],
            )
        )
    await gateway.take()
    for number in range(4):
        told = await gateway.reading.timeline(f"{case[:-2]}{number:02}")
        assert [handoff.eid for handoff in told.handoffs] == [asked[number], answered[number]]

"""What offices state as a last day is compared with what is computed, told when it differs, and moves nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from services.gateway.dues import Compared
from services.gateway.web.app import pages
from tests.services.gateway.conftest import Gateway, gateway_at
from tests.services.gateway.script import Script, clock
from xieban.agency import PARTIES, city

CASE = "A6201"
POLICE, PP, COURT = PARTIES
S20 = "S20_prosecution_review"
RULE = "prosecution_review"


def review(script: Script) -> None:
    """Under prosecution review, nobody held: due 2026-04-02, a Thursday."""
    transfer = script.send(CASE, "prosecution_transfer", POLICE, PP, "2026-03-02 09:00")
    script.settle(transfer, PP, POLICE, "2026-03-02 09:00")


def state(script: Script, sender: str, when: str, *dues: tuple[str, str]) -> str:
    """A handoff between the two that states due dates."""
    kind = "evidence_supply_request" if sender == PP else "evidence_supply_reply"
    return script.send(CASE, kind, sender, POLICE if sender == PP else PP, when, stage=S20, dues=dues)


async def told(gateway: Gateway) -> list[tuple[str, str, str]]:
    return [(e.kind, e.eid, e.detail) for e in await gateway.log() if e.kind.startswith("CLOCK_DIFFERS")]


async def stated(gateway: Gateway) -> list[Compared]:
    timeline = await gateway.reading.timeline(CASE)
    return [one for limit in timeline.limits for one in timeline.stated.get(limit.key, ())]


async def test_a_date_that_agrees_is_shown_and_nothing_is_logged(gateway: Gateway) -> None:
    review(gateway.script)
    eid = state(gateway.script, PP, "2026-03-04 09:00", (RULE, "2026-04-02"))
    await gateway.take()
    assert await told(gateway) == []
    (one,) = await stated(gateway)
    assert (one.by, one.due, one.eid, one.differs) == ((PP, "620102"), "2026-04-02", eid, False)


async def test_a_difference_is_logged_once_moves_nothing_and_is_lifted_by_the_agency_s_next_word(
    gateway: Gateway,
) -> None:
    review(gateway.script)
    wrong = state(gateway.script, PP, "2026-03-04 09:00", (RULE, "2026-04-01"))
    await gateway.take()
    await gateway.take()
    assert await told(gateway) == [("CLOCK_DIFFERS", wrong, f"{RULE}:2026-04-01")]
    (limit,) = (await gateway.reading.timeline(CASE)).limits
    assert (limit.due, [one.differs for one in await stated(gateway)]) == ("2026-04-02", [True])
    right = state(gateway.script, PP, "2026-03-05 09:00", (RULE, "2026-04-02"))
    await gateway.take(gateway.script.messages[-1:])
    assert (await told(gateway))[1:] == [("CLOCK_DIFFERS_LIFTED", right, f"{RULE}:2026-04-01")]
    assert [(one.eid, one.differs) for one in await stated(gateway)] == [(right, False)]


async def test_another_wrong_date_is_another_difference(gateway: Gateway) -> None:
    review(gateway.script)
    for day in ("01", "03"):
        state(gateway.script, PP, f"2026-03-{day} 10:00", (RULE, f"2026-04-{day}"))
    await gateway.take(batch=1)
    assert [(kind, detail) for kind, _, detail in await told(gateway)] == [
        ("CLOCK_DIFFERS", f"{RULE}:2026-04-01"),
        ("CLOCK_DIFFERS_LIFTED", f"{RULE}:2026-04-01"),
        ("CLOCK_DIFFERS", f"{RULE}:2026-04-03"),
    ]


async def test_each_computation_compares_anew(gateway: Gateway) -> None:
    """Police count on without an extension that the procuratorate states; the two agencies' words stand side by side."""
    review(gateway.script)
    mine = state(gateway.script, POLICE, "2026-03-04 09:00", (RULE, "2026-04-02"))
    await gateway.take()
    more = clock("extend", RULE, "2026-03-20 09:00", by="procuratorate", kind="add", days=15)
    both = {"clocks": [more], "dues": [(RULE, "2026-04-17")]}
    gateway.script.send(CASE, "evidence_supply_request", PP, POLICE, "2026-03-20 09:00", stage=S20, **both)  # type: ignore[arg-type]
    await gateway.take(gateway.script.messages[-1:])
    assert await told(gateway) == [("CLOCK_DIFFERS", mine, f"{RULE}:2026-04-02")]
    assert [(one.by[0], one.differs) for one in await stated(gateway)] == [(POLICE, True), (PP, False)]


async def test_a_limit_the_gateway_does_not_know_is_a_difference_until_it_does(gateway: Gateway) -> None:
    review(gateway.script)
    eid = state(gateway.script, POLICE, "2026-03-04 09:00", ("bail_max/P1", "2027-03-02"))
    await gateway.take()
    assert await told(gateway) == [("CLOCK_DIFFERS", eid, "bail_max:2027-03-02")]
    (unmatched,) = (await gateway.reading.timeline(CASE)).unmatched
    assert (unmatched.rule, unmatched.person, unmatched.start_eid) == ("bail_max", "P1", "")
    begun = clock("start", "bail_max", "2026-03-02 10:00", person="P1")
    gateway.script.register(CASE, POLICE, "2026-03-05 09:00", begun)
    await gateway.take(gateway.script.messages[-1:])
    assert (await told(gateway))[-1][0] == "CLOCK_DIFFERS_LIFTED"
    assert (await gateway.reading.timeline(CASE)).unmatched == ()


async def test_a_statement_that_came_to_nothing_takes_its_date_with_it(gateway: Gateway) -> None:
    review(gateway.script)
    eid = state(gateway.script, PP, "2026-03-04 09:00", (RULE, "2026-04-01"))
    await gateway.take()
    gateway.script.receipt(POLICE, PP, [(eid, "rejected", "2026-03-04 09:01")])
    await gateway.take(gateway.script.messages[-1:])
    assert [kind for kind, _, _ in await told(gateway)] == ["CLOCK_DIFFERS", "CLOCK_DIFFERS_LIFTED"]
    assert await stated(gateway) == []


async def test_of_several_runs_the_one_that_was_the_newest_is_meant(gateway: Gateway) -> None:
    script = gateway.script
    review(script)
    first = state(script, PP, "2026-03-04 09:00", (RULE, "2026-04-02"))
    back = script.send(CASE, "return_supplementary_investigation", PP, POLICE, "2026-03-10 09:00", stage=S20)
    script.settle(back, POLICE, PP, "2026-03-10 09:10")
    again = script.send(
        CASE,
        "resubmission_after_supplement",
        POLICE,
        PP,
        "2026-03-31 09:00",
        stage="S25_supplementary_investigation",
        re=[back],
    )
    script.settle(again, PP, POLICE, "2026-03-31 09:10")
    second = state(script, PP, "2026-04-01 09:00", (RULE, "2026-04-30"))
    await gateway.take()
    assert [(one.eid, one.differs) for one in await stated(gateway)] == [(first, False), (second, False)]
    assert await told(gateway) == []


async def test_a_moment_is_the_same_with_and_without_its_seconds(gateway: Gateway) -> None:
    script = gateway.script
    script.send(
        CASE,
        "early_opinion_request",
        POLICE,
        PP,
        "2026-03-02 09:00",
        dues=[("lawyer_meeting", "2026-03-04T10:00+08:00")],
    )
    script.register(CASE, POLICE, "2026-03-02 10:00", clock("start", "lawyer_meeting", "2026-03-02 09:20"))
    await gateway.take()
    assert [one.differs for one in await stated(gateway)] == [False]


@pytest.mark.parametrize("seed", range(4))
async def test_what_stands_is_a_function_of_the_set_of_statements(seed: int, tmp_path: Path) -> None:
    script = Script()
    review(script)
    for number, day in enumerate(("01", "02", "03", "02", "09"), start=4):
        state(script, PP if number % 2 else POLICE, f"2026-03-{number:02} 09:00", (RULE, f"2026-04-{day}"))
    script.register(
        CASE, PP, "2026-03-20 09:00", clock("extend", RULE, "2026-03-20 09:00", by="procuratorate", kind="add", days=7)
    )
    order = list(range(len(script.messages)))

    async def outcome(name: str, order: Sequence[int]) -> list[Compared]:
        gateway, database = await gateway_at(tmp_path / name, script)
        async with database:
            await gateway.take([script.messages[index] for index in order], batch=2)
            return await stated(gateway)

    plain = await outcome("plain.db", order)
    random.Random(seed).shuffle(order)
    assert await outcome("mixed.db", order) == plain
    assert [(one.by[0], one.due, one.differs) for one in plain] == [
        (POLICE, "2026-04-09", False),
        (PP, "2026-04-02", True),
    ]


@pytest.fixture
async def site(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    app = pages(
        gateway.reading,
        gateway.supervisions,
        look=gateway.lookups.timeline,
        city=city("lanzhou"),
        clock=gateway.clock,
        sandbox=True,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        yield client


async def test_the_case_page_shows_both_dates_beside_the_limit(gateway: Gateway, site: httpx.AsyncClient) -> None:
    review(gateway.script)
    dues = [(RULE, "2026-04-01"), ("bail_max/P1", "2026-02-30")]
    state(gateway.script, PP, "2026-03-04 09:00", *dues)
    await gateway.take()
    html = (await site.get(f"/cases/{CASE}?purpose=routine")).text
    for text in ("机关所报 <b>2026-04-01 24:00</b>", "平台所算 <b>2026-04-02 24:00</b>", "与平台所算不一致", "无此期限", "2026-02-30",
                 "所报不一致"):  # fmt: skip
        assert text in html

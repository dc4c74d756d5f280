"""Every crash point is hit exactly; after a restart nothing is lost, nothing is doubled, everything is settled."""

from __future__ import annotations

import asyncio

import pytest

from tests.ledger import compare
from tests.system.rig import CT, PP, PS, City, main_road, persist
from tests.world import START
from xieban.agency import Agency
from xieban.handoff import State
from xieban.views import ActView

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_case_that_nobody_disturbs_leaves_clean_ledgers(city: City) -> None:
    case = city.new_case()
    eids = await main_road(city, case)
    findings = await city.settled(case)
    assert findings.clean, str(findings)
    assert findings.handoffs == len(eids)
    assert findings.receipts >= len(eids)


# Where the label lies on the way of a handoff from the police to the procuratorate, and on whose side.
SENDER = {"S1", "S2", "S3", "S4"}


@pytest.mark.parametrize("label", ["S1", "S2", "S3", "S4", "R1", "R2", "R3", "R4", "R5"])
async def test_a_node_that_dies_at_a_crash_point_takes_up_its_work(city: City, label: str) -> None:
    case = city.new_case()
    victim = PS if label in SENDER else PP
    draft = city.draft("prosecution_transfer", case=case)
    with city.crashing(label) as died:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(persist(lambda: city.police.send(draft)))
            await died.wait()
            await city.dead(victim)
            await city.node(victim).restart()
            sent = await sending
    await city.arrive(city.procuratorate, sent.eid)
    again = await city.police.send(draft)
    assert again.eid == sent.eid
    await city.procuratorate.accept(sent.eid)
    await city.settle(city.police, sent.eid, State.ACCEPTED)
    findings = await city.settled(case)
    assert findings.clean, str(findings)
    assert findings.handoffs == 1


@pytest.mark.parametrize("label", ["S1", "S2"])
async def test_a_clerks_answer_survives_the_death_of_its_node(city: City, label: str) -> None:
    """The same points on the receiver's way out: acceptance and answer leave with the same transaction or not at all."""
    case = city.new_case()
    asked = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, asked.eid)
    answer = city.draft("arrest_decision", case=case, sender=PP, receiver=PS, outcome="approved", acts=())
    with city.crashing(label) as died:
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(persist(lambda: city.procuratorate.answer(asked.eid, answer)))
            await died.wait()
            await city.dead(PP)
            await city.node(PP).restart()
            decided = await answering
    await city.arrive(city.police, decided.eid)
    await city.police.accept(decided.eid)
    await city.settle(city.police, asked.eid, State.ANSWERED)
    findings = await city.settled(case)
    assert findings.clean, str(findings)
    assert findings.handoffs == 2


async def test_a_receiver_that_dies_before_and_after_its_commit_counts_a_return_once(city: City) -> None:
    """An effect that is not idempotent by itself: the counter of returns for supplement."""
    case = city.new_case()
    await main_road(city, case)
    draft = city.draft("return_supplementary_investigation", case=case, sender=PP, receiver=PS, acts=())
    with city.crashing("R1") as died:
        returned = await city.procuratorate.send(draft)
        await died.wait()
        await city.dead(PS)
    with city.crashing("R2") as died:
        await city.node(PS).restart()
        await died.wait()
        await city.dead(PS)
    await city.node(PS).restart()
    await city.arrive(city.police, returned.eid)
    await city.quiet()
    assert (await city.police.case_get(case)).returns == 1
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_a_receiver_that_starts_late_gets_everything_in_order(city: City) -> None:
    case = city.new_case()
    await city.node(PP).stop()
    kinds = ("early_opinion_request", "arrest_request", "custody_extension_request")
    sent = [await city.police.send(city.draft(kind, case=case)) for kind in kinds]
    await city.node(PP).start()
    for handoff in sent:
        await city.arrive(city.procuratorate, handoff.eid)
    views, _ = await city.procuratorate.list(case_id=case)
    assert [view.lane_seq for view in views] == [3, 2, 1]
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_a_broker_that_is_killed_is_only_a_delay(city: City) -> None:
    case = city.new_case()
    await city.broker.kill()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.broker.start()
    await city.arrive(city.procuratorate, sent.eid)
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_a_broker_that_loses_its_whole_store_is_filled_again_from_the_outboxes(city: City) -> None:
    case = city.new_case()
    await city.node(PP).stop()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.broker.kill()
    await city.broker.wipe()
    await city.broker.start()
    await city.node(PP).start()
    await city.arrive(city.procuratorate, sent.eid)
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_a_sender_that_was_away_hears_the_receipts_that_came_meanwhile(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    await city.node(PS).stop()
    await city.procuratorate.accept(sent.eid)
    await city.node(PS).start()
    await city.settle(city.police, sent.eid, State.ACCEPTED)
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_a_gateway_that_is_away_stops_nobody_and_catches_up(city: City) -> None:
    case = city.new_case()
    await city.stop_gateway()
    await main_road(city, case)
    findings = compare(city.home, cases=[case])
    assert not findings.harmed, str(findings)
    assert {finding.where for finding in findings.unsettled} <= {Agency.GATEWAY, PS, PP}
    await city.start_gateway()
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def test_the_court_takes_part_as_well(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    acts = (ActView("prosecuted", START), ActView("arrested", START, "P1"))
    sued = await city.procuratorate.send(city.draft("public_prosecution", case=case, sender=PP, receiver=CT, acts=acts))
    await city.arrive(city.court, sued.eid)
    findings = await city.settled(case)
    assert findings.clean, str(findings)

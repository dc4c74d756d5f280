"""A rig that cannot fail proves nothing: each seeded bug is caught by a scenario that the product itself passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services import relay
from tests.attacks import probes
from tests.ledger import Finding
from tests.system import seeds
from tests.system.rig import PP, PS, City, main_road, persist, whole_city
from tests.system.test_supervision_survival import gateway_again
from xieban.handoff import State
from xieban.marshal import sealed_to_bytes
from xieban.views import HandoffView

Scenario = Callable[[City, str], Awaitable[None]]
Seed = Callable[[pytest.MonkeyPatch, City], None]
Probe = Callable[[City, str], Awaitable[list[str]]]


@pytest_asyncio.fixture
async def doomed(tmp_path: Path) -> AsyncIterator[City]:
    """A city of one's own: what a seeded bug does to it is not undone."""
    async with whole_city(tmp_path, gateway=False) as running:
        yield running


def returned(city: City, case: str) -> Awaitable[HandoffView]:
    """The procuratorate returns the case: an effect at the receiver that must happen once."""
    draft = city.draft("return_supplementary_investigation", case=case, sender=PP, receiver=PS, acts=())
    return city.procuratorate.send(draft)  # type: ignore[no-any-return]


async def barrier(city: City) -> None:
    """A later handoff has arrived, so an earlier one had its turn."""
    later = await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
    await city.arrive(city.procuratorate, later.eid)


async def receiver_dies_before_its_commit(city: City, case: str) -> None:
    with city.crashing("R1") as died:
        await returned(city, case)
        await died.wait()
        await city.dead(PS)
    await city.node(PS).restart()


async def receiver_dies_after_its_commit(city: City, case: str) -> None:
    with city.crashing("R2") as died:
        await returned(city, case)
        await died.wait()
        await city.dead(PS)
    await city.node(PS).restart()


async def sender_dies_after_its_commit(city: City, case: str) -> None:
    draft = city.draft("return_supplementary_investigation", case=case, sender=PP, receiver=PS, acts=())
    with city.crashing("S2") as died:
        async with asyncio.TaskGroup() as group:
            group.create_task(persist(lambda: city.procuratorate.send(draft)))
            await died.wait()
            await city.dead(PP)
            await city.node(PP).restart()
    await barrier(city)


async def broker_loses_its_store_while_the_receiver_is_away(city: City, case: str) -> None:
    await city.node(PS).stop()
    sent = await returned(city, case)
    await city.in_stream(sent.eid)
    await city.broker.kill()
    await city.broker.wipe()
    await city.broker.start()
    await city.node(PS).start()
    await barrier(city)


async def the_same_header_comes_again(city: City, case: str) -> None:
    sent = await returned(city, case)
    await city.arrive(city.police, sent.eid)
    subject = "xieban.v1.lanzhou.handoff.procuratorate.police"
    await city.say(subject, sealed_to_bytes(city.sealed(PP, sent.eid)), message_id="once more")
    await city.quiet_bus()


async def an_ordinary_day(city: City, case: str) -> None:
    sent = await returned(city, case)
    await city.arrive(city.police, sent.eid)
    await city.police.accept(sent.eid)


async def gateway_dies_after_its_commit(city: City, case: str) -> None:
    await city.start_gateway()
    await city.quiet_bus()
    with city.crashing("G2") as died:
        await returned(city, case)
        await died.wait()
    await gateway_again(city)


async def gateway_dies_before_its_commit_and_the_broker_loses_its_store(city: City, case: str) -> None:
    await city.start_gateway()
    await city.quiet_bus()
    with city.crashing("G1") as died:
        sent = await returned(city, case)
        await died.wait()
        await city.settle(
            city.procuratorate, sent.eid, State.COMPLETE
        )  # the receiver has it: nobody repeats it for his sake
    await city.stop_gateway()
    await city.broker.kill()
    await city.broker.wipe()
    await city.broker.start()
    await city.start_gateway()
    await barrier(city)


PATIENT = {receiver_dies_before_its_commit}
"""Scenarios in which the sender does not repeat itself, so that only the broker's redelivery can help."""
CAUGHT = [
    (seeds.ack_before_commit, receiver_dies_before_its_commit, "unsettled", "header not received"),
    (seeds.effect_outside_the_transaction, receiver_dies_after_its_commit, "lost", "effect on the case"),
    (seeds.fire_and_forget, broker_loses_its_store_while_the_receiver_is_away, "lost", "header not received"),
    (seeds.outbox_in_memory, sender_dies_after_its_commit, "lost", "header not received"),
    (seeds.no_inbox_key, the_same_header_comes_again, "doubled", "fact rejected"),
    (seeds.receipt_before_commit, receiver_dies_before_its_commit, "doubled", "receipt its author knows nothing of"),
    (seeds.lost_inbox_event, an_ordinary_day, "lost", "inbox event accepted"),
    (seeds.acceptance_without_a_receipt, an_ordinary_day, "lost", "state is accepted"),
    (seeds.entry_outside_the_transaction, gateway_dies_after_its_commit, "lost", "log entry LODGED ×0"),
    (
        seeds.ticket_before_commit,
        gateway_dies_before_its_commit_and_the_broker_loses_its_store,
        "lost",
        "outbox row finished though gateway holds nothing",
    ),
]
SEEN = [
    (seeds.delivered_for_what_was_refused, probes.a_header_is_forged, "delivered of what was refused"),
    (seeds.notice_apart_from_its_debt, probes.the_gateway_dies_after_it_has_told_a_breach, "told ×2: overdue"),
    (seeds.a_stop_told_twice_stops_nothing, probes.a_decision_is_registered_twice, "limit is running"),
    (
        seeds.witness_signs_before_it_keeps,
        probes.the_log_shows_a_witness_two_histories_around_its_death,
        "2 roots of size 3 are cosigned",
    ),
    (
        seeds.witness_asks_for_no_proof,
        probes.the_log_shows_a_witness_two_histories_around_its_death,
        "2 roots of size 3 are cosigned",
    ),
]
"""What the databases do not show when they are laid side by side: the scenario looks for it itself."""


def without_repetition(patch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    if scenario in PATIENT:
        patch.setattr(relay, "FIRST_RETRY", 3600.0)
        patch.setattr(relay, "LONGEST_RETRY", 3600.0)


@pytest.mark.parametrize("scenario", {row[1]: None for row in CAUGHT}, ids=lambda scenario: scenario.__name__)
async def test_the_product_passes_the_scenario(
    doomed: City, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = doomed.new_case()
    await main_road(doomed, case)
    without_repetition(monkeypatch, scenario)
    await scenario(doomed, case)
    findings = await (doomed.persistent(case) if scenario in PATIENT else doomed.settled(case))
    harmed = findings.harmed if scenario in PATIENT else [*findings.harmed, *_owed_to_agencies(findings.unsettled)]
    assert not harmed, str(findings)
    assert not any(finding.what == "header not received" for finding in findings.unsettled), str(findings)


@pytest.mark.parametrize(("seed", "scenario", "where", "what"), CAUGHT, ids=[f"{row[0].__name__}" for row in CAUGHT])
async def test_a_seeded_bug_is_caught(
    doomed: City,
    seed: Seed,
    scenario: Scenario,
    where: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = doomed.new_case()
    await main_road(doomed, case)
    seed(monkeypatch, doomed)
    without_repetition(monkeypatch, scenario)
    await scenario(doomed, case)
    findings = await doomed.persistent(case)
    assert any(finding.what.startswith(what) for finding in getattr(findings, where)), str(findings)


@pytest.mark.parametrize("probe", {row[1]: None for row in SEEN}, ids=lambda probe: probe.__name__)
async def test_the_product_does_no_harm(doomed: City, probe: Probe) -> None:
    assert await probe(doomed, doomed.new_case()) == []


@pytest.mark.parametrize(("seed", "probe", "harm"), SEEN, ids=[row[0].__name__ for row in SEEN])
async def test_the_harm_of_a_seeded_bug_is_seen(
    doomed: City, seed: Seed, probe: Probe, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(monkeypatch, doomed)
    found = await probe(doomed, doomed.new_case())
    assert any(one.startswith(harm) for one in found), found


def _owed_to_agencies(unsettled: list[Finding]) -> list[Finding]:
    return [finding for finding in unsettled if not finding.what.startswith("gateway")]

"""The client against real nodes: values, errors, idempotence, and a watch that outlives its node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import grpc.aio
import pytest

from tests.world import PATIENCE, World, sample_dossier, until, world
from xieban.agency import Agency
from xieban.calling import Caller
from xieban.client import Page, Profile, XiebanClient, everything
from xieban.errors import Conflict, InvalidInput, NotAllowed, NotFound, Reason, Unreachable
from xieban.handoff import State
from xieban.views import DefectView


async def test_a_reason_raised_by_the_node_arrives_as_the_same_class_with_its_metadata(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE,)) as city:
        draft = city.draft("prosecution_transfer")
        first = await city.police.send(draft)
        assert await city.police.send(draft) == first

        other = city.draft("prosecution_transfer", client_ref=draft.client_ref, acts=())
        with pytest.raises(Conflict) as reused:
            await city.police.send(other)
        assert reused.value.reason is Reason.CLIENT_REF_REUSED
        assert reused.value.metadata["client_ref"] == draft.client_ref

        with pytest.raises(InvalidInput) as unknown:
            await city.police.send(city.draft("no_such_kind"))
        assert unknown.value.reason is Reason.KIND_UNKNOWN
        with pytest.raises(NotAllowed) as parties:
            await city.police.send(city.draft("arrest_decision", outcome="approved"))
        assert parties.value.reason is Reason.PARTY_NOT_ALLOWED
        with pytest.raises(NotFound):
            await city.police.get("0" * 64)
        with pytest.raises(NotFound):
            await city.police.case_get("A6201020000002026030404")


async def test_a_handoff_is_answered_and_its_dossier_comes_back_as_it_was_given(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        sent = await city.police.send(city.draft("prosecution_transfer"))
        await city.arrive(city.procuratorate, sent.eid)
        whole = await city.procuratorate.get(sent.eid, with_dossier=True)
        assert whole.incoming
        assert whole.dossier == sample_dossier()
        assert whole.acts == sent.acts

        reply = city.draft(
            "prosecution_intake_result",
            sender=Agency.PROCURATORATE,
            receiver=Agency.POLICE,
            outcome="accepted",
            acts=(),
        )
        answer = await city.procuratorate.answer(sent.eid, reply)
        assert answer.re == (sent.eid,)
        known = await city.settle(city.police, sent.eid, State.ANSWERED)
        assert next(fact.answer for fact in known.receipts if fact.kind == "answered") == answer.eid


async def test_a_return_carries_its_coded_defects_to_the_sender(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        sent = await city.police.send(city.draft("prosecution_transfer"))
        await city.arrive(city.procuratorate, sent.eid)
        defect = DefectView(code="pp.opinion_present", article="检规158", item="document:3")
        await city.procuratorate.return_(sent.eid, [defect])
        known = await city.settle(city.police, sent.eid, State.RETURNED)
        assert [fact.defects for fact in known.receipts if fact.kind == "returned"] == [(defect,)]


async def test_what_is_withdrawn_before_acceptance_is_forgotten_by_its_receiver(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        sent = await city.police.send(city.draft("prosecution_transfer"))
        await city.arrive(city.procuratorate, sent.eid)
        withdrawal = await city.police.withdraw(sent.eid, "撤〔2026〕1号")
        assert withdrawal.kind == "withdrawal"
        await city.settle(city.police, sent.eid, State.WITHDRAWN)


async def test_pages_of_a_list_follow_one_another_without_gap_or_repetition(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE,)) as city:
        sent = [await city.police.send(city.draft("early_opinion_request")) for _ in range(5)]
        rows = await everything(city.police.list, size=2)
        assert [row.eid for row in rows] == [one.eid for one in reversed(sent)]
        first, token = await city.police.list(Page(size=2))
        assert len(first) == 2
        assert token


async def test_a_watch_goes_on_after_its_node_was_restarted_and_tells_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        seen: list[int] = []
        second = asyncio.Event()

        async def follow() -> None:
            async for event in city.police.watch():
                seen.append(event.cursor)
                if event.handoff.client_ref == "文〔2026〕2号":
                    second.set()

        async with asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(follow())
            first = await city.police.send(city.draft("early_opinion_request"))
            await city.arrive(city.procuratorate, first.eid)
            await city.nodes[Agency.POLICE].restart()
            await _sent_again(city)
            async with asyncio.timeout(PATIENCE):
                await second.wait()
            follower.cancel()
        assert seen == sorted(set(seen))


async def _sent_again(city: World) -> None:
    await city.police.send(city.draft("early_opinion_request"))


async def test_a_watch_goes_on_from_its_cursor(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE, Agency.PROCURATORATE)) as city:
        first = await city.police.send(city.draft("early_opinion_request"))
        async with asyncio.timeout(PATIENCE):
            async for event in city.procuratorate.watch():
                cursor = event.cursor
                if event.handoff.state is State.COMPLETE:
                    break
        second = await city.police.send(city.draft("early_opinion_request"))
        async with asyncio.timeout(PATIENCE):
            async for event in city.procuratorate.watch(cursor):
                assert event.handoff.eid == second.eid != first.eid
                break


async def test_a_cancellation_that_meets_the_answer_is_not_lost() -> None:
    begun = asyncio.Event()

    async def answers_all_the_same(request: str, *, timeout: float) -> str:
        """As the library does when a cancellation comes in the moment of the answer."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "answer"
        raise AssertionError("nobody cancelled")

    caller = Caller(cast(Profile, None), cast(grpc.aio.Channel, None))
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(caller._call(answers_all_the_same, "request", repeatable=False))
        await begun.wait()
        calling.cancel()
    assert calling.cancelled()


async def test_a_node_that_is_not_there_is_unreachable_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE,)) as city:
        await city.nodes[Agency.POLICE].stop()
        with pytest.raises(Unreachable) as gone:
            await city.police.accept("0" * 64)
        assert gone.value.reason is Reason.PEER_UNREACHABLE


async def test_anothers_certificate_opens_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE,)) as city:
        court = Profile.load(city.home.client("court"))
        police = Profile.load(city.home.client("police"))
        stranger = Profile(
            target=police.target, city=court.city, agency=court.agency, certificate=court.certificate,
            key=court.key, ca=court.ca, server_name=police.server_name,
        )  # fmt: skip
        async with XiebanClient.open(stranger) as client:
            with pytest.raises(Exception, match="XB-5001"):
                await client.case_list()


@pytest.mark.parametrize("broken", ["", "target = 7", "target = 'x'\nsurprise = 'y'", "not toml ["])
def test_a_profile_that_is_not_whole_is_refused_by_name(tmp_path: Path, broken: str) -> None:
    (tmp_path / "profile.toml").write_text(broken, encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        Profile.load(tmp_path)
    assert refused.value.reason is Reason.CLIENT_UNCONFIGURED


async def test_what_happens_at_the_receiver_is_seen_there_too(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        sent = await city.police.send(city.draft("prosecution_transfer"))
        seen = await until(city.procuratorate, lambda view: view.eid == sent.eid)
        assert seen.incoming
        assert seen.client_ref == ""

"""How handoffs are answered, withdrawn and returned between real nodes, and where the case stands afterwards at both ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.rig import CT, PP, PS, City, main_road
from tests.world import START
from xieban import canonical, subjects
from xieban.agency import office
from xieban.errors import NotAllowed, Reason
from xieban.handoff import Fact, Node, Receipt, State
from xieban.ids import new_handoff_id
from xieban.marshal import micros, sealed_to_bytes
from xieban.views import ActView, DefectView, HandoffView

pytestmark = pytest.mark.asyncio(loop_scope="session")
S10, S20, S30, S40 = "S10_investigation", "S20_prosecution_review", "S30_court_intake", "S40_first_instance"


async def stage(city: City, client: str, case: str) -> str:
    return str((await getattr(city, client).case_get(case)).stage)


async def clean(city: City, case: str) -> None:
    findings = await city.settled(case)
    assert findings.clean, str(findings)


async def in_court(city: City, case: str) -> HandoffView:
    await main_road(city, case)
    acts = (ActView("prosecuted", START), ActView("arrested", START, "P1"))
    sued = await city.procuratorate.send(city.draft("public_prosecution", case=case, sender=PP, receiver=CT, acts=acts))
    await city.arrive(city.court, sued.eid)
    return sued  # type: ignore[no-any-return]


async def test_an_answer_implies_acceptance(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("prosecution_transfer", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    draft = city.draft("prosecution_intake_result", case=case, sender=PP, receiver=PS, outcome="accepted", acts=())
    result = await city.procuratorate.answer(sent.eid, draft)
    assert result.re == (sent.eid,)
    assert await stage(city, "procuratorate", case) == S20
    known = await city.settle(city.police, sent.eid, State.ANSWERED)
    told = {fact.kind: fact for fact in known.receipts}
    assert set(told) == {"delivered", "complete", "accepted", "answered"}
    assert told["answered"].answer == result.eid
    await city.arrive(city.police, result.eid)
    assert await stage(city, "police", case) == S20
    await city.police.accept(result.eid)
    await clean(city, case)


async def test_an_intake_result_that_asks_for_supplement_returns_the_transfer(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("prosecution_transfer", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    draft = city.draft("prosecution_intake_result", case=case, sender=PP, receiver=PS, outcome="supplement", acts=())
    result = await city.procuratorate.answer(sent.eid, draft)
    await city.settle(city.police, sent.eid, State.RETURNED)
    await city.arrive(city.police, result.eid)
    assert await stage(city, "police", case) == await stage(city, "procuratorate", case) == S10
    again = await city.police.send(city.draft("prosecution_transfer", case=case))
    await city.arrive(city.procuratorate, again.eid)
    await city.procuratorate.accept(again.eid)
    await city.settle(city.police, again.eid, State.ACCEPTED)
    await city.police.accept(result.eid)
    await clean(city, case)


async def test_a_court_that_refuses_a_case_gives_it_back_to_prosecution_review(city: City) -> None:
    case = city.new_case()
    sued = await in_court(city, case)
    assert await stage(city, "procuratorate", case) == await stage(city, "court", case) == S30
    draft = city.draft("court_intake_result", case=case, sender=CT, receiver=PP, outcome="refused", acts=())
    result = await city.court.answer(sued.eid, draft)
    await city.settle(city.procuratorate, sued.eid, State.RETURNED)
    await city.arrive(city.procuratorate, result.eid)
    assert await stage(city, "procuratorate", case) == await stage(city, "court", case) == S20
    await city.procuratorate.accept(result.eid)
    acts = (ActView("prosecuted", START), ActView("arrested", START, "P1"))
    again = await city.procuratorate.send(
        city.draft("public_prosecution", case=case, sender=PP, receiver=CT, acts=acts)
    )
    await city.arrive(city.court, again.eid)
    await clean(city, case)


async def test_an_indictment_for_which_the_court_asks_more_goes_back_and_is_sent_again(city: City) -> None:
    case = city.new_case()
    sued = await in_court(city, case)
    draft = city.draft("court_intake_result", case=case, sender=CT, receiver=PP, outcome="supplement", acts=())
    result = await city.court.answer(sued.eid, draft)
    await city.settle(city.procuratorate, sued.eid, State.RETURNED)
    await city.arrive(city.procuratorate, result.eid)
    assert await stage(city, "procuratorate", case) == await stage(city, "court", case) == S20
    await city.procuratorate.accept(result.eid)
    acts = (ActView("prosecuted", START), ActView("arrested", START, "P1"))
    again = await city.procuratorate.send(
        city.draft("public_prosecution", case=case, sender=PP, receiver=CT, acts=acts)
    )
    await city.arrive(city.court, again.eid)
    assert await stage(city, "procuratorate", case) == await stage(city, "court", case) == S30
    await clean(city, case)


async def test_a_withdrawn_indictment_moves_the_case_back_at_both_ends(city: City) -> None:
    case = city.new_case()
    sued = await in_court(city, case)
    withdrawal = await city.procuratorate.withdraw(sued.eid, f"撤回{case}")
    await city.settle(city.procuratorate, sued.eid, State.WITHDRAWN)
    await city.settle(city.procuratorate, withdrawal.eid, State.ACCEPTED)
    assert await stage(city, "procuratorate", case) == await stage(city, "court", case) == S20
    await clean(city, case)


async def test_a_return_for_supplement_that_comes_back_is_not_counted_and_the_case_stays_in_review(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    back = {"case": case, "sender": PP, "receiver": PS, "acts": ()}
    returned = await city.procuratorate.send(city.draft("return_supplementary_investigation", **back))
    await city.arrive(city.police, returned.eid)
    assert (await city.police.case_get(case)).returns == 1
    await city.police.return_(returned.eid, [DefectView("ps.outline_present", "检规342", "document:2")])
    await city.settle(city.procuratorate, returned.eid, State.RETURNED)
    for client in ("police", "procuratorate"):
        known = await getattr(city, client).case_get(case)
        assert (known.stage, known.returns) == (S20, 0)
    await clean(city, case)


async def test_a_case_goes_from_the_court_to_the_second_instance_within_one_node(city: City) -> None:
    case = city.new_case()
    sued = await in_court(city, case)
    acts = (ActView("case_accepted", START),)
    draft = city.draft("court_intake_result", case=case, sender=CT, receiver=PP, outcome="accepted", acts=acts)
    accepted = await city.court.answer(sued.eid, draft)
    await city.arrive(city.procuratorate, accepted.eid)
    assert await stage(city, "procuratorate", case) == S40
    acts = (ActView("judged", START),)
    judged = await city.court.send(city.draft("judgment_service", case=case, sender=CT, receiver=PP, acts=acts))
    await city.arrive(city.procuratorate, judged.eid)
    appeal = city.draft("appeal_transfer", case=case, sender=CT, receiver=CT, acts=())
    moved = await city.court.send(replace(appeal, receiver=office(CT, "620100")))
    await city.arrive(city.court, moved.eid)
    await city.court.return_(moved.eid, [DefectView("ct.appeal_present", "解释387", "document:2")])
    await city.settle(city.court, moved.eid, State.RETURNED)
    assert await stage(city, "court", case) == "S50_appeal_window"
    moved = await city.court.send(replace(appeal, receiver=office(CT, "620100"), client_ref=f"再次移送{case}"))
    await city.arrive(city.court, moved.eid)
    await city.court.accept(moved.eid)
    assert await stage(city, "court", case) == "S60_second_instance"
    for eid in (accepted.eid, judged.eid):
        await city.procuratorate.accept(eid)
    await clean(city, case)


async def test_a_handoff_can_be_withdrawn_before_it_is_accepted(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    withdrawal = await city.police.withdraw(sent.eid, f"撤回{case}")
    assert (await city.police.withdraw(sent.eid, f"撤回{case}")).eid == withdrawal.eid
    await city.settle(city.police, sent.eid, State.WITHDRAWN)
    await city.settle(city.police, withdrawal.eid, State.ACCEPTED)
    with pytest.raises(NotAllowed) as raised:
        await city.procuratorate.accept(sent.eid)
    assert raised.value.reason is Reason.STATE_NOT_ALLOWED
    await clean(city, case)


async def test_a_handoff_cannot_be_withdrawn_once_its_sender_knows_it_was_accepted(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    await city.procuratorate.accept(sent.eid)
    await city.settle(city.police, sent.eid, State.ACCEPTED)
    with pytest.raises(NotAllowed) as raised:
        await city.police.withdraw(sent.eid, f"撤回{case}")
    assert raised.value.reason is Reason.STATE_NOT_ALLOWED
    await clean(city, case)


async def test_of_an_acceptance_and_a_withdrawal_that_cross_the_one_that_came_first_stands(city: City) -> None:
    """The sender withdraws while the acceptance has not reached it: the acceptance was first, the withdrawal comes back."""
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    await city.settle(city.police, sent.eid, State.COMPLETE)
    await city.broker.kill()
    await city.procuratorate.accept(sent.eid)
    withdrawal = await city.police.withdraw(sent.eid, f"撤回{case}")
    await city.broker.start()
    await city.settle(city.police, withdrawal.eid, State.RETURNED)
    await city.settle(city.police, sent.eid, State.ACCEPTED)
    await clean(city, case)


async def test_a_repeated_acceptance_is_the_same_acceptance(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    first = await city.procuratorate.accept(sent.eid)
    second = await city.procuratorate.accept(sent.eid)
    assert first.receipts == second.receipts
    await clean(city, case)


async def test_an_answer_that_overtakes_the_acceptance_moves_the_case_all_the_same(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("prosecution_transfer", case=case))
    await city.settle(city.police, sent.eid, State.COMPLETE)
    receipt = Receipt(
        v=1, id=new_handoff_id(), sender=Node("lanzhou", PP), receiver=Node("lanzhou", PS), inc=1, at=micros(START),
        facts=[Fact(of=sent.eid, kind="answered", at=micros(START), defects=[], answer="ab" * 32)],
    )  # fmt: skip
    sealed = city.key(PP).seal("receipt", canonical.encode(receipt))
    await city.say(subjects.receipt("lanzhou", PP, PS), sealed_to_bytes(sealed))
    await city.settle(city.police, sent.eid, State.ANSWERED)
    assert await stage(city, "police", case) == S20


async def test_what_arrives_is_what_was_sent(city: City) -> None:
    draft = city.draft("arrest_request", case=city.new_case())
    sent = await city.police.send(draft)
    await city.arrive(city.procuratorate, sent.eid)
    got = await city.procuratorate.get(sent.eid, with_dossier=True)
    assert got.dossier == draft.dossier
    assert (got.kind, got.case_id, got.acts, got.client_ref) == (draft.kind, draft.case_id, draft.acts, "")

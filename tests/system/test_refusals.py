"""What a caller may not send: a coded error, and not a trace of it in the node's files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest

from tests.system.rig import CT, PP, PS, City, channel, main_road
from tests.world import START, sample_dossier
from xieban.agency import Agency, office
from xieban.client import Page
from xieban.dossier import MAX_DOSSIER, Document, File
from xieban.errors import Conflict, InvalidInput, NotAllowed, NotFound, Reason, TooLarge, XiebanError
from xieban.handoff import State
from xieban.rpcstatus import error_from_rpc
from xieban.views import ActView, DefectView, DueView
from xieban.wire.v1 import handoff_pb2, handoff_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")
CANARY = "金丝雀七六三"


async def refused(call: Awaitable[Any]) -> XiebanError:
    with pytest.raises(XiebanError) as raised:
        await call
    return raised.value


def counts(city: City, agency: Agency) -> dict[str, int]:
    """How much the agency has written of its own accord; what others are still telling it of earlier tests is left out."""
    tables = {table: "1" for table in ("case_file", "client_ref", "dossier", "dossier_file", "lane")}
    tables |= {"handoff": "box = 'out'", "receipt": "box = 'out'", "inbox_event": "box = 'out' AND state = 'sent'"}
    return {
        table: city.rows(agency, f"SELECT COUNT(*) AS n FROM {table} WHERE {of}")[0]["n"]
        for table, of in tables.items()
    }


async def test_an_unknown_kind_is_refused_and_nothing_is_written(city: City) -> None:
    before = counts(city, PS)
    error = await refused(city.police.send(city.draft("space_travel", case=city.new_case())))
    assert error.reason is Reason.KIND_UNKNOWN
    assert counts(city, PS) == before


async def test_a_wrong_stage_is_refused_with_its_article(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    before = counts(city, PS)
    error = await refused(city.police.send(city.draft("arrest_request", case=case)))
    assert (error.reason, error.metadata["stage"]) == (Reason.STAGE_NOT_ALLOWED, "S20_prosecution_review")
    assert "刑诉87" in error.cause
    assert counts(city, PS) == before


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        (office(PS, "620102"), office(CT, "620102")),
        (office(PS, "620102"), office(PS, "620103")),
        (office(PS, "620102"), office(PP, "620103")),
        (office(PS, "620102"), office(PP, "620100")),
        (office(PP, "620102"), office(PP, "620102")),
        (office(PS, "620302"), office(PP, "620302")),
    ],
    ids=["the court", "police", "another division", "the upper level", "somebody else's name", "another city"],
)
async def test_a_wrong_sender_or_receiver_is_refused(city: City, sender: Any, receiver: Any) -> None:
    before = counts(city, PS)
    draft = replace(city.draft("arrest_request", case=city.new_case()), sender=sender, receiver=receiver)
    error = await refused(city.police.send(draft))
    assert error.reason is Reason.PARTY_NOT_ALLOWED
    assert counts(city, PS) == before


async def test_an_office_that_does_not_exist_is_refused(city: City) -> None:
    async with channel(city, city.home.client(PS), to=PS) as wire:
        request = handoff_pb2.SendRequest(
            draft=handoff_pb2.Draft(client_ref="x", case_id="ABCD", secrecy=handoff_pb2.SECRECY_NONE)
        )
        request.draft.to.division = "999999"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await handoff_pb2_grpc.HandoffServiceStub(wire).Send(request, timeout=10)
    assert error_from_rpc(raised.value).reason is Reason.OFFICE_UNKNOWN


async def test_a_case_that_does_not_exist_is_not_opened_by_a_later_step(city: City) -> None:
    error = await refused(city.police.send(city.draft("arrest_reconsideration", case=city.new_case())))
    assert error.reason is Reason.CASE_NOT_FOUND
    draft = city.draft("arrest_decision", case=city.new_case(), sender=PP, receiver=PS, outcome="approved")
    assert (await refused(city.procuratorate.send(draft))).reason is Reason.CASE_NOT_FOUND


async def test_a_second_content_under_the_same_number_is_refused_and_names_the_first(city: City) -> None:
    draft = city.draft("arrest_request", case=city.new_case())
    first = await city.police.send(draft)
    for other in (
        replace(draft, dossier=replace(sample_dossier(), charge="抢劫罪")),
        replace(draft, acts=()),
        replace(draft, case_id=city.new_case()),
    ):
        error = await refused(city.police.send(other))
        assert isinstance(error, Conflict)
        assert error.reason is Reason.CLIENT_REF_REUSED
        assert error.metadata == {"client_ref": draft.client_ref, "handoff": first.eid[:16]}


async def test_the_same_content_twice_is_the_same_handoff_even_after_a_restart(city: City) -> None:
    draft = city.draft("arrest_request", case=city.new_case())
    first = await city.police.send(draft)
    assert (await city.police.send(draft)).eid == first.eid
    await city.node(PS).restart()
    assert (await city.police.send(draft)).eid == first.eid
    views, _ = await city.police.list(case_id=draft.case_id)
    assert len(views) == 1


async def test_a_third_return_for_supplement_is_refused(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    back = {"case": case, "sender": PP, "receiver": PS, "acts": ()}
    for _ in range(2):
        returned = await city.procuratorate.send(city.draft("return_supplementary_investigation", **back))
        await city.arrive(city.police, returned.eid)
        again = await city.police.answer(returned.eid, city.draft("resubmission_after_supplement", case=case))
        await city.arrive(city.procuratorate, again.eid)
        await city.procuratorate.accept(again.eid)
    assert (await city.procuratorate.case_get(case)).returns == 2
    before = counts(city, PP)
    error = await refused(city.procuratorate.send(city.draft("return_supplementary_investigation", **back)))
    assert (error.reason, error.metadata["count"]) == (Reason.RETURN_LIMIT_REACHED, "2")
    assert counts(city, PP) == before
    assert (await city.procuratorate.case_get(case)).stage == "S20_prosecution_review"


@pytest.mark.parametrize("mark", ["机密★", "密级：秘密", "（绝密）"])
async def test_a_secret_mark_is_refused_and_nothing_of_the_dossier_is_on_the_disk(city: City, mark: str) -> None:
    secret = replace(
        sample_dossier(),
        document=Document(title=f"{CANARY}报告{mark}", number="1", date=""),
        files=(File(name="a.txt", media_type="text/plain", content=CANARY.encode()),),
    )
    before = counts(city, PS)
    error = await refused(city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=secret)))
    assert error.reason is Reason.SECRET_MARK
    assert CANARY not in error.explain()
    assert counts(city, PS) == before
    for agency in (PS, PP):
        assert CANARY.encode() not in city.files_of(agency)


async def test_the_canary_would_be_found_had_it_been_written(city: City) -> None:
    """The check above can fail: an ordinary dossier is found where the marked one must not be."""
    word = "寻常词九九一"
    plain = replace(sample_dossier(), charge=word)
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=plain))
    await city.arrive(city.procuratorate, sent.eid)
    assert word.encode() in city.files_of(PS)
    assert word.encode() in city.files_of(PP)


async def test_an_innocent_charge_is_no_secret_mark(city: City) -> None:
    plain = replace(sample_dossier(), charge="侵犯商业秘密罪")
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=plain))
    await city.arrive(city.procuratorate, sent.eid)


async def test_an_oversized_dossier_is_refused_and_the_largest_one_arrives(city: City) -> None:
    def of(size: int) -> Any:
        return replace(sample_dossier(), files=(File(name="a.bin", media_type="", content=bytes(size)),))

    before = counts(city, PS)
    error = await refused(
        city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=of(MAX_DOSSIER + 1)))
    )
    assert isinstance(error, TooLarge)
    assert counts(city, PS) == before
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=of(MAX_DOSSIER)))
    await city.arrive(city.procuratorate, sent.eid)
    held = await city.procuratorate.get(sent.eid, with_dossier=True)
    assert held.dossier is not None
    assert len(held.dossier.files[0].content) == MAX_DOSSIER


async def test_a_message_beyond_the_ports_limit_is_refused(city: City) -> None:
    huge = replace(sample_dossier(), files=(File(name="a.bin", media_type="", content=bytes(6 * 1024 * 1024)),))
    error = await refused(city.police.send(city.draft("arrest_request", case=city.new_case(), dossier=huge)))
    assert isinstance(error, TooLarge)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_ref": " "}, Reason.FIELD_INVALID),
        ({"client_ref": "文\u202e1号"}, Reason.TEXT_FORBIDDEN),
        ({"client_ref": "长" * 129}, Reason.FIELD_INVALID),
        ({"case_id": "张三案"}, Reason.FIELD_INVALID),
        ({"outcome": "approved"}, Reason.OUTCOME_NOT_ALLOWED),
        ({"acts": (ActView("flying", START),)}, Reason.FIELD_INVALID),
        ({"acts": (ActView("detained", START, "张三"),)}, Reason.FIELD_INVALID),
        ({"acts": (ActView("detained", START.replace(year=2100), "P1"),)}, Reason.FIELD_INVALID),
        ({"acts": (ActView("detained", START.replace(year=1949), "P1"),)}, Reason.FIELD_INVALID),
        ({"acts": (ActView("detained", START + timedelta(days=300), "P1"),)}, Reason.INTAKE_DEFECT),
        ({"acts": (ActView("detained", START, "P1"),) * 65}, Reason.FIELD_INVALID),
        ({"dues": (DueView("no_such_limit", "2026-03-09"),)}, Reason.LIMIT_UNKNOWN),
        ({"dues": (DueView("arrest_review_custody", "2026-02-30"),)}, Reason.FIELD_INVALID),
        ({"dues": (DueView("arrest_review_custody", "2026-03-09 00:00"),)}, Reason.FIELD_INVALID),
        ({"dues": (DueView("arrest_review_custody", "2026-03-09T16:00:00Z"),)}, Reason.FIELD_INVALID),
        ({"dues": (DueView("arrest_review_custody", "2026-03-09", "张三"),)}, Reason.FIELD_INVALID),
        ({"dues": (DueView("arrest_review_custody", "2026-03-09"),) * 17}, Reason.FIELD_INVALID),
        ({"re": ("ab" * 32,)}, Reason.HANDOFF_NOT_FOUND),
        ({"re": ("不是编号",)}, Reason.FIELD_INVALID),
        ({"re": ("ab" * 32,) * 32}, Reason.FIELD_INVALID),
    ],
)
async def test_a_field_that_cannot_be_is_refused_by_name(city: City, changes: dict[str, Any], reason: Reason) -> None:
    before = counts(city, PS)
    case = city.new_case()
    error = await refused(city.police.send(replace(city.draft("arrest_request", case=case), **changes)))
    assert error.reason is reason, error.explain()
    assert counts(city, PS) == before


async def test_a_refused_neighbour_does_not_hold_up_those_sent_with_it(city: City) -> None:
    case = city.new_case()
    drafts = [city.draft(kind, case=city.new_case()) for kind in ("arrest_request", "nonsense", "prosecution_transfer")]
    results = await asyncio.gather(*(city.police.send(draft) for draft in drafts), return_exceptions=True)
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert case not in {row["case_id"] for row in city.rows(PS, "SELECT case_id FROM case_file")}


async def test_what_is_not_there_or_not_in_that_state_cannot_be_answered(city: City) -> None:
    for call in (city.police.accept, city.police.get):
        assert isinstance(await refused(call("ab" * 32)), NotFound)
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    assert (await refused(city.police.accept(sent.eid))).reason is Reason.HANDOFF_NOT_FOUND
    await city.arrive(city.procuratorate, sent.eid)
    for defects in ([], [DefectView("x")] * 51):
        assert isinstance(await refused(city.procuratorate.return_(sent.eid, defects)), InvalidInput)
    await city.procuratorate.return_(sent.eid, [DefectView("pp.opinion_present", "检规158", "document:3")])
    error = await refused(city.procuratorate.accept(sent.eid))
    assert isinstance(error, NotAllowed)
    assert error.reason is Reason.STATE_NOT_ALLOWED
    returned = await city.settle(city.police, sent.eid, State.RETURNED)
    assert [d.code for fact in returned.receipts if fact.kind == "returned" for d in fact.defects] == [
        "pp.opinion_present"
    ]


async def test_defects_too_long_for_a_receipt_are_refused_whole(city: City) -> None:
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    before = counts(city, PP)
    long = [DefectView("码" * 64, "条" * 64, "项" * 128)] * 50
    assert isinstance(await refused(city.procuratorate.return_(sent.eid, long)), TooLarge)
    assert counts(city, PP) == before
    await city.procuratorate.accept(sent.eid)


@pytest.mark.parametrize("token", ["9" * 40, "-1", "x", "٣", "1-ABCD-"])
async def test_a_page_token_that_nobody_gave_is_refused(city: City, token: str) -> None:
    assert isinstance(await refused(city.police.list(Page(token=token))), InvalidInput)


async def test_a_page_larger_than_allowed_is_refused(city: City) -> None:
    assert isinstance(await refused(city.police.list(Page(size=201))), InvalidInput)

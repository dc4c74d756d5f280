"""What is put straight onto the bus by somebody who should not: refused, told to the agency the subject names, and nothing kept of it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.system.rig import CT, PP, PS, City, main_road, whole_city
from tests.world import START
from xieban import canonical, subjects
from xieban.agency import Agency
from xieban.errors import Reason
from xieban.handoff import Act, CaseRef, Fact, Lane, Node, Party, Receipt, State
from xieban.ids import new_handoff_id
from xieban.marshal import micros, sealed_from_bytes, sealed_to_bytes
from xieban.seal import SealKey

pytestmark = pytest.mark.asyncio(loop_scope="module")
SUBJECT = subjects.handoff("lanzhou", PS, PP)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    """A city of its own: what is sealed here with the agencies' own keys is not in their files afterwards."""
    async with whole_city(tmp_path_factory.mktemp("hostile")) as running:
        yield running


def refused_row(city: City, agency: Agency, digest: str) -> dict[str, Any]:
    rows = city.rows(agency, "SELECT * FROM refused WHERE digest = ?", digest)
    assert len(rows) == 1
    assert set(rows[0]) == {"digest", "subject", "reason", "at"}
    return rows[0]


async def lane_goes_on(city: City) -> None:
    """An honest handoff sent afterwards arrives."""
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)


@pytest.mark.parametrize("which", ["stranger", "another agency"])
async def test_a_foreign_seal_is_refused_and_the_named_sender_is_told(city: City, which: str) -> None:
    header = city.header()
    key = SealKey.generate() if which == "stranger" else city.key(CT)
    sealed = await city.say_header(header, key=key)
    assert await city.reject_heard(PS, sealed.eid) == [Reason.KEY_UNKNOWN.name]
    row = refused_row(city, PP, sealed.eid)
    assert (row["reason"], row["subject"]) == ("KEY_UNKNOWN", SUBJECT)
    assert not city.rows(PP, "SELECT 1 FROM handoff WHERE eid = ?", sealed.eid)
    assert not city.rows(PP, "SELECT 1 FROM case_file WHERE case_id = ?", header.case.id)
    assert header.id.encode() not in city.files_of(PP)
    await lane_goes_on(city)


async def test_a_changed_text_under_a_true_seal_is_refused_and_told(city: City) -> None:
    sealed = city.key(PS).seal("header", canonical.encode(city.header()))
    forged = replace(sealed, payload=sealed.payload.replace(b"arrest_request", b"prosecution_transfer"))
    await city.say(SUBJECT, sealed_to_bytes(forged))
    assert await city.reject_heard(PS, forged.eid) == [Reason.SEAL_INVALID.name]
    assert refused_row(city, PP, forged.eid)["reason"] == "SEAL_INVALID"
    await lane_goes_on(city)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"inc":1', b'"inc":1,"more":1'),
        (b'"inc":1', b'"inc":1,"inc":1'),
        (b'"inc":1', b'"inc": 1'),
        (b'"inc":1', b'"inc":1.0'),
        (b'"inc":1', b'"inc":36893488147419103232'),
        (b'"person":"P1"', '"person":"金丝雀"'.encode()),
        (b'"rules":"2026-11"', b'"rules":"a\\nb"'),
    ],
)
async def test_a_header_that_is_not_canonical_is_refused_and_told(city: City, old: bytes, new: bytes) -> None:
    payload = canonical.encode(city.header())
    assert payload.count(old) == 1
    sealed = city.key(PS).seal("header", payload.replace(old, new))
    await city.say(SUBJECT, sealed_to_bytes(sealed))
    assert await city.reject_heard(PS, sealed.eid) == [Reason.PAYLOAD_NOT_CANONICAL.name]
    assert refused_row(city, PP, sealed.eid)["reason"] == "PAYLOAD_NOT_CANONICAL"
    assert "金丝雀".encode() not in city.files_of(PP)


async def test_a_payload_over_its_limit_is_refused_and_told(city: City) -> None:
    sealed = city.key(PS).seal("header", b"x" * 17_000)
    await city.say(SUBJECT, sealed_to_bytes(sealed))
    assert await city.reject_heard(PS, sealed.eid) == [Reason.MESSAGE_TOO_LARGE.name]


async def test_bytes_that_are_no_envelope_are_refused_without_an_answer_and_the_lane_goes_on(city: City) -> None:
    noise = b"\x00\xffnoise" + new_handoff_id().encode()
    await city.say(SUBJECT, noise)
    await lane_goes_on(city)
    await city.quiet()
    assert refused_row(city, PP, hashlib.sha256(noise).hexdigest())["reason"] == "PAYLOAD_NOT_CANONICAL"


async def test_a_true_header_on_a_foreign_subject_is_refused(city: City) -> None:
    header = city.header()
    sealed = city.key(PS).seal("header", canonical.encode(header))
    await city.say(subjects.handoff("lanzhou", PS, CT), sealed_to_bytes(sealed))
    assert await city.reject_heard(PS, sealed.eid) == [Reason.FIELD_INVALID.name]
    assert not city.rows(CT, "SELECT 1 FROM handoff WHERE eid = ?", sealed.eid)


async def test_the_same_refused_bytes_again_are_refused_once(city: City) -> None:
    sealed = await city.say_header(city.header(), key=SealKey.generate())
    await city.reject_heard(PS, sealed.eid)
    await city.say(SUBJECT, sealed_to_bytes(sealed))
    await city.quiet()
    stated = [
        fact
        for row in city.rows(PP, "SELECT sealed FROM receipt WHERE box = 'out'")
        for fact in canonical.read(sealed_from_bytes(row["sealed"]).payload, Receipt).facts
        if fact.of == sealed.eid
    ]
    assert len(stated) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "space_travel"}, Reason.KIND_UNKNOWN),
        ({"case": "S20_prosecution_review"}, Reason.STAGE_NOT_ALLOWED),
        ({"case": "S99"}, Reason.STAGE_NOT_ALLOWED),
        ({"outcome": "perhaps"}, Reason.OUTCOME_NOT_ALLOWED),
        ({"kind": "arrest_decision", "outcome": "approved"}, Reason.PARTY_NOT_ALLOWED),
        ({"to": "620103"}, Reason.PARTY_NOT_ALLOWED),
        ({"acts": [Act("detained", micros(START), "P1", False, False)]}, Reason.FIELD_INVALID),
        ({"acts": [Act("flying", micros(START), "P1", None, False)]}, Reason.FIELD_INVALID),
    ],
    ids=["kind", "stage", "no such stage", "outcome", "sender of the kind", "another division",
         "custody against the table", "no such act"],
)  # fmt: skip
async def test_a_true_header_that_the_law_forbids_is_rejected_and_the_case_does_not_move(
    city: City, changes: dict[str, Any], reason: Reason
) -> None:
    """An agency whose software forgot to check: what it signed is kept, answered with a signed reject, and has no effect."""
    changes = dict(changes)
    if isinstance(changes.get("case"), str):
        changes = {**changes, "case": CaseRef(id=city.new_case(), stage=changes["case"])}
    to = changes.pop("to", "620102")
    header = msgspec.structs.replace(city.header(**changes), receiver=Party("lanzhou", "procuratorate", to))
    sealed = await city.say_header(header)
    assert await city.reject_heard(PS, sealed.eid) == [reason.name]
    assert city.rows(PP, "SELECT state FROM handoff WHERE eid = ?", sealed.eid) == [{"state": "rejected"}]
    case = city.rows(PP, "SELECT stage, returns FROM case_file WHERE case_id = ?", header.case.id)
    assert case == [{"stage": "S10_investigation", "returns": 0}]
    assert not city.rows(PP, "SELECT 1 FROM dossier WHERE eid = ?", sealed.eid)


@pytest.mark.parametrize("office", ["999999", "620302"], ids=["no such office", "an office of another city"])
async def test_an_office_no_reader_could_name_is_refused_at_the_door_and_the_inbox_stays_readable(
    city: City, office: str
) -> None:
    header = msgspec.structs.replace(city.header(), sender=Party("lanzhou", "police", office))
    sealed = await city.say_header(header)
    assert await city.reject_heard(PS, sealed.eid) == [Reason.OFFICE_UNKNOWN.name]
    assert refused_row(city, PP, sealed.eid)["reason"] == "OFFICE_UNKNOWN"
    assert not city.rows(PP, "SELECT 1 FROM handoff WHERE eid = ?", sealed.eid)
    assert not city.rows(PP, "SELECT 1 FROM case_file WHERE case_id = ?", header.case.id)
    await lane_goes_on(city)


async def test_a_third_return_from_a_procuratorate_that_does_not_count_is_rejected(city: City) -> None:
    case = city.new_case()
    await main_road(city, case)
    for _ in range(2):
        back = city.draft("return_supplementary_investigation", case=case, sender=PP, receiver=PS, acts=())
        returned = await city.procuratorate.send(back)
        await city.arrive(city.police, returned.eid)
        again = await city.police.answer(returned.eid, city.draft("resubmission_after_supplement", case=case))
        await city.arrive(city.procuratorate, again.eid)
        await city.procuratorate.accept(again.eid)
        await city.settle(city.police, again.eid, State.ACCEPTED)
    third = city.header(
        sender=PP, receiver=PS, kind="return_supplementary_investigation", acts=[],
        case=CaseRef(id=case, stage="S20_prosecution_review"), lane=city.lane(PP, case, PS),
    )  # fmt: skip
    sealed = await city.say_header(third)
    assert await city.reject_heard(PP, sealed.eid) == [Reason.RETURN_LIMIT_REACHED.name]
    assert (await city.police.case_get(case)).returns == 2
    assert (await city.police.case_get(case)).stage == "S20_prosecution_review"


async def test_two_contents_under_one_handoff_number_are_an_equivocation(city: City) -> None:
    first = city.header()
    one = await city.say_header(first)
    await city.quiet_bus()
    two = await city.say_header(msgspec.structs.replace(first, acts=[]))
    assert await city.reject_heard(PS, two.eid) == [Reason.EQUIVOCATION.name]
    assert refused_row(city, PP, two.eid)["reason"] == "EQUIVOCATION"
    assert [row["eid"] for row in city.rows(PP, "SELECT eid FROM handoff WHERE handoff_id = ?", first.id)] == [one.eid]


async def test_two_headers_for_one_place_in_a_lane_the_second_is_rejected(city: City) -> None:
    first = city.header()
    one = await city.say_header(first)
    fork = msgspec.structs.replace(first, id=new_handoff_id())
    two = await city.say_header(fork)
    assert await city.reject_heard(PS, two.eid) == [Reason.LANE_BROKEN.name]
    third = await city.say_header(msgspec.structs.replace(first, id=new_handoff_id(), lane=Lane(2, one.eid)))
    await city.quiet_bus()
    assert city.rows(PP, "SELECT state FROM handoff WHERE eid = ?", third.eid) == [{"state": "delivered"}]


async def test_headers_out_of_order_are_parked_and_resume_with_the_missing_one(city: City) -> None:
    headers, prev = [], ""
    case = CaseRef(id=city.new_case(), stage="S10_investigation")
    for seq in (1, 2, 3):
        header = city.approved(city.header(case=case, lane=Lane(seq, prev)))
        prev = city.key(PS).seal("header", canonical.encode(header)).eid
        headers.append(header)
    eids = [(await city.say_header(header)).eid for header in (headers[2], headers[1])]
    await city.quiet_bus()
    states = "SELECT eid, state, parked FROM handoff WHERE case_id = ? ORDER BY lane_seq"
    assert [(row["state"], row["parked"]) for row in city.rows(PP, states, case.id)] == [("delivered", 1)] * 2
    eids.append((await city.say_header(headers[0])).eid)
    await city.quiet_bus()
    assert [(row["state"], row["parked"]) for row in city.rows(PP, states, case.id)] == [("delivered", 0)] * 3
    for eid in eids:
        assert delivered(city, eid) == 1


async def test_a_forked_place_that_was_parked_does_not_hold_up_the_lane(city: City) -> None:
    case = CaseRef(id=city.new_case(), stage="S10_investigation")
    first = city.approved(city.header(case=case))
    head = city.key(PS).seal("header", canonical.encode(first)).eid
    second = city.approved(city.header(case=case, lane=Lane(2, head)))
    fork = city.header(case=case, lane=Lane(2, "ab" * 32))
    third = city.header(case=case, lane=Lane(3, city.key(PS).seal("header", canonical.encode(second)).eid))
    sealed = {
        name: await city.say_header(header) for name, header in (("fork", fork), ("second", second), ("third", third))
    }
    await city.quiet_bus()
    await city.say_header(first)
    await city.quiet_bus()
    states = {
        row["eid"]: row["state"] for row in city.rows(PP, "SELECT eid, state FROM handoff WHERE case_id = ?", case.id)
    }
    parked = city.rows(PP, "SELECT 1 FROM handoff WHERE case_id = ? AND parked = 1", case.id)
    assert not parked
    # One of the two for place 2 is taken, by the order in which they are sorted; the other is rejected, never left waiting.
    assert sorted((states[sealed["fork"].eid], states[sealed["second"].eid])) in (
        ["delivered", "rejected"],
        ["rejected", "rejected"],
    )
    assert states[sealed["third"].eid] in ("delivered", "rejected")


async def test_a_receipt_nobody_sealed_moves_nothing(city: City) -> None:
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.base.settle(city.police, sent.eid, State.COMPLETE)
    for key in (SealKey.generate(), city.key(CT)):
        forged = receipt_about(sent.eid, sender=PP)
        sealed = key.seal("receipt", canonical.encode(forged))
        await city.say(subjects.receipt("lanzhou", PP, PS), sealed_to_bytes(sealed))
    await city.quiet()
    assert (await city.police.get(sent.eid)).state is State.COMPLETE
    assert city.rows(PS, "SELECT reason FROM refused ORDER BY at DESC LIMIT 1") == [{"reason": "KEY_UNKNOWN"}]


async def test_a_true_receipt_of_an_agency_that_was_not_asked_moves_nothing(city: City) -> None:
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    sealed = city.key(CT).seal("receipt", canonical.encode(receipt_about(sent.eid, sender=CT)))
    await city.say(subjects.receipt("lanzhou", CT, PS), sealed_to_bytes(sealed))
    await city.quiet()
    assert city.rows(PS, "SELECT 1 FROM receipt WHERE eid = ?", sealed.eid), "heard, and kept as a statement"
    assert (await city.police.get(sent.eid)).state in (State.DELIVERED, State.COMPLETE)
    findings = [
        row
        for row in city.rows(PS, "SELECT kind FROM receipt_fact WHERE eid = ?", sent.eid)
        if row["kind"] == "accepted"
    ]
    assert not findings


def receipt_about(eid: str, *, sender: Agency) -> Receipt:
    return Receipt(
        v=1, id=new_handoff_id(), sender=Node("lanzhou", sender), receiver=Node("lanzhou", PS), inc=1, at=micros(START),
        facts=[Fact(of=eid, kind="accepted", at=micros(START), defects=[], answer="")],
    )  # fmt: skip


def delivered(city: City, eid: str) -> int:
    """How often the procuratorate has signed that it holds the handoff."""
    return sum(
        1
        for row in city.rows(PP, "SELECT sealed FROM receipt WHERE box = 'out'")
        for fact in canonical.read(sealed_from_bytes(row["sealed"]).payload, Receipt).facts
        if (fact.of, fact.kind) == (eid, "delivered")
    )

"""Who speaks by the subject, by the seal and by the payload must be one and the same; sizes and counts are bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.library.samples import (
    CITY,
    DIRECTORY,
    GATEWAY_KEY,
    HANDOFF,
    NOTICES,
    POLICE_KEY,
    PROCURATORATE_KEY,
    PROMISE,
    RECEIPT,
    STRANGER_KEY,
    TICKET,
    header,
    log_view,
    logged,
    promise,
    receipt,
    ticket,
)
from xieban import canonical
from xieban.errors import Reason, TooLarge, XiebanError
from xieban.handoff import Act, CaseRef, Commitment, Fact, Lane, Logged, Node, Party
from xieban.marshal import sealed_to_bytes
from xieban.seal import Sealed, SealKey
from xieban.statement import open_header, open_receipt, open_ticket, seal_header, seal_receipt, seal_ticket
from xieban.subjects import Address

ACT = header().acts[0]
FACT = receipt().facts[0]
NOT_TAKEN = (Reason.FIELD_INVALID, Reason.PAYLOAD_NOT_CANONICAL)


def dishonest(what: Any, value: object, key: SealKey) -> Sealed:
    """A statement of a node that signs whatever it likes."""
    return key.seal(what, canonical.encode(value))


def opened(sealed: Sealed, address: Address) -> object:
    opener: Any = {"handoff": open_header, "receipt": open_receipt, "ticket": open_ticket}[address.what]
    directory = NOTICES if address.sender == "gateway" else DIRECTORY
    return opener(sealed_to_bytes(sealed), address=address, directory=directory)


def refused(sealed: Sealed, address: Address) -> Reason:
    with pytest.raises(XiebanError) as raised:
        opened(sealed, address)
    return raised.value.reason


def test_what_is_sealed_is_opened_as_it_was() -> None:
    sealed = seal_header(header(), POLICE_KEY)
    assert opened(sealed, HANDOFF) == (sealed, header())
    viewing = seal_header(header(log=log_view()), POLICE_KEY)
    assert opened(viewing, HANDOFF) == (viewing, header(log=log_view()))
    answer = seal_receipt(receipt(), PROCURATORATE_KEY)
    assert opened(answer, RECEIPT) == (answer, receipt())
    assert opened(seal_ticket(ticket(), PROCURATORATE_KEY), TICKET) == ticket()
    assert opened(seal_ticket(promise(), GATEWAY_KEY), PROMISE) == promise()


def test_a_header_without_a_view_of_the_log_is_spelled_as_before_there_were_any() -> None:
    assert b'"log"' not in canonical.encode(header())
    spelled_out = canonical.encode(header()).replace(b'"outcome"', b'"log":null,"outcome"')
    assert refused(POLICE_KEY.seal("header", spelled_out), HANDOFF) is Reason.PAYLOAD_NOT_CANONICAL


@pytest.mark.parametrize(
    "address",
    [
        Address(CITY, "handoff", "police", "court"),
        Address("jiuquan", "handoff", "police", "procuratorate"),
        Address(CITY, "handoff", "procuratorate", "police"),
        Address(CITY, "handoff", "court", "procuratorate"),
    ],
)
def test_a_header_on_a_subject_it_does_not_name_is_refused(address: Address) -> None:
    assert refused(seal_header(header(), POLICE_KEY), address) in (Reason.FIELD_INVALID, Reason.KEY_UNKNOWN)


def test_a_header_that_speaks_in_anothers_name_is_refused() -> None:
    foreign = header(sender=Party(city=CITY, agency="court", office="620102"))
    assert refused(seal_header(foreign, POLICE_KEY), HANDOFF) is Reason.FIELD_INVALID
    assert refused(seal_header(foreign, POLICE_KEY), replace(HANDOFF, sender="court")) is Reason.KEY_UNKNOWN


def test_a_speaker_that_is_no_agency_is_refused() -> None:
    assert refused(seal_header(header(), POLICE_KEY), replace(HANDOFF, sender="nobody")) is Reason.FIELD_INVALID


def test_one_type_cannot_stand_in_for_another() -> None:
    assert refused(seal_receipt(receipt(), POLICE_KEY), HANDOFF) is Reason.FIELD_INVALID
    disguised = POLICE_KEY.seal("header", canonical.encode(receipt()))
    assert refused(disguised, HANDOFF) is Reason.PAYLOAD_NOT_CANONICAL


def test_a_seal_is_checked_before_the_payload_is_read() -> None:
    assert refused(STRANGER_KEY.seal("header", b"not even json"), HANDOFF) is Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"v": 2}, id="another version"),
        pytest.param({"lane": Lane(seq=0, prev="")}, id="a lane from nought"),
        pytest.param({"lane": Lane(seq=2, prev="")}, id="a second without a first"),
        pytest.param({"lane": Lane(seq=1, prev="ab" * 32)}, id="a first with a predecessor"),
        pytest.param({"lane": Lane(seq=2, prev="张三")}, id="a predecessor that is no eid"),
        pytest.param({"re": ["ab" * 32] * 33}, id="too many references"),
        pytest.param({"re": ["张三"]}, id="a reference that is no eid"),
        pytest.param({"acts": [ACT] * 65}, id="too many acts"),
        pytest.param({"acts": [Act(what="detained", at=1, person="张三", custody=True, derived=False)]}, id="a name"),
        pytest.param({"case": CaseRef(id="张三盗窃案", stage="S10_investigation")}, id="a case named by a person"),
        pytest.param({"id": "x" * 5000}, id="an endless id"),
        pytest.param({"client_ref_hash": "甲公(刑)诉字1号"}, id="a document number in clear"),
        pytest.param({"log": log_view(size=0)}, id="a view of an empty log"),
        pytest.param({"log": log_view(size=2**53)}, id="a view beyond every number"),
        pytest.param({"log": log_view(root="AB" * 32)}, id="a root in capitals"),
        pytest.param({"log": log_view(sig="张三")}, id="a name for the log's signature"),
        pytest.param({"log": log_view(sig="A" * 92)}, id="a signature of another length"),
        pytest.param({"log": log_view(sig="A" * 90 + "B=")}, id="a signature in another spelling"),
        pytest.param({"dossier": Commitment(commit="plain", files=1, bytes=1, pages=1)}, id="a commitment that is no digest"),
    ],
)  # fmt: skip
def test_a_header_whose_fields_are_not_codes_within_bounds_is_refused(changes: dict[str, Any]) -> None:
    assert refused(dishonest("header", header(**changes), POLICE_KEY), HANDOFF) in NOT_TAKEN


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sender": Node(city=CITY, agency="court")}, id="in another's name"),
        pytest.param({"receiver": Node(city=CITY, agency="court")}, id="to another"),
        pytest.param({"sender": Node(city="jiuquan", agency="procuratorate")}, id="from another city"),
        pytest.param({"facts": []}, id="without a fact"),
        pytest.param({"facts": [FACT] * 33}, id="with too many facts"),
        pytest.param({"facts": [Fact(of="张三", kind="delivered", at=1, defects=[], answer="")]}, id="about no eid"),
        pytest.param(
            {"facts": [Fact(of="ef" * 32, kind="answered", at=1, defects=[], answer="张三")]}, id="answered by no eid"
        ),
        pytest.param({"v": 2}, id="of another version"),
    ],
)
def test_a_receipt_that_is_not_what_it_says_is_refused(changes: dict[str, Any]) -> None:
    assert refused(dishonest("receipt", receipt(**changes), PROCURATORATE_KEY), RECEIPT) in NOT_TAKEN


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": Node(city=CITY, agency="court")},
        {"receiver": Node(city=CITY, agency="court")},
        {"holds": ["ef" * 32] * 201},
        {"holds": ["张三"]},
        {"v": 0},
    ],
)
def test_a_ticket_that_is_not_what_it_says_is_refused(changes: dict[str, Any]) -> None:
    assert refused(dishonest("ticket", ticket(**changes), PROCURATORATE_KEY), TICKET) in NOT_TAKEN


def test_a_ticket_without_a_word_on_the_log_is_spelled_as_before_there_were_any() -> None:
    assert b"logged" not in canonical.encode(ticket())
    spelled_out = canonical.encode(ticket()).replace(b'"to"', b'"logged":[],"to"')
    assert refused(PROCURATORATE_KEY.seal("ticket", spelled_out), TICKET) is Reason.PAYLOAD_NOT_CANONICAL


def test_nobody_but_the_gateway_gives_its_word_on_the_log() -> None:
    taken = ticket(logged=[logged()])
    assert refused(dishonest("ticket", taken, PROCURATORATE_KEY), TICKET) is Reason.FIELD_INVALID
    assert refused(dishonest("ticket", promise(), POLICE_KEY), PROMISE) is Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([logged()] * 65, id="more than a ticket holds"),
        pytest.param([logged()] * 100, id="more than a payload holds"),
        pytest.param([logged(kind="OVERDUE")], id="an entry of which a header has many"),
        pytest.param([logged(index=-1)], id="a place before the first"),
        pytest.param([logged(index=2**53)], id="a place beyond every number"),
        pytest.param([logged(leaf="34" * 31)], id="a leaf of another length"),
        pytest.param([logged(eid="张三")], id="a name"),
    ],
)
def test_a_word_on_the_log_that_is_not_what_it_says_is_refused(words: list[Logged]) -> None:
    sealed = dishonest("ticket", promise(logged=words), GATEWAY_KEY)
    assert refused(sealed, PROMISE) in (*NOT_TAKEN, Reason.MESSAGE_TOO_LARGE)


def test_the_fullest_ticket_fits() -> None:
    full = promise(holds=["ef" * 32] * 48, logged=[logged(kind="DELIVERED", index=2**53 - 1)] * 64)
    assert opened(seal_ticket(full, GATEWAY_KEY), PROMISE) == full


def test_a_statement_over_the_limit_is_not_sealed() -> None:
    with pytest.raises(TooLarge):
        seal_header(header(rules="x" * 17_000), POLICE_KEY)


def test_a_statement_that_its_reader_would_refuse_is_not_sealed() -> None:
    for changes in ({"rules": "e\u0301"}, {"rules": "a\nb"}, {"rules": "a\u202eb"}, {"inc": -1}, {"re": ["张三"]}):
        with pytest.raises(XiebanError) as raised:
            seal_header(header(**changes), POLICE_KEY)
        assert raised.value.reason is Reason.PAYLOAD_NOT_CANONICAL


def test_the_largest_lawful_header_fits() -> None:
    full = header(re=["ab" * 32] * 32, acts=[ACT] * 64)
    assert opened(seal_header(full, POLICE_KEY), HANDOFF)

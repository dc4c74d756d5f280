"""Two officers stand behind what the head of the office must approve; every way of pretending so is refused by name."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.library.samples import header
from tests.world import START, sample_dossier
from xieban import canonical, dossier
from xieban.agency import Agency, office
from xieban.approval import MATTER, Matter, OfficerEntry, OfficerKey, Officers, matter_of
from xieban.drafting import approved, matter, references
from xieban.errors import Reason, XiebanError
from xieban.handoff import Act, Approval, CaseRef, Commitment, Header, OfficerRole, Party
from xieban.keys import PrivateKey, algorithm
from xieban.procedure import table
from xieban.seal import pae
from xieban.views import ActView, Draft

ARTICLE = "公规137"


def private(number: int) -> PrivateKey:
    return algorithm("ed25519+sha256").private(bytes([number]) * 32, b"")


HANDLER, APPROVER = private(31), private(32)


def entry_of(role: OfficerRole, value: PrivateKey, **changes: Any) -> OfficerEntry:
    base = OfficerEntry(agency=Agency.POLICE, office="", role=role, holder=f"police-{role}", key=value.public)
    return replace(base, **changes)


NAMED = (entry_of("handler", HANDLER), entry_of("approver", APPROVER))


def behind(value: Header, *keys: OfficerKey) -> Header:
    signed = sorted((one.approve(matter_of(value, one.role)) for one in keys), key=lambda one: one.role)
    return msgspec.structs.replace(value, approvals=signed)


def both(value: Header) -> Header:
    return behind(value, OfficerKey("handler", HANDLER), OfficerKey("approver", APPROVER))


def refused(
    value: Header, entries: Sequence[OfficerEntry] = NAMED, *, index: int = 0, article: str = ARTICLE
) -> XiebanError:
    with pytest.raises(XiebanError) as raised:
        Officers(entries).check(value, article=article, index=index)
    return raised.value


def test_two_officers_stand_behind_a_header() -> None:
    Officers(NAMED).check(both(header()), article=ARTICLE)


def test_what_is_signed_is_the_matter_in_its_one_spelling_under_a_type_of_its_own() -> None:
    value = header()
    signed = matter_of(value, "approver").signed
    assert signed.startswith(b"DSSEv1 8 approval ")
    said = canonical.decode(signed.split(b" ", 4)[4], Matter)
    assert signed == pae(MATTER, canonical.encode(said))
    assert (said.role, said.case, said.dossier, said.acts) == ("approver", value.case.id, value.dossier, value.acts)


def test_an_approval_is_of_the_very_matter_and_of_nothing_the_node_adds() -> None:
    """Every member of a header is either signed by the officers or known here as the node's own."""
    of_the_node = {"v", "id", "inc", "lane", "sent_at", "rules", "dues", "log", "approvals"}
    of_the_matter = {field.encode_name for field in msgspec.structs.fields(Matter)} - {"v", "role"}
    assert {field.encode_name for field in msgspec.structs.fields(Header)} == of_the_node | of_the_matter


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "prosecution_transfer"},
        {"outcome": "approved"},
        {"case": CaseRef(id="A6201020000002026030002", stage="S10_investigation")},
        {"sender": Party(city="lanzhou", agency="police", office="620103")},
        {"receiver": Party(city="lanzhou", agency="procuratorate", office="620103")},
        {"re": ["ef" * 32]},
        {"secrecy": "internal"},
        {"acts": []},
        {"acts": [Act(what="detained", at=1_772_413_200_000_001, person="P1", custody=True, derived=False)]},
        {"dossier": Commitment(commit="ce" * 32, files=1, bytes=12, pages=3)},
        {"client_ref_hash": "ac" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_approval_does_not_hold_for_anything_else(change: dict[str, Any]) -> None:
    other = msgspec.structs.replace(both(header()), **change)
    error = refused(other)
    assert error.reason is Reason.APPROVAL_INVALID
    assert "签名与内容不符" in error.cause


def test_the_nodes_own_members_may_come_after_the_approval() -> None:
    later = msgspec.structs.replace(both(header()), id="fedcba9876543210fedcba98", inc=2, sent_at=1_772_600_000_000_000)
    Officers(NAMED).check(later, article=ARTICLE)


@pytest.mark.parametrize(("given", "lacks"), [("handler", "审批人"), ("approver", "经办人")])
def test_one_officer_is_not_enough(given: OfficerRole, lacks: str) -> None:
    only = behind(header(), OfficerKey(given, HANDLER if given == "handler" else APPROVER))
    error = refused(only)
    assert error.reason is Reason.APPROVAL_MISSING
    assert lacks in error.cause
    assert ARTICLE in error.cause
    Officers(NAMED).check(only, article="")  # where the law asks for none, one does no harm


def test_approvals_are_asked_for_from_the_entry_on_where_the_list_names_officers_of_both_roles() -> None:
    bare, late = header(), [replace(one, from_index=7) for one in NAMED]
    Officers(()).check(bare, article=ARTICLE)
    Officers(NAMED[:1]).check(bare, article=ARTICLE)
    Officers(late).check(bare, article=ARTICLE, index=6)
    assert refused(bare, late, index=7).reason is Reason.APPROVAL_MISSING
    of_the_court = [replace(one, agency=Agency.COURT) for one in NAMED]
    Officers(of_the_court).check(bare, article=ARTICLE)
    of_next_door = [replace(one, office="620103") for one in NAMED]
    Officers(of_next_door).check(bare, article=ARTICLE)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ((entry_of("handler", HANDLER),), "不是该单位审批人的"),
        ((NAMED[0], entry_of("handler", APPROVER)), "不是该单位审批人的"),
        ((NAMED[0], entry_of("approver", APPROVER, agency=Agency.COURT)), "不是该单位审批人的"),
        ((NAMED[0], entry_of("approver", APPROVER, office="620103")), "不是该单位审批人的"),
        ((NAMED[0], entry_of("approver", APPROVER, until_index=5)), "序号 5 处无效"),
        ((NAMED[0], entry_of("approver", APPROVER, from_index=6)), "序号 5 处无效"),
        ((NAMED[0], entry_of("approver", APPROVER, holder="police-handler")), "与经办人为同一人"),
    ],
    ids=["not listed", "other role", "other agency", "other office", "ended", "not yet", "one person"],
)
def test_an_officer_who_may_not_is_refused_by_name(entries: Sequence[OfficerEntry], says: str) -> None:
    error = refused(both(header()), entries, index=5)
    assert error.reason is Reason.APPROVAL_INVALID
    assert says in error.cause


def test_what_was_accepted_once_is_read_again_without_an_index() -> None:
    Officers([NAMED[0], entry_of("approver", APPROVER, until_index=0)], at=None).check(both(header()), article=ARTICLE)


def test_a_handlers_signature_is_no_approval() -> None:
    signed = both(header())
    handler = next(one for one in signed.approvals if one.role == "handler")
    forged = msgspec.structs.replace(
        signed, approvals=[Approval(role="approver", keyid=handler.keyid, sig=handler.sig), handler]
    )
    entries = (NAMED[0], entry_of("approver", APPROVER))
    assert "不是该单位审批人的" in refused(forged, entries).cause


@pytest.mark.parametrize("order", [lambda rows: rows[::-1], lambda rows: [rows[0], rows[0]]], ids=["order", "twice"])
def test_approvals_have_one_order_and_no_doubles(order: Callable[[list[Approval]], list[Approval]]) -> None:
    signed = both(header())
    assert refused(msgspec.structs.replace(signed, approvals=order(signed.approvals))).reason is Reason.APPROVAL_INVALID


def test_an_officer_may_hold_an_sm2_key() -> None:
    value = algorithm("sm2+sm3").generate()
    signed = behind(header(), OfficerKey("handler", HANDLER), OfficerKey("approver", value))
    entries = (NAMED[0], entry_of("approver", value))
    Officers(entries).check(signed, article=ARTICLE)
    assert refused(msgspec.structs.replace(signed, re=["ef" * 32]), entries).reason is Reason.APPROVAL_INVALID


def draft(**changes: Any) -> Draft:
    base = Draft(
        client_ref="兰公(刑)提捕字〔2026〕1号", kind="arrest_request", case_id="A6201020000002026030001",
        sender=office("police", "620102"), receiver=office("procuratorate", "620102"), dossier=sample_dossier(),
        acts=(ActView(what="detained", at=START, person="P1"),),
    )  # fmt: skip
    return replace(base, **changes)


def test_a_second_officer_signs_the_same_matter_as_the_first() -> None:
    first = approved(draft(), [OfficerKey("handler", HANDLER)])
    second = approved(first, [OfficerKey("approver", APPROVER)])
    assert (len(first.salt), second.salt) == (dossier.SALT_BYTES, first.salt)
    assert [one.role for one in second.approvals] == ["approver", "handler"]
    said = matter(second, "handler", salt=second.salt)
    assert HANDLER.public.holds(_raw(second.approvals[1]), said.signed)
    assert not HANDLER.public.holds(
        _raw(second.approvals[1]), matter(draft(outcome="x"), "handler", salt=second.salt).signed
    )


def test_a_key_signs_in_its_own_role_only() -> None:
    with pytest.raises(XiebanError, match="XB-1001"):
        OfficerKey("handler", HANDLER).approve(matter(draft(), "approver", salt=bytes(32)))


def test_what_is_answered_stands_first_and_once_among_the_references() -> None:
    assert references("a", ["b", "a"]) == ["a", "b"]
    assert references("", ["b"]) == ["b"]


def test_kinds_that_need_officers_name_the_article_that_says_so() -> None:
    assert {kind.id: kind.approval for kind in table().kinds.values() if kind.approval} == {
        "arrest_request": "公规137",
        "arrest_decision": "刑诉89",
        "arrest_reconsideration": "公规141",
        "custody_extension_request": "公规148",
        "prosecution_transfer": "公规289",
        "resubmission_after_supplement": "公规296",
        "nonprosecution_decision": "检规365",
    }


def _raw(value: Approval) -> bytes:

    return base64.b64decode(value.sig)

"""Bundles of a city whose officers did not stand behind what was sent, or somebody else did; and some that only look like it.

Each scenario gives the members and the checks that fail, no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tests.library.bundles import officers
from tests.library.bundles.crooked import Scenario, loosely
from tests.library.bundles.officers import approve
from tests.library.bundles.town import CASE, CITY, PP, PS, Members, Town, live
from xieban.handoff import Approval, CaseRef, ClockAct, Commitment, Defect, Header, Party
from xieban.keys import keyid

Approving = Callable[[Header], list[Approval]]
ALL: dict[str, tuple[Scenario, frozenset[str]]] = {}


def told(name: str, approving: Approving, *checks: str, of: str = PS) -> None:
    """A whole case in which the officers of an agency sign like that: the police's with Ed25519, the procuratorate's approver with SM2."""

    def approving_all(header: Header) -> list[Approval]:
        return approving(header) if header.sender.agency == of else officers.approvals(header)

    def make() -> Members:
        town = Town(approving=approving_all)
        live(town)
        return town.export()

    ALL[name] = (make, frozenset(checks))


def fails(*checks: str) -> Callable[[Scenario], Scenario]:
    def keep(scenario: Scenario) -> Scenario:
        ALL[scenario.__name__] = (scenario, frozenset(checks))
        return scenario

    return keep


def by(role: Any, key: Any) -> Approving:
    """Honest but for the key in one role."""
    return lambda header: [approve(header, one, key if one == role else None) for one in ("approver", "handler")]


def changed(role: str, change: Callable[[Approval], Approval]) -> Approving:
    """Honest approvals, one of which is altered afterwards."""
    return lambda header: [change(one) if one.role == role else one for one in officers.approvals(header)]


def over(**changes: Any) -> Approving:
    """Approvals of a header that is not the one sent."""
    return lambda header: officers.approvals(msgspec.structs.replace(header, **changes))


def named_as(key: Any) -> Callable[[Approval], Approval]:
    """Under another key's id."""
    return lambda approval: msgspec.structs.replace(approval, keyid=keyid(key.public))


told("nobody_approves", lambda header: [], "approvals")
told("the_approver_is_missing", lambda header: officers.approvals(header)[1:], "approvals")
told("the_handler_is_missing", lambda header: officers.approvals(header)[:1], "approvals")
told("the_handler_signs_as_approver", by("approver", officers.PS_HANDLER), "approvals")
told("the_approver_signs_as_handler", by("handler", officers.PS_APPROVER), "approvals")
told("the_officers_have_changed_roles", lambda header: [
    approve(header, "approver", officers.PS_HANDLER), approve(header, "handler", officers.PS_APPROVER),
], "approvals")  # fmt: skip
told("a_signature_is_shown_in_the_other_role", lambda header: [
    msgspec.structs.replace(approve(header, "handler"), role="approver"), approve(header, "handler"),
], "approvals")  # fmt: skip
told("an_officer_of_another_office", by("handler", officers.PS_ELSEWHERE), "approvals")
told("an_officer_of_another_agency", by("handler", officers.PP_HANDLER), "approvals")
told("somebody_who_is_not_listed", by("approver", officers.private(99)), "approvals")
told("another_officers_signature_under_the_approvers_name", lambda header: [
    named_as(officers.PS_APPROVER)(approve(header, "approver", officers.PS_HANDLER)), approve(header, "handler"),
], "approvals")  # fmt: skip
told("another_officers_signature_under_the_handlers_name", lambda header: [
    approve(header, "approver"), named_as(officers.PS_HANDLER)(approve(header, "handler", officers.PS_ELSEWHERE)),
], "approvals")  # fmt: skip
told("one_person_in_both_roles", by("handler", officers.PS_BOTH), "approvals")
told("an_officer_who_has_left", by("handler", officers.PS_LEFT), "approvals")
told(
    "one_role_twice",
    lambda header: [approve(header, "handler"), approve(header, "handler", officers.PS_LEFT)],
    "approvals",
)
told("roles_out_of_order", lambda header: officers.approvals(header)[::-1], "approvals")
told("a_signature_with_stray_bits", changed("handler", officers.respelled), "approvals")
told(
    "a_signature_that_is_no_base64",
    changed("handler", lambda one: msgspec.structs.replace(one, sig="A" * 85)),
    "approvals",
)
told(
    "approvals_under_sm2_of_another_dossier",
    over(dossier=Commitment(commit="ab" * 32, files=1, bytes=1, pages=1)),
    "approvals",
    of=PP,
)
told("a_signature_of_the_other_algorithm_under_sm2", lambda header: [
    named_as(officers.PP_APPROVER)(approve(header, "approver", officers.PS_APPROVER)), approve(header, "handler"),
], "approvals", of=PP)  # fmt: skip
told("a_signature_under_sm2_for_a_key_of_the_other_algorithm", lambda header: [
    named_as(officers.PS_APPROVER)(approve(header, "approver", officers.PP_APPROVER)), approve(header, "handler"),
], "approvals")  # fmt: skip

_CLOCK = ClockAct(
    effect="start", rule="inv_custody", event="", at=1, until=0, by="", kind="", months=0, days=0, hours=0, person="P1", document="",
)  # fmt: skip
SIGNED: dict[str, dict[str, Any]] = {
    "sender": {"sender": Party(city=CITY, agency=PS, office="620103")},
    "receiver": {"receiver": Party(city=CITY, agency=PP, office="620103")},
    "case": {"case": CaseRef(id="A6201020000002026039999", stage="S10_investigation")},
    "kind": {"kind": "early_opinion_request"},
    "outcome": {"outcome": "approved"},
    "references": {"re": ["ab" * 32]},
    "secrecy": {"secrecy": "internal"},
    "acts": {"acts": []},
    "clocks": {"clocks": [_CLOCK]},
    "dossier": {"dossier": Commitment(commit="ab" * 32, files=1, bytes=1, pages=1)},
    "document": {"client_ref_hash": "ba" * 32},
}
"""What an officer signs, each otherwise than it was sent."""
AFTERWARDS: dict[str, dict[str, Any]] = {
    "number": {"id": "f" * 24},
    "stage": {"case": CaseRef(id=CASE, stage="S20_prosecution_review")},
    "time_of_sending": {"sent_at": 1},
    "rules": {"rules": "2025-01"},
}
"""What comes after the signatures and is the node's own."""
for name, changes in SIGNED.items():
    told(f"approvals_over_another_{name}", over(**changes), "approvals")
for name, changes in AFTERWARDS.items():
    told(f"approvals_before_the_{name}_is_known", over(**changes))


@fails("approvals")
def an_approval_from_before_the_officers_were_listed() -> Members:
    town = Town()
    town.send("arrest_request", PS, PP, approved=True)
    live(town)
    return town.export()


@fails()
def a_handoff_from_before_the_officers_were_listed() -> Members:
    town = Town()
    town.send("arrest_request", PS, PP)
    live(town)
    return town.export()


@fails("approvals")
def a_false_approval_where_none_is_asked_for() -> Members:
    town = Town(approving=over(dossier=Commitment(commit="ab" * 32, files=1, bytes=1, pages=1)))
    for _ in range(4):
        town.note("CLOCK_START", "", "inv_custody")
    town.send("early_opinion_request", PS, PP, approved=True)
    return town.export()


@fails()
def approvals_where_none_are_asked_for() -> Members:
    town = Town()
    live(town)
    town.send("early_opinion_request", PS, PP, approved=True)
    return town.export()


@fails()
def one_approval_where_none_is_asked_for() -> Members:
    town = Town(approving=lambda header: [approve(header, "handler")])
    for _ in range(4):
        town.note("CLOCK_START", "", "inv_custody")
    town.send("early_opinion_request", PS, PP, approved=True)
    return town.export()


@fails()
def an_officer_who_left_afterwards() -> Members:
    """Listed from index 4, gone from index 6: at 5 the signature counts, and does for ever."""
    town = Town(approving=by("handler", officers.PS_LEFT))
    for _ in range(5):
        town.note("CLOCK_START", "", "inv_custody")
    town.send("arrest_request", PS, PP)
    return town.export()


@fails()
def an_office_for_which_no_approver_is_named() -> Members:
    """620103 has a handler in the list and nobody to approve: it is not asked yet."""
    town = Town(twist=lambda value: _elsewhere(value) if isinstance(value, Header) else value)
    for _ in range(4):
        town.note("CLOCK_START", "", "inv_custody")
    town.send("arrest_request", PS, PP)
    return town.export()


def _elsewhere(header: Header) -> Header:
    return msgspec.structs.replace(header, sender=Party(city=CITY, agency=PS, office="620103"))


@fails("approvals")
def an_office_whose_officers_are_those_of_its_whole_agency() -> Members:
    """The procuratorate's are listed for all its offices, so 620103 is asked too."""

    def twist(value: Any) -> Any:
        return (
            msgspec.structs.replace(value, sender=Party(city=CITY, agency=PP, office="620103"))
            if isinstance(value, Header)
            else value
        )

    town = Town(twist=twist)
    for _ in range(4):
        town.note("CLOCK_START", "", "inv_custody")
    town.send("nonprosecution_decision", PP, PS, approved=False)
    return town.export()


@fails()
def a_second_content_that_nobody_approved_and_that_was_not_taken() -> Members:
    town = Town()
    live(town)
    known, lanes = len(town.entries), dict(town._lanes)
    eid = town.send("arrest_request", PS, PP, approved=False)
    del town.entries[known:]
    town._lanes = lanes
    town.note("EQUIVOCATION", eid, "XB-3003")
    return town.export()


@fails()
def a_handoff_that_its_receiver_rejected_because_nobody_approved_it() -> Members:
    town = Town()
    live(town)
    eid = town.send("arrest_request", PS, PP, approved=False)
    town.state(PP, PS, (eid, "rejected"), defects=[Defect(code="APPROVAL_MISSING", article="", item="XB-3041")])
    return town.export()


@fails("approvals")
def a_handoff_that_nobody_approved_and_its_receiver_took() -> Members:
    town = Town()
    live(town)
    town.settle(town.send("arrest_request", PS, PP, approved=False), PS, PP)
    return town.export()


@fails("entries")
def a_handoff_that_the_log_does_not_place() -> Members:
    """Without an index nobody can say what the list asked for then; that it is not in the log is said elsewhere."""
    town = Town()
    live(town)
    known = len(town.entries)
    eid = town.send("arrest_request", PS, PP, approved=False)
    del town.entries[known:]
    town.note("UNDELIVERED", eid, "arrest_request")
    return town.export()


def spelled(approvals: str) -> Scenario:
    """A header whose list of approvals is not of the form, sealed and lodged all the same."""
    return lambda: loosely(lambda payload: payload.replace(b'"case":', f'"approvals":{approvals},"case":'.encode(), 1))


_SIG = "A" * 88
_ONE = f'{{"keyid":"{"0" * 16}","role":"approver","sig":"{_SIG}"}}'
ODD = {
    "none_spelled_out": "[]",
    "null": "null",
    "three": f"[{_ONE},{_ONE},{_ONE}]",
    "an_unknown_role": f"[{_ONE.replace('approver', 'judge')}]",
    "a_key_id_in_capitals": f"[{_ONE.replace('0' * 16, 'A' * 16)}]",
    "a_signature_too_short": f"[{_ONE.replace(_SIG, 'A' * 76)}]",
    "a_signature_too_long": f"[{_ONE.replace(_SIG, 'A' * 104)}]",
    "a_name_in_it": f"[{_ONE.replace('}', ',')}" + '"who":"张三"}]',
}
for name, text in ODD.items():
    ALL[f"approvals_of_another_form_{name}"] = (spelled(text), frozenset({"canonical", "entries"}))

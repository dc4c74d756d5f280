"""Bundles that are whole and proven, of a city in which somebody does what he may not: an agency, or the gateway itself.

Each scenario gives the members and the checks that fail, no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from services.gateway.log import Entry
from tests.library import samples
from tests.library.bundles.town import (
    CASE,
    CITY,
    CT,
    NEW_COURT,
    OFFICE_KEY,
    OTHER,
    OTHER_LOG,
    PP,
    PS,
    SEALS,
    SECOND,
    STRANGER,
    Members,
    Town,
    bundle_of,
    live,
)
from xieban import canonical
from xieban.bundle import Manifest
from xieban.handoff import CaseRef, Commitment, Header, Lane, Node, Party
from xieban.notice import Notice, Occasion, Reply

Scenario = Callable[[], Members]
ALL: dict[str, tuple[Scenario, frozenset[str]]] = {}


def fails(*checks: str) -> Callable[[Scenario], Scenario]:
    def keep(scenario: Scenario) -> Scenario:
        ALL[scenario.__name__] = (scenario, frozenset(checks))
        return scenario

    return keep


def twisted(kind: type[msgspec.Struct], where: Callable[[Any], bool], **changes: Any) -> Members:
    """A case in which the first value of a kind that is meant has other fields."""
    done: list[object] = []

    def twist(value: Any) -> Any:
        if not done and isinstance(value, kind) and where(value):
            done.append(value)
            return None if changes.get("entry") == "gone" else msgspec.structs.replace(value, **changes)
        return value

    town = Town(twist=twist)
    live(town)
    return town.export()


def keeping_silent_about(kind: str) -> Members:
    """A log in which one handoff was never lodged, with a bundle that fits it."""
    town = Town()
    live(town)
    mine = [eid for eid, one in town.statements.items() if one.type == "header" and CASE.encode() in one.payload]
    gone = next(eid for eid in mine if f'"kind":"{kind}"'.encode() in town.statements[eid].payload)
    kept = [entry for entry in town.entries if entry.eid != gone]
    town.entries[:] = [msgspec.structs.replace(entry, position=number) for number, entry in enumerate(kept, start=1)]
    town.marks.clear()
    for eid, one in list(town.statements.items()):
        if one.type == "receipt" and gone in one.payload.decode() and b"answered" not in one.payload:
            del town.statements[eid]
    return town.export()


@fails("receipts")
def an_answer_the_gateway_keeps_silent_about() -> Members:
    return keeping_silent_about("arrest_decision")


@fails("lanes")
def a_handoff_the_gateway_keeps_silent_about() -> Members:
    return keeping_silent_about("prosecution_transfer")


@fails("entries")
def a_delivery_that_the_log_does_not_tell_of() -> Members:
    return twisted(Entry, lambda e: e.kind == "DELIVERED" and e.case == CASE, entry="gone")


@fails("entries")
def an_acceptance_that_nobody_has_signed() -> Members:
    town = Town()
    live(town)
    header = town.send("early_opinion_request", PS, PP)
    town.note("ACCEPTED", header, "early_opinion_request")
    return town.export()


@fails("entries")
def an_entry_that_says_another_kind() -> Members:
    return twisted(Entry, lambda e: e.kind == "LODGED" and e.case == CASE, detail="public_prosecution")


@fails("entries")
def a_statement_lodged_twice() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, PP)
    town.note("LODGED", eid, "early_opinion_request")
    return town.export()


@fails("times")
def an_entry_that_is_dated_back() -> Members:
    town = Town()
    live(town)
    town.later(600)
    town.witness()
    town.now -= 300 * SECOND
    town.note("CLOCK_START", "", "inv_custody")
    town.later(400)
    return town.export()


@fails("times")
def an_entry_that_is_dated_ahead() -> Members:
    town = Town()
    live(town)
    town.now += 300 * SECOND
    town.note("OVERDUE", "", "inv_custody")
    town.now -= 300 * SECOND
    town.witness()
    return town.export()


@fails("export")
def an_export_that_is_registered_as_something_else() -> Members:
    town = Town(
        twist=lambda value: (
            msgspec.structs.replace(value, detail="committee:" + "0" * 64) if is_export(value) else value
        )
    )
    live(town)
    return town.export()


@fails("export")
def an_export_that_is_registered_for_another_case() -> Members:
    town = Town(twist=lambda value: msgspec.structs.replace(value, case=OTHER) if is_export(value) else value)
    live(town)
    return town.export()


def is_export(value: Any) -> bool:
    return isinstance(value, Entry) and value.kind == "EXPORT"


@fails("checkpoint")
def a_log_under_another_key() -> Members:
    town = Town(log_key=OTHER_LOG)
    live(town)
    return town.export()


@fails("fields")
def a_header_of_another_city() -> Members:
    return twisted(Header, is_second, sender=Party(city="tianshui", agency=PS, office="620102"))


def is_second(value: Any) -> bool:
    return bool(value.lane.seq == 2 and value.case.id == CASE)


@fails("fields")
def an_office_that_is_no_code() -> Members:
    return twisted(Header, is_second, receiver=Party(city=CITY, agency=PP, office="城关区"))


@fails("lanes")
def a_number_left_out() -> Members:
    return twisted(Header, is_second, lane=Lane(seq=3, prev="ab" * 32))


@fails("lanes")
def a_number_skipped_over() -> Members:
    """With the right predecessor: only the numbers tell."""

    def twist(value: Any) -> Any:
        if isinstance(value, Header) and is_second(value):
            return msgspec.structs.replace(value, lane=Lane(seq=3, prev=value.lane.prev))
        return value

    town = Town(twist=twist)
    live(town)
    return town.export()


@fails("lanes")
def a_number_given_twice() -> Members:
    return twisted(Header, is_second, lane=Lane(seq=1, prev=""))


@fails("lanes")
def a_predecessor_that_is_none() -> Members:
    return twisted(Header, is_second, lane=Lane(seq=2, prev="ab" * 32))


@fails("fields", "lanes")
def a_first_handoff_with_a_predecessor() -> Members:
    return twisted(Header, lambda h: h.case.id == CASE, lane=Lane(seq=1, prev="ab" * 32))


@fails("fields")
def a_header_of_a_version_to_come() -> Members:
    return twisted(Header, is_second, v=2)


@fails("fields", "entries")
def a_case_other_than_the_log_says() -> Members:
    return twisted(Header, is_second, case=CaseRef(id=OTHER, stage="S10_investigation"))


def sealed_by(key: Any, agency: str = PP) -> Members:
    """A header of an agency under another's key."""
    town = Town()
    live(town)
    town.send("evidence_supply_reply", agency, CT if agency != CT else PP, key=key)
    return town.export()


@fails("seals")
def a_header_under_another_agencys_key() -> Members:
    return sealed_by(SEALS[PS])


@fails("seals")
def a_header_under_a_strangers_key() -> Members:
    return sealed_by(STRANGER)


@fails("seals")
def a_receipt_under_the_key_of_an_office() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, PP)
    town.keys[PP] = OFFICE_KEY
    town.state(PP, PS, (eid, "delivered"))
    return town.export()


@fails("seals")
def a_key_used_before_it_was_listed() -> Members:
    town = Town()
    town.send("early_opinion_request", PS, CT, key=None)
    town.keys[CT] = NEW_COURT
    town.send("hearing_notice", CT, PS)
    return town.export()


@fails("seals")
def a_key_used_after_its_end() -> Members:
    town = Town()
    live(town)
    for _ in range(400):
        town.note("CLOCK_CHANGE", "", "inv_custody")
    town.send("court_intake_result", CT, PP, key=SEALS[CT])
    return town.export()


@fails("receipts")
def a_receipt_of_somebody_it_does_not_concern() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, PP)
    town.settle(eid, PS, PP)
    keep_silent(town, CT, PS, (eid, "delivered"))
    return town.export()


def keep_silent(town: Town, *args: Any) -> None:
    """A receipt that the log does not tell of, as it tells of none that has no effect."""
    known = len(town.entries)
    town.state(*args)
    del town.entries[known:]


@fails("receipts")
def accepted_and_returned() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, PP)
    town.settle(eid, PS, PP)
    town.state(PP, PS, (eid, "returned"))
    return town.export()


@fails("receipts")
def rejected_and_then_accepted() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, PP)
    town.state(PP, PS, (eid, "rejected"))
    town.state(PP, PS, (eid, "accepted"))
    return town.export()


@fails("receipts")
def an_answer_that_answers_something_else() -> Members:
    town = Town()
    live(town)
    ask = town.send("early_opinion_request", PS, PP)
    said = town.send("early_opinion", PP, PS, re=["ab" * 32])
    town.state(PP, PS, (ask, "answered"), answer=said)
    return town.export()


@fails("fields")
def a_notice_without_its_sentence() -> Members:
    return twisted(Notice, lambda n: n.demand is None, scope="本件涉及案件处理结果。")


@fails("fields", "notices")
def a_notice_of_another_case() -> Members:
    town = Town(
        twist=lambda v: (
            msgspec.structs.replace(v, case=OTHER, demand=samples.demand(id="2026-9"))
            if isinstance(v, Notice) and v.occasion is Occasion.ISSUED
            else v
        )
    )
    live(town)
    return town.export()


@fails("notices")
def a_reply_to_a_notice_that_asks_for_nothing() -> Members:
    town = Town()
    live(town)
    notice = town.tell(PP, Occasion.OVERDUE, start="")
    town.reply(PP, notice)
    return town.export()


@fails("fields")
def an_explanation_without_a_cause() -> Members:
    return twisted(Reply, lambda r: r.act == "explain", cause=None)


@fails("fields", "seals")
def a_notice_of_an_agency() -> Members:
    return twisted(Notice, lambda n: n.demand is None, sender=Node(city=CITY, agency=PS))


def loosely(change: Callable[[bytes], bytes]) -> Members:
    """A header of the court whose payload is no canonical one, sealed by the court and lodged all the same."""
    town = Town()
    live(town)
    header = samples.header(
        sender=Party(city=CITY, agency=CT, office="620102"), receiver=Party(city=CITY, agency=PS, office="620102"),
        case=CaseRef(id=CASE, stage="S10_investigation"),
    )  # fmt: skip
    sealed = NEW_COURT.seal("header", change(canonical.encode(header)))
    town.statements[sealed.eid] = sealed
    town.note("LODGED", sealed.eid, header.kind)
    return town.export()


@fails("canonical", "entries")
def a_payload_with_a_name_in_clear() -> Members:
    return loosely(lambda payload: payload[:-1] + ',"zname":"张"}'.encode())


@fails("canonical", "entries")
def a_view_of_the_log_that_is_spelled_out_as_none() -> Members:
    return loosely(lambda payload: payload.replace(b'"outcome"', b'"log":null,"outcome"'))


@fails("canonical", "entries")
def a_view_of_the_log_with_a_name_for_its_signature() -> Members:
    view = canonical.encode(samples.log_view(sig="张三" * 46))
    return loosely(lambda payload: payload.replace(b'"outcome"', b'"log":' + view + b',"outcome"'))


@fails("canonical", "entries")
def a_view_of_the_log_with_a_signature_in_another_spelling() -> Members:
    view = canonical.encode(samples.log_view(sig="A" * 90 + "B="))
    return loosely(lambda payload: payload.replace(b'"outcome"', b'"log":' + view + b',"outcome"'))


@fails("canonical", "entries")
def a_text_that_turns_its_direction() -> Members:
    return loosely(lambda payload: payload.replace(b"arrest_request", "arrest\u202e_request".encode()))


@fails("canonical", "entries")
def a_text_that_looks_like_another() -> Members:
    return loosely(lambda payload: payload.replace(b"arrest_request", "arre\u0301st_request".encode()))


@fails("canonical", "entries")
def a_text_with_an_escape() -> Members:
    return loosely(lambda payload: payload.replace(b"arrest_request", rb"arrest\u005frequest"))


@fails("canonical", "entries")
def a_number_with_a_fraction() -> Members:
    return loosely(lambda payload: payload.replace(b'"inc":1', b'"inc":1.0'))


@fails("canonical", "entries")
def a_key_twice() -> Members:
    return loosely(lambda payload: payload.replace(b'"inc":1', b'"inc":1,"inc":1'))


@fails("commitments")
def a_dossier_that_was_not_promised() -> Members:
    def twist(value: Any) -> Any:
        if isinstance(value, Header) and value.dossier.files:
            return msgspec.structs.replace(value, dossier=Commitment(commit="ab" * 32, files=1, bytes=1, pages=1))
        return value

    town = Town(twist=twist)
    live(town)
    return town.export("police", files=False)


@fails("commitments")
def fewer_pages_than_promised() -> Members:
    def twist(value: Any) -> Any:
        if isinstance(value, Header) and value.dossier.files:
            return msgspec.structs.replace(value, dossier=msgspec.structs.replace(value.dossier, pages=99))
        return value

    town = Town(twist=twist)
    live(town)
    return town.export("police")


@fails("trust")
def a_manifest_that_names_another_list() -> Members:
    town = Town(twist=lambda v: msgspec.structs.replace(v, trust="0" * 64) if isinstance(v, Manifest) else v)
    live(town)
    return town.export()


@fails("entries", "inclusion")
def an_entry_with_a_field_too_many() -> Members:
    members = bundle_of()
    name = min(name for name in members if name.startswith("entries/") and name.endswith(".json"))
    return {**members, name: members[name][:-1] + b',"z":1}'}


@fails("entries")
def a_second_content_that_is_also_lodged() -> Members:
    town = Town()
    live(town)
    eid = town.send("early_opinion_request", PS, CT)
    town.note("EQUIVOCATION", eid, "XB-3003")
    return town.export()


@fails()
def a_second_content_that_is_only_kept_as_proof() -> Members:
    town = Town()
    live(town)
    known = len(town.entries)
    lanes = dict(town._lanes)
    eid = town.send("early_opinion_request", PS, PP)
    del town.entries[known:]
    town._lanes = lanes
    town.note("EQUIVOCATION", eid, "XB-3003")
    return town.export()


@fails()
def a_sandbox_whose_clocks_say_anything() -> Members:
    town = Town(sandbox=True)
    live(town)
    town.now += 9000 * SECOND
    town.witness()
    town.now -= 9000 * SECOND
    return town.export()

"""Approvals as the verifier judges them: as a node does, with the table's kinds and articles, and with reasons that a person can act on."""

from __future__ import annotations

import base64
import json
from functools import cache

import pytest

from tests.library.bundles import crooked, town, unapproved
from tests.library.bundles.tampering import PROFILES, base
from tests.library.bundles.town import Members, pins
from xieban import canonical, procedure
from xieban.errors import XiebanError
from xieban.handoff import Header
from xieban.verify.container import pack
from xieban.verify.report import Check
from xieban.verify.verifier import verify

READABLE = [name for name, (_, expected) in unapproved.ALL.items() if "canonical" not in expected]


@cache
def made(name: str) -> Members:
    return unapproved.ALL[name][0]()


def judged(members: Members) -> Check:
    return verify(pack(members), pins=pins())["approvals"]


def headers(members: Members) -> dict[str, tuple[Header, int | None]]:
    """Each header with the index at which it was lodged, without those that were not taken: second contents, and what was rejected."""
    entries = [
        json.loads(data) for name, data in members.items() if name.startswith("entries/") and name.endswith(".json")
    ]
    lodged = {one["eid"]: one["position"] - 1 for one in entries if one["kind"] == "LODGED"}
    not_taken = {one["eid"] for one in entries if one["kind"] in ("EQUIVOCATION", "REJECTED")}
    found = {}
    for name, data in members.items():
        envelope = json.loads(data) if name.startswith("statements/") else {}
        eid = name[11:75]
        if envelope.get("type") == "header" and eid not in not_taken:
            found[eid] = (canonical.decode(base64.b64decode(envelope["payload"]), Header), lodged.get(eid))
    return found


@pytest.mark.parametrize("name", READABLE)
def test_the_verifier_refuses_the_headers_that_a_node_refuses_and_no_others(name: str) -> None:
    officers, table = town.chain().last.value.officers(), procedure.table().kinds
    refused = set()
    for eid, (header, index) in headers(made(name)).items():
        if index is None:
            continue
        try:
            officers.check(header, article=table[header.kind].approval, index=index)
        except XiebanError:
            refused.add(eid)
    assert {defect.what for defect in judged(made(name)).defects} == refused


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody_approves", "prosecution_transfer 依公规289须经负责人批准，缺少审批人、经办人的签批"),
        ("the_handler_is_missing", "prosecution_transfer 依公规289须经负责人批准，缺少经办人的签批"),
        ("one_person_in_both_roles", "审批人与经办人为同一人"),
        ("approvals_over_another_dossier", "审批人的签批与内容不符"),
        ("roles_out_of_order", "同一角色的签批重复或者没有排列"),
    ],
)
def test_the_reason_names_the_kind_the_article_and_who(name: str, said: str) -> None:
    assert said in {defect.reason for defect in judged(made(name)).defects}


def test_an_officer_who_has_left_is_named_by_key_and_index_and_only_where_the_key_has_ended() -> None:
    (defect, *others) = judged(made("an_officer_who_has_left")).defects
    assert "在日志序号" in defect.reason
    early = [eid for eid, (header, index) in headers(made("an_officer_who_has_left")).items() if index == 5]
    assert len(early) == 1
    assert early[0] not in {one.what for one in (defect, *others)}


def test_honest_bundles_hold_approvals_by_both_algorithms_and_every_one_of_them_is_looked_at() -> None:
    keys = {row.id: row.algorithm for row in town.chain().last.value.entries if hasattr(row, "algorithm")}
    for seed in range(4):
        found = [header for header, _ in headers(base(seed, "committee")).values() if header.approvals]
        assert {keys[one.keyid] for header in found for one in header.approvals} == {"ed25519+sha256", "sm2+sm3"}
        check = judged(base(seed, "committee"))
        assert (check.verdict, check.checked) == ("pass", len(found))


def test_without_officers_in_the_list_the_check_does_not_apply() -> None:
    for profile in PROFILES:
        assert judged(base(0, profile)).verdict == ("none" if profile == "court" else "pass")
    check = judged(crooked.ALL["a_key_used_before_it_was_listed"][0]())
    assert (check.verdict, check.not_applicable) == ("none", "没有须经签批的流转")


def test_without_a_trust_list_to_go_by_the_check_is_left_open() -> None:
    members = {name: data for name, data in base(0, "police").items() if name != "trust.json"}
    assert judged(members).verdict == "open"

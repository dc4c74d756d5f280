"""Who stood behind a handoff: the approvals 签批 in its header, each by an officer whom the trust list names where the log places it.

What an officer has signed is spelled out from the header itself, so that an approval of anything else does not hold.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from xieban.verify import closed, trustlist
from xieban.verify.members import Bundle, Envelope
from xieban.verify.report import Report

TYPE: Final = "approval"
ROLES: Final = {"approver": "审批人", "handler": "经办人"}
NEEDED: Final = {
    "arrest_request": "公规137",
    "arrest_decision": "刑诉89",
    "arrest_reconsideration": "公规141",
    "custody_extension_request": "公规148",
    "prosecution_transfer": "公规289",
    "resubmission_after_supplement": "公规296",
    "nonprosecution_decision": "检规365",
}
"""Kinds that the head of the sending office must approve or decide, and by which article."""
_SIGNED: Final = (
    "from", "to", "kind", "outcome", "re", "secrecy", "acts", "clocks", "dossier", "client_ref_hash",
)  # fmt: skip
"""Members of a header that an officer's signature covers as they stand; of the case only its number, and the role."""


def check_approvals(bundle: Bundle, trust: dict[str, Any], report: Report) -> None:
    """Every approval of every header, and that none is lacking where the list names officers. What was rejected was never let in."""
    check = report["approvals"]
    officers = {trustlist.keyid(row): row for row in trust["entries"] if row["use"] == "officer"}
    for eid, header in bundle.headers.items():
        if bundle.told(eid, "REJECTED"):
            continue
        indexes = [entry.position - 1 for entry in bundle.told(eid, "LODGED")]
        needed = header["kind"] in NEEDED and any(_named(officers.values(), header["from"], index) for index in indexes)
        if needed or "approvals" in header:
            reason = _unapproved(header, officers, indexes, needed=needed)
            check.demand(not reason, eid, reason)
    if not check.checked:
        check.not_applicable = "没有须经签批的流转"


def _named(officers: Iterable[dict[str, Any]], party: dict[str, Any], index: int) -> bool:
    """Whether the list names officers of both roles for an office, for that entry of the log."""
    found = {row["role"] for row in officers if _is_of(row, party) and trustlist.covers(row, index)}
    return found == ROLES.keys()


def _is_of(row: dict[str, Any], party: dict[str, Any]) -> bool:
    return bool(row["agency"] == party["agency"] and row["office"] in ("", party["office"]))


def _unapproved(
    header: dict[str, Any], officers: Mapping[str, dict[str, Any]], indexes: Sequence[int], *, needed: bool
) -> str:
    """What is wrong with the approvals of a header; empty when nothing is."""
    given = header.get("approvals", [])
    roles = [one["role"] for one in given]
    if roles != sorted(set(roles)):
        return "同一角色的签批重复或者没有排列"
    holders = set()
    for one in given:
        name, id, row = ROLES[one["role"]], one["keyid"], officers.get(one["keyid"])
        if row is None or row["role"] != one["role"] or not _is_of(row, header["from"]):
            return f"密钥 {id} 不是该单位{name}的"
        for index in indexes:
            if not trustlist.covers(row, index):
                return f"{name}的密钥 {id} 在日志序号 {index} 处无效"
        if not trustlist.holds(row, _octets(one["sig"]), _signed(header, one["role"])):
            return f"{name}的签批与内容不符"
        holders.add(row["holder"])
    if len(holders) != len(given):
        return "审批人与经办人为同一人"
    missing = [name for role, name in ROLES.items() if role not in roles]
    if needed and missing:
        return f"{header['kind']} 依{NEEDED[header['kind']]}须经负责人批准，缺少{'、'.join(missing)}的签批"
    return ""


def _signed(header: dict[str, Any], role: str) -> bytes:
    """What an officer of that role has signed, if they stand behind this header."""
    matter = {"v": 1, "role": role, "case": header["case"]["id"], **{name: header[name] for name in _SIGNED}}
    return Envelope(TYPE, closed.spell(matter), ()).signed


def _octets(text: str) -> bytes:
    """Base64 in its one spelling; empty, which no key has signed, if it is another."""
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return octets if base64.b64encode(octets).decode() == text else b""

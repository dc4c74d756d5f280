"""What the statements say of one another: fields, lanes, receipts, notices, and the log's entries about them.

A defect names the statement by its eid. What a case's officers decided is nobody's business here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from xieban.verify import schemas
from xieban.verify.members import FACT_KINDS, OF_STATEMENTS, WORD_KINDS, Bundle
from xieban.verify.report import Report
from xieban.verify.schemas import GATEWAY, PARTIES, SCOPE

_OPEN: Final = ("sent", "delivered", "complete")
LADDER: Final = {
    "delivered": ("sent",),
    "complete": ("sent", "delivered"),
    "accepted": _OPEN,
    "returned": _OPEN,
    "answered": (*_OPEN, "accepted"),
    "rejected": _OPEN,
    "withdrawn": _OPEN,
}
"""From which states a fact leads to the state of its own name."""
RANK: Final = {kind: number for number, kind in enumerate(LADDER)}
Stated = tuple[dict[str, Any], dict[str, Any], str]
"""A fact, the receipt that states it, the receipt's eid."""


def check_fields(bundle: Bundle, report: Report) -> None:
    """Every statement is of this city and this case, between whom it may be, and sound in itself."""
    check = report["fields"]
    sound = {"header": _header, "receipt": _receipt, "notice": _notice, "reply": _reply}
    for statement in bundle.statements.values():
        if statement.value is not None:
            wrong = next(sound[statement.type](statement.value, bundle.manifest), "")
            check.demand(not wrong, statement.eid, wrong)


def _header(value: dict[str, Any], manifest: dict[str, Any]) -> Iterator[str]:
    ends = (value["from"], value["to"])
    lane = value["lane"]
    if value["v"] != 1:
        yield "版本不认识"
    if any(end["city"] != manifest["city"] for end in ends):
        yield "不是本市的"
    if value["case"]["id"] != manifest["case"]:
        yield "是另一案件的"
    if ends[0]["agency"] not in PARTIES or ends[1]["agency"] not in (*PARTIES, GATEWAY):
        yield "发送方或者接收方不是流转的一方"
    if not all(len(end["office"]) == 6 and end["office"].isascii() and end["office"].isdigit() for end in ends):
        yield "单位代码不是六位数字"
    if lane["seq"] < 1 or (lane["seq"] == 1) != (lane["prev"] == ""):
        yield "序号与前一份的标识不相称"


def _receipt(value: dict[str, Any], manifest: dict[str, Any]) -> Iterator[str]:
    if value["v"] != 1:
        yield "版本不认识"
    if any(value[end]["city"] != manifest["city"] for end in ("from", "to")):
        yield "不是本市的"
    if any(value[end]["agency"] not in PARTIES for end in ("from", "to")):
        yield "出具方或者收件方不是流转的一方"


def _notice(value: dict[str, Any], manifest: dict[str, Any]) -> Iterator[str]:
    of_limit = value["occasion"] in schemas.LIMIT_OCCASIONS
    if value["v"] != 1:
        yield "版本不认识"
    if value["from"]["city"] != manifest["city"] or value["to"]["city"] != manifest["city"]:
        yield "不是本市的"
    if value["case"] != manifest["case"]:
        yield "是另一案件的"
    if value["from"]["agency"] != GATEWAY or value["to"]["agency"] not in PARTIES:
        yield "不是监督网关给办案机关的"
    if value["scope"] != SCOPE or of_limit != (value["demand"] is None):
        yield "与该类文书应有的内容不符"


def _reply(value: dict[str, Any], manifest: dict[str, Any]) -> Iterator[str]:
    if value["v"] != 1:
        yield "版本不认识"
    if value["from"]["city"] != manifest["city"] or value["to"]["city"] != manifest["city"]:
        yield "不是本市的"
    if value["from"]["agency"] not in PARTIES or value["to"]["agency"] != GATEWAY:
        yield "不是办案机关给监督网关的"
    if value["scope"] != SCOPE or (value["act"] == "explain") != (value["cause"] is not None):
        yield "与该类文书应有的内容不符"


def check_lanes(bundle: Bundle, report: Report) -> None:
    """In each direction the handoffs are numbered from 1 without a gap, and each names the one before."""
    check = report["lanes"]
    lanes: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    headers = bundle.headers
    for eid, value in headers.items():
        lanes[value["from"]["agency"], value["to"]["agency"]].append((value["lane"]["seq"], eid))
    for rows in lanes.values():
        before, expected = "", 1
        for seq, eid in sorted(rows):
            wrong = ""
            if seq != expected:
                wrong = "序号重复" if seq < expected else f"缺少第 {expected} 份"
            elif headers[eid]["lane"]["prev"] != before:
                wrong = "所载的前一份不是前一份"
            check.demand(not wrong, eid, wrong)
            before, expected = eid, seq + 1


def stated(bundle: Bundle) -> dict[str, list[Stated]]:
    """By header: what receipts state of it, in order of time, then of the ladder, then of the receipts' eids."""
    found: dict[str, list[Stated]] = defaultdict(list)
    for eid, receipt in bundle.of_type("receipt").items():
        for fact in receipt["facts"]:
            found[fact["of"]].append((fact, receipt, eid))
    for facts in found.values():
        facts.sort(key=lambda row: (row[0]["at"], RANK[row[0]["kind"]], row[2]))
    return found


def entitled(header: dict[str, Any], back: dict[str, Any]) -> bool:
    """Whether a receipt or an answer goes back the header's way: only who received it says anything about it, to who sent it."""
    ends = (back["from"]["agency"], back["to"]["agency"])
    return ends == (header["to"]["agency"], header["from"]["agency"])


def check_receipts(bundle: Bundle, report: Report) -> None:
    """Receipts are about headers of this bundle, by their receivers, and no fact contradicts another."""
    check, headers, facts = report["receipts"], bundle.headers, stated(bundle)
    receipts = bundle.of_type("receipt")
    if not receipts:
        check.not_applicable = "没有回执"
    for eid, receipt in receipts.items():
        about = any(fact["of"] in headers for fact in receipt["facts"])
        check.demand(about, eid, "所述的流转不在本包之内")
    for of, header in headers.items():
        state = "sent"
        for fact, receipt, eid in facts.get(of, ()):
            kind = fact["kind"]
            if not check.demand(entitled(header, receipt), eid, "不是收件方对发送方出具的"):
                continue
            if state in LADDER[kind]:
                state = kind
            else:  # older news, or the same again; two different settlements contradict one another
                old = kind == state or kind in ("delivered", "complete") or (kind, state) == ("accepted", "answered")
                check.demand(old, eid, f"{state} 之后不能有 {kind}")
            if kind == "answered":
                answer = headers.get(fact["answer"])
                back = answer is not None and entitled(header, answer) and of in answer["re"]
                check.demand(back, eid, "所称的答复不在本包之内，或者不是对该流转的答复")


def check_notices(bundle: Bundle, report: Report) -> None:
    """Replies are to notices of this bundle, by the agency that was asked."""
    check, notices, replies = report["notices"], bundle.of_type("notice"), bundle.of_type("reply")
    if not notices and not replies:
        check.not_applicable = "没有通知"
    check.checked += len(notices)
    for eid, reply in replies.items():
        notice = notices.get(reply["of"])
        demand = notice["demand"] if notice is not None else None
        answers = (
            notice is not None
            and demand is not None
            and (demand["id"], notice["to"]["agency"]) == (reply["supervision"], reply["from"]["agency"])
        )
        check.demand(answers, eid, "所回复的通知不在本包之内，或者不是给该机关的")


def check_entries(bundle: Bundle, report: Report) -> None:
    """The log tells of every statement once, and of nothing that is not here."""
    check, facts, headers = report["entries"], stated(bundle), bundle.headers
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    """(kind, eid) to the details that it may have; none given: any."""
    for eid, header in headers.items():
        wanted["LODGED", eid] = {header["kind"]}
        for fact, receipt, _ in facts.get(eid, ()):
            if entitled(header, receipt):
                detail = fact["defects"][0]["code"] if fact["defects"] else header["kind"]
                wanted[fact["kind"].upper(), eid].add(detail)
    for place, details in wanted.items():
        kind, eid = place
        told = bundle.told(eid, kind)
        check.demand(len(told) == 1, eid, f"日志中有 {len(told)} 条 {kind}，应有 1 条")
        for entry in told:
            said = entry.value is not None and entry.value["detail"] in details
            check.demand(said, f"#{entry.position}", "登记的事项与报文不符")
    for eid in (*bundle.of_type("notice"), *bundle.of_type("reply")):
        count = len(bundle.told(eid, *WORD_KINDS))
        check.demand(count == 1, eid, f"日志中有 {count} 条登记，应有 1 条")
    for entry in bundle.entries.values():
        if entry.value is None:
            continue
        check.demand(entry.value["case"] == bundle.manifest["case"], f"#{entry.position}", "是另一案件的")
        if entry.kind in OF_STATEMENTS:
            eid = entry.value["eid"]
            here = (
                (entry.kind, eid) in wanted
                if entry.kind in FACT_KINDS or entry.kind == "LODGED"
                else eid in bundle.statements
            )
            check.demand(here, f"#{entry.position}", "所登记的报文不在本包之内")

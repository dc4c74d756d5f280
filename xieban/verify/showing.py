"""A report as text: what the bundle says, who vouches for it, then check by check 通过 or 不通过 with the reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from xieban.verify.report import VERDICTS, Check, Report

BEIJING: Final = timezone(timedelta(hours=8))
SHOWN: Final = 20
"""Defects of one check that are printed; JSON has all."""

KINDS: Final = {
    "early_opinion_request": "商请派员介入",
    "early_opinion": "介入侦查意见",
    "arrest_request": "提请批准逮捕",
    "arrest_evidence_supplement": "要求补充社会危险性证据",
    "arrest_decision": "批准或者不批准逮捕决定",
    "arrest_execution_receipt": "逮捕执行回执",
    "arrest_reconsideration": "不批准逮捕要求复议",
    "custody_extension_request": "提请批准延长侦查羁押期限",
    "custody_extension_decision": "延长侦查羁押期限决定",
    "prosecution_transfer": "移送审查起诉",
    "prosecution_intake_result": "审查起诉受理结果",
    "evidence_supply_request": "要求提供法庭审判所需证据",
    "evidence_supply_reply": "补充证据、情况说明",
    "return_supplementary_investigation": "退回补充侦查",
    "resubmission_after_supplement": "补充侦查完毕重新移送",
    "nonprosecution_decision": "不起诉决定送达",
    "public_prosecution": "提起公诉",
    "court_intake_result": "公诉案件受理结果",
    "hearing_notice": "开庭通知",
    "judgment_service": "判决、裁定送达",
    "appeal_transfer": "移送上诉案件",
    "second_instance_judgment": "二审裁判送达",
    "limit_registration": "期限事项登记",
    "withdrawal": "撤回流转",
}
"""Names of handoff kinds, for a machine that has no more than this; one that is not here is shown as its code."""
AGENCIES: Final = {
    "police": "公安",
    "procuratorate": "检察",
    "court": "法院",
    "gateway": "监督网关",
    "committee": "监督方",
}
SETTLED: Final = {
    "accepted": "接收", "returned": "退回补正", "answered": "答复", "rejected": "拒收", "withdrawn": "撤回",
}  # fmt: skip


def lines(report: Report) -> Iterator[str]:
    """The whole report. What the bundle says is shown also when it fails: to know what was claimed is worth something."""
    if report.summary:
        yield from _head(report.summary)
    if report.rows:
        yield ""
        yield from table(
            ("报文", "环节", "发送", "接收", "发出", "日志序号", "入册", "送达", "接收方办理"),
            [_row(row) for row in report.rows],
        )
        yield ""
    yield from table(
        ("核验项目", "结论", "数目", "说明"),
        [(check.title, VERDICTS[check.verdict], str(check.checked), _said(check)) for check in report.checks.values()],
    )
    for check in report.checks.values():
        for defect in check.defects[:SHOWN]:
            yield f"不通过  {check.title}：{shown(defect.what)}：{defect.reason}"
        if len(check.defects) > SHOWN:
            yield f"        {check.title}：另有 {len(check.defects) - SHOWN} 处，见 --json"
    yield ""
    yield _conclusion(report)


def _head(summary: dict[str, Any]) -> Iterator[str]:
    if summary["sandbox"]:
        yield "■ 沙箱数据，不是真实案件"
    yield f"案件  {summary['case']}（{summary['city']}）"
    yield f"导出  {AGENCIES[summary['profile']]}，{moment(summary['at'])}"
    tree = summary.get("checkpoint")
    if tree is not None:
        vouching = "、".join(f"{one['name']}（{moment(one['at'] * 1_000_000)}）" for one in tree["witnesses"])
        yield f"见证  监督日志前 {tree['size']} 条，由 {vouching} 联署"


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    facts = row["facts"]
    done = [f"{SETTLED[kind]} {moment(facts[kind])}" for kind in SETTLED if kind in facts]
    kind = KINDS.get(row["kind"], row["kind"])
    return (
        row["eid"][:12],
        f"{kind}（{row['outcome']}）" if row["outcome"] else kind,
        _office(row["from"]),
        _office(row["to"]),
        moment(row["sent_at"]),
        "—" if row["index"] is None else str(row["index"]),
        moment(row["lodged_at"]),
        moment(facts.get("delivered")),
        "；".join(done) or "—",
    )


def _office(text: str) -> str:
    agency, _, division = text.partition("-")
    return f"{AGENCIES.get(agency, agency)} {division}"


def _said(check: Check) -> str:
    if check.defects:
        return f"{len(check.defects)} 处"
    return check.unjudged or check.not_applicable or ("" if check.name == "roots" else check.note)


def _conclusion(report: Report) -> str:
    if report.verdict == "pass":
        return "结论：通过"
    if report.verdict == "fail":
        return "结论：不通过"
    if report.unreadable:
        return "结论：无法判断（文件不能读取，或者不是本程序认识的证据包）"
    told = "结论：无法判断（没有不通过的项目，但有项目未核对）"
    roots = report["roots"]
    if roots.verdict != "open" or not roots.note:
        return told
    pins = "\n".join(f"  {pin}" for pin in roots.note.split())
    return f"{told}\n未核对根密钥。向保管人逐个核对下列指纹后，用 --root-fingerprint 或 --roots 给出：\n{pins}"


def shown(what: str) -> str:
    """An eid or the name of a member, short enough for a line."""
    return what if len(what) < 40 else f"{what[:24]}…{what[-12:]}" if "/" in what else f"{what[:16]}…"


def moment(micros: int | None) -> str:
    """Beijing time of microseconds since the epoch."""
    if micros is None:
        return "—"
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns that stay aligned with Chinese in them."""
    cells = [headings, *rows]
    widths = [max(_width(line[column]) for line in cells) for column in range(len(headings))]
    for line in cells:
        yield "  ".join(text + " " * (wide - _width(text)) for text, wide in zip(line, widths, strict=True)).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)

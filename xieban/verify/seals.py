"""Whose signature is under a statement: the right agency's, by a key that counted where the log places what it signed."""

from __future__ import annotations

from typing import Any

from xieban.verify import trustlist
from xieban.verify.members import WORD_KINDS, Bundle, Statement
from xieban.verify.report import Report


def check_seals(bundle: Bundle, trust: dict[str, Any], report: Report) -> None:
    """Every signature under every statement."""
    check = report["seals"]
    keys = {trustlist.keyid(row): row for row in trust["entries"] if row["use"] == "seal"}
    for statement in bundle.statements.values():
        check.checked += 1
        reason = _unsealed(bundle, statement, keys)
        if reason:
            check.fail(statement.eid, reason)


def _unsealed(bundle: Bundle, statement: Statement, keys: dict[str, dict[str, Any]]) -> str:
    """What is wrong with a signature; empty when nothing is."""
    signatures = statement.envelope.signatures
    if len(signatures) != 1:
        return "应有一份签名"
    id, signature = signatures[0]
    row = keys.get(id)
    if row is None:
        return f"密钥 {id} 不在信任清单中"
    value = statement.value
    if value is not None:
        office = value["from"].get("office", "") if statement.type == "header" else ""
        if row["agency"] != value["from"]["agency"] or row["office"] not in ("", office):
            return f"密钥 {id} 不是该机关的"
        for index in indexes(bundle, statement):
            if not trustlist.covers(row, index):
                return f"密钥 {id} 在日志序号 {index} 处无效"
    return "" if trustlist.holds(row, signature, statement.envelope.signed) else "签名与内容不符"


def indexes(bundle: Bundle, statement: Statement) -> list[int]:
    """The indexes of the entries that tell of a statement; of a receipt, those of the facts it states."""
    if statement.type == "receipt" and statement.value is not None:
        told = [entry for fact in statement.value["facts"] for entry in bundle.told(fact["of"], fact["kind"].upper())]
        told += bundle.told(statement.eid, "EQUIVOCATION")
    else:
        told = bundle.told(statement.eid, "LODGED", "EQUIVOCATION", *WORD_KINDS)
    return sorted({entry.position - 1 for entry in told})

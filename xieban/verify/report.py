"""What a verification says: check by check passed, failed, not judged or not applicable, with every reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

Verdict = Literal["pass", "fail", "open", "none"]
VERDICTS: Final[dict[Verdict, str]] = {"pass": "通过", "fail": "不通过", "open": "未核对", "none": "不适用"}

CHECKS: Final = {
    "container": "容器",
    "manifest": "目录",
    "roots": "根密钥",
    "trust": "信任清单",
    "checkpoint": "检查点和联署",
    "inclusion": "入册证明",
    "export": "导出登记",
    "canonical": "规范编码",
    "seals": "签名",
    "approvals": "签批",
    "fields": "报头和字段",
    "lanes": "流转序列",
    "receipts": "回执",
    "notices": "通知和回复",
    "entries": "登记与报文",
    "times": "时间区间",
    "commitments": "案卷承诺",
    "files": "案卷文件",
}
"""Every check, in the order in which it is made and shown."""


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with which part: a member's name, an eid, `#position` of an entry, `v<version>` of a list."""

    what: str
    reason: str


@dataclass(slots=True)
class Check:
    """One check: how many things it looked at, what was wrong, why it could not be made, what else to say."""

    name: str
    checked: int = 0
    defects: list[Defect] = field(default_factory=list)
    unjudged: str = ""
    not_applicable: str = ""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.defects:
            return "fail"
        if self.unjudged:
            return "open"
        return "none" if self.not_applicable else "pass"

    @property
    def title(self) -> str:
        return CHECKS[self.name]

    def fail(self, what: str, reason: str) -> None:
        self.defects.append(Defect(what, reason))

    def demand(self, holds: bool, what: str, reason: str) -> bool:
        """One thing looked at; a defect unless it holds."""
        self.checked += 1
        if not holds:
            self.fail(what, reason)
        return holds


@dataclass(slots=True)
class Report:
    """All checks of one bundle. `summary` and `rows` are what the bundle says, to be read in the light of the checks."""

    checks: dict[str, Check] = field(default_factory=lambda: {name: Check(name) for name in CHECKS})
    unreadable: bool = False
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Check:
        return self.checks[name]

    def leave_open(self, reason: str, *names: str) -> None:
        """These checks cannot be made."""
        for name in names:
            self.checks[name].unjudged = reason

    @property
    def verdict(self) -> Verdict:
        """`open` when nothing can be judged at all, or when nothing failed but something could not be judged."""
        found = {check.verdict for check in self.checks.values()}
        if self.unreadable:
            return "open"
        return "fail" if "fail" in found else "open" if "open" in found else "pass"

    @property
    def exit_code(self) -> int:
        return {"pass": 0, "fail": 1}.get(self.verdict, 2)

    def as_json(self) -> dict[str, Any]:
        return {
            "format": "xieban-verification",
            "v": 1,
            "verdict": self.verdict,
            "bundle": self.summary,
            "checks": [
                {
                    "check": check.name,
                    "name": check.title,
                    "verdict": check.verdict,
                    "checked": check.checked,
                    "reason": check.unjudged or check.not_applicable,
                    "note": check.note,
                    "defects": [{"what": defect.what, "reason": defect.reason} for defect in check.defects],
                }
                for check in self.checks.values()
            ],
            "statements": self.rows,
        }

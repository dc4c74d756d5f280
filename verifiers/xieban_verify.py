#!/usr/bin/env python3
"""离线核验协办证据包：python xieban_verify.py 证据包.zip --roots 根密钥指纹文件

0 通过，1 不通过，2 无法判断。只需要 Python 3.11 以上和 cryptography；不连网络，不写文件。
格式和各项核验的含义见 docs/bundle-format.md。

Made by scripts/verifier_file.py of the library's own modules, word for word; change those, not this file.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys

SOURCES = {}

# ---- xieban/__init__.py
SOURCES['xieban'] = r'''"""Xieban 协办: whatever two parties must agree on to exchange criminal cases.

This package holds the wire, the procedure and the law; it runs on an integrator's side as well as inside a city. What only a
deployable needs (a bus, a database, a process) lives in `services` and is never imported from here.
"""

__version__ = "0.1.0"
'''

# ---- xieban/verify/__init__.py
SOURCES['xieban.verify'] = r'''"""The off-line verifier of evidence bundles: bytes in, a report out. Format and checks: docs/bundle-format.md.

    container    the zip file, in its one form
    closed       canonical JSON and closed schemas
    schemas      what statements, entries, lists and dossiers look like
    members      a bundle taken apart
    trustlist    the city's trust list and its signatures
    logchecks    checkpoint, inclusion, the record of the export, times
    seals        whose signature is under a statement
    statements   fields, lanes, receipts, notices, what the log says of them
    dossiers     commitments and files
    verifier     all checks in their order
    showing      the report for people
    command      `python xieban_verify.py bundle.zip`

Only the standard library, `cryptography`, `xieban.errors` and `xieban.proof` may be imported here: `scripts/verifier_file.py` makes one
file of them, `verifiers/xieban_verify.py`. What must not go in: network, anything that writes, any opinion on the case.
"""
'''

# ---- xieban/verify/container.py
SOURCES['xieban.verify.container'] = r'''"""The container: a zip file in exactly one form, so that nothing can hide in it and no byte of it can change unseen.

Members are stored, never compressed, in the order of their names, without times, comments, extra fields or attributes. A reader takes the
members out and packs them again: what does not come out the same is not a bundle. So there is nothing to unpack, and no bomb to set off.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_BUNDLE: Final = 512 * 1024 * 1024
MAX_MEMBERS: Final = 60_000
KIB: Final = 1024

NAMES: Final = tuple(
    (kind, re.compile(pattern), limit)
    for kind, pattern, limit in (
        ("manifest", r"bundle\.json", 4096 * KIB),
        ("checkpoint", r"checkpoint", 128 * KIB),
        ("content", r"dossiers/([0-9a-f]{64})/files/([0-9]{3})", 4096 * KIB),
        ("dossier", r"dossiers/([0-9a-f]{64})/manifest\.json", 1024 * KIB),
        ("salt", r"dossiers/([0-9a-f]{64})/salt", 32),
        ("entry", r"entries/([0-9]{12})\.json", 0xFFFF),
        ("proof", r"entries/([0-9]{12})\.tlog-proof", 256 * KIB),
        ("mark", r"marks/([0-9]{12}-(?:first|last))", 256 * KIB),
        ("statement", r"statements/([0-9a-f]{64})\.json", 32 * KIB),
        ("trust", r"trust\.json", 32 * 1024 * KIB),
    )
)
"""Every name there may be, with the largest size of such a member in bytes."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_VERSION, _DATE = 20, 0x0021  # 1980-01-01, where the times of this format begin


class Unreadable(Exception):
    """These bytes are no bundle; the message says why."""


@dataclass(slots=True)
class Unpacked:
    """The members by name, and (member, why) of everything about the container that is not as it must be."""

    members: dict[str, bytes] = field(default_factory=dict)
    defects: list[tuple[str, str]] = field(default_factory=list)


def kind_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """What kind of member has this name, with the parts that vary; None for a name that no member has."""
    for kind, pattern, _ in NAMES:
        match = pattern.fullmatch(name)
        if match is not None:
            return kind, match.groups()
    return None


def pack(members: Mapping[str, bytes]) -> bytes:
    """The one container of these members."""
    body, directory, offset = [], [], 0
    for name in sorted(members):
        data, label = members[name], name.encode("ascii")
        sizes = (zlib.crc32(data), len(data), len(data), len(label))
        head = _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, *sizes, 0)
        body += [head, label, data]
        directory += [
            _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DATE, *sizes, 0, 0, 0, 0, 0, offset),
            label,
        ]
        offset += len(head) + len(label) + len(data)
    listed = b"".join(directory)
    count = len(members)
    return b"".join((*body, listed, _END.pack(b"PK\x05\x06", 0, 0, count, count, len(listed), offset, 0)))


def unpack(data: bytes) -> Unpacked:
    """Take a container apart. Errors: Unreadable when its structure cannot be followed."""
    if len(data) > MAX_BUNDLE:
        raise Unreadable(f"超过 {MAX_BUNDLE} 字节")
    found = Unpacked()
    offset, before = 0, ""
    while data[offset : offset + 4] == b"PK\x03\x04":
        name, content, crc, offset = _member(data, offset)
        if len(found.members) >= MAX_MEMBERS:
            raise Unreadable(f"成员超过 {MAX_MEMBERS} 个")
        known = next((limit for _, pattern, limit in NAMES if pattern.fullmatch(name)), None)
        if known is None:
            found.defects.append((name, "名称不在规定之内"))
        elif name in found.members:
            found.defects.append((name, "名称重复"))
        elif len(content) > known:
            found.defects.append((name, f"超过 {known} 字节"))
        else:
            if zlib.crc32(content) != crc:
                found.defects.append((name, "内容与容器记录的校验和不符"))
            if name < before:
                found.defects.append((name, "没有按名称排列"))
            found.members[name], before = content, name
    if not found.members:
        raise Unreadable("不是证据包")
    if not found.defects and pack(found.members) != data:
        found.defects.append(("zip", "容器不是规定的形式"))
    return found


def _member(data: bytes, offset: int) -> tuple[str, bytes, int, int]:
    """Name, content and recorded check sum of the member at `offset`, and where the next one begins."""
    if offset + _LOCAL.size > len(data):
        raise Unreadable("文件不完整")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra = _LOCAL.unpack_from(data, offset)
    if flags or method or extra or packed != size:
        raise Unreadable("含有压缩、加密或者附加字段的成员")
    start = offset + _LOCAL.size + name_length
    if start + size > len(data):
        raise Unreadable("文件不完整")
    label = data[offset + _LOCAL.size : start]
    # A name is only ever compared and shown, never used as a path.
    name = label.decode("ascii", "replace").encode("ascii", "replace").decode()
    return name, data[start : start + size], crc, start + size
'''

# ---- xieban/verify/report.py
SOURCES['xieban.verify.report'] = r'''"""What a verification says: check by check passed, failed, not judged or not applicable, with every reason."""

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
'''

# ---- xieban/verify/showing.py
SOURCES['xieban.verify.showing'] = r'''"""A report as text: what the bundle says, who vouches for it, then check by check 通过 or 不通过 with the reason."""

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
'''

# ---- xieban/verify/closed.py
SOURCES['xieban.verify.closed'] = r'''"""Canonical JSON and closed schemas: one value has one spelling, and nothing that a schema does not name.

A schema is a function that says whether a decoded value is of its form. Bytes are accepted only if writing the decoded value again gives
the same bytes, which refuses duplicate keys, other spellings of numbers and texts, white space and another order.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

Schema = Callable[[Any], bool]

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LARGEST: Final = 2**53 - 1
LATEST: Final = 4_102_444_800_000_000


class NotCanonical(Exception):
    """Not canonical JSON of the schema; the message says which of the two."""


def read(data: bytes, schema: Schema) -> Any:
    """The value of canonical bytes. Errors: NotCanonical."""
    try:
        text = data.decode()
        value = json.loads(text, parse_float=_refuse, parse_constant=_refuse)
        same = spell(value) == data
    except (ValueError, RecursionError) as error:  # also what is no UTF-8, and numbers without end
        raise NotCanonical("不是规范编码") from error
    if not same or not _is_clean(text):
        raise NotCanonical("不是规范编码")
    if not schema(value):
        raise NotCanonical("字段不合规定")
    return value


def spell(value: Any) -> bytes:
    """The canonical bytes of a value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _is_clean(text: str) -> bool:
    # Of the escapes only those of backslash and quotation mark have no other spelling.
    if "\\" in text.replace(r"\\", "").replace(r"\"", ""):
        return False
    return not _FORBIDDEN.search(text) and unicodedata.is_normalized("NFC", text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def whole(least: int = 0, most: int = LARGEST) -> Schema:
    """An integer."""
    return lambda value: type(value) is int and least <= value <= most


def text(longest: int, least: int = 0) -> Schema:
    """A text of so many characters."""
    return lambda value: isinstance(value, str) and least <= len(value) <= longest


def matching(pattern: str) -> Schema:
    """A text that is wholly of the pattern."""
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def one_of(*values: str) -> Schema:
    return lambda value: isinstance(value, str) and value in values


def just(expected: Any) -> Schema:
    return lambda value: type(value) is type(expected) and value == expected


def flag(value: Any) -> bool:
    """true or false."""
    return isinstance(value, bool)


def maybe(schema: Schema) -> Schema:
    """null, or of the schema."""
    return lambda value: value is None or schema(value)


def listing(schema: Schema, most: int, least: int = 0) -> Schema:
    """A list of so many members."""
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(schema, value))


def record(**fields: Schema) -> Schema:
    """An object with exactly these members. A trailing underscore is no part of a name."""
    return exactly({name.rstrip("_"): schema for name, schema in fields.items()})


def exactly(fields: Mapping[str, Schema], *, unless_empty: Mapping[str, Schema] | None = None) -> Schema:
    """As `record`, for members that are given as a mapping. Those of `unless_empty` are left out where they would say nothing."""
    rare = unless_empty or {}
    every = {**fields, **rare}

    def holds(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and fields.keys() <= value.keys() <= every.keys()
            and all(every[name](inner) for name, inner in value.items())
        )

    return holds


def tagged(tag: str, kinds: Mapping[str, Schema]) -> Schema:
    """An object whose member `tag` says which of `kinds` it is of."""

    def holds(value: Any) -> bool:
        kind = value.get(tag) if isinstance(value, dict) else None
        return isinstance(kind, str) and kind in kinds and kinds[kind](value)

    return holds
'''

# ---- xieban/verify/schemas.py
SOURCES['xieban.verify.schemas'] = r'''"""What everything in a bundle looks like. The library's own structs say the same; tests hold the two together."""

from __future__ import annotations

from typing import Final

from xieban.verify.closed import (
    LATEST,
    exactly,
    flag,
    just,
    listing,
    matching,
    maybe,
    one_of,
    record,
    tagged,
    text,
    whole,
)

PARTIES: Final = ("police", "procuratorate", "court")
GATEWAY: Final = "gateway"
SCOPE: Final = (
    "本件只涉及办案程序、期限和材料是否齐全，不涉及案件事实、证据和处理结果，不影响办案机关依法独立行使职权。"
)
FORMAT: Final = "xieban-bundle"
VERSION: Final = 1

_count, _micros, _small = whole(), whole(0, LATEST - 1), whole(0, 2**31 - 1)
_code, _item = text(64), text(128)
_digest, _maybe_digest = matching(r"[0-9a-f]{64}"), matching(r"([0-9a-f]{64})?")
_random, _case, _city = matching(r"[0-9a-f]{24}"), matching(r"[A-Z0-9]{4,32}"), matching(r"[a-z0-9-]{1,32}")
_tag = matching(r"P[1-9][0-9]{0,2}")
_maybe_tag = matching(r"(P[1-9][0-9]{0,2})?")
_number = matching(
    r"([\u4e00-\u9fff（）()]{0,24}[〔（(\[](19|20)[0-9]{2}[〕）)\]][\u4e00-\u9fff0-9]{0,16}第?[0-9]{1,8}号)?"
)
_due = matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?\+08:00)?")
_node = record(city=_code, agency=_code)
_party = record(city=_code, agency=_code, office=_code)
_commitment = record(commit=_digest, files=_count, bytes=_count, pages=_count)
_log_view = record(size=whole(1), root=_digest, sig=matching(r"[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]="))
_approval = record(
    role=one_of("approver", "handler"), keyid=matching(r"[0-9a-f]{16}"), sig=matching(r"[A-Za-z0-9+/]{80,100}={0,2}")
)

HEADER: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "client_ref_hash": _digest,
        "from": _party,
        "to": _party,
        "inc": _count,
        "case": record(id=_case, stage=_code),
        "kind": _code,
        "outcome": _code,
        "lane": record(seq=_count, prev=_maybe_digest),
        "re": listing(_digest, 32),
        "secrecy": one_of("none", "internal"),
        "acts": listing(
            record(what=_code, at=_micros, person=_maybe_tag, custody=maybe(flag), derived=flag),
            64,
        ),
        "sent_at": _micros,
        "dossier": _commitment,
        "rules": _code,
        "clocks": listing(
            record(
                effect=one_of("start", "stop", "extend", "exclude", "restart"),
                rule=_code,
                event=_code,
                at=_micros,
                until=_micros,
                by=_code,
                kind=one_of("", "add", "total"),
                months=_count,
                days=_count,
                hours=_count,
                person=_maybe_tag,
                document=_number,
            ),
            16,
        ),
    },
    unless_empty={
        "dues": listing(record(rule=_code, person=_maybe_tag, due=_due), 16, 1),
        "log": _log_view,
        "approvals": listing(_approval, 2, 1),
    },
)

FACTS: Final = ("delivered", "complete", "accepted", "returned", "answered", "rejected", "withdrawn")
RECEIPT: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _node,
        "to": _node,
        "inc": _count,
        "at": _micros,
        "facts": listing(
            record(
                of=_digest,
                kind=one_of(*FACTS),
                at=_micros,
                defects=listing(record(code=_code, article=_code, item=_item), 1_000),
                answer=_maybe_digest,
            ),
            32,
            1,
        ),
    }
)

_short, _supervision = text(500), matching(r"20[0-9]{2}-[1-9][0-9]{0,6}")
_maybe_day = matching(r"(20[0-9]{2}-[01][0-9]-[0-3][0-9])?")
_STATES = ("drafted", "discarded", "issued", "acknowledged", "explained", "returned", "escalated", "closed")
LIMIT_OCCASIONS: Final = ("warning", "overdue", "unmet")
OCCASIONS: Final = (
    *LIMIT_OCCASIONS, "drafted", "discarded", "issued", "reminded", "returned", "escalated", "lifted", "restored", "closed",
)  # fmt: skip
NOTICE: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _node,
        "to": _party,
        "inc": _count,
        "at": _micros,
        "case": _case,
        "occasion": one_of(*OCCASIONS),
        "rung": _code,
        "basis": record(
            kind=one_of("statute", "target"),
            rule=_item,
            article=_item,
            start=_digest,
            person=_maybe_tag,
            started_at=_micros,
            due=_code,
            safe_due=_code,
            edition=_code,
            calendar=_item,
        ),
        "demand": maybe(
            record(
                id=_supervision,
                step=_count,
                state=one_of(*_STATES),
                level=_count,
                whom=text(24, 1),
                severity=_count,
                days_over=_count,
                reply_by=_maybe_day,
                by=matching(r"([A-Z0-9]{2,16})?"),
                reason=_code,
                remark=_short,
            )
        ),
        "scope": _item,
    }
)
_CAUSES = (
    "entered_late", "awaiting_material", "awaiting_office", "appraisal", "workload", "handover", "system_fault", "misreckoned",
    "neglect", "other",
)  # fmt: skip
REPLY: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _party,
        "to": _node,
        "inc": _count,
        "at": _micros,
        "of": _digest,
        "supervision": _supervision,
        "act": one_of("acknowledge", "explain"),
        "by": matching(r"[A-Z0-9]{2,16}"),
        "cause": maybe(one_of(*_CAUSES)),
        "measures": listing(
            one_of("done", "expedite", "release", "register", "correct", "reinforce", "report_up"), 1_000
        ),
        "expected": _maybe_day,
        "text": _short,
        "scope": _item,
    }
)
STATEMENTS: Final = {"header": HEADER, "receipt": RECEIPT, "notice": NOTICE, "reply": REPLY}

_base64 = matching(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_signature = record(keyid=matching(r"[0-9a-f]{16}"), sig=_base64)
ENVELOPE: Final = record(payload=_base64, signatures=listing(_signature, 32), type=text(32))
TRUST_FILE: Final = record(lists=listing(ENVELOPE, 4096, 1))

_algorithm, _key = one_of("ed25519+sha256", "sm2+sm3"), matching(r"([0-9a-f]{2}){32,64}")
_end = one_of("compromised", "lost", "superseded", "left", "mistake")
_revoked = maybe(record(index=_count, reason=_end))
_valid = {"from_index": _count, "until_index": maybe(_count), "revoked": _revoked, "use": text(16)}
_keyed = {**_valid, "algorithm": _algorithm, "public": _key}
_agency, _division = one_of(*PARTIES, GATEWAY), matching(r"([0-9]{6})?")
_note_name, _holder = matching(r"[a-z0-9./-]{1,128}"), matching(r"[a-z0-9-]{1,32}")
ROOT: Final = record(algorithm=_algorithm, public=_key)
TRUST_LIST: Final = exactly(
    {
        "v": just(1),
        "city": _city,
        "version": whole(1, 2**31),
        "previous": _maybe_digest,
        "index": _count,
        "issued_at": _micros,
        "expires_at": _micros,
        "threshold": whole(1, 16),
        "roots": listing(ROOT, 16, 1),
        "entries": listing(
            tagged(
                "use",
                {
                    "ca": exactly({**_valid, "fingerprint": _digest}),
                    "log": exactly({**_keyed, "name": _note_name}, unless_empty={"keeps": _count}),
                    "officer": exactly(
                        {**_keyed, "agency": _agency, "office": _division, "role": one_of("handler", "approver"), "holder": _holder}
                    ),
                    "seal": exactly({**_keyed, "agency": _agency, "office": _division}),
                    "witness": exactly({**_keyed, "name": _note_name, "holder": _holder}),
                },
            ),
            4096,
        ),
    },
    unless_empty={"barred": listing(record(fingerprint=_digest, reason=_end), 4096, 1)},
)  # fmt: skip

ENTRY: Final = record(
    position=whole(1), kind=matching(r"[A-Z_]{1,32}"), at=_micros, case=text(32), eid=_maybe_digest, detail=text(256),
    nonce=matching(r"([0-9a-f]{32})?"),
)  # fmt: skip
MANIFEST: Final = record(
    format=just(FORMAT),
    v=just(VERSION),
    city=_city,
    case=_case,
    profile=one_of("committee", *PARTIES),
    at=_micros,
    sandbox=flag,
    trust=_digest,
    statements=listing(_digest, 10_000),
    entries=listing(whole(1, 10**12 - 1), 20_000),
    marks=listing(matching(r"[0-9]{12}-(first|last)"), 10_000),
)

EVIDENCE: Final = ("physical", "documentary", "witness", "victim", "suspect", "expert", "inspection", "electronic")
_free = text(1_048_576)
DOSSIER: Final = record(
    v=just(1),
    document=record(title=_free, number=_free, date=_free),
    persons=listing(record(tag=_tag, name=_free, in_custody=flag, place=_free), 100_000),
    evidence=listing(record(kind=one_of(*EVIDENCE), title=_free, pages=_small), 100_000),
    files=listing(record(name=_free, media_type=_free, sha256=_free, bytes=_small, pages=_small), 999),
    case_numbers=record(police=_free, procuratorate=_free, court=_free),
    charge=_free,
    remark=_free,
)
'''

# ---- xieban/verify/sm2.py
SOURCES['xieban.verify.sm2'] = r'''"""SM2 signatures over SM3 (GB/T 32918.2), verified with numbers alone: keys, texts and signatures are public, nothing has to be hidden.

The signer's identifier is the default of GM/T 0009, the only one that lists use.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SM3, Hash

Point = tuple[int, int, int]
"""Of the curve, as x/z² and y/z³: no division on the way. With z = 0 the point at infinity."""
SIGNER: Final = b"1234567812345678"
# The curve of GB/T 32918.5: y² = x³ + ax + b modulo P, of prime order N, generated by G.
P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G: Final = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the key (64 bytes, x and y) has made this signature (DER of two numbers)."""
    key = (int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"))
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    t = (r + s) % N
    if len(public) != 64 or not _is_on_curve(key) or not (0 < r < N and 0 < s < N) or t == 0:
        return False
    x, _, z = _sum(s, G, t, key)
    return z != 0 and (_digest(key, message) + x * pow(z, -2, P) % P) % N == r


def _is_on_curve(point: tuple[int, int]) -> bool:
    x, y = point
    return x < P and y < P and (y * y - x * x * x - A * x - B) % P == 0


def _digest(key: tuple[int, int], message: bytes) -> int:
    """What is signed: the text behind the digest of who signs, on which curve and with which key."""
    named = b"".join(number.to_bytes(32, "big") for number in (A, B, *G, *key))
    return int.from_bytes(_sm3(_sm3(len(SIGNER * 8).to_bytes(2, "big") + SIGNER + named) + message), "big")


def _sm3(data: bytes) -> bytes:
    hashed = Hash(SM3())
    hashed.update(data)
    return hashed.finalize()


def _sum(s: int, one: tuple[int, int], t: int, other: tuple[int, int]) -> Point:
    """s·one + t·other, both walked through at once."""
    first, second = (*one, 1), (*other, 1)
    steps = {"10": first, "01": second, "11": _add(first, second)}
    total: Point = (1, 1, 0)
    for pair in zip(f"{s:0256b}", f"{t:0256b}", strict=True):
        total = _double(total)
        step = steps.get("".join(pair))
        if step is not None:
            total = _add(total, step)
    return total


def _double(point: Point) -> Point:
    x, y, z = point
    square = y * y % P
    shift = 4 * x * square % P
    slope = 3 * (x - z * z) * (x + z * z) % P  # because a is -3
    over = (slope * slope - 2 * shift) % P
    return over, (slope * (shift - over) - 8 * square * square) % P, 2 * y * z % P


def _add(one: Point, other: Point) -> Point:
    if one[2] == 0 or other[2] == 0:
        return other if one[2] == 0 else one
    (x, y, z), (u, v, w) = one, other
    zz, ww = z * z % P, w * w % P
    at, apart = x * ww % P, (u * zz - x * ww) % P
    height, rise = y * ww * w % P, (v * zz * z - y * ww * w) % P
    if apart == 0:
        return _double(one) if rise == 0 else (1, 1, 0)
    square = apart * apart % P
    over = (rise * rise - square * apart - 2 * at * square) % P
    return over, (rise * (at * square - over) - height * square * apart) % P, apart * z * w % P
'''

# ---- xieban/verify/members.py
SOURCES['xieban.verify.members'] = r'''"""A bundle taken apart: members as values, and what can be said of them one by one. Nothing here is believed yet."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from xieban.verify import closed, schemas
from xieban.verify.closed import NotCanonical
from xieban.verify.container import kind_of
from xieban.verify.report import Report

MAX_PAYLOAD: Final = 16 * 1024
FACT_KINDS: Final = frozenset(kind.upper() for kind in schemas.FACTS)
WORD_KINDS: Final = frozenset({"NOTICE", "SUPERVISION", "REPLY"})
OF_STATEMENTS: Final = FACT_KINDS | WORD_KINDS | {"LODGED", "EQUIVOCATION"}
"""Kinds of entries that tell of a statement; all others tell what the gateway itself has reckoned or done."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed statement: DSSE, as `docs/bundle-format.md` writes it."""

    type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def signed(self) -> bytes:
        kind = self.type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)

    @property
    def eid(self) -> str:
        return hashlib.sha256(self.signed).hexdigest()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the bundle. `value` is its payload; None if that is not canonical or not of its type's schema."""

    eid: str
    envelope: Envelope
    value: dict[str, Any] | None

    @property
    def type(self) -> str:
        return self.envelope.type


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log by its place in the bundle. `value` None: its bytes are not canonical."""

    position: int
    data: bytes
    proof: bytes | None
    value: dict[str, Any] | None

    @property
    def kind(self) -> str:
        return self.value["kind"] if self.value is not None else ""


@dataclass(slots=True)
class Bundle:
    """Everything in it. `export` is the one entry that the manifest does not list; `about` the others by the eid they name."""

    members: dict[str, bytes]
    manifest: dict[str, Any]
    statements: dict[str, Statement] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    export: Entry | None = None
    about: dict[str, list[Entry]] = field(default_factory=dict)

    def of_type(self, type: str) -> dict[str, dict[str, Any]]:
        """Payloads of the statements of one type that are of their form, by eid."""
        found = self.statements.items()
        return {eid: one.value for eid, one in found if one.type == type and one.value is not None}

    def told(self, eid: str, *kinds: str) -> list[Entry]:
        """The entries of these kinds about one statement."""
        return [entry for entry in self.about.get(eid, ()) if entry.kind in kinds]

    @property
    def headers(self) -> dict[str, dict[str, Any]]:
        """Headers that are no second content under a name already used, by eid."""
        return {eid: one for eid, one in self.of_type("header").items() if not self.told(eid, "EQUIVOCATION")}


def envelope(value: dict[str, Any]) -> Envelope:
    """An envelope out of decoded JSON of the schema."""
    signatures = tuple((row["keyid"], base64.b64decode(row["sig"])) for row in value["signatures"])
    return Envelope(value["type"], base64.b64decode(value["payload"]), signatures)


def in_one_spelling(value: dict[str, Any]) -> bool:
    """Whether the base64 of an envelope has no stray bits."""
    texts = [value["payload"], *(row["sig"] for row in value["signatures"])]
    return all(base64.b64encode(base64.b64decode(one)).decode() == one for one in texts)


def take_apart(members: dict[str, bytes], report: Report) -> Bundle | None:
    """The bundle of these members; None when there is no manifest to go by. Tells the checks `manifest` and `canonical`."""
    manifest = _manifest(members, report)
    if manifest is None:
        return None
    bundle = Bundle(members, manifest)
    for name, data in members.items():
        found = kind_of(name)
        if found is None:
            continue
        kind, (first, *_) = found[0], (*found[1], "")
        if kind == "statement":
            _statement(bundle, first, data, report)
        elif kind == "entry":
            position = int(first)
            bundle.entries[position] = _entry(position, data, members.get(f"entries/{first}.tlog-proof"))
    listed = set(manifest["entries"])
    extra = [position for position in bundle.entries if position not in listed]
    bundle.export = bundle.entries.pop(max(extra)) if extra else None
    bundle.entries = dict(sorted(bundle.entries.items()))
    for entry in bundle.entries.values():
        if entry.value is not None:
            bundle.about.setdefault(entry.value["eid"], []).append(entry)
    _complete(bundle, report)
    return bundle


def _manifest(members: dict[str, bytes], report: Report) -> dict[str, Any] | None:
    check, data = report["manifest"], members.get("bundle.json")
    if data is None:
        check.fail("bundle.json", "缺少")
        return None
    check.checked += 1
    try:
        value: dict[str, Any] = closed.read(data, lambda value: isinstance(value, dict))
        version = value.get("v")
        if value.get("format") == schemas.FORMAT and type(version) is int and version > schemas.VERSION:
            check.unjudged = f"本程序只认识第 {schemas.VERSION} 版格式"
            report.unreadable = True
            return None
        if not schemas.MANIFEST(value):
            raise NotCanonical("字段不合规定")
    except NotCanonical as error:
        check.fail("bundle.json", str(error))
        return None
    for name in ("statements", "entries", "marks"):
        check.demand(value[name] == sorted(set(value[name])), "bundle.json", f"{name} 重复或者没有排列")
    return value


def _statement(bundle: Bundle, named: str, data: bytes, report: Report) -> None:
    check, name = report["canonical"], f"statements/{named}.json"
    check.checked += 1
    try:
        value = closed.read(data, schemas.ENVELOPE)
        if not in_one_spelling(value):
            raise NotCanonical("不是规范编码")
    except NotCanonical as error:
        check.fail(name, f"信封{error}")
        return
    sealed = envelope(value)
    payload = None
    try:
        if sealed.type not in schemas.STATEMENTS or len(sealed.payload) > MAX_PAYLOAD:
            raise NotCanonical("种类不认识或者过长")
        payload = closed.read(sealed.payload, schemas.STATEMENTS[sealed.type])
    except NotCanonical as error:
        check.fail(name, str(error))
    if sealed.eid != named:
        check.fail(name, f"内容的标识是 {sealed.eid[:16]}…，与名称不符")
        return
    bundle.statements[named] = Statement(named, sealed, payload)


def _entry(position: int, data: bytes, proof: bytes | None) -> Entry:
    try:
        value = closed.read(data, schemas.ENTRY)
    except NotCanonical:
        value = None
    return Entry(position, data, proof, value)


def _complete(bundle: Bundle, report: Report) -> None:
    """Whether exactly what is listed is there."""
    check, manifest, members = report["manifest"], bundle.manifest, bundle.members
    positions = [*manifest["entries"], *([bundle.export.position] if bundle.export else [])]
    wanted = {"bundle.json", "checkpoint", "trust.json"}
    wanted |= {f"statements/{eid}.json" for eid in manifest["statements"]}
    wanted |= {f"entries/{position:012}.{end}" for position in positions for end in ("json", "tlog-proof")}
    wanted |= {f"marks/{mark}" for mark in manifest["marks"]}
    present = {name for name in members if not name.startswith("dossiers/")}
    check.checked += len(wanted)
    for name in sorted(wanted - present):
        check.fail(name, "目录列有而没有")
    for name in sorted(present - wanted):
        check.fail(name, "目录没有列出")
    check.demand(bundle.export is not None, "entries", "缺少本次导出的登记")
'''

# ---- xieban/verify/trustlist.py
SOURCES['xieban.verify.trustlist'] = r'''"""The city's trust list: every version from the first, each under the signatures of the root keys, and what each may change.

A version is signed by a threshold of the roots it names and, where it names other roots than the one before, by a threshold of those too. A
key that was listed stays listed, so the newest version judges a signature of any age by its place in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from xieban.verify import closed, schemas, sm2
from xieban.verify.closed import NotCanonical
from xieban.verify.members import Envelope, envelope, in_one_spelling

ED25519: Final = "ed25519+sha256"
SM2: Final = "sm2+sm3"
_RAW: Final = {ED25519: 64, SM2: 128}
MAX_LIST: Final = 1024 * 1024
DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Pins:
    """Fingerprints of the first list's root keys as the reader was given them by hand, and how many must sign."""

    roots: frozenset[str]
    threshold: int = 3


@dataclass(frozen=True, slots=True)
class Version:
    """A version and its eid."""

    eid: str
    value: dict[str, Any]


@dataclass(slots=True)
class Chain:
    """What could be read of the file. `defects`: (version, why); without any, the last version is to be relied on."""

    versions: list[Version]
    defects: list[tuple[str, str]]

    @property
    def last(self) -> dict[str, Any]:
        return self.versions[-1].value


def fingerprint(public: str) -> str:
    """SHA-256 of a raw key, both in hex."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def keyid(row: dict[str, Any]) -> str:
    """The id of a listed key or authority."""
    return str(row["fingerprint"] if "fingerprint" in row else fingerprint(row["public"]))[:DIGITS]


def holds(row: dict[str, Any], signature: bytes, message: bytes) -> bool:
    """Whether the listed key has made this signature."""
    public = bytes.fromhex(row["public"])
    if row["algorithm"] == SM2:
        return sm2.holds(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def end_of(row: dict[str, Any]) -> int | None:
    """The first index at which a key does not count any more."""
    ends = [end for end in (row["until_index"], (row["revoked"] or {}).get("index")) if end is not None]
    return min(ends, default=None)


def covers(row: dict[str, Any], index: int) -> bool:
    end = end_of(row)
    return bool(row["from_index"] <= index and (end is None or index < end))


def read(data: bytes) -> Chain:
    """The whole file, version by version up to the first that is not sound."""
    chain = Chain([], [])
    try:
        file = closed.read(data, schemas.TRUST_FILE)
    except NotCanonical as error:
        chain.defects.append(("trust.json", str(error)))
        return chain
    for number, row in enumerate(file["lists"], start=1):
        reason = _admit(chain, row)
        if reason:
            chain.defects.append((f"v{number}", reason))
            break
    return chain


def _admit(chain: Chain, row: dict[str, Any]) -> str:
    """Take the next version; why not, if not."""
    if row["type"] != "trustlist" or not in_one_spelling(row):
        return "不是规范编码"
    sealed = envelope(row)
    if len(sealed.payload) > MAX_LIST:
        return "过长"
    try:
        value = closed.read(sealed.payload, schemas.TRUST_LIST)
    except NotCanonical as error:
        return str(error)
    before = chain.versions[-1] if chain.versions else None
    reasons = [*_unsound(value), *(_succession(before, value) if before else _beginning(value))]
    if not reasons:
        reasons = list(_unsigned(before.value if before else None, value, sealed))
    if not reasons:
        chain.versions.append(Version(sealed.eid, value))
    return reasons[0] if reasons else ""


def _beginning(value: dict[str, Any]) -> Iterator[str]:
    if value["version"] != 1:
        yield "没有从第 1 版开始"


def _unsound(value: dict[str, Any]) -> Iterator[str]:
    keyed = [row for row in (*value["roots"], *value["entries"]) if "public" in row]
    if any(len(row["public"]) != _RAW[row["algorithm"]] for row in keyed):
        yield "公钥长度与算法不符"
        return
    if (value["version"] == 1) != (value["previous"] == ""):
        yield "只有第 1 版没有前一版"
    if value["expires_at"] <= value["issued_at"]:
        yield "到期时间不晚于签发时间"
    if value["threshold"] > len(value["roots"]):
        yield "要求的签名数多于根密钥数"
    roots = [keyid(row) for row in value["roots"]]
    places = [(row["use"], keyid(row)) for row in value["entries"]]
    ids = [id for _, id in places]
    if roots != sorted(set(roots)):
        yield "根密钥重复或者没有排列"
    if places != sorted(places) or len(set(ids)) != len(ids) or set(ids) & set(roots):
        yield "密钥重复或者没有排列"
    for row in value["entries"]:
        if row["until_index"] is not None and row["until_index"] < row["from_index"]:
            yield f"密钥 {keyid(row)} 的止期早于起期"
        if row["use"] in ("log", "witness") and row["algorithm"] != ED25519:
            yield f"密钥 {keyid(row)} 的算法不能用于日志"
    barred = [row["fingerprint"] for row in value.get("barred", ())]
    if barred != sorted(set(barred)):
        yield "停用的证书重复或者没有排列"
    if any(row["use"] == "ca" and row["fingerprint"] in barred for row in value["entries"]):
        yield "根证书不能作为单份证书停用"
    yield from _of_logs([row for row in value["entries"] if row["use"] == "log"])


def _of_logs(keys: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A name is the first log's, or is founded once, by its earliest key, behind a log that was there before."""
    founders = [row for row in keys if "keeps" in row]
    founded = {row["name"]: row["from_index"] for row in founders}
    first = [row for row in keys if row["name"] not in founded]
    if len(founded) < len(founders) or len({row["name"] for row in first}) > 1:
        yield "日志名称重复设立，或者新的名称没有写明保留条数"
    begins = min((row["from_index"] for row in first), default=None)
    for row in keys:
        if row.get("keeps", 0) > row["from_index"]:
            yield f"密钥 {keyid(row)} 的保留条数多于起期"
        since = founded.get(row["name"])
        if since is not None and (begins is None or not begins <= since <= row["from_index"]):
            yield f"密钥 {keyid(row)} 的日志设立早于之前的日志"


def _succession(before: Version, after: dict[str, Any]) -> Iterator[str]:
    old = before.value
    if after["version"] != old["version"] + 1 or after["previous"] != before.eid:
        yield "没有接续前一版"
    if after["city"] != old["city"]:
        yield "城市与前一版不同"
    if after["index"] < old["index"] or after["issued_at"] < old["issued_at"]:
        yield "日志序号或者签发时间早于前一版"
    kept = {keyid(row): row for row in after["entries"]}
    for row in old["entries"]:
        same = kept.pop(keyid(row), None)
        if same is None:
            yield f"缺少前一版的密钥 {keyid(row)}"
        else:
            yield from _changes(row, same, after["index"])
    for id, row in kept.items():
        if row["from_index"] < after["index"]:
            yield f"新密钥 {id} 的起期早于本版"
    for row in old.get("barred", ()):
        if row not in after.get("barred", ()):
            yield f"前一版停用的证书 {row['fingerprint'][:DIGITS]} 被取消或者改动"


def _changes(old: dict[str, Any], new: dict[str, Any], index: int) -> Iterator[str]:
    ends = ("until_index", "revoked")
    was, revoked, before = old["until_index"], new["revoked"], old["revoked"]
    if {k: v for k, v in old.items() if k not in ends} != {k: v for k, v in new.items() if k not in ends}:
        yield f"密钥 {keyid(old)} 的内容被改动"
    if new["until_index"] != was:
        passed = was is not None and was <= index
        if passed or new["until_index"] is None or new["until_index"] < index:
            yield f"密钥 {keyid(old)} 的止期被不当改动"
    if before is not None and (revoked is None or revoked["index"] > before["index"]):
        yield f"密钥 {keyid(old)} 的吊销被取消或者推后"
    if revoked is not None and revoked != before and revoked["index"] > index:
        yield f"密钥 {keyid(old)} 的吊销晚于本版"


def _unsigned(before: dict[str, Any] | None, value: dict[str, Any], sealed: Envelope) -> Iterator[str]:
    """Signatures in one order, each by a root of this version or the one before, each holding; and enough of them."""
    former: Sequence[dict[str, Any]] = ()
    if before is not None and (before["roots"], before["threshold"]) != (value["roots"], value["threshold"]):
        former = before["roots"]
    keys = {keyid(row): row for row in (*value["roots"], *former)}
    names = [name for name, _ in sealed.signatures]
    if names != sorted(set(names)):
        yield "签名重复或者没有排列"
        return
    for name, signature in sealed.signatures:
        if name not in keys or not holds(keys[name], signature, sealed.signed):
            yield f"密钥 {name} 的签名不成立"
            return
    sets = [(value["roots"], value["threshold"])]
    if former and before is not None:
        sets.append((former, before["threshold"]))
    for roots, threshold in sets:
        count = len(set(names) & {keyid(row) for row in roots})
        if count < threshold:
            yield f"有 {count} 份根签名，须有 {threshold} 份"
'''

# ---- xieban/verify/approvals.py
SOURCES['xieban.verify.approvals'] = r'''"""Who stood behind a handoff: the approvals 签批 in its header, each by an officer whom the trust list names where the log places it.

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
'''

# ---- xieban/verify/dossiers.py
SOURCES['xieban.verify.dossiers'] = r'''"""Dossiers, where they are in the bundle: the header's commitment to the manifest, and the manifest's digests of the files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from xieban.verify import closed, schemas
from xieban.verify.closed import NotCanonical
from xieban.verify.container import kind_of
from xieban.verify.members import Bundle
from xieban.verify.report import Report


def check_dossiers(bundle: Bundle, report: Report) -> None:
    """Every dossier that is there, and every file of it that is there."""
    parts: dict[str, dict[str, bytes]] = defaultdict(dict)
    files: dict[str, dict[int, bytes]] = defaultdict(dict)
    for name, data in bundle.members.items():
        found = kind_of(name)
        if found is not None and found[0] in ("dossier", "salt"):
            parts[found[1][0]][found[0]] = data
        elif found is not None and found[0] == "content":
            files[found[1][0]][int(found[1][1])] = data
    headers = bundle.of_type("header")
    if not parts and not files:
        report["commitments"].not_applicable = "没有移送清单"
    if not files:
        report["files"].not_applicable = "没有案卷文件"
    for eid in sorted(parts.keys() | files.keys()):
        what = f"dossiers/{eid}"
        lines = _committed(headers.get(eid), parts[eid], what, report)
        if files[eid]:
            _check_files(lines, files[eid], what, report)


def _committed(
    header: dict[str, Any] | None, part: dict[str, bytes], what: str, report: Report
) -> list[dict[str, Any]] | None:
    """The lines of a manifest that the header commits to."""
    check = report["commitments"]
    check.checked += 1
    if header is None or len(part) != 2:
        check.fail(what, "缺少报头、移送清单或者盐值")
        return None
    commitment, payload = header["dossier"], part["dossier"]
    if len(part["salt"]) != 32 or hashlib.sha256(part["salt"] + payload).hexdigest() != commitment["commit"]:
        check.fail(what, "与报头所载的承诺不符")
        return None
    try:
        value = closed.read(payload, schemas.DOSSIER)
    except NotCanonical as error:
        check.fail(what, f"移送清单{error}")
        return None
    lines: list[dict[str, Any]] = value["files"]
    pages = sum(row["pages"] for row in (*lines, *value["evidence"]))
    sizes = (len(lines), sum(line["bytes"] for line in lines), pages)
    if sizes != (commitment["files"], commitment["bytes"], commitment["pages"]):
        check.fail(what, "文件数、字节数或者页数与报头不符")
    return lines


def _check_files(lines: list[dict[str, Any]] | None, files: dict[int, bytes], what: str, report: Report) -> None:
    check = report["files"]
    if lines is None:
        check.unjudged = "没有可信的移送清单"
        return
    for number in sorted(files.keys() | set(range(1, len(lines) + 1))):
        line = lines[number - 1] if 1 <= number <= len(lines) else None
        data = files.get(number)
        if line is None or data is None:
            check.fail(f"{what}/files/{number:03}", "缺少，或者不在清单上")
            continue
        same = len(data) == line["bytes"] and hashlib.sha256(data).hexdigest() == line["sha256"]
        check.demand(same, f"{what}/files/{number:03}", "摘要与移送清单不符")
'''

# ---- xieban/errors.py
SOURCES['xieban.errors'] = r'''"""The one error tree, and the closed catalogue of reasons that crosses the wire intact.

    XiebanError
    ├── InvalidInput    the request itself is wrong           INVALID_ARGUMENT
    ├── NotAllowed      right form, but the law or the state
    │                   of the case forbids it                FAILED_PRECONDITION
    ├── Denied          the caller may not do this            PERMISSION_DENIED
    ├── NotFound        no such thing, or not yours to see    NOT_FOUND
    ├── Conflict        the same name with other content      ALREADY_EXISTS
    ├── TooLarge        over a published size                 RESOURCE_EXHAUSTED
    ├── Unreachable     a peer or a part is not there now     UNAVAILABLE
    └── Broken          a defect of ours                      INTERNAL

A reason never carries case content or a person's name: metadata values are codes, counts and identifiers. Texts are Chinese, in
four parts a clerk can act on: 发生 (what happened), 原因 (why), 办法 (what to do next), 编号 (a stable number to look up).
This module imports nothing of gRPC: `xieban.marshal` carries errors over the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class XiebanError(Exception):
    """Base of every expected failure. Build one with `failure`, which picks the class that belongs to the reason."""

    def __init__(self, reason: Reason, /, **metadata: str) -> None:
        self.reason = reason
        self.metadata = metadata
        super().__init__(f"{reason.number} {self.happened}：{self.cause}")

    @property
    def happened(self) -> str:
        return self.reason.value.happened

    @property
    def cause(self) -> str:
        return self.reason.value.cause.format_map(_Blank(self.metadata))

    @property
    def remedy(self) -> str:
        return self.reason.value.remedy.format_map(_Blank(self.metadata))

    def explain(self) -> str:
        """The four parts as printed to a person."""
        return f"发生：{self.happened}\n原因：{self.cause}\n办法：{self.remedy}\n编号：{self.reason.number}"


class InvalidInput(XiebanError):
    """The request itself is wrong; sending it again unchanged cannot succeed."""


class NotAllowed(XiebanError):
    """The law or the state of the case forbids the act."""


class Denied(XiebanError):
    """The caller is not entitled to this."""


class NotFound(XiebanError):
    """No such thing, or not the caller's to see."""


class Conflict(XiebanError):
    """The same name was used before with other content."""


class TooLarge(XiebanError):
    """Over a published size."""


class Unreachable(XiebanError):
    """A peer or a part is not there now; trying again later can succeed."""


class Broken(XiebanError):
    """A defect of the platform itself."""


@dataclass(frozen=True, slots=True)
class Text:
    """One catalogue row. `cause` and `remedy` may name metadata fields in braces."""

    number: str
    error: type[XiebanError]
    happened: str
    cause: str
    remedy: str


class Reason(Enum):
    """Every reason there is; the member's name is what crosses the wire (google.rpc.ErrorInfo.reason)."""

    # --- 1xxx form of what was sent
    FIELD_INVALID = Text(
        "XB-1001", InvalidInput, "请求未受理", "字段 {field} 不合要求：{detail}", "按接口说明改正该字段后重新提交"
    )
    PAYLOAD_NOT_CANONICAL = Text(
        "XB-1002",
        InvalidInput,
        "报文未受理",
        "报文不是规范编码（多余字段、重复键或写法不同）",
        "用平台发布的编码方法重新生成报文，不要转写",
    )
    TEXT_FORBIDDEN = Text(
        "XB-1003", InvalidInput, "请求未受理", "字段 {field} 含有控制字符或方向控制符", "删除不可见字符后重新提交"
    )
    MESSAGE_TOO_LARGE = Text(
        "XB-1004", TooLarge, "请求未受理", "{what} 为 {size} 字节，上限 {limit} 字节", "拆分或压缩后重新提交"
    )
    SECRET_MARK = Text(
        "XB-1005",
        NotAllowed,
        "涉密材料已拒收，未作任何保存",
        "检出密级标志；本平台不是涉密信息系统",
        "撤下涉密卷宗，按保密规定线下移交",
    )
    OFFICE_UNKNOWN = Text(
        "XB-1006", InvalidInput, "请求未受理", "没有编码为 {office} 的单位", "核对行政区划代码和机关类别"
    )
    # --- 2xxx handoffs and procedure
    KIND_UNKNOWN = Text(
        "XB-2001", InvalidInput, "流转未受理", "没有名为 {kind} 的流转环节", "用 xieban handoff kinds 查看全部环节"
    )
    STAGE_NOT_ALLOWED = Text(
        "XB-2002",
        NotAllowed,
        "流转未受理",
        "案件处于 {stage} 阶段，不能办理 {kind}（{article}）",
        "核对案件阶段，或先完成前一环节",
    )
    PARTY_NOT_ALLOWED = Text(
        "XB-2003",
        NotAllowed,
        "流转未受理",
        "{kind} 不能由 {sender} 发往 {receiver}（{article}）",
        "核对发送和接收单位；须同级对应，报上级经本系统层报",
    )
    OUTCOME_NOT_ALLOWED = Text(
        "XB-2004", InvalidInput, "流转未受理", "{kind} 的结果不能是 {outcome}", "从该环节列出的结果中选择"
    )
    ANSWER_NOT_ALLOWED = Text(
        "XB-2005", NotAllowed, "流转未受理", "{kind} 不能答复 {request}", "核对所答复的流转编号和环节"
    )
    RETURN_LIMIT_REACHED = Text(
        "XB-2006",
        NotAllowed,
        "退回补充侦查未受理",
        "该案已退回补充侦查 {count} 次，以二次为限（刑诉法第一百七十五条）",
        "依法作出起诉或者不起诉决定",
    )
    CLIENT_REF_REUSED = Text(
        "XB-2007",
        Conflict,
        "流转未受理",
        "文号 {client_ref} 已用于另一份内容不同的流转 {handoff}",
        "内容有变更的，使用新的文号发送",
    )
    HANDOFF_NOT_FOUND = Text(
        "XB-2008", NotFound, "没有找到流转", "没有编号为 {handoff} 的流转，或者本单位无权查看", "核对流转编号"
    )
    CASE_NOT_FOUND = Text(
        "XB-2009", NotFound, "没有找到案件", "没有编号为 {case} 的案件，或者本单位无权查看", "核对案件编号"
    )
    STATE_NOT_ALLOWED = Text(
        "XB-2010", NotAllowed, "操作未执行", "流转 {handoff} 当前为 {state}，不能{act}", "查看该流转的回执后再办理"
    )
    ACT_MISSING = Text(
        "XB-2011",
        InvalidInput,
        "流转未受理",
        "{kind} 缺少法律行为 {act} 及其时间（{article}）",
        "补充该行为的法定时间后重新发送",
    )
    STAGE_CONFLICT = Text(
        "XB-2012",
        NotAllowed,
        "流转被拒收",
        "发送方称案件处于 {claimed} 阶段，本单位记录为 {stage}",
        "双方核对案件阶段后由发送方另行发送",
    )
    INTAKE_DEFECT = Text("XB-2013", NotAllowed, "流转未受理", "不符合 {rule}（{article}）：{detail}", "补正后重新发送")
    # --- 3xxx seals and proof
    SEAL_INVALID = Text("XB-3001", Denied, "报文被拒收", "签名与内容不符", "由发送方核对密钥后重新签发；原报文不得改动")
    KEY_UNKNOWN = Text(
        "XB-3002", Denied, "报文被拒收", "密钥 {keyid} 不在公钥目录中，或者不属于 {agency}", "核对公钥目录"
    )
    EQUIVOCATION = Text(
        "XB-3003", Conflict, "报文被拒收", "同一流转编号 {handoff} 出现两份内容", "保留两份原件并联系发送方说明"
    )
    DIGEST_MISMATCH = Text(
        "XB-3004", NotAllowed, "案卷未通过核验", "{item} 的摘要与移送清单不符", "由发送方核对原件后另行发送"
    )
    LANE_BROKEN = Text("XB-3005", NotAllowed, "报文被拒收", "第 {seq} 号报文与前一份不相衔接", "由发送方核对报文顺序")
    PROOF_MALFORMED = Text(
        "XB-3006",
        InvalidInput,
        "证明材料未受理",
        "{what} 的格式有误：{detail}",
        "从原处重新取得原样文件，不要转写或者改动",
    )
    PROOF_INVALID = Text(
        "XB-3007",
        Denied,
        "证明未通过核验",
        "{what}不成立：{detail}",
        "向监督网关重新索取证明；仍不成立的，保留原件并报告政法委",
    )
    QUORUM_NOT_MET = Text(
        "XB-3008",
        Denied,
        "检查点未被采信",
        "{what}有 {count} 份有效，须有 {limit} 份",
        "待见证方联署后重新取得；长时间不足的，报告政法委",
    )
    LOG_FORKED = Text(
        "XB-3009",
        Conflict,
        "检查点被拒绝联署",
        "监督日志第 {size} 条处的树根与本见证方此前见过的前 {limit} 条不相衔接",
        "两份检查点均已留存；立即报告政法委，查明前不再联署",
    )
    CLOCK_SUSPECT = Text(
        "XB-3010", NotAllowed, "检查点没有联署", "本机时间早于上次联署的时间", "校准本机时间；沙箱中向前推进时钟"
    )
    KEY_OUT_OF_SPAN = Text(
        "XB-3021",
        Denied,
        "报文被拒收",
        "密钥 {keyid} 在监督日志序号 {index} 处无效（{detail}）",
        "用信任清单中有效的密钥重新签发；属于密钥泄露的，按 docs/trust.md 处置",
    )
    APPROVAL_MISSING = Text(
        "XB-3041",
        NotAllowed,
        "流转未受理",
        "{kind} 依 {article} 须经负责人批准，缺少{role}的签批",
        "由经办人、审批人分别用本人密钥签批（xieban handoff approve）后重新发送",
    )
    APPROVAL_INVALID = Text(
        "XB-3042", Denied, "流转未受理", "{role}的签批无效：{detail}", "由信任清单所列的本单位人员对同一内容重新签批"
    )
    KEY_MALFORMED = Text(
        "XB-3022", InvalidInput, "密钥未受理", "不是 {algorithm} 的密钥，或者公钥私钥不成对", "重新取得密钥文件"
    )
    ALGORITHM_MISSING = Text(
        "XB-3023", NotAllowed, "签名没有核验", "没有安装 {algorithm} 的程序库", "安装 xieban[sm] 后重试"
    )
    KEY_FILE_EXPOSED = Text(
        "XB-3024",
        NotAllowed,
        "密钥没有使用",
        "私钥文件 {file} 的权限是 {mode}，他人可以读取",
        "查明何人读过；确认没有泄露后执行 chmod 600，否则吊销并更换密钥",
    )
    KEY_FILE_INVALID = Text(
        "XB-3025", InvalidInput, "密钥没有使用", "密钥文件 {file} 无法使用：{detail}", "核对文件和口令"
    )
    TRUST_BROKEN = Text(
        "XB-3026",
        Denied,
        "信任清单未被采信",
        "第 {version} 版不成立：{detail}",
        "从签发单位重新取得原样文件；仍不成立的，不要使用，报告政法委",
    )
    TRUST_UNSIGNED = Text(
        "XB-3027",
        NotAllowed,
        "信任清单尚未生效",
        "第 {version} 版有 {count} 份有效的根签名，须有 {limit} 份",
        "请其余根密钥保管人用 xieban trust sign 签名",
    )
    TRUST_EXPIRED = Text(
        "XB-3028",
        Denied,
        "信任清单未被采信",
        "第 {version} 版已于 {at} 过期",
        "取得新一版信任清单；没有新版的，请根密钥保管人签发",
    )
    TRUST_OLDER = Text(
        "XB-3029",
        Denied,
        "信任清单未被采信",
        "给出的第 {version} 版不能接续本节点用过的第 {seen} 版",
        "放回最新一版信任清单；不得退回旧版",
    )
    TRUST_LACKS = Text(
        "XB-3030",
        NotAllowed,
        "程序没有启动",
        "{what}不在信任清单第 {version} 版中，或者已经停用",
        "把它列入新一版信任清单，或者换用清单中的那一个",
    )
    CERTIFICATE_BARRED = Text(
        "XB-3031",
        Denied,
        "证书未被采信",
        "证书 {fingerprint} 已由信任清单第 {version} 版停用（{detail}）",
        "由注册单位用新的私钥签发新证书，换上后重试；不知情的，查明证书何时被何人取得",
    )
    LOG_KEEPS_OTHER = Text(
        "XB-3033",
        NotAllowed,
        "程序没有启动，日志没有改动",
        "信任清单规定新日志 {log} 保留原日志的前 {keeps} 条，本机日志有 {size} 条",
        "恢复条数与清单一致的备份；没有的，由根密钥保管人签发新一版清单，另行设立日志",
    )
    LOG_BEGINS_EARLY = Text(
        "XB-3034",
        NotAllowed,
        "没有签名，日志没有改动",
        "信任清单规定新日志 {log} 从第 {first} 条之后起，{witness} 的原日志已有 {held} 条",
        "由根密钥保管人签发新一版清单，另行设立起点不早于 {held} 的日志",
    )
    # --- 4xxx statutory time limits
    LIMIT_UNKNOWN = Text(
        "XB-4001",
        InvalidInput,
        "期限没有计算",
        "没有名为 {rule} 的法定期限（刑诉法第一百零五条以下所列期限）",
        "用 xieban limits rules 查看全部期限",
    )
    LIMIT_TIME_NAIVE = Text(
        "XB-4002",
        InvalidInput,
        "期限没有计算",
        "时间 {field} 没有写明时区（{article}）",
        "写成带时区的时间，例如 2025-02-28T09:00:00+08:00",
    )
    LIMIT_FACT_MISSING = Text(
        "XB-4003", InvalidInput, "期限没有计算", "缺少 {field}（{article}）", "补充该项事实后重新计算"
    )
    LIMIT_FACT_INVALID = Text(
        "XB-4004", InvalidInput, "期限没有计算", "{field} 不合要求：{detail}（{article}）", "改正该项事实后重新计算"
    )
    EXTENSION_NOT_ALLOWED = Text(
        "XB-4005",
        NotAllowed,
        "延长没有计入",
        "{rule} 不能由 {by} 批准延长：{detail}（{article}）",
        "核对批准机关和延长的法律依据",
    )
    EXTENSION_TOO_LONG = Text(
        "XB-4006",
        NotAllowed,
        "延长没有计入",
        "{rule} 的延长超过法定幅度或者次数：{detail}（{article}）",
        "按法定幅度和次数重新报批",
    )
    EXTENSION_LATE = Text(
        "XB-4007",
        NotAllowed,
        "延长没有计入",
        "期限已于 {due} 届满，{granted} 才批准延长（{article}）",
        "期限届满后不得延长，依法释放、变更强制措施或者作出决定",
    )
    REQUEST_AFTER_EXPIRY = Text(
        "XB-4008",
        NotAllowed,
        "延长申请不予受理",
        "期限已于 {expiry} 届满，{requested} 才提请（{article}）",
        "依法释放或者变更强制措施；不得再提请延长",
    )
    INTERVAL_REVERSED = Text(
        "XB-4009",
        InvalidInput,
        "期限没有计算",
        "不计入期间 {begin} 至 {end} 的止期早于起期（{article}）",
        "核对起止日期",
    )
    INTERVAL_NOT_EXCLUDED = Text(
        "XB-4010",
        NotAllowed,
        "不计入期间没有采用",
        "{event} 不停止 {rule} 的计算（{article}）",
        "法律没有规定不计入的时间照常计算",
    )
    RESTART_NOT_ALLOWED = Text(
        "XB-4011", NotAllowed, "重新计算没有采用", "{event} 不使 {rule} 重新计算（{article}）", "核对重新计算的法律依据"
    )
    LIMIT_COUNT_REACHED = Text(
        "XB-4012",
        NotAllowed,
        "请求未受理",
        "{what} 已有 {count} 次，以 {limit} 次为限（{article}）",
        "依法作出决定，不得再次办理",
    )
    CALENDAR_OUT_OF_RANGE = Text(
        "XB-4013",
        InvalidInput,
        "期限没有计算",
        "{day} 不在工作日历 {version} 的范围内（节假日顺延：刑诉法第一百零五条第四款）",
        "补充该年度的工作日历文件",
    )
    CALENDAR_INVALID = Text(
        "XB-4014",
        InvalidInput,
        "工作日历没有采用",
        "{file}：{detail}（节假日顺延：刑诉法第一百零五条第四款）",
        "按说明改正工作日历文件",
    )
    STATUTES_INVALID = Text(
        "XB-4015",
        Broken,
        "期限数据没有载入",
        "{file} 第 {row} 条：{detail}（{article}）",
        "改正期限数据；不要在有误的数据上计算期限",
    )
    EXAMPLE_INVALID = Text(
        "XB-4016",
        InvalidInput,
        "算例没有核对",
        "{file} 第 {line} 行：{detail}（格式见 docs/limits.md；计算依据刑诉法第一百零五条）",
        "改正该行后重新核对",
    )
    # --- 5xxx nodes and their parts
    CALLER_UNKNOWN = Text(
        "XB-5001", Denied, "请求被拒绝", "对方证书身份 {identity} 不在允许范围内", "使用本单位的接口证书"
    )
    PEER_UNREACHABLE = Text(
        "XB-5002", Unreachable, "暂时无法连接", "{peer} 没有应答", "稍后自动重试；持续超过十五分钟请联系运维"
    )
    CONFIG_INVALID = Text("XB-5003", InvalidInput, "程序没有启动", "配置 {file} 有误：{detail}", "改正后重新启动")
    DATABASE_NEWER = Text(
        "XB-5004",
        NotAllowed,
        "程序没有启动",
        "数据库 {file} 的版本 {version} 比程序新",
        "换用新版程序，不要用旧程序打开",
    )
    PORT_TAKEN = Text(
        "XB-5005", Unreachable, "程序没有启动", "端口 {port} 已被占用", "停止占用该端口的程序，或在配置中换一个端口"
    )
    BROKER_MISSING = Text(
        "XB-5006",
        Unreachable,
        "程序没有启动",
        "找不到 nats-server 程序",
        "安装依赖，或用 XIEBAN_NATS_SERVER 指向已有的程序",
    )
    SANDBOX_ONLY = Text("XB-5007", NotAllowed, "操作未执行", "模拟时钟只能在沙箱中使用", "正式环境使用系统时钟")
    PAGE_NOT_FOUND = Text("XB-5008", NotFound, "没有这个页面", "网址有误，或者页面已经移动", "从总览重新进入")
    STORAGE_FULL = Text(
        "XB-5009",
        Unreachable,
        "暂时不能写入",
        "本机存储空间已满",
        "清理或扩充磁盘；已收下的内容没有丢失，腾出空间后自动继续",
    )
    DATABASE_IN_USE = Text(
        "XB-5011",
        NotAllowed,
        "操作未执行",
        "数据库 {file} 正由另一个进程使用",
        "先停止该节点；备份（backup）和检查（fsck）不需要停",
    )
    BACKUP_INVALID = Text(
        "XB-5012", InvalidInput, "备份没有采用，现有文件没有改动", "{file}：{detail}", "换用另一份备份"
    )
    DATABASE_AHEAD = Text(
        "XB-5013",
        NotAllowed,
        "恢复没有执行，现有文件没有改动",
        "现有数据库 {file} 比备份新：{detail}",
        "确需退回的加 --force 重做；现有数据库改名留存，不会删除",
    )
    NODE_FENCED = Text(
        "XB-5021",
        Unreachable,
        "节点正在从备份恢复，暂不办理",
        "尚未确认本节点此前签发的全部报文（{waiting}）",
        "待各方节点和监督网关都在线后自动恢复办理；持续不能恢复的，按 docs/operations.md 处置",
    )
    LOG_BEHIND = Text(
        "XB-5022",
        NotAllowed,
        "程序没有启动",
        "监督日志有 {size} 条，{witness} 已经见证过 {held} 条：数据库是从较早的备份恢复的，或者历史不同",
        "恢复一份不少于 {held} 条的备份；没有的，不得继续签发，按 docs/operations.md 处置",
    )
    DEFECT = Text("XB-5999", Broken, "平台内部出错", "出现未预料的情况，已记录（{trace}）", "把编号和时间告诉运维人员")
    # --- 6xxx the command line
    FILE_UNREADABLE = Text("XB-6001", InvalidInput, "命令没有执行", "文件 {file} 无法读取：{detail}", "核对路径和权限")
    CLIENT_UNCONFIGURED = Text(
        "XB-6002", InvalidInput, "命令没有执行", "没有找到接口配置：{detail}", "用 --profile 指定接口配置目录"
    )
    # --- 7xxx notices and supervision
    NOTICE_NOT_FOUND = Text(
        "XB-7001",
        NotFound,
        "没有找到通知",
        "没有编号为 {notice} 的通知，或者本单位无权查看",
        "用 xieban notice list 核对编号",
    )
    SUPERVISION_NOT_FOUND = Text(
        "XB-7002", NotFound, "没有找到督办", "没有编号为 {supervision} 的督办，或者本单位无权查看", "核对督办编号"
    )
    SUPERVISION_STATE = Text(
        "XB-7003",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 当前为“{state}”，不能{act}",
        "查看该督办的办理过程后再办理",
    )
    SUPERVISION_LIFTED = Text(
        "XB-7004",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 所据的期限已经查明没有超期，不能{act}",
        "拟稿可以不予发出，已经发出的可以办结",
    )
    DISCARD_UNFOUNDED = Text(
        "XB-7005",
        NotAllowed,
        "操作未执行",
        "监督日志中没有督办 {supervision} 所据期限按期办结或者变更的记录",
        "等待有关流转到达后再办理，或者写明其他理由",
    )
    ESCALATION_EXHAUSTED = Text(
        "XB-7006",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 已经升至最高一级（{whom}）",
        "办结、退回补充，或者提交协调会",
    )
    PURPOSE_MISSING = Text(
        "XB-7007",
        InvalidInput,
        "案件没有打开",
        "查看案件应当写明事由，为下列之一：{purposes}",
        "写明事由后重新查看；查看的时间、事由和身份记入监督日志，办案机关可以看到",
    )

    @property
    def number(self) -> str:
        return self.value.number


class _Blank(dict[str, str]):
    """Metadata for `format_map`: a field that was not given prints as a dash instead of failing inside an error path."""

    def __missing__(self, key: str) -> str:
        return "—"


def failure(reason: Reason, /, **metadata: object) -> XiebanError:
    """The error of `reason`, in the class the catalogue gives it. Metadata values are turned into strings."""
    return reason.value.error(reason, **{key: str(value) for key, value in metadata.items()})
'''

# ---- xieban/proof/__init__.py
SOURCES['xieban.proof'] = r'''"""The supervision log as data: trees, tiles, signed checkpoints and proofs that anyone can check without a server.

Formats are those of C2SP (tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof) over the tree of RFC 6962; they
are described as built in `docs/ledger-format.md`. Everything is a function of its arguments: no storage, no network, no clock.
Only the standard library, `cryptography` and `xieban.errors` may be imported here, because the off-line verifier stands on it.
"""
'''

# ---- xieban/proof/spelling.py
SOURCES['xieban.proof.spelling'] = r'''"""The one spelling of numbers and octets inside C2SP texts; every other way to write the same value is refused."""

from __future__ import annotations

import base64
import binascii
import re

from xieban.errors import Reason, failure

MAX_NUMBER = 2**63 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def number(text: str, *, what: str) -> int:
    """A count or an index in decimal without leading zeroes, at most 2^63 - 1. Errors: PROOF_MALFORMED naming `what`."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="数字写法不规范")
    return int(text)


def octets(text: str, *, what: str, size: int | None = None) -> bytes:
    """Octets in standard base64 with padding (RFC 4648 §4), exactly `size` of them if given. Errors: PROOF_MALFORMED."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="base64 写法不规范") from error
    if spell(value) != text or (size is not None and len(value) != size):
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="base64 写法不规范")
    return value


def spell(value: bytes) -> str:
    """Octets as `octets` reads them."""
    return base64.b64encode(value).decode()
'''

# ---- xieban/proof/note.py
SOURCES['xieban.proof.note'] = r'''"""C2SP signed-note: a text and the signatures under it, each by a named key.

A note is taken apart strictly and means nothing until a key that the reader knows has signed it. Two kinds of keys exist, and a key
is of one kind for ever: plain Ed25519, and cosignature/v1, which also states when it was made. What the text says belongs to
`checkpoint`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from xieban.errors import Reason, XiebanError, failure
from xieban.proof.spelling import MAX_NUMBER, octets, spell

MAX_NOTE = 128 * 1024
MAX_SIGNATURES = 64

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_MARK = "— "


class Algorithm(IntEnum):
    """Signature types of C2SP signed-note that are understood here."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name: `public` is the 32 bytes of RFC 8032. Errors: PROOF_MALFORMED."""

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.public) != 32:
            raise _malformed("公钥", "名称或者长度不合要求")

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, say which key signed: the head of SHA-256 over name, kind and public key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as a text: name, key id in hex, kind and public key in base64."""
        return f"{self.name}+{self.key_id.hex()}+{spell(bytes([self.algorithm]) + self.public)}"

    def verify(self, text: str, value: bytes) -> int | None:
        """Check the bytes of a signature over a note's text.

        Returns the time a cosignature states, in POSIX seconds; None for a plain signature. Errors: SEAL_INVALID.
        """
        at = None
        if self.algorithm is Algorithm.COSIGNATURE_V1:
            at, value = int.from_bytes(value[:8], "big"), value[8:]
            if not 0 < at <= MAX_NUMBER:
                raise failure(Reason.SEAL_INVALID)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, _message(text, at))
        except InvalidSignature as error:
            raise failure(Reason.SEAL_INVALID) from error
        return at


def parse_vkey(text: str) -> VerifierKey:
    """Read a key as `VerifierKey.vkey` writes it. Errors: PROOF_MALFORMED (also a key id that is not the key's, a kind unknown)."""
    name, _, rest = text.partition("+")
    key_id, _, key = rest.partition("+")
    data = octets(key, what="公钥", size=33)
    if data[0] not in list(Algorithm):
        raise _malformed("公钥", "不支持的签名算法")
    found = VerifierKey(name, Algorithm(data[0]), data[1:])
    if found.key_id.hex() != key_id:
        raise _malformed("公钥", "密钥编号与公钥不符")
    return found


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id (4 bytes), and the signature's bytes, which may be of any kind."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """The line under the note, its line feed included."""
        return f"{_MARK}{self.name} {spell(self.key_id + self.value)}\n"


class SigningKey:
    """A private key under its name; `public` is what others verify with. Errors: PROOF_MALFORMED (the name)."""

    def __init__(self, name: str, algorithm: Algorithm, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifierKey(name, algorithm, private.public_key().public_bytes_raw())

    def sign(self, text: str, *, at: int | None = None) -> Signature:
        """Sign a note's text, as of `at` (POSIX seconds) if this is a cosigner's key and only then.

        Errors: PROOF_MALFORMED (no note could hold the text), FIELD_INVALID (a time missing, not wanted or out of range).
        """
        if not text.endswith("\n") or _CONTROL.search(text):
            raise _malformed("签名文本", "含有控制字符或者缺少结尾换行")
        is_cosigner = self.public.algorithm is Algorithm.COSIGNATURE_V1
        is_sound = is_cosigner and 0 < at <= MAX_NUMBER if at is not None else not is_cosigner
        if not is_sound:
            raise failure(Reason.FIELD_INVALID, field="at", detail="联署须有时间，普通签名不得有时间")
        value = self._private.sign(_message(text, at))
        stamp = b"" if at is None else at.to_bytes(8, "big")
        return Signature(self.public.name, self.public.key_id, stamp + value)


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a line feed, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note as it is carried and kept."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()

    def verify(self, keys: Collection[VerifierKey]) -> Mapping[VerifierKey, int | None]:
        """The keys out of `keys` that signed, each with the time it states (`VerifierKey.verify`); other signatures are ignored.

        A known key's signature that does not hold condemns the whole note. Errors: SEAL_INVALID, FIELD_INVALID (two of `keys`
        have one name and id).
        """
        known = {(key.name, key.key_id): key for key in keys}
        if len(known) != len(keys):
            raise failure(Reason.FIELD_INVALID, field="keys", detail="密钥名称和编号重复")
        signed = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                signed[key] = key.verify(self.text, signature.value)
        return signed


def parse(data: bytes) -> Note:
    """Take a note apart; nothing is verified yet.

    One signature a key: a repeated name and id is refused, where other readers drop the second. Errors: MESSAGE_TOO_LARGE
    (over 128 KiB), PROOF_MALFORMED.
    """
    if len(data) > MAX_NOTE:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="签名文本", size=len(data), limit=MAX_NOTE)
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("签名文本", "不是 UTF-8") from error
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or _CONTROL.search(text):
        raise _malformed("签名文本", "缺少签名或者含有控制字符")
    return Note(f"{text}\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Signature lines without their note, as a witness answers. Errors: PROOF_MALFORMED (also none, over 64, or a key twice)."""
    if not lines.endswith("\n") or not 1 <= lines.count("\n") <= MAX_SIGNATURES:
        raise _malformed("签名行", "数目不合要求或者缺少结尾换行")
    found = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len({(signature.name, signature.key_id) for signature in found}) != len(found):
        raise _malformed("签名行", "同一密钥签名两次")
    return found


def _signature(line: str) -> Signature:
    name, _, value = line.removeprefix(_MARK).partition(" ")
    data = octets(value, what="签名行")
    if not line.startswith(_MARK) or not _is_name(name) or len(data) < 5:
        raise _malformed("签名行", "名称或者签名不合要求")
    return Signature(name, data[:4], data[4:])


def _message(text: str, at: int | None) -> bytes:
    """What is signed: the text; by a cosigner, the text behind a header and the time."""
    return (text if at is None else f"cosignature/v1\ntime {at}\n{text}").encode()


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not _CONTROL.search(name) and not any(map(str.isspace, name))


def _malformed(what: str, detail: str) -> XiebanError:
    return failure(Reason.PROOF_MALFORMED, what=what, detail=detail)
'''

# ---- xieban/proof/merkle.py
SOURCES['xieban.proof.merkle'] = r'''"""The Merkle tree of RFC 6962 over SHA-256: roots, inclusion and consistency proofs, and their verification.

A proof is worked out in two steps. Its path says which complete subtrees make up each of its hashes; a reader, which a test keeps
in a dictionary and a log in its tiles, says what those subtrees hash to. Nobody needs all leaves, and there is one algorithm for
both. What leaves mean, and how hashes are stored, must not go in here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xieban.errors import Reason, failure

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()


class Node(NamedTuple):
    """A complete subtree of 2^level leaves: those from `number << level` up to, not including, `(number + 1) << level`."""

    level: int
    number: int


Hashes = Callable[[Node], bytes]
"""A reader: the hash (32 bytes) of a complete subtree that the tree at hand contains."""


def leaf_hash(entry: bytes) -> bytes:
    """The 32-byte hash of a log entry (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash over two child hashes (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The 32-byte root over leaf hashes (MTH of RFC 6962 §2.1); of none, the hash of nothing."""
    return Frontier().append(leaves).root()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that appending and the root need.

    `size` is the number of leaves; `hashes` are those of the complete subtrees of `nodes(0, size)`, left to right, one for each bit
    that is set in `size`. Appending gives another value, so that a transaction that fails leaves the old one standing.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, size: int, hashes: Hashes) -> Frontier:
        """The edge of a stored tree of `size` leaves, read through `hashes`. Errors: those of the reader."""
        return cls(size, tuple(map(hashes, nodes(0, size))))

    def append(self, leaves: Iterable[bytes], completed: dict[Node, bytes] | None = None) -> Frontier:
        """The edge after `leaves` (32-byte leaf hashes) were added.

        Every subtree that became complete on the way, the leaves themselves included, is entered in `completed` if it is given.
        """
        size, edge = self.size, list(self.hashes)
        for leaf in leaves:
            value, index, level = leaf, size, 0
            if completed is not None:
                completed[Node(0, index)] = value
            while index & 1:
                value = node_hash(edge.pop(), value)
                index >>= 1
                level += 1
                if completed is not None:
                    completed[Node(level, index)] = value
            edge.append(value)
            size += 1
        return Frontier(size, tuple(edge))

    def root(self) -> bytes:
        """The 32-byte root."""
        return fold(self.hashes) if self.hashes else EMPTY_ROOT


def nodes(begin: int, end: int) -> list[Node]:
    """The complete subtrees, left to right and ever smaller, that make up the leaves from `begin` up to, not including, `end`.

    `begin` is a multiple of a power of two that is not below `end - begin`, as it is of every part of a tree.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append(Node(level, begin >> level))
        begin += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees that stand side by side, each smaller than the one to its left; at least one."""
    *larger, value = hashes
    for left in reversed(larger):
        value = node_hash(left, value)
    return value


def inclusion_path(index: int, size: int) -> list[list[Node]]:
    """What the inclusion proof of leaf `index` in the tree of `size` leaves is made of (PATH of RFC 6962 §2.1.1).

    Each list folds to one hash of the proof; the leaf's sibling comes first. Errors: FIELD_INVALID (index outside the tree).
    """
    if not 0 <= index < size:
        raise failure(Reason.FIELD_INVALID, field="index", detail="不在日志范围内")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(nodes(middle, end))
            end = middle
        else:
            path.append(nodes(begin, middle))
            begin = middle
    return path[::-1]


def consistency_path(old: int, new: int) -> list[list[Node]]:
    """What the proof is made of that the first `old` of `new` leaves are unchanged (PROOF of RFC 6962 §2.1.2).

    Form and order as for `inclusion_path`. Empty if `old` is 0 or `new`. Errors: FIELD_INVALID (sizes reversed).
    """
    if not 0 <= old <= new:
        raise failure(Reason.FIELD_INVALID, field="size", detail="不在日志范围内")
    path = []
    begin, end = 0, new
    while old and old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(nodes(middle, end))
            end = middle
        else:
            path.append(nodes(begin, middle))
            begin = middle
    if begin:  # otherwise the last subtree is the whole old tree, whose root the verifier has
        path.append(nodes(begin, end))
    return path[::-1]


def proof(path: Iterable[Sequence[Node]], hashes: Hashes) -> list[bytes]:
    """The hashes (32 bytes each) of an inclusion or consistency path, read through `hashes`. Errors: those of the reader."""
    return [fold([hashes(node) for node in part]) for part in path]


def verify_inclusion(leaf: bytes, *, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that `leaf` (a leaf hash) is number `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).

    Errors: PROOF_INVALID.
    """
    what = "包含证明"
    _demand(0 <= index < size and _are_hashes(leaf, root, *proof), what)
    value = leaf
    for sibling, is_left in _climb(index, size - 1, proof, what=what):
        value = node_hash(sibling, value) if is_left else node_hash(value, sibling)
    _demand(value == root, what)


def verify_consistency(*, old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.2).

    From the empty tree, and from a tree to itself, the proof is empty (C2SP tlog-witness). Errors: PROOF_INVALID.
    """
    what = "一致性证明"
    _demand(0 <= old <= new and _are_hashes(old_root, new_root, *proof), what)
    _demand((old > 0 or old_root == EMPTY_ROOT) and (old < new or old_root == new_root), what)
    if old in (0, new):
        _demand(not proof, what)
        return
    # A tree of 2^k leaves is itself a subtree of the new one, and its hash is not repeated in the proof.
    start, *rest = [old_root, *proof] if old & (old - 1) == 0 else proof or [b""]
    below = (old & -old).bit_length() - 1
    before = after = start
    for sibling, is_left in _climb((old - 1) >> below, (new - 1) >> below, rest, what=what):
        if is_left:
            before = node_hash(sibling, before)
        after = node_hash(sibling, after) if is_left else node_hash(after, sibling)
    _demand(before == old_root and after == new_root, what)


def _split(size: int) -> int:
    """The largest power of two below `size` (k of RFC 6962 §2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _climb(inner: int, last: int, proof: Sequence[bytes], *, what: str) -> Iterator[tuple[bytes, bool]]:
    """Each sibling from the bottom up and whether it stands to the left; `last` is the last index on the level of `inner`.

    Refuses a proof that does not end at the root.
    """
    for sibling in proof:
        _demand(last > 0, what)
        is_left = bool(inner & 1) or inner == last
        while is_left and inner and not inner & 1:  # the right edge has no sibling on these levels
            inner, last = inner >> 1, last >> 1
        yield sibling, is_left
        inner, last = inner >> 1, last >> 1
    _demand(last == 0, what)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise failure(Reason.PROOF_INVALID, what=what, detail="推算结果与树根不符")
'''

# ---- xieban/proof/checkpoint.py
SOURCES['xieban.proof.checkpoint'] = r'''"""C2SP tlog-checkpoint and tlog-cosignature: what a log says its tree is, who has seen it, and whom a reader believes.

The log signs checkpoints; witnesses cosign what extends all they saw before; a policy names the log and says how many of which
witnesses are enough. No single signature makes a checkpoint believed. Whether a tree extends another is in `merkle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xieban.errors import Reason, failure
from xieban.proof import note
from xieban.proof.merkle import EMPTY_ROOT, HASH_SIZE
from xieban.proof.note import Algorithm, Signature, SigningKey, VerifierKey
from xieban.proof.spelling import MAX_NUMBER, number, octets, spell

_WHAT = "检查点"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree: the log's name, the number of leaves, the 32-byte root, further lines that mean nothing here.

    Errors: PROOF_MALFORMED (a line empty or broken, a size beyond 2^63 - 1, no root of that size).
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        sound = all(line and "\n" not in line for line in lines) and 0 <= self.size <= MAX_NUMBER
        if not sound or len(self.root) != HASH_SIZE or (self.size == 0 and self.root != EMPTY_ROOT):
            raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="名称、大小或者树根不合要求")

    @property
    def text(self) -> str:
        """The note text that is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, spell(self.root), *self.extensions))


def parse(text: str) -> Checkpoint:
    """Read a note's text as a checkpoint. Errors: PROOF_MALFORMED."""
    *lines, end = text.split("\n")
    if end or len(lines) < 3:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="不足三行或者缺少结尾换行")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin=origin,
        size=number(size, what=_WHAT),
        root=octets(root, what=_WHAT, size=HASH_SIZE),
        extensions=tuple(extensions),
    )


def sign(checkpoint: Checkpoint, key: SigningKey) -> Signature:
    """The log's own signature. Its caller must never sign two roots for one size.

    Errors: FIELD_INVALID (the key is a cosigner's, or is not named as the log).
    """
    if key.public.name != checkpoint.origin:
        raise failure(Reason.FIELD_INVALID, field="key", detail="不是该日志的签名密钥")
    return key.sign(checkpoint.text)


def cosign(checkpoint: Checkpoint, key: SigningKey, *, at: int) -> Signature:
    """A witness's cosignature/v1 as of `at`, POSIX seconds. Its caller must have checked, and kept, that the tree only grew.

    Errors: FIELD_INVALID (the key is no cosigner's, or the time is out of range).
    """
    return key.sign(checkpoint.text, at=at)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that satisfied a policy, and when each witness saw it: name to POSIX seconds."""

    checkpoint: Checkpoint
    times: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to believe: the log, named as its checkpoints' origin, and `threshold` of `witnesses`.

    Every name and every public key may stand here once, so that nobody counts twice and no log signature passes for a
    cosignature. Errors: FIELD_INVALID.
    """

    log: VerifierKey
    witnesses: tuple[VerifierKey, ...]
    threshold: int

    def __post_init__(self) -> None:
        keys = (self.log, *self.witnesses)
        kinds = [Algorithm.ED25519] + [Algorithm.COSIGNATURE_V1] * len(self.witnesses)
        distinct = len({key.name for key in keys}) == len({key.public for key in keys}) == len(keys)
        if not distinct or [key.algorithm for key in keys] != kinds or not 0 <= self.threshold <= len(self.witnesses):
            raise failure(Reason.FIELD_INVALID, field="policy", detail="密钥重复、种类有误，或者门槛超出见证方数目")

    def check(self, data: bytes) -> Witnessed:
        """Believe a signed checkpoint, or refuse it.

        Signatures of unknown keys are ignored; one that does not hold, of a known key, condemns the checkpoint. Times are not
        compared with any clock. Errors: those of `note.parse`, of `Note.verify` and of `parse`; QUORUM_NOT_MET.
        """
        signed_note = note.parse(data)
        signed = signed_note.verify((self.log, *self.witnesses))
        found = parse(signed_note.text)
        if self.log not in signed or found.origin != self.log.name:
            raise failure(Reason.QUORUM_NOT_MET, what="日志签名", count=0, limit=1)
        times = {key.name: at for key, at in signed.items() if at is not None}
        if len(times) < self.threshold:
            raise failure(Reason.QUORUM_NOT_MET, what="见证方联署", count=len(times), limit=self.threshold)
        return Witnessed(found, times)
'''

# ---- xieban/proof/tlogproof.py
SOURCES['xieban.proof.tlogproof'] = r'''"""C2SP tlog-proof: one text that shows, without any server, that an entry is in the log and that witnesses have seen it there.

It holds the entry's index, the inclusion proof and the signed checkpoint as it was published. It does not hold the entry: the
reader brings the entry's bytes, and a policy. Extra data is carried along and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from xieban.errors import Reason, failure
from xieban.proof import merkle
from xieban.proof.checkpoint import Policy, Witnessed
from xieban.proof.note import MAX_NOTE
from xieban.proof.spelling import number, octets, spell

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF = 2 * MAX_NOTE
MAX_HASHES = 63

_WHAT = "入册证明"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """`index` counts from 0; `hashes` (32 bytes each) start at the leaf's sibling; `checkpoint` is a signed note, verbatim."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """The proof as a text. Errors: those of `decode`, which must be able to read it."""
        lines = [HEADER, *([f"extra {spell(self.extra)}"] if self.extra else []), f"index {self.index}"]
        data = "".join(f"{line}\n" for line in (*lines, *map(spell, self.hashes), "")).encode() + self.checkpoint
        decode(data)
        return data

    def verify(self, leaf: bytes, policy: Policy) -> Witnessed:
        """Check that the entry with this leaf hash is number `index` of a tree that satisfies `policy`.

        Returns the checkpoint and when witnesses saw it. Errors: those of `Policy.check`; PROOF_INVALID.
        """
        witnessed = policy.check(self.checkpoint)
        tree = witnessed.checkpoint
        merkle.verify_inclusion(leaf, index=self.index, size=tree.size, root=tree.root, proof=self.hashes)
        return witnessed


def decode(data: bytes) -> TlogProof:
    """Read a proof; nothing is verified yet, the checkpoint not even parsed. Errors: MESSAGE_TOO_LARGE (256 KiB), PROOF_MALFORMED."""
    if len(data) > MAX_PROOF:
        raise failure(Reason.MESSAGE_TOO_LARGE, what=_WHAT, size=len(data), limit=MAX_PROOF)
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="证明部分只能是 ASCII") from error
    extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
    if header != HEADER or not blank or extra == "" or not lines or not lines[0].startswith("index "):
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="缺少首行、序号或者检查点")
    index, *hashes = lines
    if len(hashes) > MAX_HASHES:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail=f"超过 {MAX_HASHES} 个摘要")
    return TlogProof(
        index=number(index.removeprefix("index "), what=_WHAT),
        hashes=tuple(octets(line, what=_WHAT, size=merkle.HASH_SIZE) for line in hashes),
        checkpoint=checkpoint,
        extra=octets(extra or "", what=_WHAT),
    )
'''

# ---- xieban/verify/logchecks.py
SOURCES['xieban.verify.logchecks'] = r'''"""What the supervision log proves: its signed tree, what is in it, that the export is registered, and when entries were made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xieban.errors import XiebanError
from xieban.proof import checkpoint, merkle, note, tlogproof
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, Note, VerifierKey
from xieban.proof.spelling import octets
from xieban.verify import trustlist
from xieban.verify.members import Bundle, Entry
from xieban.verify.report import Check, Report

MARK: Final = "xieban/tlog-consistency@v1"
SKEW: Final = 60
"""Seconds by which clocks of different nodes may differ."""
MAX_HASHES: Final = 126
_BROKEN = (XiebanError, ValueError)


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkpoint that was believed, and when each witness saw it: POSIX seconds, by name, in order of time."""

    size: int
    times: Mapping[str, int]

    @property
    def not_before(self) -> int:
        """The middle of the times, the lower of two."""
        times = sorted(self.times.values())
        return times[(len(times) - 1) // 2]

    @property
    def not_after(self) -> int:
        """The middle of the times, the upper of two."""
        times = sorted(self.times.values())
        return times[len(times) // 2]


def check_checkpoint(bundle: Bundle, trust: dict[str, Any], report: Report) -> Tree | None:
    """Signed by the city's log, cosigned by enough of its witnesses, and by nobody else."""
    check = report["checkpoint"]
    data = bundle.members.get("checkpoint")
    if data is None:
        check.unjudged = "没有检查点"
        return None
    try:
        tree = _believed(data, trust)
    except _Doubt as doubt:
        check.fail("checkpoint", str(doubt))
        return None
    check.checked += 1 + len(tree.times)
    check.note = f"大小 {tree.size}，{len(tree.times)} 个见证方联署"
    return tree


class _Doubt(Exception):
    """Why a checkpoint is not believed."""


def _believed(data: bytes, trust: dict[str, Any]) -> Tree:
    try:
        signed = note.parse(data)
        tree = checkpoint.parse(signed.text)
    except _BROKEN as error:
        raise _Doubt("格式有误") from error
    if tree.size < 1 or tree.extensions:
        raise _Doubt("格式有误")
    logs, witnesses = _keys(trust, tree.size - 1)
    signers = {(one.name, one.key_id): one.value for one in signed.signatures}
    logged = [key for key in logs if key.name == tree.origin and (key.name, key.key_id) in signers]
    if len(logged) != 1:
        raise _Doubt("没有本市监督日志的签名")
    known = {(key.name, key.key_id): key for key in (*logged, *witnesses)}
    if signers.keys() - known.keys():
        raise _Doubt("含有信任清单以外的签名")
    times: dict[str, int] = {}
    for place, value in signers.items():
        try:
            at = known[place].verify(signed.text, value)
        except _BROKEN as error:
            raise _Doubt(f"{place[0]} 的签名不成立") from error
        if at is not None:
            times[place[0]] = at
    count = len({key.name for key in witnesses})
    needed = 2 * count // 3 + 1
    if not count or len(times) < needed:
        raise _Doubt(f"有 {len(times)} 份联署，须有 {needed} 份")
    return Tree(tree.size, dict(sorted(times.items(), key=lambda item: (item[1], item[0]))))


def _keys(trust: dict[str, Any], index: int) -> tuple[list[VerifierKey], list[VerifierKey]]:
    """The log's and the witnesses' keys that count at an index."""
    found: dict[str, list[VerifierKey]] = {"log": [], "witness": []}
    for row in trust["entries"]:
        if row["use"] in found and trustlist.covers(row, index):
            algorithm = Algorithm.ED25519 if row["use"] == "log" else Algorithm.COSIGNATURE_V1
            found[row["use"]].append(VerifierKey(row["name"], algorithm, bytes.fromhex(row["public"])))
    return found["log"], found["witness"]


def tree_of(bundle: Bundle) -> tuple[Note, Checkpoint] | None:
    """The bundle's checkpoint as a text; nobody's signature is looked at."""
    try:
        signed = note.parse(bundle.members.get("checkpoint", b""))
        return signed, checkpoint.parse(signed.text)
    except _BROKEN:
        return None


def check_inclusion(bundle: Bundle, report: Report) -> None:
    """Each entry is in the tree of the bundle's checkpoint, at the place it names, by a proof that names the same checkpoint."""
    check, found = report["inclusion"], tree_of(bundle)
    if found is None:
        check.unjudged = "没有可用的检查点"
        return
    entries = [*bundle.entries.values(), *([bundle.export] if bundle.export else [])]
    for entry in entries:
        reason = _outside(entry, bundle.members["checkpoint"], found[1])
        check.demand(not reason, f"#{entry.position}", reason)


def _outside(entry: Entry, signed: bytes, tree: Checkpoint) -> str:
    """Why an entry is not shown to be in the tree; empty when it is."""
    if entry.value is None:
        return "条目不是规范编码"
    if entry.value["position"] != entry.position:
        return "条目所载的序号与名称不符"
    if entry.proof is None:
        return "没有入册证明"
    try:
        proof = tlogproof.decode(entry.proof)
    except _BROKEN:
        return "入册证明格式有误"
    if proof.extra or proof.checkpoint != signed or proof.index != entry.position - 1:
        return "入册证明不是本包检查点的，或者不是这一条的"
    try:
        leaf = merkle.leaf_hash(entry.data)
        merkle.verify_inclusion(leaf, index=proof.index, size=tree.size, root=tree.root, proof=proof.hashes)
    except _BROKEN:
        return "推算结果与树根不符"
    return ""


def check_export(bundle: Bundle, report: Report) -> None:
    """The log itself says that exactly this was exported."""
    check, export = report["export"], bundle.export
    if export is None or export.value is None:
        check.unjudged = "没有本次导出的登记"
        return
    manifest, what = bundle.manifest, f"#{export.position}"
    digest = hashlib.sha256(bundle.members["bundle.json"]).hexdigest()
    value = export.value
    check.demand(value["kind"] == "EXPORT" and value["eid"] == "", what, "不是导出登记")
    check.demand(value["case"] == manifest["case"], what, "是另一案件的")
    check.demand(value["detail"] == f"{manifest['profile']}:{digest}", what, "登记的内容摘要与目录不符")
    check.demand(value["at"] == manifest["at"], what, "登记的时间与目录不符")
    last = max(manifest["entries"], default=0)
    check.demand(export.position > last, what, "登记不在所列条目之后")


def check_times(bundle: Bundle, trust: dict[str, Any], final: Tree | None, report: Report) -> None:
    """No entry was made before what the witnesses had seen without it, nor after what they have seen with it."""
    check = report["times"]
    if final is None:
        check.unjudged = "没有可信的检查点"
        return
    lower: list[Tree] = []
    upper = [final]
    for name in bundle.manifest["marks"]:
        data = bundle.members.get(f"marks/{name}")
        if data is None:
            continue
        tree = _marked(name, data, bundle, trust, check)
        if tree is not None:
            (lower if name.endswith("last") else upper).append(tree)
    if bundle.manifest["sandbox"]:
        check.not_applicable = "沙箱时钟，时间不作证明"
        return
    for entry in (*bundle.entries.values(), *([bundle.export] if bundle.export else [])):
        if entry.value is None:
            continue
        at = entry.value["at"] // 1_000_000
        begin = max((tree.not_before for tree in lower if tree.size < entry.position), default=0)
        end = min((tree.not_after for tree in upper if tree.size >= entry.position), default=None)
        holds = begin - SKEW <= at and (end is None or at <= end + SKEW)
        check.demand(holds, f"#{entry.position}", "登记时间不在前后联署的时间之间")


def _marked(name: str, data: bytes, bundle: Bundle, trust: dict[str, Any], check: Check) -> Tree | None:
    """The tree of a mark: witnessed, and the beginning of the bundle's own."""
    what, found = f"marks/{name}", tree_of(bundle)
    head, blank, signed = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
        hashes = [octets(line, what=what, size=merkle.HASH_SIZE) for line in lines]
        if first != MARK or not blank or len(hashes) > MAX_HASHES or found is None:
            raise ValueError
        tree = _believed(signed, trust)
        if f"{tree.size:012}" != name[:12]:
            raise ValueError
        old, new = checkpoint.parse(note.parse(signed).text), found[1]
        merkle.verify_consistency(old=old.size, old_root=old.root, new=new.size, new_root=new.root, proof=hashes)
    except _Doubt as doubt:
        check.fail(what, str(doubt))
        return None
    except _BROKEN:
        check.fail(what, "不是本日志较早的检查点")
        return None
    check.checked += 1
    return tree
'''

# ---- xieban/verify/seals.py
SOURCES['xieban.verify.seals'] = r'''"""Whose signature is under a statement: the right agency's, by a key that counted where the log places what it signed."""

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
'''

# ---- xieban/verify/statements.py
SOURCES['xieban.verify.statements'] = r'''"""What the statements say of one another: fields, lanes, receipts, notices, and the log's entries about them.

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
'''

# ---- xieban/verify/verifier.py
SOURCES['xieban.verify.verifier'] = r'''"""All checks of a bundle in their order, and what the bundle says as rows to be shown beside them."""

from __future__ import annotations

from typing import Any

from xieban.verify import trustlist
from xieban.verify.approvals import check_approvals
from xieban.verify.container import Unreadable, unpack
from xieban.verify.dossiers import check_dossiers
from xieban.verify.logchecks import check_checkpoint, check_export, check_inclusion, check_times
from xieban.verify.members import Bundle, take_apart
from xieban.verify.report import CHECKS, Report
from xieban.verify.seals import check_seals
from xieban.verify.statements import (
    check_entries,
    check_fields,
    check_lanes,
    check_notices,
    check_receipts,
    entitled,
    stated,
)
from xieban.verify.trustlist import Chain, Pins

_WITH_KEYS = ("checkpoint", "seals", "approvals", "times")


def verify(data: bytes, *, pins: Pins | None) -> Report:
    """Every check of the bundle `data`. Without `pins` nothing says whose root keys these are, and the best verdict is `open`."""
    report = Report()
    try:
        unpacked = unpack(data)
    except Unreadable as error:
        report["container"].fail("zip", str(error))
        report.unreadable = True
        report.leave_open("无法读取", *list(CHECKS)[1:])
        return report
    report["container"].checked = len(unpacked.members)
    for what, reason in unpacked.defects:
        report["container"].fail(what, reason)
    bundle = take_apart(unpacked.members, report)
    if bundle is None:
        names = [name for name in CHECKS if name not in ("container", "manifest")]
        report.leave_open("没有可用的目录", *names)
        return report
    trust = _trusted(bundle, pins, report)
    final = None
    if trust is None:
        report.leave_open("没有可信的信任清单", *_WITH_KEYS)
    else:
        final = check_checkpoint(bundle, trust, report)
        check_seals(bundle, trust, report)
        check_approvals(bundle, trust, report)
        check_times(bundle, trust, final, report)
    check_inclusion(bundle, report)
    check_export(bundle, report)
    check_fields(bundle, report)
    check_lanes(bundle, report)
    check_receipts(bundle, report)
    check_notices(bundle, report)
    check_entries(bundle, report)
    check_dossiers(bundle, report)
    report.summary = _summary(bundle)
    if final is not None:
        report.summary["checkpoint"] = {
            "size": final.size,
            "witnesses": [{"name": name, "at": at} for name, at in final.times.items()],
        }
    report.rows = rows(bundle)
    return report


def _trusted(bundle: Bundle, pins: Pins | None, report: Report) -> dict[str, Any] | None:
    """The newest list, if the whole chain is sound. Tells the checks `roots` and `trust`."""
    roots, check = report["roots"], report["trust"]
    data = bundle.members.get("trust.json")
    if data is None:
        roots.unjudged = check.unjudged = "没有信任清单"
        return None
    chain = trustlist.read(data)
    _check_roots(chain, pins, report)
    check.checked = len(chain.versions)
    for what, reason in chain.defects:
        check.fail(what, reason)
    if check.defects:
        return None
    named = chain.versions[-1].eid == bundle.manifest["trust"]
    check.demand(named, "trust.json", "最新一版不是导出时的那一版")
    check.demand(chain.last["city"] == bundle.manifest["city"], "trust.json", "是另一城市的")
    check.note = f"第 1 至 {len(chain.versions)} 版"
    return None if check.defects else chain.last


def _check_roots(chain: Chain, pins: Pins | None, report: Report) -> None:
    check = report["roots"]
    if not chain.versions:
        check.unjudged = "没有可信的信任清单"
        return
    first = chain.versions[0].value
    found = sorted(trustlist.fingerprint(row["public"]) for row in first["roots"])
    check.checked = len(found)
    check.note = " ".join(found)
    if pins is None:
        check.unjudged = "未核对根密钥：没有给出经核对的指纹"
    elif set(found) != pins.roots or first["threshold"] != pins.threshold:
        check.fail("v1", "与给出的指纹或者签名数不符")


def _summary(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {name: manifest[name] for name in ("case", "city", "profile", "sandbox", "at")}


def rows(bundle: Bundle) -> list[dict[str, Any]]:
    """Each header: who sent what to whom, where and when it was lodged, what its receiver stated and when; in the log's order."""
    facts, found = stated(bundle), []
    for eid, header in bundle.headers.items():
        first: dict[str, int] = {}
        for fact, receipt, _ in facts.get(eid, ()):
            if entitled(header, receipt):
                first.setdefault(fact["kind"], fact["at"])
        lodged = next((entry.value for entry in bundle.told(eid, "LODGED") if entry.value is not None), None)
        found.append(
            {
                "eid": eid,
                "kind": header["kind"],
                "outcome": header["outcome"],
                "from": f"{header['from']['agency']}-{header['from']['office']}",
                "to": f"{header['to']['agency']}-{header['to']['office']}",
                "sent_at": header["sent_at"],
                "index": lodged["position"] - 1 if lodged else None,
                "lodged_at": lodged["at"] if lodged else None,
                "facts": first,
            }
        )
    return sorted(found, key=lambda row: (row["sent_at"], row["index"] or 0, row["eid"]))
'''

# ---- xieban/verify/command.py
SOURCES['xieban.verify.command'] = r'''"""`python xieban_verify.py bundle.zip`: the verifier as a program. `xieban log verify` calls the same `carry_out`.

Exit codes: 0 all passed, 1 something failed, 2 cannot be judged (unreadable, root keys not given, wrong command line).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xieban.verify.container import MAX_BUNDLE
from xieban.verify.showing import lines
from xieban.verify.trustlist import Pins
from xieban.verify.verifier import verify

THRESHOLD: Final = 3
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_THRESHOLD = re.compile(r"threshold ([1-9]|1[0-6])")


class Misused(Exception):
    """The command line or a file named on it cannot be used; the message says why."""


def read_pins(roots: Path | None, fingerprints: Sequence[str], *, threshold: int | None) -> Pins | None:
    """Fingerprints from a file (one a line, `threshold N`, comments behind #) and from the command line. None: none were given.

    Errors: Misused.
    """
    found = [one.strip().lower() for one in fingerprints]
    if roots is not None:
        try:
            text = roots.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"文件 {roots.name} 无法读取") from error
        for line in text.splitlines():
            word = line.partition("#")[0].strip()
            if match := _THRESHOLD.fullmatch(word):
                threshold = int(match[1]) if threshold is None else threshold
            elif word:
                found.append(word.lower())
    if wrong := next((one for one in found if not _FINGERPRINT.fullmatch(one)), ""):
        raise Misused(f"“{wrong[:80]}”不是 64 位十六进制的根密钥指纹")
    return Pins(frozenset(found), THRESHOLD if threshold is None else threshold) if found else None


def carry_out(file: Path, *, pins: Pins | None, as_json: bool) -> tuple[str, int]:
    """What is to be printed, and the exit code. Errors: Misused."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise Misused(f"文件 {file.name} 无法读取（{error.strerror}）") from error
    report = verify(data, pins=pins)
    if as_json:
        return json.dumps(report.as_json(), ensure_ascii=False, indent=2), report.exit_code
    return "\n".join(lines(report)), report.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line."""
    parser = argparse.ArgumentParser(description="离线核验协办证据包。0 通过，1 不通过，2 无法判断。")
    parser.add_argument("bundle", type=Path, metavar="证据包", help="xieban bundle export 导出的 zip 文件")
    parser.add_argument("--roots", type=Path, metavar="文件", help="经核对的根密钥指纹，每行一个；可写 threshold N")
    parser.add_argument("--root-fingerprint", action="append", default=[], metavar="指纹", help="同上，每把一次")
    parser.add_argument("--threshold", type=int, metavar="N", help=f"第 1 版须有几份根签名，默认 {THRESHOLD}")
    parser.add_argument("--json", action="store_true", help="以 JSON 输出")
    given = parser.parse_args(arguments)
    try:
        pins = read_pins(given.roots, given.root_fingerprint, threshold=given.threshold)
        text, code = carry_out(given.bundle, pins=pins, as_json=given.json)
    except Misused as error:
        print(f"没有核验：{error}", file=sys.stderr)
        return 2
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(text)
    return code
'''


class Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the modules above, and lets none of an installed library take their place."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != "xieban":
            return None
        if name not in SOURCES:
            raise ModuleNotFoundError(f"{name} is not part of this file", name=name)
        return importlib.util.spec_from_loader(name, self, origin=f"{__file__}:{name}", is_package=self.is_package(name))

    def is_package(self, name):
        return any(other.startswith(f"{name}.") for other in SOURCES)

    def get_source(self, name):
        return SOURCES[name]


if __name__ == "__main__":
    sys.meta_path.insert(0, Sources())
    from xieban.verify.command import main

    sys.exit(main())

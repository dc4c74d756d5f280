"""Reads timelines: one JSON object a line becomes a `Timeline`, or a `Refusal` with a code, never a traceback.

Lenient where extraction from free text is known to be imperfect (missing events, odd order, absent offices), strict where a line
cannot be what it claims (no JSON, no id, unknown events, dates that are none). Pure: bytes in, values out; today is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import msgspec

from xieban import canonical
from xieban.dossier import EVIDENCE_KINDS, has_secret_mark
from xieban.errors import XiebanError

MAX_LINE: Final = 256 * 1024
MAX_EVENTS: Final = 200
MAX_EVIDENCE: Final = 300
MAX_TEXT: Final = 400
# The first edition of the procedure law with the institutions of today came into force then.
FIRST_DATE: Final = date(1997, 1, 1)

EVENTS: Final = (
    "detained",
    "arrested",
    "bailed",
    "residential_surveillance",
    "prosecuted",
    "court_accepted",
    "hearing",
    "judged",
)
Procedure = Literal["ordinary", "summary", "fast_track"]
PROCEDURES: Final = ("ordinary", "summary", "fast_track")

# As judgments print them, in the order of 刑诉50; the short forms are common.
_EVIDENCE_NAMES: Final = {
    "物证": "physical",
    "书证": "documentary",
    "证人证言": "witness",
    "被害人陈述": "victim",
    "犯罪嫌疑人、被告人供述和辩解": "suspect",
    "被告人供述和辩解": "suspect",
    "鉴定": "expert",
    "鉴定意见": "expert",
    "勘验、检查、辨认、侦查实验等笔录": "inspection",
    "视听资料、电子数据": "electronic",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a day."""

    type: str
    on: date


@dataclass(frozen=True, slots=True)
class Evidence:
    """A line of the evidence list; `kind` is one of EVIDENCE_KINDS."""

    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """One case as the file tells it. Events are in order of date."""

    line: int
    id: str
    court: str
    procuratorate: str
    case_no: str
    indictment_no: str
    charge: str
    procedure: Procedure
    events: tuple[Event, ...]
    evidence: tuple[Evidence, ...]


Code = Literal[
    "NOT_JSON",
    "LINE_TOO_LONG",
    "FIELD_MISSING",
    "FIELD_INVALID",
    "TEXT_FORBIDDEN",
    "SECRET_MARK",
    "EVENTS_EMPTY",
    "EVENT_UNKNOWN",
    "DATE_INVALID",
    "DATE_FUTURE",
    "DUPLICATE_ID",
    "NOTHING_TO_HAND_OVER",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is not replayed. `id` is empty where none could be read."""

    line: int
    id: str
    code: Code
    detail: str


class _Refused(Exception):
    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail


def read(lines: Iterable[bytes], *, today: date) -> tuple[list[Timeline], list[Refusal]]:
    """Every line, numbered from 1; blank ones are skipped. Of two lines with one id the first counts."""
    timelines: list[Timeline] = []
    refusals: list[Refusal] = []
    seen: set[str] = set()
    for number, raw in enumerate(lines, start=1):
        text = raw.removeprefix(b"\xef\xbb\xbf").strip()
        if not text:
            continue
        found: dict[str, object] = {}
        try:
            found = _object(text)
            timeline = _timeline(number, found, today)
            if timeline.id in seen:
                raise _Refused("DUPLICATE_ID", "同一标识已在前面出现")
        except _Refused as refused:
            refusals.append(Refusal(line=number, id=_shown(found.get("id")), code=refused.code, detail=refused.detail))
            continue
        seen.add(timeline.id)
        timelines.append(timeline)
    return timelines, refusals


def _object(text: bytes) -> dict[str, object]:
    if len(text) > MAX_LINE:
        raise _Refused("LINE_TOO_LONG", f"一行不超过 {MAX_LINE} 字节")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused("NOT_JSON", "不是有效的 JSON") from error
    if not isinstance(found, dict):
        raise _Refused("NOT_JSON", "一行应为一个 JSON 对象")
    return found


def _timeline(number: int, found: dict[str, object], today: date) -> Timeline:
    events = _events(found, today)
    procedure = found.get("procedure")
    if procedure not in PROCEDURES:
        raise _Refused(
            "FIELD_INVALID" if procedure is not None else "FIELD_MISSING", "procedure 应为 " + "、".join(PROCEDURES)
        )
    identity = _text(found, "id")
    if not identity:
        raise _Refused("FIELD_MISSING", "缺少 id")
    return Timeline(
        line=number,
        id=identity,
        court=_text(found, "court"),
        procuratorate=_text(found, "procuratorate"),
        case_no=_text(found, "case_no", longest=128),
        indictment_no=_text(found, "indictment_no", longest=128),
        charge=_text(found, "charge"),
        procedure=_procedure(procedure),
        events=events,
        evidence=tuple(_evidence(found)),
    )


def _procedure(name: object) -> Procedure:
    return "summary" if name == "summary" else "fast_track" if name == "fast_track" else "ordinary"


def _events(found: dict[str, object], today: date) -> tuple[Event, ...]:
    rows = found.get("events")
    if rows is None:
        raise _Refused("FIELD_MISSING", "缺少 events")
    if not isinstance(rows, list) or len(rows) > MAX_EVENTS:
        raise _Refused("FIELD_INVALID", f"events 应为不超过 {MAX_EVENTS} 项的列表")
    if not rows:
        raise _Refused("EVENTS_EMPTY", "events 为空")
    # Stable: of two events on one day the file's own order counts.
    return tuple(sorted((_event(row, today) for row in rows), key=lambda event: event.on))


def _event(row: object, today: date) -> Event:
    if not isinstance(row, dict) or "type" not in row or "date" not in row:
        raise _Refused("FIELD_MISSING", "events 的每一项应有 type 和 date")
    if row["type"] not in EVENTS:
        raise _Refused("EVENT_UNKNOWN", f"不认识的事件 {_shown(row['type'])}")
    try:
        on = date.fromisoformat(row["date"]) if isinstance(row["date"], str) and len(row["date"]) == 10 else None
    except ValueError:
        on = None
    if on is None or on < FIRST_DATE:
        raise _Refused("DATE_INVALID", f"不是可用的日期 {_shown(row['date'])}")
    if on > today:
        raise _Refused("DATE_FUTURE", f"日期 {on} 尚未到来")
    return Event(type=row["type"], on=on)


def _evidence(found: dict[str, object]) -> Iterator[Evidence]:
    rows = found.get("evidence") or []
    if not isinstance(rows, list) or len(rows) > MAX_EVIDENCE:
        raise _Refused("FIELD_INVALID", f"evidence 应为不超过 {MAX_EVIDENCE} 项的列表")
    for row in rows:
        if not isinstance(row, dict):
            raise _Refused("FIELD_INVALID", "evidence 的每一项应有 kind 和 title")
        kind = row.get("kind")
        known = _EVIDENCE_NAMES.get(kind) if isinstance(kind, str) else None
        if known is None or known not in EVIDENCE_KINDS:
            raise _Refused("FIELD_INVALID", f"不认识的证据种类 {_shown(kind)}")
        yield Evidence(kind=known, title=_text(row, "title") or "未载明名称")


def _text(found: dict[str, object], name: str, *, longest: int = MAX_TEXT) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Refused("FIELD_INVALID", f"{name} 应为文字")
    try:
        text = canonical.text(value, field=name, limit=longest).strip()
    except XiebanError as error:
        code: Code = "TEXT_FORBIDDEN" if error.reason.name == "TEXT_FORBIDDEN" else "FIELD_INVALID"
        raise _Refused(code, f"{name}：{error.cause}") from error
    if has_secret_mark(text):
        raise _Refused("SECRET_MARK", f"{name} 带有密级标志，不得进入平台")
    return text


def _shown(value: object) -> str:
    """A value from outside, fit for a report: short, one line, nothing invisible."""
    text = value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    return "".join(sign if sign.isprintable() else "�" for sign in text[:40])

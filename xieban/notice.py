"""Notices of the gateway and what agencies reply to them: the words that are signed, and what makes them sound.

A notice tells an office that a limit is near, was missed, or is being supervised; a reply says that somebody signed for it, or explains.
Both hold codes, dates and one short text that has been checked. What must not go in: anything about the substance of a case.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from xieban import canonical
from xieban.dossier import has_secret_mark
from xieban.errors import Reason, failure
from xieban.handoff import CaseNumber, Code, Count, Digest, Item, MaybeTag, Micros, Node, Party, RandomId
from xieban.supervision import Act, Cause, Measure, State

SCOPE: Final = (
    "本件只涉及办案程序、期限和材料是否齐全，不涉及案件事实、证据和处理结果，不影响办案机关依法独立行使职权。"
)
"""Stands in every notice and every reply, and on whatever shows one. A notice without it is refused."""

NOTICE_VERSION: Final = 1
MAX_TEXT: Final = 500
MAX_MEASURES: Final = 8
LONGEST_LEVEL_NAME: Final = 24

SupervisionId = Annotated[str, Meta(pattern=r"\A20[0-9]{2}-[1-9][0-9]{0,6}\Z")]
Officer = Annotated[str, Meta(pattern=r"\A[A-Z0-9]{2,16}\Z")]
MaybeOfficer = Annotated[str, Meta(pattern=r"\A([A-Z0-9]{2,16})?\Z")]
MaybeDay = Annotated[str, Meta(pattern=r"\A(20[0-9]{2}-[01][0-9]-[0-3][0-9])?\Z")]
ShortText = Annotated[str, Meta(max_length=MAX_TEXT)]
LevelName = Annotated[str, Meta(min_length=1, max_length=LONGEST_LEVEL_NAME)]


class Occasion(StrEnum):
    """Why a notice was written."""

    WARNING = "warning"
    OVERDUE = "overdue"
    UNMET = "unmet"
    DRAFTED = "drafted"
    DISCARDED = "discarded"
    ISSUED = "issued"
    REMINDED = "reminded"
    RETURNED = "returned"
    ESCALATED = "escalated"
    LIFTED = "lifted"
    RESTORED = "restored"
    CLOSED = "closed"


OF_A_LIMIT: Final = frozenset({Occasion.WARNING, Occasion.OVERDUE, Occasion.UNMET})
KEPT: Final = frozenset({State.DRAFTED, State.DISCARDED})
"""A notice of a supervision in these states is sealed and kept by the gateway, never sent: a draft is the committee's own business."""


OCCASION_NAMES: Final = {
    Occasion.WARNING: "期限预警", Occasion.OVERDUE: "超期通知", Occasion.UNMET: "服务目标未达成", Occasion.DRAFTED: "督办拟稿",
    Occasion.DISCARDED: "不予发出", Occasion.ISSUED: "督办发出", Occasion.REMINDED: "回复提醒", Occasion.RETURNED: "退回补充",
    Occasion.ESCALATED: "督办升级", Occasion.LIFTED: "注明未超期", Occasion.RESTORED: "恢复督办", Occasion.CLOSED: "督办办结",
}  # fmt: skip
OCCASIONS: Final = {
    Act.DRAFT: Occasion.DRAFTED, Act.ISSUE: Occasion.ISSUED, Act.DISCARD: Occasion.DISCARDED, Act.CLOSE: Occasion.CLOSED,
    Act.RETURN: Occasion.RETURNED, Act.ESCALATE: Occasion.ESCALATED, Act.REMIND: Occasion.REMINDED,
    Act.MISS: Occasion.ESCALATED, Act.LIFT: Occasion.LIFTED, Act.RESTORE: Occasion.RESTORED,
}  # fmt: skip
"""The notice that tells of a step of the gateway."""


Colour = Literal["yellow", "red"]


def colour(rung: str) -> Colour:
    """Of a warning: red, or three days and fewer, is red."""
    if rung.startswith("d"):
        return "red" if int(rung[1:]) <= 3 else "yellow"
    return "red" if rung == "red" else "yellow"


class Basis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What had to be done in time, and where its reckoning can be followed: the run of `rule` that statement `start` began in the case.

    `kind` target: `rule` is the name of an office's own service target, which is no 法定期限. `due` is a last day or a last moment.
    """

    kind: Literal["statute", "target"]
    rule: Item
    article: Item
    start: Digest
    person: MaybeTag
    started_at: Micros
    due: Code
    safe_due: Code
    edition: Code
    calendar: Item


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The supervision a notice belongs to, as it stands after the step told. `step` counts from 1 without a gap.

    `level` and `whom` say who has to answer, `reply_by` the last day for it (empty: nothing is owed), `by` the officer of the committee
    (empty: a step of the gateway itself), `reason` a code of `Dropped`.
    """

    id: SupervisionId
    step: Count
    state: State
    level: Count
    whom: LevelName
    severity: Count
    days_over: Count
    reply_by: MaybeDay
    by: MaybeOfficer
    reason: Code
    remark: ShortText


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word of the gateway to the office that bears a limit. `rung` of a warning: yellow, red, d7."""

    v: Count
    id: RandomId
    sender: Node = msgspec.field(name="from")
    receiver: Party = msgspec.field(name="to")
    inc: Count
    at: Micros
    case: CaseNumber
    occasion: Occasion
    rung: Code
    basis: Basis
    demand: Demand | None
    scope: Item


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person of the agency did about a supervision. `of` is the newest notice of it that the agency held.

    An explanation bears cause, measures, the day by which it will be done, and a short text; a signature bears none of these.
    """

    v: Count
    id: RandomId
    sender: Party = msgspec.field(name="from")
    receiver: Node = msgspec.field(name="to")
    inc: Count
    at: Micros
    of: Digest
    supervision: SupervisionId
    act: Literal["acknowledge", "explain"]
    by: Officer
    cause: Cause | None
    measures: list[Measure]
    expected: MaybeDay
    text: ShortText
    scope: Item


_RUNG = re.compile(r"yellow|red|d[1-9][0-9]{0,4}")
_RESIDENT_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d{17}[0-9Xx](?![0-9A-Za-z])")


def short_text(value: str, *, field: str, limit: int = MAX_TEXT) -> str:
    """Check a short text of a notice or a reply. Errors: TEXT_FORBIDDEN, FIELD_INVALID, SECRET_MARK (nothing of it is in the error)."""
    checked = canonical.text(value, field=field, limit=limit).strip()
    if has_secret_mark(checked):
        raise failure(Reason.SECRET_MARK)
    if _RESIDENT_NUMBER.search(checked):
        raise failure(Reason.FIELD_INVALID, field=field, detail="不得写入身份证件号码")
    return checked


def check_explanation(cause: Cause | None, measures: list[Measure], expected: str, text: str) -> None:
    """What an explanation must have. Errors: FIELD_INVALID and those of `short_text`."""
    if cause is None:
        raise failure(Reason.FIELD_INVALID, field="cause", detail="缺少超期原因")
    if not 1 <= len(measures) <= MAX_MEASURES or len(set(measures)) != len(measures):
        raise failure(Reason.FIELD_INVALID, field="measures", detail="整改措施应有一项以上，且不得重复")
    try:
        date.fromisoformat(expected)
    except ValueError as error:
        raise failure(Reason.FIELD_INVALID, field="expected", detail="预计完成日期应如 2026-03-12") from error
    if short_text(text, field="text") != text or not text:
        raise failure(Reason.FIELD_INVALID, field="text", detail="缺少说明，或者首尾有空白")


def check_notice(notice: Notice) -> None:
    """What its schema cannot say. Errors: FIELD_INVALID and those of `short_text`."""
    demand = notice.demand
    of_limit = notice.occasion in OF_A_LIMIT
    _sound(notice.scope == SCOPE, "scope")
    _sound(of_limit == (demand is None), "demand")
    # What an office misses of its own aims is nobody's breach and is never supervised.
    _sound(notice.basis.kind == "statute" or notice.occasion in (Occasion.WARNING, Occasion.UNMET), "basis")
    _sound(notice.basis.kind == "target" or notice.occasion is not Occasion.UNMET, "basis")
    _sound(bool(notice.rung) == (notice.occasion is Occasion.WARNING), "rung")
    _sound(not notice.rung or _RUNG.fullmatch(notice.rung) is not None, "rung")
    if demand is not None:
        _sound(demand.step >= 1 and demand.level >= 1, "demand")
        _sound(short_text(demand.remark, field="remark") == demand.remark, "remark")
        _sound(short_text(demand.whom, field="whom") == demand.whom, "whom")


def check_reply(reply: Reply) -> None:
    """What its schema cannot say. Errors: FIELD_INVALID and those of `short_text`."""
    _sound(reply.scope == SCOPE, "scope")
    if reply.act == "explain":
        check_explanation(reply.cause, reply.measures, reply.expected, reply.text)
    else:
        _sound((reply.cause, reply.measures, reply.expected, reply.text) == (None, [], "", ""), "act")


def _sound(holds: bool, field: str) -> None:
    if not holds:
        raise failure(Reason.FIELD_INVALID, field=field, detail="与该类文书应有的内容不符")

"""The ledger of a limit: a line for every act that touched it, with who stated it and on which document.

Lines are made from spans here and kept append-only by `store`. Nothing is decided and nothing computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from services.gateway.spans import End, Span, Stated
from xieban.handoff import ClockAct

TouchKind = Literal["start", "extension", "exclusion", "restart", "custody", "stop"]
Standing = Literal["effective", "superseded", "refused", "loose"]
_KINDS: dict[str, TouchKind] = {
    "start": "start", "stop": "stop", "extend": "extension", "exclude": "exclusion", "restart": "restart",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """One line of the ledger of a limit. `number`: the reason when it is refused; `detail` a code, never content."""

    rule: str
    start_eid: str
    person: str
    kind: TouchKind
    event: str
    at: int
    until: int
    detail: str
    document: str
    eid: str
    by: End
    standing: Standing
    number: str


def lines(span: Span, refused: Mapping[int, str]) -> list[Touch]:
    """The ledger of one limit. `refused`: number of the reason by place in `span.acts`."""
    found = [
        _line(span, "start", span.started_at, span.start_eid, span.start_by, event=span.start_event, act=span.stated)
    ]
    for index, item in enumerate(span.acts):
        number = refused.get(index, "")
        found.append(_of(span, item, "refused" if number else "effective", number))
    found += [_of(span, item, "superseded", "") for item in span.repeated]
    for (at, held), (eid, by) in zip(span.changes, span.change_by, strict=True):
        found.append(_line(span, "custody", at, eid, by, detail="held" if held else "free"))
    if span.ended_at is not None:
        event = span.end_stated.event if span.end_stated else span.end_event
        found.append(_line(span, "stop", span.ended_at, span.end_eid, span.end_by, event=event, act=span.end_stated))
    return found


def _of(span: Span, item: Stated, standing: Standing, number: str) -> Touch:
    return replace(loose(item, standing, number), start_eid=span.start_eid, person=span.person)


def _line(
    span: Span,
    kind: TouchKind,
    at: int,
    eid: str,
    by: End,
    *,
    event: str = "",
    detail: str = "",
    act: ClockAct | None = None,
) -> Touch:
    document = act.document if act is not None else ""
    return Touch(
        rule=span.rule, start_eid=span.start_eid, person=span.person, kind=kind, event=event, at=at, until=0,
        detail=detail, document=document, eid=eid, by=by, standing="effective", number="",
    )  # fmt: skip


def loose(item: Stated, standing: Standing, number: str = "") -> Touch:
    act = item.act
    return Touch(
        rule=act.rule, start_eid="", person=act.person, kind=_KINDS[act.effect], event=act.event, at=act.at,
        until=act.until, detail=_detail(act), document=act.document, eid=item.eid, by=item.by, standing=standing,
        number=number,
    )  # fmt: skip


def _detail(act: ClockAct) -> str:
    """`add:1:0:0:upper_procuratorate` for an extension: kind, months, days, hours, office."""
    if act.effect != "extend":
        return ""
    return f"{act.kind}:{act.months}:{act.days}:{act.hours}:{act.by}"

"""What offices state as the last day of a limit, laid beside what is computed here. Pure; nothing is decided by it.

An office's word never moves a date. Where it differs, the log says so (`CLOCK_DIFFERS`), and again when both agree
(`CLOCK_DIFFERS_LIFTED`). Of one agency the last word about a run of a limit counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.gateway.spans import End, Span
from xieban.handoff import StatedDue


@dataclass(frozen=True, slots=True)
class Claim:
    """A due date as one statement states it. `place`: of the statement in the course."""

    due: StatedDue
    eid: str
    by: End
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The last word of an agency about a run of a limit. `start_eid` is empty where no such limit is known here."""

    rule: str
    start_eid: str
    person: str
    by: End
    eid: str
    due: str
    differs: bool

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.rule, self.start_eid, self.person, self.by[0]


def compare(
    claims: Iterable[Claim], spans: Sequence[Span], computed: Mapping[tuple[str, str, str], str]
) -> list[Compared]:
    """`computed`: dates by (rule, start_eid, person); a limit that cannot be computed has none, and nothing agrees with it."""
    found: dict[tuple[str, str, str, str], Compared] = {}
    for claim in sorted(claims, key=lambda item: item.place):
        span = _meant(claim, spans)
        person = claim.due.person if span is None else span.person
        start_eid = "" if span is None else span.start_eid
        date = computed.get((claim.due.rule, start_eid, person), "")
        one = Compared(
            rule=claim.due.rule, start_eid=start_eid, person=person, by=claim.by, eid=claim.eid, due=claim.due.due,
            differs=_whole(claim.due.due) != date,
        )  # fmt: skip
        found[one.key] = one
    return list(found.values())


def _meant(claim: Claim, spans: Sequence[Span]) -> Span | None:
    """The run that was the newest when the office spoke; else the first that came after."""
    fitting = [
        span
        for span in spans
        if span.rule == claim.due.rule and (not claim.due.person or span.person in ("", claim.due.person))
    ]
    known = [span for span in fitting if span.order[0] <= claim.place]
    if known:
        return max(known, key=lambda span: (span.order, span.started_at))
    return min(fitting, key=lambda span: (span.order, span.started_at), default=None)


def _whole(due: str) -> str:
    """`2026-03-02T16:00+08:00` as it is written here, with seconds."""
    return f"{due[:16]}:00{due[16:]}" if len(due) == len("2026-03-02T16:00+08:00") else due

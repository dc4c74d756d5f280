"""What makes a desk police, procuratorate or court: one value of pure functions.

A rulebook sees headers and cases, never a clock, a database or a dossier; `now` is an argument. It returns defects with rule id,
article and item. We are stricter on what we send than on what we accept: a block on the way out stops the sender, a warning on the
way in is noted on the receipt and left to the clerk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xieban.agency import Agency
from xieban.handoff import Act, Defect, Header
from xieban.procedure import CaseState

DAY = 86_400_000_000
"""Microseconds."""


class Severity(StrEnum):
    """How much a defect weighs: B block, R require supplement, W warn and record."""

    BLOCK = "B"
    REQUIRE = "R"
    WARN = "W"


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect with its weight."""

    severity: Severity
    defect: Defect


Check = Callable[[Header, CaseState], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The checks of one agency. `outbound` runs before sealing, `intake` when the dossier is complete."""

    agency: Agency
    outbound: tuple[Check, ...]
    intake: tuple[Check, ...]

    def before_sending(self, header: Header, case: CaseState) -> list[Finding]:
        return [finding for check in self.outbound for finding in check(header, case)]

    def on_intake(self, header: Header, case: CaseState) -> list[Finding]:
        return [finding for check in self.intake for finding in check(header, case)]


def finding(severity: Severity, rule: str, article: str, item: str) -> Finding:
    """A finding of `rule` on `item` (a code: an act, a field)."""
    return Finding(severity=severity, defect=Defect(code=rule, article=article, item=item))


def acts_in_past(header: Header, case: CaseState) -> list[Finding]:
    """`any.act_time`: an act already done cannot lie after the moment of sending. Notices of what is to come (开庭) are exempt."""
    return [
        finding(Severity.BLOCK, "any.act_time", "刑诉105", act.what)
        for act in header.acts
        if act.what != "hearing" and act.at > header.sent_at + DAY
    ]


def acts_in_order(header: Header, case: CaseState) -> list[Finding]:
    """`any.act_order`: a person is detained before being arrested (刑诉82, 93)."""
    return [
        finding(Severity.WARN, "any.act_order", "刑诉82、刑诉93", act.person)
        for act in header.acts
        if act.what == "arrested"
        and any(_is_detention(other, act.person) and other.at > act.at for other in header.acts)
    ]


def same_division(rule: str, article: str) -> Check:
    """A check that sender and receiver are counterparts of one division. The committee has one office, at the city, for all."""

    def check(header: Header, case: CaseState) -> list[Finding]:
        ends = (header.sender.agency, header.receiver.agency)
        if Agency.GATEWAY in ends or ends[0] == ends[1]:
            return []
        if header.sender.office != header.receiver.office:
            return [finding(Severity.BLOCK, rule, article, header.receiver.office)]
        return []

    return check


def _is_detention(act: Act, person: str) -> bool:
    return act.what == "detained" and act.person == person

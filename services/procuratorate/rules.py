"""The procuratorate's rulebook: intake by 检规157 as far as a header and a case can tell. Pure."""

from __future__ import annotations

from services.agency.rulebook import (
    DAY,
    Finding,
    Rulebook,
    Severity,
    acts_in_order,
    acts_in_past,
    finding,
    same_division,
)
from xieban.agency import Agency
from xieban.handoff import Header
from xieban.procedure import CaseState

_MEASURES = frozenset({"detained", "arrested", "bailed", "residential_surveillance"})


def person_in_hand(header: Header, case: CaseState) -> list[Finding]:
    """`pp.person_in_hand`: a transfer names the measure of at least one suspect (检规157(四), 158③).

    A warning here: whether a suspect without a measure is in hand shows in the dossier.
    """
    if header.kind != "prosecution_transfer" or any(act.what in _MEASURES for act in header.acts):
        return []
    return [finding(Severity.WARN, "pp.person_in_hand", "检规157、检规158", "acts")]


def in_time(header: Header, case: CaseState) -> list[Finding]:
    """`pp.in_time`: a request for arrest later than any lawful detention, or sent long after custody ended (检规157(五))."""
    if header.kind != "arrest_request":
        return []
    return [
        finding(Severity.WARN, "pp.in_time", "检规157、刑诉91", act.person)
        for act in header.acts
        if act.what == "detained" and header.sent_at - act.at > 31 * DAY
    ]


def execution_says_when(header: Header, case: CaseState) -> list[Finding]:
    """`pp.execution_time`: an execution receipt names whom it is about (检规286)."""
    if header.kind == "arrest_execution_receipt" and header.outcome == "executed":
        return [
            finding(Severity.BLOCK, "pp.execution_time", "检规286", act.what)
            for act in header.acts
            if act.what == "arrested" and not act.person
        ]
    return []


RULEBOOK = Rulebook(
    agency=Agency.PROCURATORATE,
    outbound=(acts_in_past, same_division("pp.jurisdiction", "检规157、检规328")),
    intake=(
        acts_in_past,
        same_division("pp.jurisdiction", "检规157、公规10"),
        person_in_hand,
        in_time,
        execution_says_when,
        acts_in_order,
    ),
)

"""The police's rulebook: what a police office checks before it sends and when it receives. Pure."""

from __future__ import annotations

from services.agency.rulebook import DAY, Finding, Rulebook, Severity, acts_in_order, acts_in_past, finding
from xieban.agency import Agency
from xieban.handoff import Header
from xieban.procedure import CaseState


def arrest_requested_in_time(header: Header, case: CaseState) -> list[Finding]:
    """`ps.detention_span`: arrest is requested within 30 days of detention at the very longest (刑诉91②; 公规129).

    A warning: a late request must still go out, at once.
    """
    if header.kind != "arrest_request":
        return []
    return [
        finding(Severity.WARN, "ps.detention_span", "刑诉91、公规129", act.person)
        for act in header.acts
        if act.what == "detained" and header.sent_at - act.at > 31 * DAY
    ]


def decision_names_outcome(header: Header, case: CaseState) -> list[Finding]:
    """`ps.release_due`: after non-approval the detained person is released at once (刑诉91③); the clerk is told."""
    if header.kind == "arrest_decision" and header.outcome == "not_approved":
        return [finding(Severity.WARN, "ps.release_due", "刑诉91", "released")]
    return []


RULEBOOK = Rulebook(
    agency=Agency.POLICE,
    outbound=(acts_in_past, arrest_requested_in_time),
    intake=(acts_in_past, decision_names_outcome, acts_in_order),
)

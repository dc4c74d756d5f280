"""The court's rulebook: intake by 解释218–219 as far as a header and a case can tell. Pure."""

from __future__ import annotations

from services.agency.rulebook import Finding, Rulebook, Severity, acts_in_order, acts_in_past, finding, same_division
from xieban.agency import Agency
from xieban.handoff import Header
from xieban.procedure import CaseState


def accepted_after_prosecution(header: Header, case: CaseState) -> list[Finding]:
    """`ct.acceptance_time`: a case is accepted (受理) when the intake result goes out, not after it (解释219)."""
    if header.kind != "court_intake_result" or header.outcome != "accepted":
        return []
    return [
        finding(Severity.BLOCK, "ct.acceptance_time", "解释219", act.what)
        for act in header.acts
        if act.what == "case_accepted" and act.at > header.sent_at
    ]


def defendant_named(header: Header, case: CaseState) -> list[Finding]:
    """`ct.present`: an indictment tells the measure of the defendant (解释218(二), 219(三)); missing, the clerk asks."""
    if header.kind == "public_prosecution" and not any(act.custody is not None for act in header.acts):
        return [finding(Severity.WARN, "ct.present", "解释218、解释219", "acts")]
    return []


RULEBOOK = Rulebook(
    agency=Agency.COURT,
    outbound=(acts_in_past, accepted_after_prosecution),
    intake=(acts_in_past, same_division("ct.jurisdiction", "解释218、刑诉20"), defendant_named, acts_in_order),
)

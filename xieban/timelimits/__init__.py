"""The statutory clock: every limit of criminal procedure as data, and the pure arithmetic that turns facts into due dates.

No clock, no network, no event loop: `now` is the caller's. Agencies and gateway compute with this same code, so that they can only
differ in the facts. `compute` is the entrance; `explain` puts a derivation into words; `check` runs worked examples.
"""

from __future__ import annotations

from collections.abc import Mapping

from xieban.timelimits.calendar import Calendar, Overlay, read_overlay
from xieban.timelimits.due import Due, Step, StepKind
from xieban.timelimits.facts import CustodyChange, Extension, Facts, Person, Restart, Service, Suspension, Term
from xieban.timelimits.names import EventId, RuleId
from xieban.timelimits.reckoning import compute
from xieban.timelimits.table import Rule, Rules, rule
from xieban.timelimits.terms import Office

RULES: Mapping[str, Rule] = Rules()

__all__ = [
    "RULES",
    "Calendar",
    "CustodyChange",
    "Due",
    "EventId",
    "Extension",
    "Facts",
    "Office",
    "Overlay",
    "Person",
    "Restart",
    "Rule",
    "RuleId",
    "Service",
    "Step",
    "StepKind",
    "Suspension",
    "Term",
    "compute",
    "read_overlay",
    "rule",
]

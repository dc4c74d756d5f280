"""Procedure as data: which handoffs exist, who may send them to whom at which stage, and what they do to a case.

Pure: no clock, no network, no disk beyond the package's own tables. Statutory dates are computed in `xieban.timelimits`; this
package only says which limits a handoff starts and stops.
"""

from xieban.procedure.case import (
    FIRST_STAGE,
    CaseState,
    Proposal,
    advance,
    check,
    custody_after,
    open_case,
    retreat,
    track_of,
)
from xieban.procedure.clocks import check_clocks
from xieban.procedure.limits import Start, Stop, act_starts, act_stops, limit_steps
from xieban.procedure.table import ANY_STAGE, Act, Kind, Moment, Stage, Table, table

__all__ = [
    "ANY_STAGE",
    "FIRST_STAGE",
    "Act",
    "CaseState",
    "Kind",
    "Moment",
    "Proposal",
    "Stage",
    "Start",
    "Stop",
    "Table",
    "act_starts",
    "act_stops",
    "advance",
    "check",
    "check_clocks",
    "custody_after",
    "limit_steps",
    "open_case",
    "retreat",
    "table",
    "track_of",
]

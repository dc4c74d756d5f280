"""What pages and API show: frozen values, times in microseconds. How they are read is `reading`'s."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.clocks import Key, Limit
from services.gateway.dues import Compared
from services.gateway.ledger import Touch
from services.gateway.record import Fact, Handoff


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A case in a list."""

    case_id: str
    stage: str
    holder: tuple[str, str]
    returns: int
    track: str
    in_custody: bool
    persons_held: int
    handoffs: int
    limits_running: int
    limits_overdue: int
    opened_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """An entry of the log."""

    position: int
    kind: str
    recorded_at: int
    case_id: str
    eid: str
    detail: str
    hash: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the ledger of a limit. `recorded_at`: when the act was first heard of; `undone`: taken back by a later line."""

    touch: Touch
    recorded_at: int
    undone: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything known of one case; facts by the handoff they are about, ledgers and derivations by limit.

    `loose`: acts about limits that no known limit takes. `stated`: due dates as agencies state them; `unmatched` of no known limit.
    """

    case: CaseLine
    handoffs: tuple[Handoff, ...]
    facts: dict[str, tuple[Fact, ...]]
    limits: tuple[Limit, ...]
    ledgers: dict[Key, tuple[LedgerLine, ...]]
    loose: tuple[LedgerLine, ...]
    derivations: dict[Key, tuple[str, ...]]
    stated: dict[Key, tuple[Compared, ...]]
    unmatched: tuple[Compared, ...]
    log: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of the city."""

    cases: int
    handoffs: int
    in_flight: int
    limits_running: int
    limits_overdue: int
    limits_started: int
    log_entries: int
    refused: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at the city, every list from the same snapshot as the counts beside it."""

    summary: Summary
    in_flight: tuple[Handoff, ...]
    due_next: tuple[Limit, ...]
    overdue: tuple[Limit, ...]
    late: tuple[Limit, ...]
    limits_late: int
    changed: tuple[CaseLine, ...]
    held: frozenset[str]

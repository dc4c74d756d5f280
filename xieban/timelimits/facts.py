"""What a limit is computed from: the facts of one case, as frozen values.

A fact says what happened and when in law (A1), never when somebody typed it in. No arithmetic and no lookup belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from xieban.timelimits.names import EventId
from xieban.timelimits.terms import Office

Moment = date | datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One granted extension. `granted_at` None: the law itself lengthens the limit, or the day is not in dispute."""

    kind: str
    by: Office
    months: int = 0
    days: int = 0
    hours: int = 0
    granted_at: datetime | None = None
    article: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """An interval that does not count. `end` None: it still runs, and so does the limit's stop."""

    begin: Moment
    end: Moment | None
    event: EventId
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """An event from which the whole limit runs again, or at which its start is placed (anchor)."""

    at: Moment
    event: EventId
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyChange:
    """The person (None: the one person, or everybody in the case) enters or leaves custody."""

    at: Moment
    custody: bool
    person: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One suspect or defendant of a case with several."""

    id: str
    custody: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Service of a judgment or ruling on one party or the procuratorate. `received` None: not served yet."""

    party: str
    received: Moment | None
    ruling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A sentence term (刑期)."""

    years: int = 0
    months: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a rule may need. `start` is the legal moment of the starting act, aware; a plain date where only a day is known."""

    start: Moment | None = None
    custody: bool = False
    custody_changes: tuple[CustodyChange, ...] = ()
    persons: tuple[Person, ...] = ()
    extensions: tuple[Extension, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    restarts: tuple[Restart, ...] = ()
    travel_hours: int = 0
    received: Moment | None = None
    fast_track_dropped: bool = False
    services: tuple[Service, ...] = ()
    term: Term | None = None

"""The dates of a case's main road: those the timeline has, and those derived inside the statutory windows. Pure.

The judgment is the surest date of a published case, so the road is read backwards from it: an event that lies after a later stage
of the road cannot be what it says (an earlier measure, a slip of the extraction); it is passed over, noted, and derived anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from services.replay.timeline import Timeline
from services.replay.windows import (
    ARREST_REVIEW_CUSTODY,
    ARREST_REVIEW_FREE,
    COURT_INTAKE,
    CUSTODY_EXTENSIONS,
    DETENTION_TO_REQUEST,
    EXECUTION_RECEIPT,
    EXTENSION_BEFORE,
    INVESTIGATION_CUSTODY,
    RECONSIDERATION_DECISION,
    RECONSIDERATION_REQUEST,
    REVIEW,
    REVIEW_FAST,
    SUPPLEMENT,
    between,
    days,
    draw,
    shares,
)

_FREE = ("bailed", "residential_surveillance")
_ROAD = ("prosecuted", "court_accepted", "hearing", "judged")
# How long before the next known date a missing prosecution is put, by procedure: well inside the trial limit of each.
_TRIAL_DAYS = {"ordinary": 40, "summary": 14, "fast_track": 7}
# Which extensions and returns are assumed for an arrested suspect, from the least to the most: (extensions, returns).
_LADDER = ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (3, 2))


class Unusable(Exception):
    """A timeline in which nothing is handed from one agency to another."""


@dataclass(frozen=True, slots=True)
class Arrest:
    """Request, decision and what followed. `executed` is the day of arrest, or of release when not approved."""

    approved: bool
    requested: date
    decided: date
    executed: date
    receipt: date
    supplement: date | None = None
    reconsidered: tuple[date, date] | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """The road as far as the case went; None from where it did not. `derived` names the road events the timeline does not have."""

    opinion: tuple[date, date] | None
    arrest: Arrest | None
    extensions: tuple[tuple[date, date], ...]
    transferred: date | None
    returns: tuple[tuple[date, date], ...]
    supply: tuple[date, date] | None
    prosecuted: date | None
    accepted: date | None
    heard: date | None
    judged: date | None
    derived: frozenset[str]
    notes: tuple[str, ...]

    def is_derived(self, event: str) -> bool:
        return event in self.derived


def course(timeline: Timeline) -> Course:
    """Errors: Unusable."""
    road, notes = _known(timeline)
    derived = {name for name in _ROAD if name not in road}
    judged, reached = road.get("judged"), [name for name in _ROAD if name in road]
    prosecuted = accepted = heard = None
    first = min(event.on for event in timeline.events)
    if reached:
        prosecuted = road.get("prosecuted") or max(
            min(first, road[reached[0]]), road[reached[0]] - days(_TRIAL_DAYS[timeline.procedure])
        )
        if reached != ["prosecuted"]:
            accepted = road.get("court_accepted") or _accepted(timeline, prosecuted, road.get("hearing") or judged)
            heard = road.get("hearing") or (_heard(timeline, accepted, judged) if judged else None)
    arrest = _arrest(timeline, prosecuted)
    if prosecuted is None:
        if arrest is None:
            raise Unusable("没有逮捕、起诉、受理、开庭或判决，无可流转")
        opinion = _opinion(timeline, first, arrest.requested)
        return Course(opinion, arrest, (), None, (), None, None, None, None, None, frozenset(derived), tuple(notes))
    start = _start(timeline, arrest, prosecuted, notes)
    phases, extended = _phases(timeline, start, prosecuted, arrest)
    turns = [start]
    for length in phases:
        turns.append(turns[-1] + days(length))
    transferred = turns[1]
    returns = tuple(zip(turns[2:-1:2], turns[3:-1:2], strict=True))
    return Course(
        opinion=_opinion(timeline, min(first, start), arrest.requested if arrest else transferred),
        arrest=arrest,
        extensions=_extensions(timeline, start, extended, transferred),
        transferred=transferred,
        returns=returns,
        supply=_supply(timeline, turns[-2], prosecuted),
        prosecuted=prosecuted,
        accepted=accepted,
        heard=heard,
        judged=judged,
        derived=frozenset(derived),
        notes=tuple(notes),
    )


def _known(timeline: Timeline) -> tuple[dict[str, date], list[str]]:
    """The road's own dates, read backwards: the last of each kind that is not after a later stage."""
    road: dict[str, date] = {}
    notes: list[str] = []
    latest = date.max
    for name in reversed(_ROAD):
        days_of = [event.on for event in timeline.events if event.type == name]
        usable = [on for on in days_of if on <= latest]
        if len(days_of) != len(usable):
            notes.append(f"{name} 晚于后一阶段，按缺失处理")
        if usable:
            # A case is prosecuted and accepted once; hearings and judgments may be several, and the last one counts.
            latest = road[name] = max(usable)
    return road, notes


def _accepted(timeline: Timeline, prosecuted: date, following: date | None) -> date:
    latest = min(prosecuted + days(COURT_INTAKE), following or date.max)
    return between(prosecuted + days(1 + draw(timeline.id, "intake", 5)), prosecuted, latest)


def _heard(timeline: Timeline, accepted: date, judged: date) -> date:
    """Summary and fast-track cases are judged in the hearing; in the others the judgment comes later."""
    if timeline.procedure != "ordinary":
        return judged
    return judged - days(min(14, (judged - accepted).days // 2))


def _arrest(timeline: Timeline, prosecuted: date | None) -> Arrest | None:
    before = [event for event in timeline.events if prosecuted is None or event.on <= prosecuted]
    arrested = next((event.on for event in before if event.type == "arrested"), None)
    if arrested is not None:
        return _approved(
            timeline, arrested, [event.on for event in before if event.type == "detained" and event.on <= arrested]
        )
    detained = next((event.on for event in before if event.type == "detained"), None)
    if detained is None:
        return None
    freed = next((e.on for e in before if e.type in ("bailed", "residential_surveillance") and e.on >= detained), None)
    return _not_approved(timeline, detained, freed, prosecuted)


def _approved(timeline: Timeline, arrested: date, detained: list[date]) -> Arrest:
    """The decision falls on the day of arrest (it is executed at once, 刑诉90); the request before it, inside both windows."""
    if detained and (gap := (arrested - detained[-1]).days) <= DETENTION_TO_REQUEST[-1] + ARREST_REVIEW_CUSTODY:
        span = next(span for span in DETENTION_TO_REQUEST if gap <= span + ARREST_REVIEW_CUSTODY)
        earliest = max(detained[-1], arrested - days(ARREST_REVIEW_CUSTODY))
        requested = between(detained[-1] + days(span), earliest, max(earliest, arrested - days(1)))
    elif (
        detained
    ):  # more than 37 days: the timeline lacks what happened between; only the review's own window can be kept
        requested = arrested - days(ARREST_REVIEW_CUSTODY)
    else:
        requested = arrested - days(4 + draw(timeline.id, "free review", ARREST_REVIEW_FREE - 4))
    supplement = None
    if (arrested - requested).days >= 2 and draw(timeline.id, "social danger", 6) == 0:
        supplement = requested + days(1)
    receipt = arrested + days(draw(timeline.id, "receipt", EXECUTION_RECEIPT + 1))
    return Arrest(True, requested, arrested, arrested, receipt, supplement=supplement)


def _not_approved(timeline: Timeline, detained: date, freed: date | None, prosecuted: date | None) -> Arrest:
    """Detained and never arrested before the prosecution: arrest was asked for and not approved, and the suspect let go that day."""
    end = min(day for day in (freed, prosecuted, date.max) if day is not None)
    requested = between(detained + days(DETENTION_TO_REQUEST[0]), detained, end)
    decided = between(requested + days(3 + draw(timeline.id, "refusal", 5)), requested, end)
    receipt = decided + days(draw(timeline.id, "receipt", EXECUTION_RECEIPT + 1))
    reconsidered = None
    if draw(timeline.id, "reconsideration", 2) == 0:
        asked = decided + days(1 + draw(timeline.id, "objection", RECONSIDERATION_REQUEST))
        upheld = asked + days(2 + draw(timeline.id, "upheld", RECONSIDERATION_DECISION - 1))
        # Only where it is over well before the case could be transferred.
        if prosecuted is None or (prosecuted - upheld).days > 30:
            asked = max(asked, receipt)
            reconsidered = (asked, max(upheld, asked))
    return Arrest(False, requested, decided, decided, receipt, reconsidered=reconsidered)


def _start(timeline: Timeline, arrest: Arrest | None, prosecuted: date, notes: list[str]) -> date:
    """Where the time to be divided begins: the arrest, else the last word on it, else the first measure."""
    if arrest is not None:
        return min(arrest.reconsidered[1] if arrest.reconsidered else arrest.executed, prosecuted)
    measures = [
        e.on for e in timeline.events if e.type in ("bailed", "residential_surveillance") and e.on <= prosecuted
    ]
    if measures:
        return measures[0]
    notes.append("起诉前没有强制措施，移送日期按审查起诉期限推定")
    return prosecuted - days(REVIEW)


def _phases(timeline: Timeline, start: date, prosecuted: date, arrest: Arrest | None) -> tuple[list[int], int]:
    """Lengths in days: investigation, review, then supplement and review for each return; and the number of extensions."""
    total = (prosecuted - start).days
    fast = timeline.procedure == "fast_track"
    review = REVIEW_FAST if fast else REVIEW
    arrested = arrest is not None and arrest.approved
    freed = [e.on for e in timeline.events if e.type in _FREE and start <= e.on <= prosecuted]
    held = arrested and not freed
    returned = (
        0
        if fast or total < 24 or draw(timeline.id, "returned", 6)
        else 1
        if total < 70 or draw(timeline.id, "twice", 3)
        else 2
    )
    extended = 0
    if held:
        rungs = [(e, r) for e, r in _LADDER if r >= returned]
        fits = (
            rung for rung in rungs if total <= INVESTIGATION_CUSTODY[rung[0]] + review + rung[1] * (SUPPLEMENT + REVIEW)
        )
        extended, returned = next(fits, rungs[-1])
    first = draw(timeline.id, "review", 5) + 5 if fast else draw(timeline.id, "review", 8) + 18
    wanted, longest = [first], [review]
    for turn in range(returned):
        wanted += [14 + draw(timeline.id, f"supplement {turn}", 12), 12 + draw(timeline.id, f"review {turn}", 12)]
        longest += [SUPPLEMENT, REVIEW]
    limit = INVESTIGATION_CUSTODY[extended] if held else None
    phases = shares(total, wanted=wanted, longest=longest, open_longest=limit)
    if arrested and freed:
        # Held until let go: as many extensions as that time needs.
        days_held = min(phases[0], (freed[0] - start).days)
        extended = next(
            (e for e, ends in enumerate(INVESTIGATION_CUSTODY) if days_held <= ends), len(CUSTODY_EXTENSIONS)
        )
    return phases, extended


def _extensions(timeline: Timeline, start: date, count: int, transferred: date) -> tuple[tuple[date, date], ...]:
    """Asked for seven days or more before the limit would end, granted before it does."""
    pairs = []
    for index, ends in enumerate(INVESTIGATION_CUSTODY[:count]):
        asked = start + days(ends - EXTENSION_BEFORE - 1 - draw(timeline.id, f"extension {index}", 3))
        granted = asked + days(3 + draw(timeline.id, f"granted {index}", 4))
        if granted < transferred:
            pairs.append((asked, granted))
    return tuple(pairs)


def _opinion(timeline: Timeline, first: date, before: date) -> tuple[date, date] | None:
    if draw(timeline.id, "opinion", 5) or (before - first).days < 1:
        return None
    asked = first + days(1)
    return asked, between(asked + days(2), asked, before)


def _supply(timeline: Timeline, review_began: date, prosecuted: date) -> tuple[date, date] | None:
    length = (prosecuted - review_began).days
    if length < 4 or draw(timeline.id, "supply", 4):
        return None
    return review_began + days(length // 3), review_began + days(length * 2 // 3)

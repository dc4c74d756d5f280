"""From a timeline to what the three agencies send one another and when: a list of steps in legal time. Pure.

Dates of the timeline are kept. Where the main road needs a date the timeline does not have, one is derived inside the statutory
window (`windows`) by the rules of docs/replay.md, and the step says so. Everything that could be otherwise (whether a case is
returned, whether an opinion is asked for) is drawn from the timeline's id, so that a replay is the same everywhere.
What must not go in: dossiers (`dossiers`), carrying out (`drive`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Literal
from zoneinfo import ZoneInfo

from services.replay.course import Arrest, Course, Unusable, course
from services.replay.timeline import Event, Refusal, Timeline
from services.replay.windows import (
    APPEAL,
    CUSTODY_EXTENSIONS,
    DETENTION_TO_REQUEST,
    FILE_TRANSFER,
    NOTICE_BEFORE_HEARING,
    SECOND_INSTANCE,
    SERVICE,
    between,
    days,
    draw,
)
from xieban.agency import Agency, City, Office, counties, office

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
PERSON: Final = "P1"
Reception = Literal["accept", "return", "leave"]

# An office sends in the morning; what reports on the day, or answers what came that day, leaves in the afternoon. Two rounds a day
# keep the instants few, and an instant is what a replay spends its time on.
_MORNING_POST: Final = time(10)
_AFTERNOON_POST: Final = time(16)
_AFTERNOON: Final = frozenset(
    {
        "arrest_execution_receipt",
        "evidence_supply_reply",
        "hearing_notice",
        "judgment_service",
        "return_supplementary_investigation",
        "second_instance_judgment",
    }
)
_FREE: Final = frozenset({"bailed", "residential_surveillance"})
_MEASURES: Final = {"detained": True, "arrested": True, "bailed": False, "residential_surveillance": False}
_MORNING: Final = time(8, 30)
_EXECUTED: Final = time(15)


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """A legal act of a step, with its legal time."""

    what: str
    at: datetime
    person: str = PERSON
    derived: bool = False


@dataclass(frozen=True, slots=True)
class PlannedExtension:
    """An extension that an office states in a step, as its letter would: the limit, who granted it, how much."""

    rule: str
    at: datetime
    by: str
    kind: Literal["add", "total"]
    months: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One handoff. `answers` and `refers` are numbers of earlier steps of the case; `reception` is what the receiving clerk does.

    `derived`: the day comes from a rule, not from the timeline.
    """

    number: int
    kind: str
    at: datetime
    sender: Office
    receiver: Office
    outcome: str = ""
    acts: tuple[PlannedAct, ...] = ()
    extensions: tuple[PlannedExtension, ...] = ()
    answers: int | None = None
    refers: tuple[int, ...] = ()
    reception: Reception = "accept"
    derived: bool = True
    in_custody: bool = False


@dataclass(frozen=True, slots=True)
class CasePlan:
    """All steps of one case, in the order in which each waits for the one before. `notes` say what the timeline could not mean."""

    timeline: Timeline
    case_id: str
    division: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


def plan(timeline: Timeline, *, city: City) -> CasePlan | Refusal:
    """The steps of one case in `city`, or why there are none."""
    try:
        dates = course(timeline)
    except Unusable as unusable:
        return Refusal(line=timeline.line, id=timeline.id, code="NOTHING_TO_HAND_OVER", detail=str(unusable))
    division = seat(timeline, city)
    road = _Road(timeline, dates, division)
    road.investigation()
    road.review()
    road.trial()
    return CasePlan(
        timeline=timeline,
        case_id=case_number(timeline, division),
        division=division,
        steps=tuple(road.steps),
        notes=(*dates.notes, *road.leftovers()),
    )


def seat(timeline: Timeline, city: City) -> str:
    """The county of `city` that stands in for the timeline's own: cases of one court stay together."""
    places = counties(city)
    name = timeline.court or timeline.procuratorate or timeline.id
    return places[draw(name, "seat", len(places))]


def case_number(timeline: Timeline, division: str) -> str:
    """案件编号 of the replayed case: letters and digits, from the timeline's id."""
    return f"A{division}{hashlib.sha256(timeline.id.encode()).hexdigest()[:16].upper()}"


class _Road:
    """Lays one step after the other; a step is never earlier than the one before it."""

    def __init__(self, timeline: Timeline, dates: Course, division: str) -> None:
        self._timeline = timeline
        self._dates = dates
        self.steps: list[Step] = []
        self._held = False
        arrest = dates.arrest.executed if dates.arrest and dates.arrest.approved else None
        self._measures = [event for event in timeline.events if event.type in _MEASURES]
        if arrest is not None:  # told by the execution receipt and by nothing else
            self._measures.remove(Event("arrested", arrest))
        self._police = office(Agency.POLICE, division)
        self._procuratorate = office(Agency.PROCURATORATE, division)
        self._court = office(Agency.COURT, division)

    def leftovers(self) -> list[str]:
        return [f"{event.type} {event.on} 晚于最后一次流转，未随案移送" for event in self._measures]

    def _draw(self, purpose: str, sides: int) -> int:
        return draw(self._timeline.id, purpose, sides)

    def _lay(
        self,
        kind: str,
        on: date,
        sender: Office,
        receiver: Office,
        *,
        acts: tuple[PlannedAct, ...] = (),
        extensions: tuple[PlannedExtension, ...] = (),
        outcome: str = "",
        answers: int | None = None,
        refers: tuple[int, ...] = (),
        reception: Reception = "accept",
        derived: bool = True,
    ) -> int:
        at = _at(on, _AFTERNOON_POST if kind in _AFTERNOON else _MORNING_POST)
        if self.steps:
            at = max(at, self.steps[-1].at)
        on_the_spot = kind.endswith("intake_result") and outcome == "accepted"
        if answers is not None and not on_the_spot and at == self.steps[answers].at and at.time() < _AFTERNOON_POST:
            # Nobody decides by the very post that brought the request; only the intake check is made on the spot (检规157).
            at = _at(at.date(), _AFTERNOON_POST)
        told = [*self._told_by(at), *acts]
        for act in sorted(told, key=lambda item: item.at):
            self._held = {**_MEASURES, "released": False}.get(act.what, self._held)
        step = Step(
            number=len(self.steps),
            kind=kind,
            at=at,
            sender=sender,
            receiver=receiver,
            outcome=outcome,
            acts=tuple(told),
            extensions=extensions,
            answers=answers,
            refers=refers,
            reception=reception,
            derived=derived,
            in_custody=self._held,
        )
        self.steps.append(step)
        return step.number

    def _told_by(self, at: datetime) -> list[PlannedAct]:
        """Measures that have happened by now and that no handoff has told yet: they ride on this one."""
        told = [PlannedAct(event.type, _at(event.on)) for event in self._measures if _at(event.on) <= at]
        self._measures = [event for event in self._measures if _at(event.on) > at]
        return told

    # --- S10

    def investigation(self) -> None:
        police, procuratorate = self._police, self._procuratorate
        if self._dates.opinion is not None:
            asked, given = self._dates.opinion
            if self._draw("withdrawal", 6) == 0:
                wrong = self._lay("early_opinion_request", asked, police, procuratorate, reception="leave")
                self._lay("withdrawal", asked, police, procuratorate, refers=(wrong,), reception="leave")
            number = self._lay("early_opinion_request", asked, police, procuratorate)
            self._lay("early_opinion", given, procuratorate, police, answers=number)
        if self._dates.arrest is not None:
            self._arrest()
        for (asked, granted), (by, months) in zip(self._dates.extensions, CUSTODY_EXTENSIONS, strict=False):
            number = self._lay("custody_extension_request", asked, police, procuratorate)
            extended = PlannedExtension("inv_custody", _at(granted), by, "add", months=months)
            self._lay(
                "custody_extension_decision", granted, procuratorate, police,
                outcome="approved", answers=number, extensions=(extended,),
            )  # fmt: skip

    def _arrest(self) -> None:
        arrest = self._dates.arrest
        assert arrest is not None
        police, procuratorate = self._police, self._procuratorate
        extensions = self._detained_longer(arrest)
        request = self._lay("arrest_request", arrest.requested, police, procuratorate, extensions=extensions)
        if arrest.supplement is not None:
            wanted = self._lay("arrest_evidence_supplement", arrest.supplement, procuratorate, police)
            self._lay("evidence_supply_reply", arrest.supplement, police, procuratorate, answers=wanted)
        outcome = "approved" if arrest.approved else "not_approved"
        decision = self._lay(
            "arrest_decision", arrest.decided, procuratorate, police, outcome=outcome, answers=request, derived=True
        )
        told = between(arrest.receipt, arrest.executed, self._dates.transferred or date.max)
        self._lay(
            "arrest_execution_receipt", told, police, procuratorate,
            outcome="executed" if arrest.approved else "released", acts=self._executed(arrest, told), answers=decision,
        )  # fmt: skip
        if arrest.reconsidered is not None:
            asked, upheld = arrest.reconsidered
            again = self._lay("arrest_reconsideration", asked, police, procuratorate)
            self._lay("arrest_decision", upheld, procuratorate, police, outcome="not_approved", answers=again)

    def _detained_longer(self, arrest: Arrest) -> tuple[PlannedExtension, ...]:
        """The head of police's decision, where the detention lasts longer than the three days of 刑诉91 but within its seven or thirty."""
        detained = [
            event.on for event in self._timeline.events if event.type == "detained" and event.on <= arrest.requested
        ]
        ordinary, special, longest = DETENTION_TO_REQUEST
        ends = [
            event.on for event in self._timeline.events if event.type in _FREE and detained and event.on >= detained[-1]
        ]
        gap = (min([*ends, arrest.requested]) - detained[-1]).days if detained else 0
        if not ordinary < gap <= longest:
            return ()
        at = _at(detained[-1] + days(ordinary - 1))
        if gap <= special:
            return (PlannedExtension("detention_arrest_request", at, "county_police_head", "add", days=gap - ordinary),)
        return (PlannedExtension("detention_arrest_request", at, "county_police_head", "total", days=longest),)

    def _executed(self, arrest: Arrest, told: date) -> tuple[PlannedAct, ...]:
        """What the execution receipt says happened; a bail of the timeline tells the release by itself."""
        if arrest.approved:
            return (PlannedAct("arrested", _at(arrest.executed, _EXECUTED)),)
        if any(event.type in ("bailed", "residential_surveillance") and event.on <= told for event in self._measures):
            return ()
        return (PlannedAct("released", _at(arrest.executed, _EXECUTED), derived=True),)

    # --- S20

    def review(self) -> None:
        dates, police, procuratorate = self._dates, self._police, self._procuratorate
        if dates.transferred is None or dates.prosecuted is None:
            return
        acts: tuple[PlannedAct, ...] = ()
        if self._timeline.procedure == "fast_track":
            acts = (PlannedAct("fast_track_proposed", _at(dates.transferred), person="", derived=True),)
        transferred = self._returned_at_intake(acts)
        number = self._lay("prosecution_transfer", transferred, police, procuratorate, acts=acts)
        self._lay("prosecution_intake_result", transferred, procuratorate, police, outcome="accepted", answers=number)
        for returned, resubmitted in dates.returns:
            number = self._lay("return_supplementary_investigation", returned, procuratorate, police)
            number = self._lay("resubmission_after_supplement", resubmitted, police, procuratorate, answers=number)
            self._lay(
                "prosecution_intake_result", resubmitted, procuratorate, police, outcome="accepted", answers=number
            )
        if dates.supply is not None:
            self._supply(*dates.supply)
        acts = (PlannedAct("prosecuted", _at(dates.prosecuted), derived=dates.is_derived("prosecuted")),)
        self._indictment = self._lay(
            "public_prosecution", dates.prosecuted, procuratorate, self._court,
            acts=acts, derived=dates.is_derived("prosecuted"),
        )  # fmt: skip

    def _returned_at_intake(self, acts: tuple[PlannedAct, ...]) -> date:
        """Now and then the first transfer is found incomplete and comes back; the day of the transfer that counts."""
        dates = self._dates
        assert dates.transferred is not None
        assert dates.prosecuted is not None
        following = dates.returns[0][0] if dates.returns else dates.prosecuted
        if self._draw("incomplete transfer", 12) or (following - dates.transferred).days < 8:
            return dates.transferred
        number = self._lay(
            "prosecution_transfer", dates.transferred, self._police, self._procuratorate, acts=acts, reception="leave"
        )
        self._lay(
            "prosecution_intake_result", dates.transferred, self._procuratorate, self._police,
            outcome="supplement", answers=number,
        )  # fmt: skip
        return dates.transferred + days(1 + self._draw("supplemented", 2))

    def _supply(self, asked: date, supplied: date) -> None:
        police, procuratorate = self._police, self._procuratorate
        request = self._lay("evidence_supply_request", asked, procuratorate, police)
        if self._draw("incomplete reply", 3) == 0:
            self._lay("evidence_supply_reply", supplied, police, procuratorate, answers=request, reception="return")
            self._lay("evidence_supply_reply", supplied, police, procuratorate, refers=(request,))
        else:
            self._lay("evidence_supply_reply", supplied, police, procuratorate, answers=request)

    # --- S30 and after

    def trial(self) -> None:
        dates, court, procuratorate = self._dates, self._court, self._procuratorate
        if dates.accepted is None:
            return
        acts = [PlannedAct("case_accepted", _at(dates.accepted, _MORNING_POST), "", dates.is_derived("court_accepted"))]
        track = {"summary": "summary_procedure", "fast_track": "fast_procedure"}.get(self._timeline.procedure)
        if track is not None:
            acts.append(PlannedAct(track, _at(dates.accepted, _MORNING_POST), "", True))
        self._lay(
            "court_intake_result", dates.accepted, court, procuratorate,
            outcome="accepted", acts=tuple(acts), answers=self._indictment, derived=dates.is_derived("court_accepted"),
        )  # fmt: skip
        if dates.heard is None:
            return
        notice = between(
            dates.heard - days(NOTICE_BEFORE_HEARING + 1 + self._draw("notice", 3)), dates.accepted, dates.heard
        )
        hearing = PlannedAct("hearing", _at(dates.heard, time(9, 30)), "", dates.is_derived("hearing"))
        self._lay("hearing_notice", notice, court, procuratorate, acts=(hearing,))
        if dates.judged is None:
            return
        judged = PlannedAct("judged", _at(dates.judged, time(11)), "", dates.is_derived("judged"))
        self._lay("judgment_service", dates.judged, court, procuratorate, acts=(judged,), derived=False)
        served = dates.judged + days(self._draw("service", SERVICE))
        self._lay("judgment_service", served, court, self._police, acts=(judged,))
        if self._draw("appeal", 6) == 0:
            self._appeal(served)

    def _appeal(self, served: date) -> None:
        court, upper = self._court, self._court.upper()
        sent = served + days(APPEAL + 1 + self._draw("appeal file", FILE_TRANSFER))
        self._lay("appeal_transfer", sent, court, upper)
        decided = sent + days(20 + self._draw("second instance", SECOND_INSTANCE - 20))
        outcome = "changed" if self._draw("second outcome", 5) == 0 else "affirmed"
        acts = (PlannedAct("second_instance_judged", _at(decided, time(15)), "", True),)
        self._lay("second_instance_judgment", decided, upper, court, acts=acts, outcome=outcome)
        self._lay(
            "second_instance_judgment",
            decided,
            upper,
            upper.counterpart(Agency.PROCURATORATE),
            acts=acts,
            outcome=outcome,
        )


def _at(on: date, hour: time = _MORNING) -> datetime:
    return datetime.combine(on, hour, tzinfo=SHANGHAI)

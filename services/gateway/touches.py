"""What touched the limits of a case: starts and stops find one another, stated acts are laid on the limits they belong to, none is lost.

The procedure starts and stops limits by itself (`course`): at moments of handoffs, and by legal acts. The acts that offices state about
limits come on top: explicit starts and stops of any rule, extensions, excluded intervals, restarts. All is sorted by legal time and never
by arrival, so the result is a function of the set of statements. Whether the law allows an act is found out in `reckoning`; here is only
which limit it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.gateway.ledger import Touch, loose
from services.gateway.spans import Begun, End, Span, Stated, Stopped, Told, bearer_of
from xieban.errors import Reason, XiebanError
from xieban.handoff import ClockAct
from xieban.procedure import custody_after
from xieban.timelimits import RULES, Facts, rule
from xieban.timelimits.clock_acts import moment_of, with_act
from xieban.timelimits.grants import anchors
from xieban.timelimits.terms import Policy


@dataclass(frozen=True, slots=True)
class Laid:
    """Limits with the acts that touch them, acts that touch none, and (eid, number) of acts the law does not know at all."""

    spans: tuple[Span, ...]
    loose: tuple[Touch, ...]
    refused: frozenset[tuple[str, str]]


def lay(
    spans: Iterable[Span],
    stops: Sequence[Stopped],
    stated: Sequence[Stated],
    *,
    acts: Sequence[Told],
    begun: Iterable[Begun] = (),
) -> Laid:
    """Put `begun` and `stated` beside the limits that moments of handoffs have started. `acts` are those of the whole case."""
    known = sorted((item for item in stated if item.act.rule in RULES), key=lambda item: item.place)
    ends = [*stops, *(_stop(item) for item in known if item.act.effect == "stop")]
    named = {act.person for act, _, _ in acts} | {item.act.person for item in stated}
    laid = _Lay(list(spans), ends, acts, persons=named - {""})
    laid.begin(begun)
    laid.start(item for item in known if item.act.effect == "start")
    laid.end()
    live, repeated = _once([item for item in known if item.act.effect in ("extend", "exclude", "restart")])
    for item in live:
        laid.put(item)
    for item in repeated:
        laid.note(item)
    laid.report_stops()
    for item in stated:
        if item.act.rule not in RULES:
            laid.refuse(item, Reason.LIMIT_UNKNOWN)
    refused = frozenset((touch.eid, touch.number) for touch in laid.loose if touch.number)
    return Laid(spans=tuple(laid.spans), loose=tuple(laid.loose), refused=refused)


class _Lay:
    """The limits while acts are laid on them."""

    def __init__(self, spans: list[Span], ends: Sequence[Stopped], acts: Sequence[Told], *, persons: set[str]) -> None:
        self.spans = spans
        self.loose: list[Touch] = []
        self._ends = ends
        self._acts = acts
        self._persons = persons

    def begin(self, begun: Iterable[Begun]) -> None:
        """Starts by legal acts. An act told again while its limit runs begins nothing: the earliest time told counts."""
        for item in sorted(begun, key=lambda each: (each.at, each.order)):
            custody, changes, told_by = self._custody(item.person, item.at)
            mine = [span for span in self.spans if (span.rule, span.person) == (item.rule, item.person) and span.by_act]
            if not any(span.runs_at(item.at) for span in mine):
                span = Span(
                    rule=item.rule, bearer=bearer_of(item.rule, item.by), start_eid=item.eid, start_event=item.event,
                    started_at=item.at, custody=custody, changes=changes, change_by=told_by, person=item.person,
                    start_by=item.by, order=item.order, by_act=True,
                )  # fmt: skip
                self.spans.append(self._ended(span))

    def start(self, stated: Iterable[Stated]) -> None:
        """Explicit starts. The same start stated twice is one. A limit runs once at a time: where the procedure has started it, the
        bearer's word is its time, and anybody else's is only kept."""
        seen = {(span.rule, span.person, span.started_at) for span in self.spans if span.stated is not None}
        for item in stated:
            act = item.act
            name = (act.rule, act.person, act.at)
            own = (act.rule, act.person, item.eid)
            twin = next((n for n, s in enumerate(self.spans) if (s.rule, s.person, s.start_eid) == own), None)
            if twin is None:
                twin = self._twin(self._ended(self._begun(item)))
            if name in seen or (twin is not None and self.spans[twin].bearer[0] not in ("", item.by[0])):
                self.loose.append(loose(item, "superseded"))
            elif twin is not None:
                before = self.spans[twin]
                self.spans[twin] = replace(
                    self._begun(item), bearer=before.bearer, ended_at=before.ended_at, end_eid=before.end_eid,
                    end_by=before.end_by, end_event=before.end_event, received_at=before.received_at,
                )  # fmt: skip
            else:
                self.spans.append(self._begun(item))
            seen.add(name)

    def _twin(self, started: Span) -> int | None:
        """The run of the same limit that the procedure has started and that `started` would run beside."""
        if rule(started.rule).policy is Policy.LEAD:
            return None
        for number, span in enumerate(self.spans):
            same = span.person == started.person or (not span.person and self._alone(started.person))
            if span.stated is None and span.rule == started.rule and same and _meet(span, started):
                return number
        return None

    def end(self) -> None:
        self.spans = [self._ended(span) for span in self.spans]

    def put(self, item: Stated) -> None:
        """Lay an extension or a restart on the run it falls into, an exclusion on every run it overlaps."""
        act = item.act
        fitting = [number for number, span in enumerate(self.spans) if self._fits(span, act)]
        if act.effect == "exclude":
            found = [number for number in fitting if _overlaps(self.spans[number], act)]
        else:
            found = [number for number in fitting if self.spans[number].runs_at(act.at)]
            found = sorted(found, key=lambda number: (self.spans[number].started_at, number))[-1:]
        if not found and act.effect == "restart":
            self._restart(item)
        elif not found:
            self.loose.append(loose(item, "loose"))
        for number in found:
            span = self.spans[number]
            # Another office of the same agency that restarts a limit bears it from then on (改变管辖).
            bearer = item.by if act.effect == "restart" and item.by[0] == span.bearer[0] else span.bearer
            self.spans[number] = replace(span, acts=(*span.acts, item), bearer=bearer)

    def _restart(self, item: Stated) -> None:
        """No run is under way, so this one begins a run by itself (发回重审)."""
        row = rule(item.act.rule)
        try:
            anchors(row, with_act(row, Facts(), item.act))
        except XiebanError as error:
            self.refuse(item, error.reason)
        else:
            self.spans.append(self._ended(self._begun(item)))

    def refuse(self, item: Stated, reason: Reason) -> None:
        self.loose.append(loose(item, "refused", reason.number))

    def note(self, item: Stated) -> None:
        """A statement without effect of its own stands in the ledger of the limit that its act is about."""
        for number, span in enumerate(self.spans):
            if self._fits(span, item.act) and _overlaps(span, item.act):
                self.spans[number] = replace(span, repeated=(*span.repeated, item))
                return
        self.loose.append(loose(item, "superseded"))

    def report_stops(self) -> None:
        """Stops that ended nothing are kept too."""
        used = {(span.end_eid, span.end_stated) for span in self.spans}
        for stop in self._ends:
            if stop.act is not None and (stop.eid, stop.act) not in used:
                self.loose.append(loose(Stated(stop.act, stop.eid, stop.by, stop.order), "loose"))

    def _begun(self, item: Stated) -> Span:
        act = item.act
        custody, changes, told_by = self._custody(act.person, act.at)
        return Span(
            rule=act.rule,
            bearer=bearer_of(act.rule, item.by),
            start_eid=item.eid,
            start_event=act.event or act.effect,
            started_at=act.at,
            custody=custody,
            changes=changes,
            change_by=told_by,
            person=act.person,
            start_by=item.by,
            order=item.order,
            stated=act,
        )

    def _ended(self, span: Span) -> Span:
        """With its earliest stop: among those stated for its rule, after its start."""
        stops = [
            stop
            for stop in self._ends
            if stop.rule == span.rule
            and (not stop.person or stop.person == span.person or (not span.person and self._alone(stop.person)))
            and _comes_after(stop, span)
            and (span.stated is not None or span.by_act or stop.act is not None or stop.by_act)
            and (not stop.names or span.person in stop.names or span.order <= stop.order)
        ]
        first = min(stops, key=lambda stop: (stop.at, stop.order), default=None)
        if first is None or (span.ended_at is not None and span.ended_at <= first.at):
            return span
        return replace(
            span, ended_at=first.at, end_eid=first.eid, end_by=first.by, end_stated=first.act, end_event=first.event
        )

    def _fits(self, span: Span, act: ClockAct) -> bool:
        if span.rule != act.rule:
            return False
        return not act.person or act.person == span.person or (not span.person and self._alone(act.person))

    def _alone(self, person: str) -> bool:
        """An act about one of several persons does not move a limit of the whole case (解释314)."""
        return self._persons <= {person}

    def _custody(
        self, person: str, start: int
    ) -> tuple[bool, tuple[tuple[int, bool], ...], tuple[tuple[str, End], ...]]:
        """Held at `start`, and the changes after it, of one person or of anybody."""
        told = sorted(
            (one for one in self._acts if one[0].custody is not None and (not person or one[0].person in ("", person))),
            key=lambda one: one[0].at,
        )
        held = custody_after({}, [act for act, _, _ in told if act.at <= start])
        custody = state = any(held.values())
        changes: list[tuple[int, bool]] = []
        told_by: list[tuple[str, End]] = []
        for act, eid, by in told:
            if act.at <= start:
                continue
            held = custody_after(held, [act])
            if any(held.values()) != state:
                state = not state
                changes.append((act.at, state))
                told_by.append((eid, by))
        return custody, tuple(changes), tuple(told_by)


def _once(stated: Sequence[Stated]) -> tuple[list[Stated], list[Stated]]:
    """Each act once, by its local day. Of extensions and restarts the first statement counts; of an excluded interval the last one,
    because that tells its end."""
    live: dict[object, Stated] = {}
    repeated: list[Stated] = []
    for item in sorted(stated, key=lambda each: each.order):
        act = item.act
        amount = (act.by, act.kind, act.months, act.days, act.hours) if act.effect == "extend" else ()
        name = (act.effect, act.rule, act.event, act.person, moment_of(act.at).date(), amount)
        if name not in live:
            live[name] = item
        elif act.effect == "exclude":
            repeated.append(live[name])
            live[name] = item
        else:
            repeated.append(item)
    return sorted(live.values(), key=lambda item: item.place), repeated


def _overlaps(span: Span, act: ClockAct) -> bool:
    begins_in_time = span.ended_at is None or act.at <= span.ended_at
    if act.effect != "exclude":
        return begins_in_time and span.started_at <= act.at
    return begins_in_time and (not act.until or act.until >= span.started_at or act.until < act.at)


def _meet(one: Span, other: Span) -> bool:
    """Whether two runs have a moment in common."""
    return (other.ended_at is None or one.started_at <= other.ended_at) and (
        one.ended_at is None or other.started_at <= one.ended_at
    )


def _comes_after(stop: Stopped, span: Span) -> bool:
    # A limit counted backward "starts" at a day to come, so the act that keeps it lies before: what was stated later counts.
    if rule(span.rule).policy is Policy.LEAD:
        return stop.order >= span.order
    return (stop.at, stop.order) >= (span.started_at, span.order)


def _stop(item: Stated) -> Stopped:
    return Stopped(
        item.act.rule, item.act.person, item.act.at, item.eid, item.by, (item.order[0], item.order[1]), item.act
    )

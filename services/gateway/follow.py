"""What a set of statements changes: the touched cases are worked out anew and the differences to what is stored are written and logged.

Used when statements arrive, and at start when another calendar moves dates. Everything is gathered in the caller's transaction; here
nothing is read off the bus and no time passes. Results do not depend on the order in which statements came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.gateway import silence
from services.gateway.clocks import Action, Key, Limit, plan, standing
from services.gateway.course import RANK, Course, Violation, course, fact_order
from services.gateway.dues import Compared, compare
from services.gateway.ladder import Ladder
from services.gateway.ledger import Touch
from services.gateway.log import Note
from services.gateway.reckoning import Drawn, Reckoner
from services.gateway.record import Fact, Handoff
from services.gateway.silence import Patience
from services.gateway.store import Store, Stored
from services.gateway.supervision.desk import Desk
from xieban.handoff import SETTLED, State
from xieban.procedure import table

_Event = tuple[tuple[int, int, int, str], Note]


class Follower:
    """Works cases out with one calendar and one ladder of warnings."""

    def __init__(
        self, reckoner: Reckoner, ladder: Ladder, desk: Desk | None = None, patience: Patience = silence.OFF
    ) -> None:
        """`desk` tells the offices what is recorded of their limits; without one nobody is told. `patience`: how long receipts may take."""
        self._reckoner = reckoner
        self._ladder = ladder
        self._desk = desk
        self._patience = patience

    @property
    def calendar(self) -> str:
        """Version of the calendar that dates are computed with."""
        return self._reckoner.version

    def follow(
        self,
        store: Store,
        cases: Collection[str],
        new_handoffs: Sequence[Handoff] = (),
        new_facts: Sequence[Fact] = (),
        *,
        now: int,
    ) -> list[Note]:
        """Gather what follows for `cases` from everything known and what is new; return what is to be logged."""
        if not cases:
            return []
        stored = store.cases(cases, arriving={handoff.eid for handoff in new_handoffs})
        everything = {handoff.eid: handoff for handoff in (*stored.handoffs, *new_handoffs)}
        facts = stored.facts + [fact for fact in new_facts if fact.of in everything]
        courses = _courses(cases, everything, facts)
        drawn = {case: [self._reckoner.draw(case, span) for span in item.spans] for case, item in courses.items()}
        events = _lodged(new_handoffs) + _stated(everything, facts, new_handoffs, new_facts)
        notes = [note for _, note in sorted(events, key=lambda event: event[0])]
        store.cases_put(courses)
        states = {eid: state for item in courses.values() for eid, state in item.states.items()}
        store.handoff_states({eid: state for eid, state in states.items() if everything[eid].state != state})
        notes += self._limits(store, stored, drawn, now=now)
        notes += _compared(store, stored, courses, drawn)
        store.touches_add(_ledger(stored, courses, drawn), at=now)
        notes += _violations(store, stored.violations, courses, drawn)
        if self._desk is not None:
            self._desk.aim(store.transaction, _by_case(everything, facts, states), now=now)
        in_flight = [handoff for handoff in everything.values() if handoff.state not in SETTLED]
        heard = [fact for fact in facts if _entitled(fact, everything[fact.of])]
        silence.follow(store.transaction, in_flight, states, heard, patience=self._patience, now=now)
        return notes

    def _limits(self, store: Store, stored: Stored, drawn: Mapping[str, Sequence[Drawn]], *, now: int) -> list[Note]:
        """Start, stop, move and void limits. One that ended is judged here, however late we learn of it.

        One that still runs warns and is declared overdue by the watch alone: while we catch up, its end may be in the next batch.
        """
        wanted = {one.limit.key: one.limit for draws in drawn.values() for one in draws if one.limit is not None}
        # What waits to be told was so before what is followed here.
        notes = self._desk.tell(store.transaction, now=now, cases=drawn) if self._desk is not None else []
        judged: list[Limit] = []
        changed: dict[Key, Limit] = {}
        for key, limit in wanted.items():
            before = stored.limits.get(key)
            after = replace(
                limit,
                overdue_logged=before is not None and before.overdue_logged,
                warned=stored.warned.get(key, frozenset()),
            )
            stands = standing(after, now=now)
            if before is not None and _stands(before, after):
                after = replace(after, state=before.state)
            elif after.ended_at is not None or after.overdue_logged:
                after = replace(after, state=stands)
                judged.append(after)
            elif before is not None and before.state == stands == "lapsed":
                after = replace(after, state=stands)
            changed[key] = after
            notes += _differences(before, after)
        gone = [key for key in stored.limits if key not in wanted]
        notes += [Note("CLOCK_VOID", case, eid, rule) for case, rule, eid, _ in gone]
        actions = plan(now, judged, ladder=self._ladder)
        for action in actions:
            changed[action.limit.key] = action.limit
            notes.append(Note(action.kind, action.limit.case_id, action.limit.start_eid, detail_of(action)))
        store.rungs_add(actions, at=now)
        if self._desk is not None:
            notes += self._desk.limits(store.transaction, actions, gone=gone, now=now)
        store.limits_drop(gone)
        different = [limit for limit in changed.values() if limit != stored.limits.get(limit.key)]
        store.limits_put(different, ladder=self._ladder)
        return notes


def _stands(before: Limit, after: Limit) -> bool:
    """Whether what was recorded by the passing of time is as it was: the same date, and no act. A clock put back takes nothing back."""
    untouched = after.ended_at is None and not after.stopped and before.overdue_from == after.overdue_from
    recorded = before.state == "lapsed" or (before.state == "overdue" and before.overdue_logged)
    return untouched and before.ended_at is None and recorded


def detail_of(action: Action) -> str:
    """`rule`, or `rule:rung` for a warning."""
    return f"{action.limit.rule}:{action.rung}" if action.rung else action.limit.rule


def _courses(cases: Collection[str], handoffs: Mapping[str, Handoff], facts: Sequence[Fact]) -> dict[str, Course]:
    handoffs_by_case: dict[str, list[Handoff]] = defaultdict(list)
    facts_by_case: dict[str, list[Fact]] = defaultdict(list)
    for handoff in handoffs.values():
        handoffs_by_case[handoff.case_id].append(handoff)
    for fact in facts:
        facts_by_case[handoffs[fact.of].case_id].append(fact)
    return {case: course(handoffs_by_case[case], facts_by_case[case], table()) for case in sorted(cases)}


def _by_case(
    handoffs: Mapping[str, Handoff], facts: Sequence[Fact], states: Mapping[str, State]
) -> dict[str, tuple[list[Handoff], dict[str, list[Fact]]]]:
    """The handoffs of each case as they stand, with what their receivers stated of them."""
    found: dict[str, tuple[list[Handoff], dict[str, list[Fact]]]] = defaultdict(lambda: ([], defaultdict(list)))
    for eid, handoff in handoffs.items():
        found[handoff.case_id][0].append(replace(handoff, state=states.get(eid, handoff.state)))
    for fact in facts:
        if _entitled(fact, handoffs[fact.of]):
            found[handoffs[fact.of].case_id][1][fact.of].append(fact)
    return found


def _lodged(handoffs: Sequence[Handoff]) -> list[_Event]:
    return [
        ((item.sent_at, 0, item.lane_seq, item.eid), Note("LODGED", item.case_id, item.eid, item.kind))
        for item in handoffs
    ]


def _stated(
    everything: dict[str, Handoff], facts: Sequence[Fact], new_handoffs: Sequence[Handoff], new_facts: Sequence[Fact]
) -> list[_Event]:
    """Facts that take effect with this batch: new ones, and older ones whose header has come. Each kind once a header."""
    arrived = {handoff.eid for handoff in new_handoffs}
    latest = {(fact.receipt, fact.position) for fact in new_facts}
    told = {
        (fact.of, fact.kind)
        for fact in facts
        if fact.of not in arrived
        and (fact.receipt, fact.position) not in latest
        and _entitled(fact, everything[fact.of])
    }
    events: list[_Event] = []
    for fact in sorted(facts, key=fact_order):
        handoff = everything[fact.of]
        if (fact.of, fact.kind) not in told and _entitled(fact, handoff):
            told.add((fact.of, fact.kind))
            detail = fact.defects[0].code if fact.defects else handoff.kind
            order = (fact.at, 1 + RANK[fact.kind], handoff.lane_seq, fact.of)
            events.append((order, Note(fact.kind.upper(), handoff.case_id, fact.of, detail)))
    return events


def _entitled(fact: Fact, handoff: Handoff) -> bool:
    return (fact.author, fact.addressee) == (handoff.receiver[0], handoff.sender[0])


def _differences(before: Limit | None, after: Limit) -> list[Note]:
    notes: list[Note] = []
    if before is None:
        notes.append(Note("CLOCK_START", after.case_id, after.start_eid, after.rule))
    elif (before.due, before.safe_due, before.started_at, before.stopped) != (
        after.due,
        after.safe_due,
        after.started_at,
        after.stopped,
    ):
        # Another calendar moved it: say which.
        named = f"{after.rule}:{after.calendar}" if before.calendar not in ("", after.calendar) else after.rule
        notes.append(Note("CLOCK_CHANGE", after.case_id, after.start_eid, named))
        lifted = sorted(rung for rung, due in before.warned if due == before.safe_due != after.safe_due)
        notes += [Note("CLOCK_WARN_LIFTED", after.case_id, after.start_eid, f"{after.rule}:{rung}") for rung in lifted]
    if after.ended_at is None and before is not None and before.ended_at is not None:
        notes.append(Note("CLOCK_RESUME", after.case_id, before.end_eid, after.rule))
    elif after.ended_at is not None and (before is None or before.ended_at != after.ended_at):
        notes.append(Note("CLOCK_STOP", after.case_id, after.end_eid, after.rule))
    return notes


def _compared(
    store: Store, stored: Stored, courses: Mapping[str, Course], drawn: Mapping[str, Sequence[Drawn]]
) -> list[Note]:
    """Due dates as offices state them beside those computed; the log hears of a difference, and of its end."""
    notes: list[Note] = []
    for case, item in courses.items():
        limits = [one.limit for one in drawn[case] if one.limit is not None]
        computed = {(limit.rule, limit.start_eid, limit.person): limit.due for limit in limits}
        after = {one.key: one for one in compare(item.claims, item.spans, computed)}
        before = {one.key: one for one in stored.compared.get(case, ())}
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            was, now = old if old and old.differs else None, new if new and new.differs else None
            if was is not None and (now is None or now.due != was.due):
                notes.append(_said("CLOCK_DIFFERS_LIFTED", case, new or was, was.due))
            if now is not None and (was is None or now.due != was.due):
                notes.append(_said("CLOCK_DIFFERS", case, now, now.due))
        store.compared_change(
            case,
            new=[one for key, one in after.items() if before.get(key) != one],
            gone=[key for key in before if key not in after],
        )
    return notes


def _said(kind: str, case: str, one: Compared, due: str) -> Note:
    return Note(kind, case, one.eid, f"{one.rule}:{due}")


def _ledger(
    stored: Stored, courses: Mapping[str, Course], drawn: Mapping[str, Sequence[Drawn]]
) -> list[tuple[str, Touch, bool]]:
    """Lines to add: what does not stand any more is undone by a line of its own, nothing is overwritten."""
    rows: list[tuple[str, Touch, bool]] = []
    for case, item in courses.items():
        wanted = {touch for one in drawn[case] for touch in one.touches} | set(item.loose)
        before = stored.touches.get(case, set())
        rows += [(case, touch, True) for touch in sorted(before - wanted, key=_place)]
        rows += [(case, touch, False) for touch in sorted(wanted - before, key=_place)]
    return rows


def _place(touch: Touch) -> tuple[int, str, str, str, str, str, str]:
    return touch.at, touch.rule, touch.kind, touch.person, touch.eid, touch.event, touch.standing


def _violations(
    store: Store,
    stored: Mapping[str, set[Violation]],
    courses: Mapping[str, Course],
    drawn: Mapping[str, Sequence[Drawn]],
) -> list[Note]:
    new: list[tuple[str, Violation]] = []
    gone: list[tuple[str, Violation]] = []
    for case, item in courses.items():
        forbidden = {Violation(eid, number) for one in drawn[case] for eid, number in one.forbidden}
        found = item.violations | forbidden
        new += [(case, violation) for violation in sorted(found - stored.get(case, set()))]
        gone += [(case, violation) for violation in sorted(stored.get(case, set()) - found)]
    store.violations_change(new=new, gone=gone)
    return [Note("VIOLATION", case, item.eid, item.number) for case, item in new] + [
        Note("VIOLATION_LIFTED", case, item.eid, item.number) for case, item in gone
    ]

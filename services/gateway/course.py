"""The course of a case: stage, custody, limits and violations as a function of the SET of its statements.

The limits that the procedure starts by itself come from here; acts that offices state about limits are laid on them in `touches`.

Statements reach the gateway in any order: a receipt before its header, `delivered` after `accepted`, one lane before another. So
nothing is carried forward from arrival to arrival. Each time, all of a case's handoffs and facts (tens of rows) are put into the
order in which they happened and gone through once, from the beginning. Pure; the law itself is in `xieban.procedure`.

Order: by time as sealed; a fact after its header, a header after its predecessor in the lane. At one and the same time (a frozen
clock makes many of these) receipts come before headers, unless a receipt would move the case out of the stage a header claims.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from services.gateway.dues import Claim
from services.gateway.ledger import Touch
from services.gateway.record import Fact, Handoff
from services.gateway.spans import Begun, End, Span, Stated, Stopped, Told
from services.gateway.touches import lay
from xieban.agency import office
from xieban.errors import Reason, XiebanError
from xieban.handoff import SETTLED, Act, FactKind, State, climb
from xieban.procedure import (
    CaseState,
    Kind,
    Moment,
    Proposal,
    Start,
    Table,
    act_starts,
    act_stops,
    advance,
    check,
    custody_after,
    limit_steps,
    open_case,
    retreat,
    track_of,
)
from xieban.procedure.case import FIRST_STAGE
from xieban.procedure.table import Track
from xieban.timelimits import rule
from xieban.timelimits.terms import Per

RANK: dict[FactKind, int] = {
    "rejected": 0, "delivered": 1, "complete": 2, "accepted": 3, "returned": 4, "withdrawn": 5, "answered": 6,
}  # fmt: skip
WITHOUT_EFFECT = frozenset({State.REJECTED, State.WITHDRAWN})
# A receipt still under way can explain these; they are judged once the receiver has answered.
NEEDS_ANSWER = frozenset({Reason.STAGE_NOT_ALLOWED, Reason.STAGE_CONFLICT, Reason.CASE_NOT_FOUND})


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """Something the procedure forbids, seen in a statement. The number is the reason's."""

    eid: str
    number: str


@dataclass(frozen=True, slots=True)
class Course:
    """What the statements of a case add up to."""

    stage: str
    holder: tuple[str, str]
    returns: int
    track: Track
    custody: dict[str, bool]
    states: dict[str, State]
    spans: tuple[Span, ...]
    loose: tuple[Touch, ...]
    claims: tuple[Claim, ...]
    violations: frozenset[Violation]
    opened_at: int
    updated_at: int


def course(handoffs: Sequence[Handoff], facts: Iterable[Fact], tables: Table) -> Course:
    """Go through everything known of one case. `handoffs` holds at least one; facts about other headers are passed over."""
    known = {handoff.eid: handoff for handoff in handoffs}
    walk = _Walk(known, tables)
    heard = [fact for fact in facts if fact.of in known and walk.is_entitled(fact)]
    walk.note_final_states(heard)
    for event in _in_order(handoffs, heard, walk):
        if isinstance(event, Handoff):
            walk.header(event)
        else:
            walk.fact(event)
    walk.check_lanes()
    times = [handoff.sent_at for handoff in handoffs] + [fact.at for fact in heard]
    laid = lay(walk.spans, walk.stops, walk.stated, acts=walk.told, begun=walk.begun)
    return Course(
        stage=walk.case.stage,
        holder=walk.holder,
        returns=walk.case.returns,
        track=walk.track,
        custody=custody_after({}, walk.acts),
        states=walk.states,
        spans=laid.spans,
        loose=laid.loose,
        claims=tuple(walk.claims),
        violations=frozenset(
            walk.violations
            | {Violation(eid, number) for eid, number in laid.refused}
            | {Violation(item.eid, item.unapproved) for item in handoffs if item.unapproved}
        ),
        opened_at=min(times),
        updated_at=max(times),
    )


@dataclass(slots=True)
class _Walk:
    """The case on its way. `states` climb as facts pass; `final` is where each handoff ends, known beforehand."""

    known: dict[str, Handoff]
    tables: Table
    case: CaseState = field(default_factory=lambda: CaseState(stage=FIRST_STAGE))
    holder: tuple[str, str] = ("", "")
    track: Track = "ordinary"
    acts: list[Act] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    stated: list[Stated] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    stops: list[Stopped] = field(default_factory=list)
    sent_in: dict[str, str] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)
    place: int = 0
    states: dict[str, State] = field(default_factory=dict)
    final: dict[str, State] = field(default_factory=dict)
    moments: set[tuple[str, Moment]] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    violations: set[Violation] = field(default_factory=set)

    def is_entitled(self, fact: Fact) -> bool:
        """Only the receiver may state facts about a header, and only to its sender."""
        handoff = self.known[fact.of]
        if (fact.author, fact.addressee) == (handoff.receiver[0], handoff.sender[0]):
            return True
        self.violations.add(Violation(eid=fact.receipt, number=Reason.PARTY_NOT_ALLOWED.number))
        return False

    def note_final_states(self, facts: Sequence[Fact]) -> None:
        self.final = dict.fromkeys(self.known, State.SENT)
        for fact in sorted(facts, key=fact_order):
            self.final[fact.of] = climb(self.final[fact.of], fact.kind)

    def header(self, handoff: Handoff) -> None:
        self.place += 1
        self.sent_in[handoff.eid] = self.case.stage
        kind = self._judge(handoff)
        self.states[handoff.eid] = State.SENT
        self.holder = handoff.sender if not self.holder[0] else self.holder
        if kind is None or self.final[handoff.eid] in WITHOUT_EFFECT:
            return
        self._learn(handoff)
        self._moment(handoff, kind, "sent", at=handoff.sent_at, by=handoff.eid)

    def fact(self, fact: Fact) -> None:
        self.place += 1
        handoff = self.known[fact.of]
        self.states[fact.of] = climb(self.states[fact.of], fact.kind)
        kind = self.tables.kinds.get(handoff.kind)
        if kind is None or self.final[fact.of] in WITHOUT_EFFECT:
            return
        if fact.kind == "delivered":
            self.arrived.setdefault(fact.of, fact.at)
            self._moment(handoff, kind, "delivered", at=fact.at, by=fact.receipt)
        elif self._accepts(fact):
            self._moment(handoff, kind, "accepted", at=fact.at, by=fact.receipt)
        elif self._returns(fact):
            # Sent back for correction: the receiver has nothing to decide until it is sent again.
            self._stop(at=fact.at, eid=fact.receipt, by=handoff.receiver, started_by=handoff.eid)
            self._move(handoff, self._after_return(handoff, kind), "sent")
            self.returned.add(fact.of)

    def would_move(self, fact: Fact) -> bool:
        """Whether the fact changes the stage."""
        handoff = self.known[fact.of]
        kind = self.tables.kinds.get(handoff.kind)
        if kind is None or self.final[fact.of] in WITHOUT_EFFECT:
            return False
        if self._returns(fact):
            return self._after_return(handoff, kind) != self.case
        return (
            self._accepts(fact)
            and (fact.of, "accepted") not in self.moments
            and advance(self.case, kind, on="accepted", outcome=handoff.outcome) != self.case
        )

    def _returns(self, fact: Fact) -> bool:
        """Whether the fact gives the handoff back, and not one that was decided on already."""
        return fact.kind == "returned" and self.final[fact.of] is State.RETURNED and fact.of not in self.returned

    def _after_return(self, handoff: Handoff, kind: Kind) -> CaseState:
        return retreat(self.case, kind, stage=self.sent_in[handoff.eid], outcome=handoff.outcome)

    def _accepts(self, fact: Fact) -> bool:
        """An answer accepts what it answers, also when the acceptance itself has not been heard of."""
        takes = climb(self.states[fact.of], fact.kind) in (State.ACCEPTED, State.ANSWERED)
        return takes and fact.kind in ("accepted", "answered")

    def check_lanes(self) -> None:
        """A header that names another predecessor than the one that was sent."""
        oldest_last = sorted(self.known.values(), key=lambda item: (item.sent_at, item.eid), reverse=True)
        places = {(item.sender[0], item.receiver[0], item.lane_seq): item.eid for item in oldest_last}
        for item in oldest_last:
            before = places.get((item.sender[0], item.receiver[0], item.lane_seq - 1), item.lane_prev)
            twin = places[(item.sender[0], item.receiver[0], item.lane_seq)] != item.eid
            if before != item.lane_prev or twin:
                self.violations.add(Violation(eid=item.eid, number=Reason.LANE_BROKEN.number))

    def _judge(self, handoff: Handoff) -> Kind | None:
        try:
            proposal = Proposal(
                kind=handoff.kind,
                outcome=handoff.outcome,
                sender=office(*handoff.sender),
                receiver=office(*handoff.receiver),
                acts=tuple(act.what for act in handoff.acts),
                answered=tuple(self.known[eid].kind for eid in handoff.refers if eid in self.known),
            )
            kind = check(proposal, self.case, self.tables)
            if not self.states and open_case(proposal, self.tables) is None:
                self._violate(handoff, Reason.CASE_NOT_FOUND)
            return kind
        except XiebanError as error:
            reason = error.reason
            if reason is Reason.STAGE_NOT_ALLOWED and handoff.stage in self.tables.kinds[handoff.kind].stages:
                reason = Reason.STAGE_CONFLICT
            self._violate(handoff, reason)
            return self.tables.kinds.get(handoff.kind)

    def _violate(self, handoff: Handoff, reason: Reason) -> None:
        if reason not in NEEDS_ANSWER or self.final[handoff.eid] in SETTLED:
            self.violations.add(Violation(eid=handoff.eid, number=reason.number))

    def _learn(self, handoff: Handoff) -> None:
        running = [span for span in self.spans if span.ended_at is None]
        before = {span.person: self._held(span.person) for span in running}
        self.acts.extend(handoff.acts)
        self.told.extend((act, handoff.eid, handoff.sender) for act in handoff.acts)
        self.claims.extend(Claim(due, handoff.eid, handoff.sender, self.place) for due in handoff.dues)
        for act in handoff.acts:
            self._act(handoff, act)
        self.stated.extend(
            Stated(act=act, eid=handoff.eid, by=handoff.sender, order=(self.place, position))
            for position, act in enumerate(handoff.clocks, start=1)
        )
        self.track = track_of([act for act in self.acts if act.what in self.tables.acts], self.tables)
        changed = {person for person, held in before.items() if self._held(person) != held}
        self.spans = [
            span if span.ended_at is not None or span.person not in changed
            else replace(
                span,
                changes=(*span.changes, (max(_custody_at(handoff, span.person), span.started_at), self._held(span.person))),
                change_by=(*span.change_by, (handoff.eid, handoff.sender)),
            )
            for span in self.spans
        ]  # fmt: skip

    def _act(self, handoff: Handoff, act: Act) -> None:
        """What a legal act does to limits of its person at its own time."""
        row = self.tables.acts.get(act.what)
        if row is None:
            return
        eid, by, order = handoff.eid, handoff.sender, (self.place, 0)
        self.begun.extend(
            Begun(rule=name, person=act.person, at=act.at, event=act.what, eid=eid, by=by, order=order)
            for name in act_starts(row, stage=self.case.stage)
        )
        self.stops.extend(
            Stopped(rule=name, person=act.person, at=act.at, event=act.what, eid=eid, by=by, order=order, by_act=True)
            for name in act_stops(row)
        )

    def _held(self, person: str = "") -> bool:
        """Whether this person is held, or anybody of the case."""
        acts = [act for act in self.acts if not person or act.person in ("", person)]
        return any(custody_after({}, acts).values())

    def _moment(self, handoff: Handoff, kind: Kind, on: Moment, *, at: int, by: str) -> None:
        if (handoff.eid, on) in self.moments:
            return
        self.moments.add((handoff.eid, on))
        if on != "delivered":
            self._move(handoff, advance(self.case, kind, on=on, outcome=handoff.outcome), on)
        steps = limit_steps(
            kind,
            on=on,
            outcome=handoff.outcome,
            custody=self._held(),
            track=self.track,
            receiver=handoff.receiver[0],
            answered={self.known[eid].kind for eid in handoff.refers if eid in self.known},
        )
        end = handoff.sender if on == "sent" else handoff.receiver
        for step in steps:
            if isinstance(step, Start):
                self._start(handoff, step, on, at=at, by=end)
                continue
            done_at = max((act.at for act in handoff.acts if step.act and act.what == step.act), default=None)
            if done_at is None and self.final[handoff.eid] is State.RETURNED:
                continue  # the paper came back, and nothing was done by it
            names = frozenset(span.person for span in self.begun if (span.rule, span.eid) == (step.rule, handoff.eid))
            stop = Stopped(
                rule=step.rule, person="", at=at if done_at is None else done_at, eid=by, by=end,
                order=(self.place, 0), event=step.act if done_at is not None else "", names=names,
            )  # fmt: skip
            self.stops.append(stop)
            self._stop(at=stop.at, eid=by, by=end, rule=step.rule, event=stop.event)

    def _move(self, handoff: Handoff, after: CaseState, on: Moment) -> None:
        moved = after.stage != self.case.stage
        self.case = after
        if moved:
            agency = self.tables.stages[after.stage].holder
            ends = (handoff.sender, handoff.receiver) if on == "sent" else (handoff.receiver, handoff.sender)
            self.holder = next((end for end in ends if end[0] == agency), self.holder)

    def _start(self, handoff: Handoff, step: Start, on: Moment, *, at: int, by: End) -> None:
        # A limit of a person has a run for everyone whose act is told; of the whole case, one from the last act.
        acts: dict[str, int] = {}
        for act in handoff.acts:
            if step.act and act.what == step.act:
                person = act.person if rule(step.rule).per is Per.PERSON else ""
                acts[person] = max(acts.get(person, 0), act.at)
        for person, started_at in (acts or {"": at}).items():
            self.spans.append(
                Span(
                    rule=step.rule,
                    bearer=handoff.sender if step.bearer == "from" else handoff.receiver,
                    start_eid=handoff.eid,
                    start_event=step.act if acts else on,
                    started_at=started_at,
                    custody=self._held(person),
                    person=person,
                    start_by=by,
                    order=(self.place, 0),
                    received_at=self.arrived.get(handoff.eid, 0) if on == "accepted" else 0,
                )
            )

    def _stop(self, *, at: int, eid: str, by: End, rule: str = "", started_by: str = "", event: str = "") -> None:
        self.spans = [
            replace(span, ended_at=at, end_eid=eid, end_by=by, end_event=event)
            if span.ended_at is None and (span.rule == rule or span.start_eid == started_by)
            else span
            for span in self.spans
        ]


def _in_order(handoffs: Sequence[Handoff], facts: Sequence[Fact], walk: _Walk) -> Iterator[Handoff | Fact]:
    """Yield every event once. Looks at `walk` between yields: what came before decides among events of one time."""
    lanes: dict[tuple[str, str], list[Handoff]] = {}
    for handoff in sorted(handoffs, key=lambda item: (item.lane_seq, item.sent_at, item.eid)):
        lanes.setdefault((handoff.sender[0], handoff.receiver[0]), []).append(handoff)
    waiting: dict[str, list[Fact]] = {}
    for fact in sorted(facts, key=fact_order):
        waiting.setdefault(fact.of, []).append(fact)
    sent = [deque(lane) for lane in lanes.values()]
    said: list[deque[Fact]] = []
    while sent or said:
        queues: list[deque[Handoff] | deque[Fact]] = [*sent, *said]
        now = min(_time(queue[0]) for queue in queues)
        chosen = min((queue for queue in queues if _time(queue[0]) <= now), key=lambda queue: _place(queue[0], walk))
        event = chosen.popleft()
        if isinstance(event, Handoff) and event.eid in waiting:
            said.append(deque(waiting.pop(event.eid)))
        sent = [lane for lane in sent if lane]
        said = [queue for queue in said if queue]
        yield event


def _custody_at(handoff: Handoff, person: str) -> int:
    """When the last act of the handoff was that tells of this person's custody, or of anybody's."""
    return max(act.at for act in handoff.acts if act.custody is not None and (not person or act.person in ("", person)))


def _time(event: Handoff | Fact) -> int:
    return event.sent_at if isinstance(event, Handoff) else event.at


def _place(event: Handoff | Fact, walk: _Walk) -> tuple[int, int, int, str]:
    """Among events of one time: see the module's docstring.

    Of headers that fit the stage, those that leave it alone come first, and a return for supplement before what ends the stage.
    A header never comes before one that it refers to.
    """
    if isinstance(event, Fact):
        return 2 if walk.would_move(event) else 0, RANK[event.kind], event.at, f"{event.receipt}:{event.position:03}"
    if any(eid in walk.known and eid not in walk.states for eid in event.refers):
        return 4, 0, event.sent_at, event.eid
    kind = walk.tables.kinds.get(event.kind)
    moves = 0 if kind is None or not kind.moves else 1 if kind.counts is not None else 2
    return 1 if event.stage == walk.case.stage else 3, moves, event.sent_at, event.eid


def fact_order(fact: Fact) -> tuple[int, int, str, int]:
    """The order in which facts were stated; the ladder's order among those of one time."""
    return fact.at, RANK[fact.kind], fact.receipt, fact.position

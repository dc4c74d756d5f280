"""The supervision desk: warnings and breaches become notices and drafts; officers' orders, replies and time become steps.

Everything here runs inside the caller's transaction and returns what is to be logged there, so that a notice, the step it bears and
their log entries are one fact; a limit's warning is recorded with the debt of its notice (`untold`). Which steps are legal is
`xieban.supervision`'s; nothing is decided here about a case. What must not go in: publishing, and reading for pages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from services.chassis.database import Transaction
from services.gateway import targets
from services.gateway.clocks import SHANGHAI, Action, Key, Limit
from services.gateway.log import Note
from services.gateway.record import Fact, Handoff
from services.gateway.supervision import aims, untold
from services.gateway.supervision.steps import Supervision, drafted
from services.gateway.supervision.store import Store
from services.gateway.supervision.writing import Author, Writing
from services.gateway.targets import Target
from xieban import canonical
from xieban.agency import PARTIES, office
from xieban.errors import Reason, failure
from xieban.marshal import moment, stored_payload
from xieban.notice import Notice, Occasion, Reply
from xieban.supervision import FINAL, UNFOUNDED_UNLESS_LIFTED, Act, Dropped, State

AT_ONCE = 200
Told = tuple[Sequence[Handoff], Mapping[str, Sequence[Fact]]]
"""All handoffs of a case, and what their receivers stated of each."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an officer of the committee orders: `by` an officer number, `reason` of a discard, `days` another reply limit than usual."""

    supervision: str
    act: Act
    by: str
    remark: str = ""
    reason: Dropped | None = None
    days: int = 0


class Desk:
    """Writes in the gateway's name."""

    def __init__(self, author: Author, *, targets: Sequence[Target] = ()) -> None:
        """`targets`: the operator's service targets, which warn and are never supervised."""
        self._author = author
        self._targets = tuple(targets)

    def later(self, transaction: Transaction, actions: Sequence[Action]) -> None:
        """Have `tell` tell of these."""
        untold.put(transaction, [action for action in actions if self._is_told(action)])

    def tell(self, transaction: Transaction, *, now: int, cases: Collection[str] | None = None) -> list[Note]:
        """Tell what was left for later, of these `cases` or the oldest; nothing when nothing is left."""
        actions = untold.take(transaction, at_most=AT_ONCE) if cases is None else untold.take_of(transaction, cases)
        return self.limits(transaction, actions, now=now)

    def limits(
        self, transaction: Transaction, actions: Sequence[Action], *, gone: Collection[Key] = (), now: int
    ) -> list[Note]:
        """Tell the office that bears a limit what was just recorded of it, and supervise what was missed.

        `gone`: limits that do not exist any more. A limit that no agency of the city bears is nobody's to be told of.
        """
        told = [action for action in actions if self._is_told(action)]
        if not told and not gone:
            return []
        store = Store(transaction)
        writing = Writing(self._author, now)
        cases = {action.limit.case_id for action in told if action.kind != "CLOCK_WARN"} | {key[0] for key in gone}
        overdue = store.notices_told(cases, Occasion.OVERDUE)
        supervised = store.open_of(cases)
        serial = _Serials(store, year=moment(now).astimezone(SHANGHAI).year)
        for action in told:
            limit = action.limit
            if action.kind == "CLOCK_WARN":
                writing.tell(limit, Occasion.WARNING, rung=action.rung)
            elif action.kind == "OVERDUE":
                if (*limit.key, str(Occasion.OVERDUE), "", limit.due) not in overdue:
                    writing.tell(limit, Occasion.OVERDUE)
                self._missed(writing, supervised, limit, serial)
            else:
                self._lifted(writing, supervised, limit.key)
        for key in gone:
            self._lifted(writing, supervised, key)
        return writing.flush(transaction)

    def aim(self, transaction: Transaction, told: Mapping[str, Told], *, now: int) -> None:
        """Watch the service targets of these cases, by all that is known of them."""
        if self._targets:
            found = {case: targets.aims(self._targets, handoffs, facts) for case, (handoffs, facts) in told.items()}
            ours = {case: [one for one in row if self._is_office(one.office)] for case, row in found.items()}
            aims.follow(transaction, ours, now=now)

    def next_at(self, transaction: Transaction) -> int | None:
        """When time brings the next step of a supervision, or the next word of a service target."""
        moments = (Store(transaction).next_at(), aims.next_at(transaction))
        return min((moment for moment in moments if moment is not None), default=None)

    def live(self, transaction: Transaction, *, now: int) -> list[Note]:
        """The steps that time has brought by `now`, each once."""
        writing = Writing(self._author, now)
        rules = self._author.rules
        for supervision in Store(transaction).due(now, at_most=AT_ONCE):
            act = rules.due(supervision, now=now)
            if act is not None:
                writing.step(rules.moved(supervision, act, now=now), act)
        watched = [one.tell(now) for one in aims.due(transaction, now, at_most=AT_ONCE)]
        for aim, occasion in watched:
            if occasion is not None:
                writing.tell_target(aim, occasion)
        aims.put(transaction, [aim for aim, _ in watched])
        return writing.flush(transaction)

    def replies(self, transaction: Transaction, replies: Mapping[str, Reply], *, now: int) -> list[Note]:
        """Take replies, by eid. One that can have no effect is logged with the number of the reason and kept as it was signed."""
        if not replies:
            return []
        writing = Writing(self._author, now)
        known = Store(transaction).some({reply.supervision for reply in replies.values()})
        for eid, reply in replies.items():
            supervision = known.get(reply.supervision)
            number = _unheard(supervision, reply)
            if supervision is None or number:
                case = supervision.case_id if supervision is not None else ""
                writing.notes.append(Note("REPLY", case, eid, f"{reply.supervision}:{reply.act}:{number}"))
                continue
            after = self._author.rules.replied(
                supervision, Act(reply.act), of_latest=reply.of == supervision.demanded, now=now
            )
            writing.heard(after, reply, eid=eid)
            known[after.id] = after
        return writing.flush(transaction)

    def order(self, transaction: Transaction, order: Order, *, now: int) -> tuple[Supervision, list[Note]]:
        """Carry out an order. The same order by the same officer again is the same step.

        Errors: SUPERVISION_NOT_FOUND, SUPERVISION_STATE, SUPERVISION_LIFTED, DISCARD_UNFOUNDED, ESCALATION_EXHAUSTED.
        """
        store = Store(transaction)
        before = store.one(order.supervision)
        if before is None:
            raise failure(Reason.SUPERVISION_NOT_FOUND, supervision=order.supervision)
        if _is_last(store, order):
            return before, []
        rules = self._author.rules
        if order.act is Act.ESCALATE and before.state is State.EXPLAINED and rules.is_at_top(before):
            raise failure(Reason.ESCALATION_EXHAUSTED, supervision=before.id, whom=rules.whom(before))
        after = rules.moved(before, order.act, now=now, days=order.days)
        if order.reason in UNFOUNDED_UNLESS_LIFTED and not before.lifted:
            raise failure(Reason.DISCARD_UNFOUNDED, supervision=before.id)
        writing = Writing(self._author, now)
        after = writing.step(after, order.act, by=order.by, reason=order.reason or "", remark=order.remark)
        return after, writing.flush(transaction)

    def _is_told(self, action: Action) -> bool:
        bearer = (action.limit.bearer_agency, action.limit.bearer_office)
        return action.kind != "CLOCK_LAPSED" and self._is_office(bearer)

    def _is_office(self, end: tuple[str, str]) -> bool:
        """Whether an agency of the city can be told: a party's right has no office, another city has its own gateway."""
        return end[0] in set(PARTIES) and office(*end).city.token == self._author.city

    def _missed(self, writing: Writing, supervised: dict[Key, Supervision], limit: Limit, serial: _Serials) -> None:
        known = supervised.get(limit.key)
        if known is None:
            made = drafted(limit, id=serial.next(), now=writing.now)
            supervised[limit.key] = writing.step(made, Act.DRAFT)
        elif known.lifted:
            # The dates may be others than those it was drafted for.
            known = replace(
                known, due=limit.due, safe_due=limit.safe_due, overdue_from=limit.overdue_from, calendar=limit.calendar
            )
            restored = self._author.rules.moved(known, Act.RESTORE, now=writing.now)
            supervised[limit.key] = writing.step(restored, Act.RESTORE)

    def _lifted(self, writing: Writing, supervised: dict[Key, Supervision], key: Key) -> None:
        known = supervised.get(key)
        if known is not None and not known.lifted:
            lifted = self._author.rules.moved(known, Act.LIFT, now=writing.now)
            supervised[key] = writing.step(lifted, Act.LIFT)


class _Serials:
    """Gives numbers within a year, from the last one given on. One writer, so none is given twice."""

    def __init__(self, store: Store, *, year: int) -> None:
        self._store = store
        self._year = year
        self._last: int | None = None

    def next(self) -> str:
        last = self._store.last_serial(self._year) if self._last is None else self._last
        self._last = last + 1
        return f"{self._year}-{self._last}"


def _unheard(supervision: Supervision | None, reply: Reply) -> str:
    """The number of the reason for which a reply has no effect; empty when it has."""
    ours = supervision is not None and (supervision.agency, supervision.office) == (
        reply.sender.agency,
        reply.sender.office,
    )
    if supervision is None or not ours:
        return Reason.SUPERVISION_NOT_FOUND.number
    return Reason.SUPERVISION_STATE.number if supervision.state in (*FINAL, State.DRAFTED) else ""


def _is_last(store: Store, order: Order) -> bool:
    last = store.last_step(order.supervision)
    if last is None or (last[0].act, last[0].by) != (order.act, order.by):
        return False
    demand = canonical.read(stored_payload(last[1]), Notice).demand
    return demand is not None and (demand.remark, demand.reason) == (order.remark, order.reason or "")

"""Headers and receipts off the bus become rows, cases, limits and log entries: one transaction a batch, acknowledged after it.

Nothing here blocks a case: what the procedure forbids is recorded as a violation, what cannot be trusted is refused with a reason and
without its content. Results do not depend on the order of arrival: the cases that a batch touches are worked out anew from all their
statements (`course`) and only the difference to what is stored is written and logged, once.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from services.chassis import faults, telemetry
from services.chassis.bus import Incoming, Verdict
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.gateway.clocks import Limit, plan, standing
from services.gateway.course import RANK, Course, Fact, Handoff, Violation, course, fact_order
from services.gateway.log import Note, append
from services.gateway.reckoning import limit_of
from services.gateway.store import Refusal, Statement, Store
from xieban import ids, subjects
from xieban.agency import office
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Header, Receipt
from xieban.marshal import micros
from xieban.procedure import table
from xieban.seal import Directory
from xieban.statement import open_header, open_receipt

logger = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

_Event = tuple[tuple[int, int, int, str], Note]
LATEST = 4_102_444_800_000_000  # the year 2100, in microseconds


@dataclass(slots=True)
class _Batch:
    """What a batch of messages says, before the database is asked about any of it."""

    statements: dict[str, Statement] = field(default_factory=dict)
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)


class Ingest:
    """The gateway's reader of the stream. `batch` is the handler for `Bus.consume`."""

    def __init__(
        self, database: Database, *, directory: Directory, clock: Clock, owe: Callable[[str, list[str]], None]
    ) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._owe = owe
        self._last = clock.ticks()

    def quiet_for(self) -> float:
        """Technical seconds since anything came: while much comes, we may be catching up."""
        return self._clock.ticks() - self._last

    async def batch(self, messages: Sequence[Incoming]) -> list[Verdict]:
        """Take everything that can be trusted, durably; then say so to its authors."""
        if telemetry.enabled():
            for message in messages:
                with telemetry.continued(message.headers), tracer.start_as_current_span("gateway.ingest"):
                    pass
        read = self._read(messages)
        async with self._database.transaction() as transaction:
            now = micros(self._clock.now())
            store = Store(transaction)
            notes = await _record(store, read, now=now)
            await append(transaction, notes, at=now, beside=store.writes())
            faults.point("G1")
        faults.point("G2")
        self._last = self._clock.ticks()
        held: dict[str, list[str]] = defaultdict(list)
        for statement in read.statements.values():
            held[statement.agency].append(statement.eid)
        for author, eids in held.items():
            self._owe(author, eids)
        return read.verdicts

    def _read(self, messages: Sequence[Incoming]) -> _Batch:
        batch = _Batch()
        for message in messages:
            try:
                self._open(message, batch)
                batch.verdicts.append(Verdict.ACK)
            except XiebanError as error:
                # Never by eid: a forgery bears the eid of what it imitates.
                name = hashlib.sha256(message.data).hexdigest()
                batch.refusals[name] = Refusal(digest=name, subject=message.subject[:200], number=error.reason.number)
                batch.verdicts.append(Verdict.DEAD)
                logger.warning("statement refused", extra={"reason": error.reason.name, "subject": message.subject})
        return batch

    def _open(self, message: Incoming, batch: _Batch) -> None:
        address = subjects.parse(message.subject)
        if address is None:
            raise failure(Reason.FIELD_INVALID, field="subject", detail="不是平台的通道")
        at = micros(message.published_at)
        if address.what == "handoff":
            sealed, header = open_header(message.data, address=address, directory=self._directory)
            ids.case_id(header.case.id)
            for end in (header.sender, header.receiver):
                office(end.agency, end.office)
            dossier = header.dossier
            _bound(header.sent_at, *(act.at for act in header.acts))
            _bound(header.inc, header.lane.seq, dossier.files, dossier.bytes, dossier.pages)
            batch.handoffs[sealed.eid] = _handoff_of(sealed.eid, header)
            author: Header | Receipt = header
        else:
            sealed, receipt = open_receipt(message.data, address=address, directory=self._directory)
            _bound(receipt.inc, receipt.at, *(fact.at for fact in receipt.facts))
            batch.facts[sealed.eid] = _facts_of(sealed.eid, receipt)
            author = receipt
        batch.statements.setdefault(
            sealed.eid,
            Statement(
                eid=sealed.eid, type=sealed.type, agency=author.sender.agency, inc=author.inc, id=author.id,
                sealed=message.data, published_at=at,
            ),
        )  # fmt: skip


async def _record(store: Store, batch: _Batch, *, now: int) -> list[Note]:
    """Gather what is new of the batch, and everything that follows from it; return what is to be logged."""
    known = await store.known(
        eids=batch.statements.keys(),
        ids={statement.id for statement in batch.statements.values()},
        digests=batch.refusals.keys(),
        of={fact.of for facts in batch.facts.values() for fact in facts},
    )
    refusals = [refusal for digest, refusal in batch.refusals.items() if digest not in known.refused]
    notes = [Note("REFUSED", "", refusal.digest, refusal.number) for refusal in refusals]
    held: list[str] = []
    new: list[Statement] = []
    names = dict(known.names)
    for eid, statement in batch.statements.items():
        if eid in known.eids:
            continue
        if names.setdefault(statement.name, eid) == eid:
            held.append(eid)
            new.append(statement)
            continue
        new.append(replace(statement, equivocal=True))
        case = batch.handoffs[eid].case_id if eid in batch.handoffs else ""
        notes.append(Note("EQUIVOCATION", case, eid, Reason.EQUIVOCATION.number))
        refusals.append(Refusal(digest=eid, subject=statement.agency, number=Reason.EQUIVOCATION.number))
    handoffs = [batch.handoffs[eid] for eid in held if eid in batch.handoffs]
    facts = [fact for eid in held for fact in batch.facts.get(eid, ())]
    store.statements_add(new)
    store.refused_add(refusals, at=now)
    store.handoffs_add(handoffs)
    store.facts_add(facts)
    here = known.cases | {handoff.eid: handoff.case_id for handoff in handoffs}
    cases = {handoff.case_id for handoff in handoffs} | {here[fact.of] for fact in facts if fact.of in here}
    return notes + await _follow(store, cases, handoffs, facts, now=now)


async def _follow(
    store: Store, cases: set[str], new_handoffs: Sequence[Handoff], new_facts: Sequence[Fact], *, now: int
) -> list[Note]:
    """Work the touched cases out anew and gather the differences."""
    if not cases:
        return []
    stored = await store.cases(cases, arriving={handoff.eid for handoff in new_handoffs})
    everything = {handoff.eid: handoff for handoff in (*stored.handoffs, *new_handoffs)}
    facts = stored.facts + [fact for fact in new_facts if fact.of in everything]
    handoffs_by_case: dict[str, list[Handoff]] = defaultdict(list)
    facts_by_case: dict[str, list[Fact]] = defaultdict(list)
    for handoff in everything.values():
        handoffs_by_case[handoff.case_id].append(handoff)
    for fact in facts:
        facts_by_case[everything[fact.of].case_id].append(fact)
    courses = {case: course(handoffs_by_case[case], facts_by_case[case], table()) for case in sorted(cases)}
    events = _lodged(new_handoffs) + _stated(everything, facts, new_handoffs, new_facts)
    notes = [note for _, note in sorted(events, key=lambda event: event[0])]
    store.cases_put(courses)
    states = {eid: state for item in courses.values() for eid, state in item.states.items()}
    store.handoff_states({eid: state for eid, state in states.items() if everything[eid].state != state})
    notes += _limits(store, stored.limits, courses, now=now)
    notes += _violations(store, stored.violations, courses)
    return notes


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


def _limits(
    store: Store, stored: dict[tuple[str, str, str], Limit], courses: dict[str, Course], *, now: int
) -> list[Note]:
    """Start, stop, move and void limits. One that ended is judged here, however late we learn of it.

    One that still runs is declared overdue by the watch alone: while we catch up, its end may be in the next batch.
    """
    wanted = {limit.key: limit for case, item in courses.items() for limit in (limit_of(case, s) for s in item.spans)}
    notes: list[Note] = []
    judged: list[Limit] = []
    changed: dict[tuple[str, str, str], Limit] = {}
    for key, limit in wanted.items():
        before = stored.get(key)
        after = replace(limit, overdue_logged=before is not None and before.overdue_logged)
        if after.ended_at is not None or after.overdue_logged:
            after = replace(after, state=standing(after, now=now))
            judged.append(after)
        changed[key] = after
        notes += _differences(before, after)
    gone = [key for key in stored if key not in wanted]
    notes += [Note("CLOCK_VOID", case, eid, rule) for case, rule, eid in gone]
    for action in plan(now, judged):
        changed[action.limit.key] = action.limit
        notes.append(Note(action.kind, action.limit.case_id, action.limit.start_eid, action.limit.rule))
    store.limits_drop(gone)
    store.limits_put([limit for limit in changed.values() if limit != stored.get(limit.key)])
    return notes


def _differences(before: Limit | None, after: Limit) -> list[Note]:
    notes: list[Note] = []
    if before is None:
        notes.append(Note("CLOCK_START", after.case_id, after.start_eid, after.rule))
    elif (before.due, before.started_at) != (after.due, after.started_at):
        notes.append(Note("CLOCK_CHANGE", after.case_id, after.start_eid, after.rule))
    if after.ended_at is None and before is not None and before.ended_at is not None:
        notes.append(Note("CLOCK_RESUME", after.case_id, before.end_eid, after.rule))
    elif after.ended_at is not None and (before is None or before.ended_at != after.ended_at):
        notes.append(Note("CLOCK_STOP", after.case_id, after.end_eid, after.rule))
    return notes


def _violations(store: Store, stored: dict[str, set[Violation]], courses: dict[str, Course]) -> list[Note]:
    new: list[tuple[str, Violation]] = []
    gone: list[tuple[str, Violation]] = []
    for case, item in courses.items():
        new += [(case, violation) for violation in sorted(item.violations - stored[case])]
        gone += [(case, violation) for violation in sorted(stored[case] - item.violations)]
    store.violations_change(new=new, gone=gone)
    return [Note("VIOLATION", case, item.eid, item.number) for case, item in new] + [
        Note("VIOLATION_LIFTED", case, item.eid, item.number) for case, item in gone
    ]


def _handoff_of(eid: str, header: Header) -> Handoff:
    return Handoff(
        eid=eid,
        case_id=header.case.id,
        kind=header.kind,
        outcome=header.outcome,
        stage=header.case.stage,
        sender=(header.sender.agency, header.sender.office),
        receiver=(header.receiver.agency, header.receiver.office),
        lane_seq=header.lane.seq,
        lane_prev=header.lane.prev,
        refers=tuple(header.re),
        acts=tuple(header.acts),
        files=header.dossier.files,
        pages=header.dossier.pages,
        sent_at=header.sent_at,
    )


def _facts_of(eid: str, receipt: Receipt) -> list[Fact]:
    return [
        Fact(
            receipt=eid, position=position, of=fact.of, kind=fact.kind, at=fact.at, defects=tuple(fact.defects),
            answer=fact.answer, author=receipt.sender.agency, addressee=receipt.receiver.agency,
        )
        for position, fact in enumerate(receipt.facts)
    ]  # fmt: skip


def _bound(*numbers: int) -> None:
    """No number that the calendar or the database could not hold: one would fail its whole batch for ever."""
    if not all(0 <= number < LATEST for number in numbers):
        raise failure(Reason.FIELD_INVALID, field="at", detail="时间或者数量超出范围")

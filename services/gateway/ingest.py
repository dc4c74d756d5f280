"""Headers, receipts and replies off the bus become rows, cases, limits and log entries: one transaction a batch, acknowledged after it.

Nothing here blocks a case: what the procedure forbids is recorded as a violation, what cannot be trusted is refused with a reason and
without its content. What follows for the cases that a batch touches is worked out in `follow`, whatever the order of arrival.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.chassis import faults, telemetry
from services.chassis.bus import Incoming, Verdict
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway import promises
from services.gateway.clocks import DEFAULT
from services.gateway.follow import Follower
from services.gateway.log import OF_HANDOFFS, Note, append, size, told
from services.gateway.outbox import nothing_to_send
from services.gateway.reckoning import Reckoner
from services.gateway.record import Fact, Handoff
from services.gateway.store import Refusal, Statement, Store
from services.gateway.supervision.desk import Desk
from xieban import ids, subjects
from xieban.agency import office
from xieban.approval import Officers
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Header, Logged, Receipt
from xieban.marshal import micros, sealed_from_bytes
from xieban.notice import Reply
from xieban.procedure import table
from xieban.seal import Directory
from xieban.statement import open_header, open_notice, open_receipt, open_reply

logger = logging.getLogger(__name__)

LATEST = 4_102_444_800_000_000  # the year 2100, in microseconds


class Owe(Protocol):
    """Notes what an agency is to be told in a ticket: which of its statements are held, and its handoffs' entries of the log."""

    def __call__(self, audience: str, eids: Iterable[str], logged: Iterable[Logged] = ()) -> None: ...


@dataclass(slots=True)
class _Batch:
    """What a batch of messages says, before the database is asked about any of it."""

    statements: dict[str, Statement] = field(default_factory=dict)
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    ended: dict[str, Incoming] = field(default_factory=dict)
    """Refused because their key has ended; by the refusal's name."""
    verdicts: list[Verdict] = field(default_factory=list)


class Ingest:
    """The gateway's reader of the stream. `batch` is the handler for `Bus.consume`."""

    def __init__(
        self,
        database: Database,
        *,
        directory: Directory,
        clock: Clock,
        owe: Owe,
        officers: Officers,
        follower: Follower | None = None,
        desk: Desk | None = None,
        committed: Callable[[], None] = nothing_to_send,
    ) -> None:
        """`desk` takes replies; `committed` is called when there is something to send."""
        self._database = database
        self._desk = desk
        self._committed = committed
        self._directory = directory
        self._officers = officers
        self._clock = clock
        self._owe = owe
        self._follower = follower or Follower(Reckoner(), DEFAULT)
        self._last = clock.ticks()

    def quiet_for(self) -> float:
        """Technical seconds since anything came: while much comes, we may be catching up."""
        return self._clock.ticks() - self._last

    async def batch(self, messages: Sequence[Incoming]) -> list[Verdict]:
        """Take everything that can be trusted, durably; then say so to its authors."""
        if telemetry.enabled():
            for message in messages:
                with telemetry.span("gateway.ingest", message.headers):
                    pass
        read = self._read(messages, index=await self._database.read(size))
        if read.ended:
            await self._reopen(read)
        notes, promised = await self._database.write(lambda transaction: self._take(transaction, read))
        faults.point("G2")
        self._last = self._clock.ticks()
        if any(note.kind == "NOTICE" for note in notes):
            self._committed()
        held: dict[str, list[str]] = defaultdict(list)
        for statement in read.statements.values():
            held[statement.agency].append(statement.eid)
        for agency in {**held, **promised}:
            self._owe(agency, held.get(agency, ()), promised.get(agency, ()))
        return read.verdicts

    def _take(self, transaction: Transaction, read: _Batch) -> tuple[list[Note], dict[str, list[Logged]]]:
        now = micros(self._clock.now())
        before = size(transaction)
        notes, known = _record(Store(transaction), read, self._follower, self._desk, now=now)
        append(transaction, notes, at=now)
        promised = promises.made(transaction, after=before, again=_repeated(read, known))
        faults.point("G1")
        return notes, promised

    def _read(self, messages: Sequence[Incoming], *, index: int) -> _Batch:
        """What can be trusted. Keys are judged at `index`: what is taken now is logged there or later."""
        batch = _Batch()
        for message in messages:
            try:
                self._open(message, batch, self._directory, index)
                batch.verdicts.append(Verdict.ACK)
            except XiebanError as error:
                # Never by eid: a forgery bears the eid of what it imitates.
                name = hashlib.sha256(message.data).hexdigest()
                batch.refusals[name] = Refusal(digest=name, subject=message.subject[:200], number=error.reason.number)
                batch.verdicts.append(Verdict.DEAD)
                if error.reason is Reason.KEY_OUT_OF_SPAN:
                    batch.ended[name] = message
                logger.warning("statement refused", extra={"reason": error.reason.name, "subject": message.subject})
        return batch

    async def _reopen(self, batch: _Batch) -> None:
        """What was taken while its key still counted is a repetition: its author is told so again, and it is no refusal."""
        eids = {name: sealed_from_bytes(message.data).eid for name, message in batch.ended.items()}
        known = await self._database.read(
            lambda tx: Store(tx).known(eids=set(eids.values()), ids=(), digests=(), of=()).eids
        )
        for name, message in batch.ended.items():
            if eids[name] in known:
                self._open(message, batch, self._directory.archive(), None)
                del batch.refusals[name]

    def _open(self, message: Incoming, batch: _Batch, directory: Directory, index: int | None) -> None:
        address = subjects.parse(message.subject)
        if address is None:
            raise failure(Reason.FIELD_INVALID, field="subject", detail="不是平台的通道")
        at = micros(message.published_at)
        if address.what == "handoff":
            sealed, header = open_header(message.data, address=address, directory=directory, index=index)
            ids.case_id(header.case.id)
            for end in (header.sender, header.receiver):
                office(end.agency, end.office)
            dossier = header.dossier
            _bound(header.sent_at, *(act.at for act in header.acts))
            _bound(*(time for clock in header.clocks for time in (clock.at, clock.until)))
            _bound(header.inc, header.lane.seq, dossier.files, dossier.bytes, dossier.pages)
            flaw = unapproved(header, self._officers, index=index)
            batch.handoffs[sealed.eid] = handoff_of(sealed.eid, header, unapproved=flaw)
            author: Header | Receipt | Reply = header
        elif address.what == "notice":
            open_notice(message.data, address=address, directory=directory)
            return  # our own word: it was kept before it was sent
        elif address.what == "reply":
            sealed, reply = open_reply(message.data, address=address, directory=directory, index=index)
            office(reply.sender.agency, reply.sender.office)
            _bound(reply.inc, reply.at)
            batch.replies[sealed.eid] = reply
            author = reply
        else:
            sealed, receipt = open_receipt(message.data, address=address, directory=directory, index=index)
            _bound(receipt.inc, receipt.at, *(fact.at for fact in receipt.facts))
            batch.facts[sealed.eid] = facts_of(sealed.eid, receipt)
            author = receipt
        batch.statements.setdefault(
            sealed.eid,
            Statement(
                eid=sealed.eid, type=sealed.type, agency=author.sender.agency, inc=author.inc, id=author.id,
                sealed=message.data, published_at=at,
            ),
        )  # fmt: skip


def _repeated(batch: _Batch, known: Collection[str]) -> set[tuple[str, str]]:
    """(author, header) of the statements that were held before: who repeats himself has not heard our word."""
    found: set[tuple[str, str]] = set()
    for eid in known:
        author = batch.statements[eid].agency
        found |= {(author, eid)} if eid in batch.handoffs else {(author, fact.of) for fact in batch.facts.get(eid, ())}
    return found


def _record(
    store: Store, batch: _Batch, follower: Follower, desk: Desk | None, *, now: int
) -> tuple[list[Note], frozenset[str]]:
    """Gather what is new of the batch, and everything that follows from it; return what is to be logged, and what was known."""
    known = store.known(
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
    replies = {eid: batch.replies[eid] for eid in held if eid in batch.replies}
    store.statements_add(new)
    store.refused_add(refusals, at=now)
    store.handoffs_add(handoffs)
    store.facts_add(facts)
    here = known.cases | {handoff.eid: handoff.case_id for handoff in handoffs}
    cases = {handoff.case_id for handoff in handoffs} | {here[fact.of] for fact in facts if fact.of in here}
    notes += _unlogged(store, follower.follow(store, cases, handoffs, facts, now=now))
    notes += desk.replies(store.transaction, replies, now=now) if desk is not None else []
    return notes, known.eids


def _unlogged(store: Store, notes: list[Note]) -> list[Note]:
    """Without what the log has told before: a statement whose row was lost comes again, and its entries are still there."""
    known = told(store.transaction, {note.eid for note in notes if note.kind in OF_HANDOFFS})
    return [note for note in notes if (note.kind, note.eid) not in known] if known else notes


def unapproved(header: Header, officers: Officers, *, index: int | None) -> str:
    """The number of the reason why its approvals do not hold at that index of the log, or why those it needs are not there; or empty."""
    kind = table().kinds.get(header.kind)
    try:
        officers.check(header, article=kind.approval if kind is not None else "", index=index)
    except XiebanError as error:
        return error.reason.number
    return ""


def handoff_of(eid: str, header: Header, *, unapproved: str) -> Handoff:
    """The row of a header."""
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
        clocks=tuple(header.clocks),
        dues=tuple(header.dues),
        unapproved=unapproved,
    )


def facts_of(eid: str, receipt: Receipt) -> list[Fact]:
    """The rows of a receipt's facts."""
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

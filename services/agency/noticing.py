"""What the gateway tells this agency of its limits, and what the agency's people do about a supervision: sign for it, explain.

A notice that was taken is durable before the gateway is told so; a reply is sealed, kept and owed in one transaction. Which steps are
legal is `xieban.supervision`'s. A notice starts nothing here and changes no case.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.agency import notices, outbox, store
from services.agency.desk import Arrival, Desk
from services.agency.notices import Matter
from services.agency.receiving import digest_of
from services.agency.repeats import reopened
from services.chassis import faults
from services.chassis.database import Transaction
from services.relay import Parcel
from xieban import subjects
from xieban.agency import Agency, office
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Node, Party
from xieban.marshal import micros, sealed_to_bytes
from xieban.notice import NOTICE_VERSION, SCOPE, Demand, Notice, Occasion, Reply, check_explanation, short_text
from xieban.seal import Directory
from xieban.statement import open_notice, seal_reply
from xieban.subjects import parse
from xieban.supervision import OPEN, Act, Cause, Measure, State, heard, officer, step, supervision_id

DEMANDS = frozenset({Occasion.ISSUED, Occasion.RETURNED, Occasion.ESCALATED, Occasion.RESTORED})


@dataclass(frozen=True, slots=True)
class Word:
    """What a person of the agency says about a supervision; nothing but `by` for a signature."""

    supervision: str
    act: Act
    by: str
    cause: Cause | None = None
    measures: tuple[Measure, ...] = ()
    expected: str = ""
    text: str = ""


class Noticing:
    """The desk's ear for notices, and its voice about them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Take notices off the bus. When this returns, each is durable, known already, or refused for good."""
        opened: list[tuple[Arrival, str, Notice]] = []
        refused: list[tuple[Arrival, XiebanError]] = []
        for arrival in arrivals:
            try:
                opened.append((arrival, *self._open(arrival, self._desk.directory)))
            except XiebanError as error:
                refused.append((arrival, error))
        again, refused = await reopened(self._desk, refused, open=self._open, known=notices.known)
        opened += [(arrival, *value) for arrival, value in again]
        held = await self._desk.database.write(lambda tx: self._receive(tx, opened, refused))
        faults.point("R2")
        if held:
            self._desk.owe(Agency.GATEWAY, held)
            self._desk.committed()

    def _open(self, arrival: Arrival, directory: Directory) -> tuple[str, Notice]:
        address = parse(arrival.subject)
        if address is None or (address.city, address.receiver) != (self._desk.me.city, self._desk.me.agency):
            raise failure(Reason.FIELD_INVALID, field="subject", detail="通道名称不合规范")
        sealed, notice = open_notice(arrival.data, address=address, directory=directory)
        to = notice.receiver
        if office(to.agency, to.office).city.token != self._desk.me.city:
            raise failure(Reason.OFFICE_UNKNOWN, office=f"{to.agency}-{to.office}"[:40])
        return sealed.eid, notice

    def _receive(
        self,
        tx: Transaction,
        opened: Sequence[tuple[Arrival, str, Notice]],
        refused: Sequence[tuple[Arrival, XiebanError]],
    ) -> list[str]:
        """Eids that are held here afterwards, new or not."""
        at = micros(self._desk.clock.now())
        known = notices.known(tx, [eid for _, eid, _ in opened])
        names = notices.received_as(tx, {notice.id for _, _, notice in opened})
        rows: list[tuple[str, Notice, bytes]] = []
        refusals = [(digest_of(a.data), a.subject, error.reason.name, at) for a, error in refused]
        held: list[str] = []
        for arrival, eid, notice in opened:
            if eid not in known and names.setdefault((notice.inc, notice.id), eid) != eid:
                refusals.append((eid, arrival.subject, Reason.EQUIVOCATION.name, at))
                continue
            held.append(eid)
            if eid in known:
                continue
            known.add(eid)
            rows.append((eid, notice, arrival.data))
        tx.many(*notices.insert(rows, at=at))
        touched = sorted({notice.demand.id for _, notice, _ in rows if notice.demand is not None})
        tx.many(*notices.matters_put([_matter(tx, supervision) for supervision in touched]))
        tx.many(*store.refused_insert(refusals))
        faults.point("R1")
        return held

    async def act(self, words: Sequence[Word]) -> list[Matter | Exception]:
        """Sign for supervisions, or explain them; one refusal does not touch its neighbours. The same word again is the same reply.

        Errors: FIELD_INVALID, TEXT_FORBIDDEN, SECRET_MARK in form, before anything is written; SUPERVISION_NOT_FOUND, SUPERVISION_STATE.
        """
        results, parcels = await self._desk.database.write(lambda tx: self._act(tx, [_checked(word) for word in words]))
        faults.point("S2")
        self._desk.carry(parcels)
        return results

    def _act(
        self, tx: Transaction, words: Sequence[Word | XiebanError]
    ) -> tuple[list[Matter | Exception], list[Parcel]]:
        results: list[Matter | Exception] = []
        parcels: list[Parcel] = []
        for word in words:
            try:
                if isinstance(word, XiebanError):
                    raise word
                matter, owed = self._say(tx, word)
            except XiebanError as error:
                results.append(error)
            else:
                results.append(matter)
                parcels += owed
        faults.point("S1")
        return results, parcels

    def _say(self, tx: Transaction, word: Word) -> tuple[Matter, list[Parcel]]:
        matter = notices.matters(tx, [word.supervision]).get(word.supervision)
        if matter is None:
            raise failure(Reason.SUPERVISION_NOT_FOUND, supervision=word.supervision)
        said = notices.replies(tx, word.supervision)
        if said and _is_same(said[-1][1], word, matter):
            return matter, []
        state = step(matter.state, word.act, lifted=matter.lifted, supervision=matter.supervision)
        me = self._desk.me
        reply = Reply(
            v=NOTICE_VERSION,
            id=secrets.token_hex(12),
            sender=Party(city=me.city, agency=me.agency, office=matter.office),
            receiver=Node(city=me.city, agency=Agency.GATEWAY),
            inc=me.inc,
            at=micros(self._desk.clock.now()),
            of=matter.demanded,
            supervision=matter.supervision,
            act="explain" if word.act is Act.EXPLAIN else "acknowledge",
            by=word.by,
            cause=word.cause,
            measures=list(word.measures),
            expected=word.expected,
            text=word.text,
            scope=SCOPE,
        )
        sealed = seal_reply(reply, me.key)
        data = sealed_to_bytes(sealed)
        after = _replied(matter, state)
        tx.many(*notices.matters_put([after]))
        tx.many(*notices.replies_insert([(sealed.eid, matter.supervision, data)]))
        tx.many(*outbox.insert([(sealed.eid, Agency.GATEWAY, "reply", Agency.GATEWAY)]))
        parcel = Parcel(
            eid=sealed.eid,
            subject=subjects.reply(me.city, me.agency),
            data=data,
            audiences=frozenset({Agency.GATEWAY}),
            trace="",
        )
        return after, [parcel]


def matter_of(told: Sequence[tuple[str, Notice]], replies: Sequence[Reply]) -> Matter:
    """What the notices (eid, notice) of one supervision and our replies add up to, whatever the order in which notices came.

    Notices are gone through in the order of their steps, each reply after the demand it answers. What the gateway knew when it wrote may be
    older than our reply, so only an officer's verdict takes an explanation back; an escalation by time that crossed it does not.
    """
    matter: Matter | None = None
    for eid, notice in sorted(told, key=lambda row: row[1].demand.step if row[1].demand is not None else 0):
        if notice.demand is not None:
            matter = _next(matter, notice, notice.demand, eid=eid)
            for reply in replies:
                if reply.of == eid:
                    matter = _replied(matter, heard(matter.state, Act(reply.act), of_latest=True))
    assert matter is not None
    return matter


def _matter(tx: Transaction, supervision: str) -> Matter:
    held = [(one.eid, one.notice) for one in notices.of_supervision(tx, supervision)]
    return matter_of(held, [reply for _, reply in notices.replies(tx, supervision)])


def _next(before: Matter | None, notice: Notice, demand: Demand, *, eid: str) -> Matter:
    occasion = notice.occasion
    if before is None or occasion in (Occasion.RETURNED, Occasion.CLOSED):
        state = demand.state
    elif occasion is Occasion.ESCALATED and (demand.by or before.state in OPEN):
        state = State.ESCALATED
    else:
        state = before.state
    lifted = occasion is Occasion.LIFTED or (before is not None and before.lifted and occasion is not Occasion.RESTORED)
    asks = occasion in DEMANDS and bool(demand.reply_by)
    return Matter(
        supervision=demand.id,
        case_id=notice.case,
        office=notice.receiver.office,
        state=state,
        level=demand.level,
        whom=demand.whom,
        step=demand.step,
        reply_by=demand.reply_by if state in OPEN else "",
        lifted=lifted,
        demanded=eid if asks or before is None else before.demanded,
    )


def _replied(matter: Matter, state: State) -> Matter:
    return replace(matter, state=state, reply_by=matter.reply_by if state in OPEN else "")


def _checked(word: Word) -> Word | XiebanError:
    """A word in due form, or why it is not."""
    try:
        text = short_text(word.text, field="text")
        if word.act is Act.EXPLAIN:
            check_explanation(word.cause, list(word.measures), word.expected, text)
        return replace(word, supervision=supervision_id(word.supervision), by=officer(word.by), text=text)
    except XiebanError as error:
        return error


def _is_same(last: Reply, word: Word, matter: Matter) -> bool:
    """Whether the newest reply to the newest demand says just this."""
    if last.act != word.act or last.of != matter.demanded:
        return False
    if word.act is Act.ACKNOWLEDGE:
        return True  # somebody has signed: another signature changes nothing
    return (last.by, last.cause, tuple(last.measures), last.expected, last.text) == (
        word.by, word.cause, word.measures, word.expected, word.text,
    )  # fmt: skip

"""What an agency was told and told others: receipts, their facts as rows, states and events that follow from them, and the outbox."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from services.admin.fsck.basis import Basis
from services.admin.fsck.desk import Held
from services.admin.fsck.report import Book
from xieban.agency import Agency
from xieban.handoff import LADDER, Fact, State, climb
from xieban.statement import open_receipt
from xieban.subjects import Address

_RUNGS = tuple(LADDER)
_TARGETS = {kind: target for kind, (_, target) in LADDER.items()}
Owed = tuple[str, str, str, str]
"""eid, audience, what, receiver."""


@dataclass(slots=True)
class _Told:
    """Facts by receipt eid, and what is known of each receipt."""

    facts: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    box: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    heard_at: dict[str, int] = field(default_factory=dict)
    effective: dict[tuple[str, str], list[tuple[Fact, str]]] = field(default_factory=lambda: defaultdict(list))
    """By (eid, box of the handoff): facts that move it, each with its receipt."""
    owed: set[Owed] = field(default_factory=set)
    answered: set[tuple[str, str]] = field(default_factory=set)


def check(connection: sqlite3.Connection, basis: Basis, book: Book, held: Held) -> None:
    """Findings into `book`."""
    told = _Told()
    for (eid, box), one in held.handed.items():
        if box == "out":
            told.owed |= {(eid, audience, "handoff", one.receiver) for audience in (one.receiver, Agency.GATEWAY)}
    with book.reading("receipt"):
        (total,) = connection.execute("SELECT COUNT(*) FROM receipt").fetchone()
        for done, row in enumerate(connection.execute("SELECT * FROM receipt NOT INDEXED"), start=1):
            with book.reading("receipt", (row["box"], row["eid"])):
                _receipt(basis, book, held, told, row)
            if done % 64 == 0 or done == total:
                book.step("核对回执", done, total)
    with book.reading("receipt_fact"):
        _facts(connection, book, held, told)
    with book.reading("inbox_event"):
        _states(connection, book, held, told)
    with book.reading("reply"):
        for (eid,) in connection.execute("SELECT eid FROM reply NOT INDEXED"):
            told.owed.add((eid, Agency.GATEWAY, "reply", Agency.GATEWAY))
    with book.reading("outbox"):
        _outbox(connection, book, told)


def _receipt(basis: Basis, book: Book, held: Held, told: _Told, row: sqlite3.Row) -> None:
    key = (row["box"], row["eid"])
    ends = (basis.agency, row["peer"]) if row["box"] == "out" else (row["peer"], basis.agency)
    address = Address(basis.city, "receipt", *ends)
    sealed, receipt = open_receipt(row["sealed"], address=address, directory=basis.directory)
    book.expect(sealed.eid == row["eid"], "receipt", key, "编号不是报文的摘要")
    told.facts[sealed.eid] = receipt.facts
    told.box[sealed.eid].add(row["box"])
    if row["box"] == "out":
        book.expect(row["at"] == receipt.at, "receipt", key, "列 at 与签名的时间不符")
        told.owed |= {(sealed.eid, audience, "receipt", row["peer"]) for audience in (row["peer"], Agency.GATEWAY)}
    else:
        told.heard_at[sealed.eid] = row["at"]
    for fact in receipt.facts:
        about = held.handed.get((fact.of, "in" if row["box"] == "out" else "out"))
        if row["box"] == "out" and about is not None:
            told.effective[fact.of, "in"].append((fact, sealed.eid))
        elif row["box"] == "in" and about is not None and about.receiver == receipt.sender.agency:
            told.effective[fact.of, "out"].append((fact, sealed.eid))
            told.answered.add((fact.of, about.receiver))
    book.count("receipt")


def _facts(connection: sqlite3.Connection, book: Book, held: Held, told: _Told) -> None:
    found = set()
    for row in connection.execute("SELECT * FROM receipt_fact NOT INDEXED"):
        key = (row["eid"], row["kind"])
        found.add(key)
        columns = (row["eid"], row["kind"], row["at"], row["defects"], row["answer"])
        said = [
            (fact.of, fact.kind, fact.at, msgspec.json.encode(fact.defects).decode(), fact.answer)
            for fact in told.facts.get(row["receipt"], ())
        ]
        book.expect(columns in said, "receipt_fact", key, "与所据的回执不符，或者没有这份回执")
        book.count("receipt_fact")
    wanted = {(fact.of, fact.kind) for told_of in told.effective.values() for fact, _ in told_of}
    own = {(fact.of, fact.kind) for eid, boxes in told.box.items() if "out" in boxes for fact in told.facts[eid]}
    for key in (wanted | own) - found:
        book.find("receipt_fact", key, "缺少回执所说的这一项")


def _states(connection: sqlite3.Connection, book: Book, held: Held, told: _Told) -> None:
    """A handoff stands where its facts put it; every step was an event, at the time of the fact (ours) or of its receipt (theirs)."""
    events: dict[tuple[str, str], list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute("SELECT * FROM inbox_event NOT INDEXED ORDER BY seq"):
        book.expect((row["eid"], row["box"]) in held.handed, "inbox_event", row["seq"], "所指的流转不存在")
        events[row["eid"], row["box"]].append(row)
        book.count("inbox_event")
    for (eid, box), one in held.handed.items():
        facts = told.effective.get((eid, box), [])
        expected = State.SENT
        for fact, _ in sorted(facts, key=lambda pair: (pair[0].at, _RUNGS.index(pair[0].kind))):
            expected = climb(expected, fact.kind)
        book.expect(one.state is expected, "handoff", (box, eid), f"列 state 应为 {expected}，实为 {one.state}")
        steps = events.get((eid, box), [])
        last = steps[-1]["state"] if steps else State.SENT
        book.expect(last == one.state, "inbox_event", eid, "最后一步与流转的状态不符")
        book.expect(len({row["state"] for row in steps}) == len(steps), "inbox_event", eid, "同一步出现两次")
        if box == "in" and any(fact.kind == "complete" for fact, _ in facts):
            book.expect(eid in held.whole, "dossier", eid, "已签收完整的流转缺少案卷，或者案卷没有通过核验")
        for row in steps:
            times = {
                fact.at if box == "in" else told.heard_at[receipt]
                for fact, receipt in facts
                if _TARGETS[fact.kind] == row["state"]
            }
            book.expect(row["at"] in times, "inbox_event", row["seq"], "步骤或者时间与回执不符")


def _outbox(connection: sqlite3.Connection, book: Book, told: _Told) -> None:
    found = set()
    for row in connection.execute("SELECT * FROM outbox NOT INDEXED"):
        key = (row["eid"], row["audience"])
        owed = (*key, row["what"], row["receiver"])
        found.add(owed)
        book.expect(owed in told.owed, "outbox", key, "与所存的报文不符")
        book.expect(row["done"] in (0, 1), "outbox", key, "列 done 的值不合要求")
        book.expect(row["done"] == 1 or key not in told.answered, "outbox", key, "对方已有回执，列 done 应为 1")
        book.count("outbox")
    for owed in told.owed - found:
        book.find("outbox", owed[:2], "缺少应发给对方的这一行")

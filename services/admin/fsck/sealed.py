"""The gateway's statements: each verified again, and what is read off them one to one: handoffs, facts, notices, steps, outbox."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field

from services.admin.fsck import shadow
from services.admin.fsck.basis import Basis
from services.admin.fsck.report import Book
from services.chassis.database import Transaction
from services.gateway.ingest import facts_of, handoff_of
from services.gateway.record import Fact, Handoff
from services.gateway.store import Store
from xieban import canonical
from xieban.agency import Agency
from xieban.handoff import Header, Receipt
from xieban.marshal import sealed_from_bytes
from xieban.notice import KEPT, OCCASIONS, Notice, Occasion, Reply, check_notice
from xieban.seal import Sealed
from xieban.statement import open_header, open_notice, open_receipt, open_reply
from xieban.subjects import Address
from xieban.supervision import Act

AT_ONCE = 256
READ_OFF = ("handoff", "receipt_fact")


@dataclass(slots=True)
class Held:
    """Eids by standing and type; what log and steps are laid beside."""

    eids: set[str] = field(default_factory=set)
    lodged: dict[str, tuple[str, str]] = field(default_factory=dict)
    equivocal: set[str] = field(default_factory=set)
    notices: dict[str, Notice] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    names: dict[tuple[str, str, int, str], list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))


def check(connection: sqlite3.Connection, basis: Basis, book: Book) -> Held:
    """Findings into `book`; leaves handoffs and facts as the statements give them in the shadow tables."""
    held = Held()
    with book.reading("statement"):
        shadow.make(connection, READ_OFF, filled=False)
        _statements(connection, basis, book, held)
        for name, holders in held.names.items():
            count = sum(1 for _, standing in holders if standing == "held")
            book.expect(count == 1, "statement", name, "同一名称应有一份生效的报文")
    for table, without in (("handoff", ("state", "settled")), ("receipt_fact", ())):
        with book.reading(table):
            shadow.compare(connection, book, table, without=without)
    with book.reading("notice"):
        _notices(connection, book, held)
    with book.reading("supervision_step"):
        _steps(connection, book, held)
    with book.reading("outbox"):
        _outbox(connection, book, held)
    return held


def _statements(connection: sqlite3.Connection, basis: Basis, book: Book, held: Held) -> None:
    store = Store(Transaction(connection))
    handoffs: list[Handoff] = []
    facts: list[Fact] = []
    (total,) = connection.execute("SELECT COUNT(*) FROM statement").fetchone()
    rows = connection.execute("SELECT * FROM statement NOT INDEXED").fetchall()
    # Judged when it was taken, by the trust list of that day: its second copy in an index vouches for it.
    judged = dict(
        connection.execute("SELECT eid, unapproved FROM main.handoff NOT INDEXED WHERE unapproved <> ''").fetchall()
    )
    for done, row in enumerate(rows, start=1):
        with book.reading("statement", row["eid"]):
            sealed, said = _opened(row["sealed"], basis)
            named = (sealed.eid, sealed.type, said.sender.agency, said.inc, said.id)
            right = named == (row["eid"], row["type"], row["agency"], row["inc"], row["id"])
            book.expect(right, "statement", row["eid"], "列与签名的报文不符")
            held.eids.add(sealed.eid)
            held.names[named[1:]].append((sealed.eid, row["standing"]))
            if row["standing"] != "held":
                held.equivocal.add(sealed.eid)
            elif isinstance(said, Header):
                held.lodged[sealed.eid] = (said.case.id, said.kind)
                handoffs.append(handoff_of(sealed.eid, said, unapproved=judged.get(sealed.eid, "")))
            elif isinstance(said, Receipt):
                facts += facts_of(sealed.eid, said)
            elif isinstance(said, Notice):
                held.notices[sealed.eid] = said
            else:
                held.replies[sealed.eid] = said
            book.count("statement")
        if done % AT_ONCE == 0 or done == total:
            store.handoffs_add(handoffs)
            store.facts_add(facts)
            handoffs, facts = [], []
            book.step("核对报文", done, total)


def _opened(data: bytes, basis: Basis) -> tuple[Sealed, Header | Receipt | Notice | Reply]:
    """Verified as what it says it is: here no subject tells from whom to whom, so the payload does, and the key must be its author's."""
    sealed = sealed_from_bytes(data)
    if sealed.type == "header":
        header = canonical.decode(sealed.payload, Header)
        address = Address(basis.city, "handoff", header.sender.agency, header.receiver.agency)
        return open_header(data, address=address, directory=basis.directory)
    if sealed.type == "receipt":
        receipt = canonical.decode(sealed.payload, Receipt)
        address = Address(basis.city, "receipt", receipt.sender.agency, receipt.receiver.agency)
        return open_receipt(data, address=address, directory=basis.directory)
    if sealed.type == "notice":
        notice = canonical.decode(sealed.payload, Notice)
        if (
            notice.demand is not None and notice.demand.state in KEPT
        ):  # never on the bus, so no reader of the bus takes it
            basis.directory.verify(sealed, city=basis.city, agency=Agency.GATEWAY)
            check_notice(notice)
            return sealed, notice
        address = Address(basis.city, "notice", Agency.GATEWAY, notice.receiver.agency)
        return open_notice(data, address=address, directory=basis.directory)
    reply = canonical.decode(sealed.payload, Reply)
    address = Address(basis.city, "reply", reply.sender.agency, Agency.GATEWAY)
    return open_reply(data, address=address, directory=basis.directory)


def _notices(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    wanted = {eid: notice for eid, notice in held.notices.items() if notice.demand is None}
    for row in connection.execute("SELECT * FROM notice NOT INDEXED"):
        notice = wanted.pop(row["eid"], None)
        if notice is None:
            book.find("notice", row["eid"], "没有这份通知的报文")
            continue
        basis = notice.basis
        due = basis.safe_due if notice.occasion is Occasion.WARNING else basis.due
        expected = (
            row["eid"], notice.case, basis.rule, basis.start, basis.person, notice.occasion, notice.rung, due, notice.at,
        )  # fmt: skip
        book.expect(tuple(row) == expected, "notice", row["eid"], "列与签名的通知不符")
        book.count("notice")
    for eid in wanted:
        book.find("notice", eid, "缺少这份通知的行")


def _steps(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    wanted = {eid for eid, notice in held.notices.items() if notice.demand is not None}
    last: dict[str, sqlite3.Row] = {}
    told: dict[str, Notice] = {}
    for row in connection.execute("SELECT * FROM supervision_step NOT INDEXED ORDER BY supervision, step"):
        key = (row["supervision"], row["step"])
        notice, reply = held.notices.get(row["eid"]), held.replies.get(row["eid"])
        wanted.discard(row["eid"])
        if notice is not None and notice.demand is not None:
            demand = notice.demand
            columns = (demand.id, demand.step, demand.state, demand.level, notice.at, notice.at, demand.by)
            right = OCCASIONS.get(Act(row["act"])) is notice.occasion
            told[row["supervision"]] = notice
        elif reply is not None:
            columns = (
                reply.supervision,
                row["step"],
                row["state"],
                row["level"],
                reply.at,
                row["recorded_at"],
                reply.by,
            )
            right = row["act"] == reply.act
        else:
            book.find("supervision_step", key, "没有所据的报文")
            continue
        names = ("supervision", "step", "state", "level", "at", "recorded_at", "by")
        right = right and columns == tuple(row[name] for name in names)
        book.expect(right, "supervision_step", key, "列与签名的通知或者回复不符")
        earlier = last.get(row["supervision"])
        book.expect(row["step"] == (earlier["step"] + 1 if earlier else 1), "supervision_step", key, "步骤不连续")
        last[row["supervision"]] = row
        book.count("supervision_step")
    for eid in wanted:
        book.find("supervision_step", eid, "缺少这一步")
    for row in connection.execute("SELECT * FROM supervision NOT INDEXED"):
        step, notice = last.pop(row["id"], None), told.get(row["id"])
        if step is None or notice is None:
            book.find("supervision", row["id"], "没有办理步骤")
            continue
        basis, to = notice.basis, notice.receiver
        expected = (notice.case, basis.rule, basis.start, basis.person, to.agency, to.office, basis.started_at)
        names = ("case_id", "rule", "start_eid", "person", "agency", "office", "started_at")
        right = expected == tuple(row[name] for name in names)
        right = right and (row["state"], row["level"], row["step"]) == (step["state"], step["level"], step["step"])
        right = right and row["id"] == f"{row['year']}-{row['serial']}"
        book.expect(right, "supervision", row["id"], "列与签名的通知或者最后一步不符")
        book.count("supervision")
    for supervision in last:
        book.find("supervision", supervision, "缺少这件督办")


def _outbox(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    owed = {
        (eid, notice.receiver.agency)
        for eid, notice in held.notices.items()
        if notice.demand is None or notice.demand.state not in KEPT
    }
    for row in connection.execute("SELECT * FROM outbox NOT INDEXED"):
        key = (row["eid"], row["audience"])
        book.expect(key in owed, "outbox", key, "与所存的通知不符")
        book.expect(row["done"] in (0, 1), "outbox", key, "列 done 的值不合要求")
        owed.discard(key)
        book.count("outbox")
    for key in owed:
        book.find("outbox", key, "缺少应发给对方的这一行")

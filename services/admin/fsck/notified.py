"""What the gateway told an agency and promised it of the log, what the agency replied, and the checkpoints it cosigned or refused."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import suppress

from services.admin.fsck.basis import Basis
from services.admin.fsck.report import Book
from services.agency.promises import PROVEN, Promise, promise_of, promised
from services.agency.witness import note_of
from xieban import canonical
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import Header, LogView
from xieban.marshal import stored_payload
from xieban.statement import open_notice, open_reply, open_ticket
from xieban.subjects import Address


def check(connection: sqlite3.Connection, basis: Basis, book: Book) -> None:
    """Findings into `book`."""
    steps: dict[str, dict[int, tuple[str, str, str]]] = defaultdict(dict)
    with book.reading("notice"):
        for row in connection.execute("SELECT * FROM notice NOT INDEXED"):
            with book.reading("notice", row["eid"]):
                _notice(basis, book, row, steps)
    with book.reading("reply"):
        for row in connection.execute("SELECT * FROM reply NOT INDEXED"):
            with book.reading("reply", row["eid"]):
                address = Address(basis.city, "reply", basis.agency, Agency.GATEWAY)
                sealed, reply = open_reply(row["sealed"], address=address, directory=basis.directory)
                right = (sealed.eid, reply.supervision) == (row["eid"], row["supervision"])
                book.expect(right, "reply", row["eid"], "列与签名的回复不符")
                book.count("reply")
    with book.reading("matter"):
        for row in connection.execute("SELECT * FROM matter NOT INDEXED"):
            told = steps.pop(row["supervision"], {})
            newest = told.get(row["step"])
            right = newest is not None and row["step"] == max(told) and (row["case_id"], row["office"]) == newest[:2]
            book.expect(right, "matter", row["supervision"], "与所存的通知不符")
            demanded = {eid for _, _, eid in told.values()}
            book.expect(row["demanded"] in demanded, "matter", row["supervision"], "列 demanded 不是本督办的通知")
            book.count("matter")
        for supervision in steps:
            book.find("matter", supervision, "缺少这件督办")
    _seen(connection, basis, book)
    _promised(connection, basis, book)


def _promised(connection: sqlite3.Connection, basis: Basis, book: Book) -> None:
    """Every promise stands in the ticket it names, and every word of a ticket among the promises."""
    address = Address(basis.city, "ticket", Agency.GATEWAY, basis.agency)
    words: dict[int, set[Promise]] = {}
    with book.reading("ticket"):
        for row in connection.execute("SELECT * FROM ticket NOT INDEXED"):
            with book.reading("ticket", row["number"]):
                ticket = open_ticket(row["sealed"], address=address, directory=basis.directory)
                book.expect(ticket.at == row["promised_at"], "ticket", row["number"], "列 promised_at 与签名的凭据不符")
                words[row["number"]] = {promised(word) for word in ticket.logged}
                book.count("ticket")
    kept: set[Promise] = set()
    with book.reading("promise"):
        for row in connection.execute("SELECT * FROM promise NOT INDEXED"):
            with book.reading("promise", row["eid"]):
                one = promise_of(row)
                right = row["ticket"] == PROVEN or one in words.get(row["ticket"], ())
                book.expect(right, "promise", row["eid"], "与签名的凭据不符")
                kept.add(one)
                book.count("promise")
    for number, told in words.items():
        book.expect(told <= kept, "promise", number, "缺少凭据所载的承诺")


def _seen(connection: sqlite3.Connection, basis: Basis, book: Book) -> None:
    """What the node saw of the log: as its witness, and told by headers."""
    for table in ("witness_checkpoint", "witness_refusal"):
        with book.reading(table):
            for row in connection.execute(f"SELECT * FROM {table} NOT INDEXED"):
                with book.reading(table, row["size"]):
                    seen = basis.checkpoint(row["note"])
                    right = (seen.size, seen.root) == (row["size"], row["root"])
                    book.expect(right, table, row["size"], "列与日志签名的检查点不符")
                    book.count(table)
    with book.reading("witness_refusal"):
        for row in connection.execute("SELECT * FROM witness_refusal NOT INDEXED WHERE eid <> '' OR agency <> ''"):
            with book.reading("witness_refusal", row["size"]):
                told = _told(connection, row)
                right = told is not None and (told.size, bytes.fromhex(told.root)) == (row["size"], row["root"])
                book.expect(right, "witness_refusal", row["size"], "列 eid、agency 与签名的报文头不符")
    with book.reading("log_view"):
        for row in connection.execute("SELECT * FROM log_view NOT INDEXED"):
            with book.reading("log_view", row["eid"]):
                told = _told(connection, row)
                right = told == LogView(size=row["size"], root=row["root"], sig=row["sig"])
                book.expect(right, "log_view", row["eid"], "与签名的报文头不符")
                signed = told is not None and _is_signed(basis, told)
                book.expect(signed == row["is_signed"], "log_view", row["eid"], "列 is_signed 与日志的签名不符")
                book.count("log_view")


def _told(connection: sqlite3.Connection, row: sqlite3.Row) -> LogView | None:
    """What the header that a row names says of the log, if its author is the one the row names."""
    sql = "SELECT sealed FROM handoff NOT INDEXED WHERE eid = ? AND box = 'in' AND from_agency = ?"
    found = connection.execute(sql, (row["eid"], row["agency"])).fetchone()
    return canonical.read(stored_payload(found["sealed"]), Header).log if found is not None else None


def _is_signed(basis: Basis, told: LogView) -> bool:
    for name in {key.name for key in basis.logs}:
        with suppress(XiebanError):
            basis.checkpoint(note_of(told, origin=name))
            return True
    return False


def _notice(basis: Basis, book: Book, row: sqlite3.Row, steps: dict[str, dict[int, tuple[str, str, str]]]) -> None:
    address = Address(basis.city, "notice", Agency.GATEWAY, basis.agency)
    sealed, notice = open_notice(row["sealed"], address=address, directory=basis.directory)
    supervision, step = (notice.demand.id, notice.demand.step) if notice.demand is not None else ("", 0)
    expected = (
        sealed.eid, notice.inc, notice.id, notice.case, notice.receiver.office, notice.occasion, supervision, step,
    )  # fmt: skip
    names = ("eid", "inc", "notice_id", "case_id", "office", "occasion", "supervision", "step")
    wrong = [name for name, value in zip(names, expected, strict=True) if row[name] != value]
    book.expect(not wrong, "notice", row["eid"], f"列 {'、'.join(wrong)} 与签名的通知不符")
    if supervision:
        steps[supervision][step] = (notice.case, notice.receiver.office, sealed.eid)
    book.count("notice")

"""An agency's desk: headers and the columns read off them, dossiers and what the header commits to, lanes, document numbers, cases."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field

from services.admin.fsck.basis import Basis
from services.admin.fsck.report import Book
from services.agency.desk import entry_of
from services.agency.store import Entry
from xieban import canonical, dossier
from xieban.dossier import Manifest
from xieban.handoff import Header, State
from xieban.statement import open_header
from xieban.subjects import Address

NUMBERS = ("police", "procuratorate", "court")
FROM_HEADER = tuple(name for name in Entry.__slots__ if name not in ("seq", "client_ref", "state", "trace", "parked"))


@dataclass(frozen=True, slots=True)
class Handed:
    """What the other checks need of a handoff: no content."""

    case_id: str
    sender: str
    receiver: str
    lane_seq: int
    seq: int
    state: State
    parked: bool
    client_ref: str


@dataclass(slots=True)
class Held:
    """Handoffs by (eid, box), headers that were proven; eids with a whole dossier."""

    handed: dict[tuple[str, str], Handed] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    numbers: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))

    def box(self, box: str) -> dict[str, Handed]:
        return {eid: one for (eid, kind), one in self.handed.items() if kind == box}


def check(connection: sqlite3.Connection, basis: Basis, book: Book) -> Held:
    """Findings into `book`; what was proven for the checks that follow."""
    held = Held()
    with book.reading("handoff"):
        (total,) = connection.execute("SELECT COUNT(*) FROM handoff").fetchone()
        for done, row in enumerate(connection.execute("SELECT * FROM handoff NOT INDEXED"), start=1):
            with book.reading("handoff", (row["box"], row["eid"])):
                _handoff(connection, basis, book, held, row)
            if done % 64 == 0 or done == total:
                book.step("核对流转和案卷", done, total)
    with book.reading("dossier"):
        for (eid,) in connection.execute("SELECT eid FROM dossier NOT INDEXED"):
            book.expect(any((eid, box) in held.handed for box in ("out", "in")), "dossier", eid, "没有对应的流转")
        sql = "SELECT DISTINCT eid FROM dossier_file WHERE eid NOT IN (SELECT eid FROM dossier)"
        for (eid,) in connection.execute(sql):
            book.find("dossier_file", eid, "没有对应的案卷")
    for eid in held.box("out"):
        book.expect(eid in held.whole, "dossier", eid, "已发出的流转缺少案卷，或者案卷没有通过核验")
    with book.reading("lane"):
        _lanes(connection, book, held)
    with book.reading("client_ref"):
        _references(connection, book, held)
    with book.reading("case_file"):
        _cases(connection, book, held)
    return held


def _handoff(connection: sqlite3.Connection, basis: Basis, book: Book, held: Held, row: sqlite3.Row) -> None:
    key = (row["box"], row["eid"])
    address = Address(basis.city, "handoff", row["from_agency"], row["to_agency"])
    sealed, header = open_header(row["sealed"], address=address, directory=basis.directory)
    state = State(row["state"])
    expected = entry_of(header, sealed, box=row["box"], state=state, client_ref=row["client_ref"], trace=row["trace"])
    wrong = [name for name in FROM_HEADER if getattr(expected, name) != row[name]]
    book.expect(not wrong, "handoff", key, f"列 {'、'.join(wrong)} 与签名的报文头不符")
    author = header.sender.agency if row["box"] == "out" else header.receiver.agency
    book.expect(author == basis.agency, "handoff", key, "不是本机关发出或者收到的")
    held.handed[sealed.eid, row["box"]] = Handed(
        case_id=header.case.id,
        sender=header.sender.agency,
        receiver=header.receiver.agency,
        lane_seq=header.lane.seq,
        seq=row["seq"],
        state=state,
        parked=bool(row["parked"]),
        client_ref=row["client_ref"],
    )
    book.count("handoff")
    saved = connection.execute("SELECT salt, manifest FROM dossier NOT INDEXED WHERE eid = ?", (row["eid"],)).fetchone()
    if saved is not None and sealed.eid not in held.whole:
        with book.reading("dossier", row["eid"]):
            _dossier(connection, book, held, header, sealed.eid, saved)
    if row["box"] == "out" and saved is not None:
        named = hashlib.sha256(saved["salt"] + row["client_ref"].encode("utf-8", "replace")).hexdigest()
        book.expect(named == header.client_ref_hash, "handoff", key, "列 client_ref 与签名的文号摘要不符")
    elif row["box"] == "in":
        book.expect(row["client_ref"] == "", "handoff", key, "收到的流转不应有文号")


def _dossier(
    connection: sqlite3.Connection, book: Book, held: Held, header: Header, eid: str, saved: sqlite3.Row
) -> None:
    files = connection.execute(
        "SELECT number, content FROM dossier_file WHERE eid = ? ORDER BY number", (eid,)
    ).fetchall()
    book.expect(
        [file["number"] for file in files] == list(range(1, len(files) + 1)), "dossier_file", eid, "文件序号不连续"
    )
    contents = [file["content"] for file in files]
    manifest = dossier.verify(header.dossier, salt=saved["salt"], manifest=saved["manifest"], contents=contents)
    held.whole.add(eid)
    held.numbers[header.case.id] |= _numbers(manifest)
    book.count("dossier")
    book.count("dossier_file", len(files))


def _numbers(manifest: Manifest) -> set[tuple[str, str]]:
    return {(name, getattr(manifest.case_numbers, name)) for name in NUMBERS}


def _lanes(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    expected: dict[tuple[str, str, str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (eid, box), one in held.handed.items():
        if not one.parked:
            expected[one.case_id, one.sender, one.receiver, box][one.lane_seq].add(eid)
    found: dict[tuple[str, str, str, str], int] = {}
    for row in connection.execute("SELECT * FROM lane NOT INDEXED"):
        key = (row["case_id"], row["from_agency"], row["to_agency"], row["box"])
        found[key] = row["seq"]
        places = expected.get(key, {})
        right = bool(places) and row["seq"] == max(places) and row["head"] in places[row["seq"]]
        book.expect(right, "lane", key, "序号或者末份报文与所存的流转不符")
        book.count("lane")
    for key in expected.keys() - found.keys():
        book.find("lane", key, "缺少这条通道")
    for (eid, box), one in held.handed.items():
        last = found.get((one.case_id, one.sender, one.receiver, box), 0)
        waits = box == "in" and one.lane_seq > last
        book.expect(one.parked == waits, "handoff", (box, eid), "列 parked 与通道的进度不符")


def _references(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    # One that came back from its counterparts after a restore has no number here any more; that its dossier is missing says so.
    wanted = {one.client_ref: eid for eid, one in held.box("out").items() if one.client_ref}
    for row in connection.execute("SELECT * FROM client_ref NOT INDEXED"):
        right = wanted.pop(row["client_ref"], None) == row["eid"]
        book.expect(right, "client_ref", row["client_ref"], "与所存的流转不符")
        book.count("client_ref")
    for reference, eid in wanted.items():
        book.find("client_ref", reference, f"缺少流转 {eid[:16]} 的文号")


def _cases(connection: sqlite3.Connection, book: Book, held: Held) -> None:
    cases = {one.case_id for one in held.handed.values()}
    for row in connection.execute("SELECT * FROM case_file NOT INDEXED"):
        book.expect(row["case_id"] in cases, "case_file", row["case_id"], "没有这件案件的流转")
        for name in NUMBERS:
            told = row[f"{name}_no"]
            known = not told or (name, canonical.text(told, field=name)) in held.numbers[row["case_id"]]
            book.expect(known, "case_file", row["case_id"], f"列 {name}_no 不见于任何一份案卷")
        cases.discard(row["case_id"])
        book.count("case_file")
    for case in cases:
        book.find("case_file", case, "缺少这件案件")

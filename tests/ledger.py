"""Lays the databases of a city side by side and names what is lost, doubled, unproven or unfinished.

It believes no counter and no column that can be had from signed bytes: statements are opened and verified again, states and stages
are worked out again from them. It shares nothing with the replay's own report on purpose, so that either can catch the other.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from services.provision import Home
from services.trusted import archive
from xieban import dossier
from xieban.agency import PARTIES, Agency
from xieban.errors import XiebanError
from xieban.handoff import SETTLED, Fact, Header, Receipt, State, climb
from xieban.procedure import FIRST_STAGE, CaseState, advance, retreat, table
from xieban.seal import Directory
from xieban.statement import open_header, open_receipt
from xieban.subjects import Address


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: what, about which statement or case, at whom."""

    what: str
    about: str
    where: str


@dataclass(slots=True)
class Findings:
    """Empty lists all over mean that nothing was lost, doubled, unproven or left undone."""

    lost: list[Finding] = field(default_factory=list)
    doubled: list[Finding] = field(default_factory=list)
    unverified: list[Finding] = field(default_factory=list)
    unsettled: list[Finding] = field(default_factory=list)
    handoffs: int = 0
    receipts: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.unverified or self.unsettled)

    @property
    def harmed(self) -> list[Finding]:
        """Everything that time alone will not put right."""
        return [*self.lost, *self.doubled, *self.unverified]

    def __str__(self) -> str:
        rows = [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("unverified", self.unverified),
            ("unsettled", self.unsettled),
        ]
        told = [f"{name}: {item.what} {item.about[:16]} at {item.where}" for name, items in rows for item in items]
        return "\n".join(told) or f"clean: {self.handoffs} handoffs, {self.receipts} receipts"


@dataclass(slots=True)
class _Book:
    """One agency's record, opened."""

    agency: Agency
    headers: dict[tuple[str, str], Header] = field(default_factory=dict)
    states: dict[tuple[str, str], State] = field(default_factory=dict)
    seqs: dict[tuple[str, str], int] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    receipts: dict[tuple[str, str], Receipt] = field(default_factory=dict)
    rows: set[tuple[str, str]] = field(default_factory=set)
    proven: set[str] = field(default_factory=set)
    events: list[tuple[str, str, State]] = field(default_factory=list)
    outbox: list[tuple[str, str, bool]] = field(default_factory=list)
    stages: dict[str, CaseState] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    refs: Counter[str] = field(default_factory=Counter)

    def box(self, box: str) -> dict[str, Header]:
        return {eid: header for (eid, kind), header in self.headers.items() if kind == box}

    def told(self, box: str) -> dict[str, Receipt]:
        return {eid: receipt for (eid, kind), receipt in self.receipts.items() if kind == box}

    def facts(self, box: str) -> Iterator[tuple[str, Fact]]:
        for eid, receipt in self.told(box).items():
            for fact in receipt.facts:
                yield eid, fact


def compare(home: Home, *, cases: Collection[str] | None = None) -> Findings:
    """Compare every database the city has; with `cases`, only what belongs to these. A gateway without a database is left out."""
    found = Findings()
    directory = archive(home.folder / "trust.json")
    books = {
        agency: _open(home, agency, directory, cases, found)
        for agency in PARTIES
        if (home.node(agency) / "data.db").exists()
    }
    for book in books.values():
        found.handoffs += len(book.box("out"))
        found.receipts += len(book.told("in"))
        _headers(book, books, found)
        _receipts(book, books, found)
        _states(book, books, found)
        _effects(book, found)
        _lanes(book, found)
    gateway = home.node(Agency.GATEWAY) / "data.db"
    _outboxes(books, _gateway(gateway, books, found) if gateway.exists() else None, found)
    return found


def _rows(database: sqlite3.Connection, sql: str) -> list[sqlite3.Row]:
    return database.execute(sql).fetchall()


def _open(home: Home, agency: Agency, directory: Directory, cases: Collection[str] | None, found: Findings) -> _Book:
    book = _Book(agency)
    with closing(sqlite3.connect(f"{(home.node(agency) / 'data.db').as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")  # one snapshot
        for row in _rows(database, "SELECT * FROM handoff"):
            address = Address(home.city, "handoff", row["from_agency"], row["to_agency"])
            try:
                sealed, header = open_header(row["sealed"], address=address, directory=directory)
            except XiebanError as error:
                found.unverified.append(Finding(f"header {error.reason.name}", row["eid"], agency))
                continue
            if cases is not None and header.case.id not in cases:
                continue
            columns = (row["eid"], row["case_id"], row["kind"], row["outcome"], row["lane_seq"], row["handoff_id"])
            if columns != (sealed.eid, header.case.id, header.kind, header.outcome, header.lane.seq, header.id):
                found.unverified.append(Finding("columns differ from the signed header", row["eid"], agency))
            book.headers[sealed.eid, row["box"]] = header
            book.states[sealed.eid, row["box"]] = State(row["state"])
            book.seqs[sealed.eid, row["box"]] = row["seq"]
            if row["parked"]:
                book.parked.add(sealed.eid)
            if row["box"] == "out":
                book.refs[row["client_ref"]] += 1
        known = {eid for eid, _ in book.headers}
        for row in _rows(database, "SELECT * FROM receipt"):
            ends = (agency, row["peer"]) if row["box"] == "out" else (row["peer"], agency)
            try:
                sealed, receipt = open_receipt(
                    row["sealed"], address=Address(home.city, "receipt", *ends), directory=directory
                )
            except XiebanError as error:
                found.unverified.append(Finding(f"receipt {error.reason.name}", row["eid"], agency))
                continue
            if cases is None or any(fact.of in known for fact in receipt.facts):
                book.receipts[sealed.eid, row["box"]] = receipt
        book.rows = {(row["eid"], row["kind"]) for row in _rows(database, "SELECT eid, kind FROM receipt_fact")}
        mine = known | {eid for eid, _ in book.receipts}
        book.outbox = [
            (row["eid"], row["audience"], bool(row["done"]))
            for row in _rows(database, "SELECT * FROM outbox")
            if cases is None or row["eid"] in mine
        ]
        book.events = [
            (row["eid"], row["box"], State(row["state"]))
            for row in _rows(database, "SELECT * FROM inbox_event ORDER BY seq")
            if row["eid"] in known
        ]
        book.stages = {
            row["case_id"]: CaseState(row["stage"], row["returns"])
            for row in _rows(database, "SELECT * FROM case_file")
        }
        book.refused = {row["digest"] for row in _rows(database, "SELECT digest FROM refused")}
        _dossiers(book, database)
    return book


def _dossiers(book: _Book, database: sqlite3.Connection) -> None:
    contents: dict[str, list[bytes]] = {}
    for row in _rows(database, "SELECT eid, content FROM dossier_file ORDER BY eid, number"):
        contents.setdefault(row["eid"], []).append(row["content"])
    for row in _rows(database, "SELECT eid, salt, manifest FROM dossier"):
        header = book.box("in").get(row["eid"]) or book.box("out").get(row["eid"])
        if header is None:
            continue
        try:
            dossier.verify(
                header.dossier, salt=row["salt"], manifest=row["manifest"], contents=contents.get(row["eid"], [])
            )
        except XiebanError:
            continue
        book.proven.add(row["eid"])


def _headers(book: _Book, books: dict[Agency, _Book], found: Findings) -> None:
    for eid, header in book.box("out").items():
        receiver = books.get(Agency(header.receiver.agency))
        if receiver is None or (eid not in receiver.box("in") and eid not in receiver.refused):
            pending = any(row[:2] == (eid, header.receiver.agency) and not row[2] for row in book.outbox)
            kind = found.unsettled if pending else found.lost
            kind.append(Finding("header not received", eid, header.receiver.agency))
        if eid not in book.proven:
            found.lost.append(Finding("dossier of a sent header", eid, book.agency))
    for eid, header in book.box("in").items():
        sender = books.get(Agency(header.sender.agency))
        if sender is None or eid not in sender.box("out"):
            found.doubled.append(Finding("header its sender knows nothing of", eid, book.agency))
        stated = {fact.kind for _, fact in book.facts("out") if fact.of == eid}
        if "complete" in stated and eid not in book.proven:
            found.lost.append(Finding("dossier stated complete", eid, book.agency))
        if not stated & {"delivered", "rejected"}:
            found.lost.append(Finding("receipt for a received header", eid, book.agency))
    for reference, times in book.refs.items():
        if times > 1:
            found.doubled.append(Finding(f"client_ref ×{times}", reference, book.agency))


def _receipts(book: _Book, books: dict[Agency, _Book], found: Findings) -> None:
    for eid, receipt in book.told("out").items():
        addressee = books.get(Agency(receipt.receiver.agency))
        if addressee is None or eid not in addressee.told("in"):
            pending = any(row[:2] == (eid, receipt.receiver.agency) and not row[2] for row in book.outbox)
            where = found.unsettled if pending else found.lost
            where.append(Finding("receipt not received", eid, receipt.receiver.agency))
    for eid, receipt in book.told("in").items():
        author = books.get(Agency(receipt.sender.agency))
        if author is None or eid not in author.told("out"):
            found.doubled.append(Finding("receipt its author knows nothing of", eid, book.agency))
    for (eid, kind), times in Counter((fact.of, fact.kind) for _, fact in book.facts("out")).items():
        if times > 1:
            found.doubled.append(Finding(f"fact {kind} stated ×{times}", eid, book.agency))
    known = {eid for eid, _ in book.headers}
    for box in ("in", "out"):
        for _, fact in book.facts(box):
            if fact.of in known and (fact.of, fact.kind) not in book.rows:
                found.lost.append(Finding(f"row of fact {fact.kind}", fact.of, book.agency))


def _states(book: _Book, books: dict[Agency, _Book], found: Findings) -> None:
    """Both ends stand where the receiver's own signed facts put the handoff, and the inbox stream has told every step."""
    for (eid, box), header in book.headers.items():
        author = books.get(Agency(header.receiver.agency))
        stated = [fact for _, fact in author.facts("out") if fact.of == eid] if author is not None else []
        expected = State.SENT
        for fact in sorted(stated, key=lambda fact: (fact.at, fact.kind == "answered")):
            expected = climb(expected, fact.kind)
        state = book.states[eid, box]
        if state is not expected:
            behind = any(not done for _, audience, done in (author.outbox if author else []) if audience == book.agency)
            (found.unsettled if behind and box == "out" else found.lost).append(
                Finding(f"state is {state} and should be {expected}", eid, book.agency)
            )
        told = [event for key, kind, event in book.events if (key, kind) == (eid, box)]
        if (told or [State.SENT])[-1] is not state:
            found.lost.append(Finding(f"inbox event {state}", eid, book.agency))
        if len(set(told)) != len(told):
            found.doubled.append(Finding("inbox event", eid, book.agency))
        if box == "in" and state not in SETTLED and (state is not State.COMPLETE or eid in book.parked):
            found.unsettled.append(Finding(f"received handoff is still {state}", eid, book.agency))


def _effects(book: _Book, found: Findings) -> None:
    """Stage and counter of every case, worked out again from what happened here in its order."""
    tables = table()
    worked: dict[str, CaseState] = {}
    accepted: set[tuple[str, str]] = set()
    taken: set[tuple[str, str]] = set()
    given_back: set[str] = set()
    sent = sorted((eid for eid in book.box("out")), key=lambda eid: book.seqs[eid, "out"])

    def send_below(case_id: str, seq: int) -> None:
        """What was sent has no event; it came before whatever arrived after it, and before its own receipts."""
        for eid in [one for one in sent if book.seqs[one, "out"] < seq]:
            header = book.headers[eid, "out"]
            if header.case.id == case_id:
                sent.remove(eid)
                case = worked.get(case_id, CaseState(FIRST_STAGE))
                worked[case_id] = advance(case, tables.kinds[header.kind], on="sent", outcome=header.outcome)

    for eid, box, state in book.events:
        header = book.headers.get((eid, box))
        kind = tables.kinds.get(header.kind) if header is not None else None
        if header is None or kind is None:
            continue
        seq = book.seqs[eid, box]
        if box == "out" or state is State.DELIVERED:
            send_below(header.case.id, seq + 1)
        case = worked.get(header.case.id, CaseState(FIRST_STAGE))
        if box == "in" and state is State.DELIVERED and header.sender.agency != header.receiver.agency:
            mine = tables.stages[case.stage].holder is book.agency
            theirs = tables.stages[header.case.stage].holder == header.sender.agency
            if header.case.stage != case.stage and (mine or theirs) and not given_back & set(header.re):
                case = CaseState(header.case.stage, case.returns)
            case = advance(case, kind, on="sent", outcome=header.outcome)
            taken.add((eid, box))
        elif state in (State.RETURNED, State.REJECTED, State.WITHDRAWN):
            if box == "out":
                given_back.add(eid)
            elsewhere = header.sender.agency != header.receiver.agency
            if (eid, box) in taken or (box == "in" and not elsewhere) or (box == "out" and elsewhere):
                case = retreat(case, kind, stage=header.case.stage, outcome=header.outcome)
        elif state in (State.ACCEPTED, State.ANSWERED) and (eid, box) not in accepted:
            accepted.add((eid, box))
            case = advance(case, kind, on="accepted", outcome=header.outcome)
        worked[header.case.id] = case
    for header in book.box("out").values():
        send_below(header.case.id, 2**62)
    for case_id, expected in worked.items():
        actual = book.stages.get(case_id)
        if actual is None:
            found.lost.append(Finding("case", case_id, book.agency))
            continue
        if actual.returns > expected.returns:
            found.doubled.append(
                Finding(f"return counted {actual.returns} times, not {expected.returns}", case_id, book.agency)
            )
        elif actual != expected:
            what = f"effect on the case: {actual.stage}/{actual.returns}, should be {expected.stage}/{expected.returns}"
            found.lost.append(Finding(what, case_id, book.agency))


def _lanes(book: _Book, found: Findings) -> None:
    for box in ("out", "in"):
        lanes: dict[tuple[str, str, str], list[tuple[int, str, str]]] = {}
        for eid, header in book.box(box).items():
            if book.states[eid, box] is State.REJECTED and box == "in":
                continue
            lane = (header.case.id, header.sender.agency, header.receiver.agency)
            lanes.setdefault(lane, []).append((header.lane.seq, eid, header.lane.prev))
        for lane, numbered in lanes.items():
            previous = ""
            for expected, (seq, eid, prev) in enumerate(sorted(numbered), start=1):
                if seq < expected:
                    found.doubled.append(Finding(f"lane {lane[1]}-{lane[2]} number {seq}", eid, book.agency))
                elif seq > expected and eid not in book.parked:
                    break  # a refused one before it holds the number; that it is known is checked above
                elif prev != previous and eid not in book.parked:
                    found.unverified.append(Finding(f"lane {lane[1]}-{lane[2]} is not a chain", eid, book.agency))
                previous = eid


def _outboxes(books: dict[Agency, _Book], gateway: set[str] | None, found: Findings) -> None:
    """A row is done only when its audience holds the statement."""
    for book in books.values():
        for eid, audience, done in book.outbox:
            if audience == Agency.GATEWAY:
                if gateway is None:
                    continue
                held = eid in gateway
            else:
                reader = books.get(Agency(audience))
                held = reader is not None and (
                    (eid, "in") in reader.headers or (eid, "in") in reader.receipts or eid in reader.refused
                )
            if done and not held:
                found.lost.append(Finding(f"outbox row finished though {audience} holds nothing", eid, book.agency))
            elif not done:
                found.unsettled.append(Finding(f"{audience} has not given its word", eid, book.agency))


def _gateway(file: object, books: dict[Agency, _Book], found: Findings) -> set[str]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:  # type: ignore[attr-defined]
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        held = {row["eid"] for row in _rows(database, "SELECT eid FROM statement")}
        states = {row["eid"]: State(row["state"]) for row in _rows(database, "SELECT eid, state FROM handoff")}
        lodged = Counter(row["eid"] for row in _rows(database, "SELECT eid FROM log_entry WHERE kind = 'LODGED'"))
    for book in books.values():
        for eid in (*book.box("out"), *book.told("out")):
            if eid not in held:
                found.unsettled.append(Finding("statement not at the gateway", eid, Agency.GATEWAY))
        for eid in book.box("out"):
            if eid in held and lodged[eid] != 1:
                kind = found.doubled if lodged[eid] else found.lost
                kind.append(Finding(f"log entry LODGED ×{lodged[eid]}", eid, Agency.GATEWAY))
            if eid in states and states[eid] is not book.states[eid, "out"]:
                found.unsettled.append(Finding(f"gateway says {states[eid]}", eid, Agency.GATEWAY))
    return held

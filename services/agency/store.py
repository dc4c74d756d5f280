"""The desk's tables in batches: cases, handoffs, lanes, receipts, events. What is owed is in `outbox`, dossiers are in `contents`.

Noun-first: readers run over a transaction, writers give the statement for `Transaction.many`; none of them decides anything.
The portable subset of SQL only (see `services.chassis.database`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from services.chassis.database import Row, Statement, Transaction, placeholders
from xieban.dossier import CaseNumbers
from xieban.handoff import LADDER, Defect, Fact, Header, State
from xieban.procedure import CaseState

Box = Literal["out", "in"]
LaneKey = tuple[str, str, str, Box]
Origin = tuple[str, int, str]
"""Agency, incarnation and handoff id of a header: what may have one content only."""


@dataclass(slots=True)
class Entry:
    """A handoff in one box, fields in the order its row is read. `sealed` is the envelope as carried."""

    eid: str
    box: Box
    seq: int
    handoff_id: str
    client_ref: str
    kind: str
    case_id: str
    stage: str
    from_agency: str
    from_office: str
    to_agency: str
    to_office: str
    outcome: str
    inc: int
    lane_seq: int
    sent_at: int
    trace: str
    sealed: bytes
    state: State
    parked: bool


@dataclass(slots=True)
class CaseRow:
    """A case as this agency knows it."""

    case_id: str
    state: CaseState
    numbers: CaseNumbers
    opened_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class FactRow:
    """A fact about a handoff and the sealed receipt that states it."""

    fact: Fact
    receipt: str


_RUNGS = tuple(LADDER)

_COLUMNS = tuple(Entry.__slots__)
_ENTRY = ", ".join(_COLUMNS)


def _entry(values: Iterable[Any]) -> Entry:
    entry = Entry(*values)
    entry.state, entry.parked = State(entry.state), bool(entry.parked)
    return entry


def handoffs(tx: Transaction, eids: Iterable[str], *, box: Box) -> dict[str, Entry]:
    wanted = list(eids)
    if not wanted:
        return {}
    sql = f"SELECT {_ENTRY} FROM handoff WHERE box = ? AND eid IN ({placeholders(len(wanted))})"
    return {row["eid"]: _entry(row) for row in tx.all(sql, (box, *wanted))}


def handoffs_sent_to(tx: Transaction, eids: Sequence[str], *, agency: str) -> list[str]:
    """Which of these we have sent to that agency."""
    sql = f"SELECT eid FROM handoff WHERE box = 'out' AND to_agency = ? AND eid IN ({placeholders(len(eids))})"
    return [row["eid"] for row in tx.all(sql, (agency, *eids))]


def handoffs_received_from(tx: Transaction, eids: Sequence[str], *, agency: str) -> list[str]:
    """Which of these that agency has sent to us."""
    sql = f"SELECT eid FROM handoff WHERE box = 'in' AND from_agency = ? AND eid IN ({placeholders(len(eids))})"
    return [row["eid"] for row in tx.all(sql, (agency, *eids))]


def handoffs_without_dossier(tx: Transaction) -> list[Entry]:
    """Sent handoffs whose dossier is not here: a restore has lost it."""
    columns = ", ".join(f"handoff.{name}" for name in _COLUMNS)
    sql = f"SELECT {columns} FROM handoff LEFT JOIN dossier ON dossier.eid = handoff.eid WHERE box = 'out' AND salt IS NULL"
    return [_entry(row) for row in tx.all(sql)]


def origin(header: Header) -> Origin:
    return header.sender.agency, header.inc, header.id


def handoffs_known_as(tx: Transaction, origins: Iterable[Origin], *, box: Box) -> dict[Origin, str]:
    """Eids of handoffs of a box by their origin."""
    wanted = list(origins)
    if not wanted:
        return {}
    sql = (
        "SELECT eid, from_agency, inc, handoff_id FROM handoff WHERE box = ?"
        f" AND (from_agency, inc, handoff_id) IN (VALUES {', '.join(['(?, ?, ?)'] * len(wanted))})"
    )
    rows = tx.all(sql, (box, *(part for one in wanted for part in one)))
    return {(row["from_agency"], row["inc"], row["handoff_id"]): row["eid"] for row in rows}


def handoffs_open_of_case(tx: Transaction, case_ids: Iterable[str]) -> list[Entry]:
    """Sent handoffs of these cases that their receivers have not settled."""
    wanted = list(case_ids)
    if not wanted:
        return []
    sql = (
        f"SELECT {_ENTRY} FROM handoff WHERE box = 'out' AND state IN ('sent', 'delivered', 'complete')"
        f" AND case_id IN ({placeholders(len(wanted))})"
    )
    return [_entry(row) for row in tx.all(sql, wanted)]


def handoffs_parked(tx: Transaction, case_ids: Iterable[str]) -> list[Entry]:
    wanted = list(case_ids)
    if not wanted:
        return []
    sql = f"SELECT {_ENTRY} FROM handoff WHERE box = 'in' AND parked = 1 AND case_id IN ({placeholders(len(wanted))}) ORDER BY lane_seq"
    return [_entry(row) for row in tx.all(sql, wanted)]


def handoffs_to_pull(tx: Transaction) -> list[Entry]:
    sql = f"SELECT {_ENTRY} FROM handoff WHERE box = 'in' AND state = 'delivered' AND parked = 0 ORDER BY seq"
    return [_entry(row) for row in tx.all(sql)]


def handoffs_page(tx: Transaction, *, before: int, limit: int, case_id: str = "", state: str = "") -> list[Entry]:
    """Newest first, with seq below `before`."""
    sql = f"SELECT {_ENTRY} FROM handoff WHERE seq < ?"
    params: list[str | int] = [before]
    if case_id:
        sql += " AND case_id = ?"
        params.append(case_id)
    if state:
        sql += " AND state = ?"
        params.append(state)
    return [_entry(row) for row in tx.all(f"{sql} ORDER BY seq DESC LIMIT {limit}", params)]


def handoffs_insert(entries: Sequence[Entry]) -> Statement:
    sql = f"INSERT INTO handoff ({_ENTRY}) VALUES ({placeholders(20)})"
    return (sql, [
            (
                e.eid, e.box, e.seq, e.handoff_id, e.client_ref, e.kind, e.case_id, e.stage, e.from_agency, e.from_office,
                e.to_agency, e.to_office, e.outcome, e.inc, e.lane_seq, e.sent_at, e.trace, e.sealed, e.state, int(e.parked),
            )
            for e in entries
        ],
    )  # fmt: skip


def handoffs_update(entries: Sequence[Entry]) -> Statement:
    sql = "UPDATE handoff SET state = ?, parked = ? WHERE eid = ? AND box = ?"
    return (sql, [(e.state, int(e.parked), e.eid, e.box) for e in entries])


def cases(tx: Transaction, case_ids: Iterable[str]) -> dict[str, CaseRow]:
    wanted = list(set(case_ids))
    if not wanted:
        return {}
    sql = f"SELECT * FROM case_file WHERE case_id IN ({placeholders(len(wanted))})"
    return {row["case_id"]: _case(row) for row in tx.all(sql, wanted)}


def cases_page(tx: Transaction, *, before: tuple[int, str], limit: int) -> list[CaseRow]:
    """Newest first by opening time, then id."""
    sql = (
        "SELECT * FROM case_file WHERE opened_at < ? OR (opened_at = ? AND case_id < ?)"
        f" ORDER BY opened_at DESC, case_id DESC LIMIT {limit}"
    )
    return [_case(row) for row in tx.all(sql, (before[0], before[0], before[1]))]


def case_handoff_counts(tx: Transaction, case_ids: Sequence[str]) -> dict[str, int]:
    if not case_ids:
        return {}
    sql = (
        "SELECT case_id, COUNT(DISTINCT eid) AS n FROM handoff"
        f" WHERE case_id IN ({placeholders(len(case_ids))}) GROUP BY case_id"
    )
    return {row["case_id"]: row["n"] for row in tx.all(sql, case_ids)}


def _case(row: Row) -> CaseRow:
    return CaseRow(
        case_id=row["case_id"],
        state=CaseState(stage=row["stage"], returns=row["returns"]),
        numbers=CaseNumbers(police=row["police_no"], procuratorate=row["procuratorate_no"], court=row["court_no"]),
        opened_at=row["opened_at"],
        updated_at=row["updated_at"],
    )


def cases_write(rows: Sequence[CaseRow]) -> Statement:
    sql = (
        "INSERT INTO case_file (case_id, stage, returns, police_no, procuratorate_no, court_no, opened_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (case_id) DO UPDATE SET stage = excluded.stage,"
        " returns = excluded.returns, police_no = excluded.police_no, procuratorate_no = excluded.procuratorate_no,"
        " court_no = excluded.court_no, updated_at = excluded.updated_at"
    )
    return (sql, [
            (
                row.case_id, row.state.stage, row.state.returns, row.numbers.police, row.numbers.procuratorate,
                row.numbers.court, row.opened_at, row.updated_at,
            )
            for row in rows
        ],
    )  # fmt: skip


def lanes(tx: Transaction, case_ids: Iterable[str], *, box: Box) -> dict[LaneKey, tuple[int, str]]:
    """Last sequence number and its eid, by lane."""
    wanted = list(set(case_ids))
    if not wanted:
        return {}
    sql = f"SELECT * FROM lane WHERE box = ? AND case_id IN ({placeholders(len(wanted))})"
    return {
        (row["case_id"], row["from_agency"], row["to_agency"], box): (row["seq"], row["head"])
        for row in tx.all(sql, (box, *wanted))
    }


def lanes_write(lanes: dict[LaneKey, tuple[int, str]]) -> Statement:
    sql = (
        "INSERT INTO lane (case_id, from_agency, to_agency, box, seq, head) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (case_id, from_agency, to_agency, box) DO UPDATE SET seq = excluded.seq, head = excluded.head"
    )
    return (sql, [(*key, seq, head) for key, (seq, head) in lanes.items()])


def lane_prevs(tx: Transaction, places: Iterable[tuple[str, str, str, int]]) -> dict[tuple[str, str, str, int], bytes]:
    """The sealed headers held at these places (case, from, to, number) of received lanes."""
    found: dict[tuple[str, str, str, int], bytes] = {}
    sql = (
        "SELECT sealed FROM handoff WHERE box = 'in' AND case_id = ? AND from_agency = ? AND to_agency = ?"
        " AND lane_seq = ? AND state <> 'rejected' ORDER BY seq LIMIT 1"
    )
    for place in places:
        row = tx.one(sql, place)
        if row is not None:
            found[place] = row["sealed"]
    return found


def client_refs(tx: Transaction, refs: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(digest of the draft, eid) by document number."""
    wanted = list(refs)
    if not wanted:
        return {}
    sql = f"SELECT * FROM client_ref WHERE client_ref IN ({placeholders(len(wanted))})"
    return {row["client_ref"]: (row["digest"], row["eid"]) for row in tx.all(sql, wanted)}


def client_refs_recall(rows: Sequence[tuple[str, str]]) -> Statement:
    """Rows of (client_ref, eid): a document number that a restore had lost; what was handed in under it is not known any more."""
    return ("INSERT INTO client_ref (client_ref, digest, eid) VALUES (?, '', ?) ON CONFLICT DO NOTHING", rows)


def handoffs_name(rows: Sequence[tuple[str, str]]) -> Statement:
    """Rows of (client_ref, eid) for sent handoffs whose document number was not known."""
    return ("UPDATE handoff SET client_ref = ? WHERE eid = ? AND box = 'out' AND client_ref = ''", rows)


def client_refs_insert(rows: Sequence[tuple[str, str, str]]) -> Statement:
    return ("INSERT INTO client_ref (client_ref, digest, eid) VALUES (?, ?, ?)", rows)


def facts(tx: Transaction, eids: Iterable[str]) -> dict[str, list[FactRow]]:
    """Facts by handoff, in order of time; facts of one instant in the order of the ladder."""
    wanted = list(eids)
    found: dict[str, list[FactRow]] = {eid: [] for eid in wanted}
    if wanted:
        sql = f"SELECT * FROM receipt_fact WHERE eid IN ({placeholders(len(wanted))}) "
        for row in tx.all(sql, wanted):
            fact = Fact(
                of=row["eid"],
                kind=row["kind"],
                at=row["at"],
                defects=[] if row["defects"] == "[]" else msgspec.json.decode(row["defects"], type=list[Defect]),
                answer=row["answer"],
            )
            found[row["eid"]].append(FactRow(fact=fact, receipt=row["receipt"]))
    for rows in found.values():
        rows.sort(key=lambda row: (row.fact.at, _RUNGS.index(row.fact.kind)))
    return found


def facts_insert(rows: Sequence[FactRow]) -> Statement:
    sql = (
        "INSERT INTO receipt_fact (eid, kind, at, receipt, defects, answer) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (eid, kind) DO NOTHING"
    )
    return (sql, [
            (
                row.fact.of, row.fact.kind, row.fact.at, row.receipt, msgspec.json.encode(row.fact.defects).decode(),
                row.fact.answer,
            )
            for row in rows
        ],
    )  # fmt: skip


def receipts_known(tx: Transaction, eids: Iterable[str]) -> set[str]:
    """Which of these received receipts are here already."""
    wanted = list(eids)
    if not wanted:
        return set()
    sql = f"SELECT eid FROM receipt WHERE box = 'in' AND eid IN ({placeholders(len(wanted))})"
    return {row["eid"] for row in tx.all(sql, wanted)}


def receipts_insert(rows: Sequence[tuple[str, Box, str, int, str, bytes]]) -> Statement:
    """Rows of (eid, box, peer, at, trace, sealed)."""
    return ("INSERT INTO receipt (eid, box, peer, at, trace, sealed) VALUES (?, ?, ?, ?, ?, ?)", rows)


def receipts_about(tx: Transaction, eids: Sequence[str]) -> list[Row]:
    """Own receipts (eid, peer, trace, sealed) that state anything about these handoffs."""
    sql = (
        "SELECT DISTINCT receipt.eid, receipt.peer, receipt.trace, receipt.sealed FROM receipt"
        " JOIN receipt_fact ON receipt_fact.receipt = receipt.eid"
        f" WHERE receipt.box = 'out' AND receipt_fact.eid IN ({placeholders(len(eids))})"
    )
    return tx.all(sql, eids)


def events_insert(rows: Sequence[tuple[int, str, Box, str, int]]) -> Statement:
    """Rows of (seq, eid, box, state, at)."""
    return ("INSERT INTO inbox_event (seq, eid, box, state, at) VALUES (?, ?, ?, ?, ?)", rows)


def events_after(tx: Transaction, cursor: int, *, limit: int) -> list[tuple[int, Entry]]:
    """Events in order, each with its handoff as it was at that moment, not as it is now."""
    columns = ", ".join(f"inbox_event.{name}" if name == "state" else f"handoff.{name}" for name in _COLUMNS)
    sql = (
        f"SELECT inbox_event.seq, {columns} FROM inbox_event JOIN handoff"
        " ON handoff.eid = inbox_event.eid AND handoff.box = inbox_event.box"
        f" WHERE inbox_event.seq > ? ORDER BY inbox_event.seq LIMIT {limit}"
    )
    return [(number, _entry(values)) for number, *values in tx.all(sql, (cursor,))]


def last_numbers(tx: Transaction) -> tuple[int, int]:
    """Highest handoff seq and event seq given so far."""
    handoff = tx.one("SELECT COALESCE(MAX(seq), 0) AS n FROM handoff")
    event = tx.one("SELECT COALESCE(MAX(seq), 0) AS n FROM inbox_event")
    return (int(handoff["n"]) if handoff else 0, int(event["n"]) if event else 0)


def refused_insert(rows: Sequence[tuple[str, str, str, int]]) -> Statement:
    """Rows of (digest, subject, reason, at); the first refusal of a text is kept."""
    sql = "INSERT INTO refused (digest, subject, reason, at) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING"
    return (sql, rows)


def refused_known(tx: Transaction, digests: Iterable[str]) -> set[str]:
    wanted = list(digests)
    if not wanted:
        return set()
    rows = tx.all(f"SELECT digest FROM refused WHERE digest IN ({placeholders(len(wanted))})", wanted)
    return {row["digest"] for row in rows}


def incarnation(tx: Transaction) -> int:
    """This node's incarnation, 1 for a new database."""
    tx.run("INSERT INTO node (name, value) VALUES ('incarnation', '1') ON CONFLICT (name) DO NOTHING")
    row = tx.one("SELECT value FROM node WHERE name = 'incarnation'")
    return int(row["value"]) if row else 1

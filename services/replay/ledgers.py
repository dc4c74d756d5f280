"""What the four databases of a city hold, read only, and every seal in them checked again. No counter of any process is believed.

Statements are taken apart from their sealed bytes, not from the columns beside them. What must not go in: judging what is missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.provision import Home
from services.trusted import archive
from xieban import canonical, dossier, subjects
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Fact, Header, Receipt
from xieban.marshal import sealed_from_bytes
from xieban.seal import Directory
from xieban.statement import open_header, open_receipt


@dataclass(slots=True)
class AgencyLedger:
    """One agency's record: headers it sent and took, receipts it wrote and heard, each by eid."""

    agency: Agency
    sent: dict[str, Header] = field(default_factory=dict)
    taken: dict[str, Header] = field(default_factory=dict)
    written: dict[str, Receipt] = field(default_factory=dict)
    heard: dict[str, Receipt] = field(default_factory=dict)
    refs: dict[str, list[str]] = field(default_factory=dict)
    """client_ref → eids of what was sent under it."""
    stages: dict[str, tuple[str, int]] = field(default_factory=dict)
    """case → stage and times returned."""
    proven: set[str] = field(default_factory=set)
    """eids whose stored dossier was verified against the header's commitment."""
    unfinished: int = 0


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit as the gateway recorded it."""

    case_id: str
    rule: str
    due: str
    state: str
    overdue: bool


@dataclass(slots=True)
class GatewayLedger:
    """The gateway's record."""

    statements: set[str] = field(default_factory=set)
    handoffs: set[str] = field(default_factory=set)
    stages: dict[str, str] = field(default_factory=dict)
    limits: list[LimitRow] = field(default_factory=list)
    lodged: dict[str, int] = field(default_factory=dict)
    violations: int = 0
    log_entries: int = 0


@dataclass(slots=True)
class Ledgers:
    """The whole city's record. `unverified` names every stored statement or dossier that failed its proof, and where it lies."""

    agencies: dict[Agency, AgencyLedger]
    gateway: GatewayLedger
    unverified: list[dict[str, str]]
    receipts_verified: int


def read(home: Home) -> Ledgers:
    """Errors: CONFIG_INVALID when a database cannot be read."""
    directory = archive(home.folder / "trust.json")
    unverified: list[dict[str, str]] = []
    agencies: dict[Agency, AgencyLedger] = {}
    for agency in PARTIES:
        with _database(home.node(agency) / "data.db") as database:
            agencies[agency] = _agency(agency, database, home.city, directory, unverified)
    with _database(home.node(Agency.GATEWAY) / "data.db") as database:
        gateway = _gateway(database)
    verified = sum(len(ledger.heard) for ledger in agencies.values())
    return Ledgers(agencies=agencies, gateway=gateway, unverified=unverified, receipts_verified=verified)


@contextmanager
def _database(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            yield database
    except sqlite3.Error as error:
        raise failure(Reason.CONFIG_INVALID, file=file, detail="数据库无法读取") from error


def _agency(
    agency: Agency, database: sqlite3.Connection, city: str, directory: Directory, unverified: list[dict[str, str]]
) -> AgencyLedger:
    ledger = AgencyLedger(agency)
    for row in database.execute("SELECT eid, box, client_ref, from_agency, to_agency, sealed FROM handoff"):
        address = subjects.Address(city, "handoff", row["from_agency"], row["to_agency"])
        try:
            sealed, header = open_header(row["sealed"], address=address, directory=directory)
        except XiebanError as error:
            unverified.append(_named(row["eid"], "header", agency, error.reason.name))
            continue
        if sealed.eid != row["eid"]:
            unverified.append(_named(row["eid"], "header", agency, "EID_MISMATCH"))
            continue
        if row["box"] == "out":
            ledger.sent[sealed.eid] = header
            ledger.refs.setdefault(row["client_ref"], []).append(sealed.eid)
        else:
            ledger.taken[sealed.eid] = header
    for row in database.execute("SELECT eid, box, peer, sealed FROM receipt"):
        ends = (agency, row["peer"]) if row["box"] == "out" else (row["peer"], agency)
        try:
            sealed, receipt = open_receipt(
                row["sealed"], address=subjects.Address(city, "receipt", *ends), directory=directory
            )
        except XiebanError as error:
            unverified.append(_named(row["eid"], "receipt", agency, error.reason.name))
            continue
        (ledger.written if row["box"] == "out" else ledger.heard)[sealed.eid] = receipt
    for row in database.execute("SELECT case_id, stage, returns FROM case_file"):
        ledger.stages[row["case_id"]] = (row["stage"], row["returns"])
    ledger.unfinished = database.execute("SELECT count(*) FROM outbox WHERE done = 0").fetchone()[0]
    _prove_dossiers(ledger, database, unverified)
    return ledger


def _prove_dossiers(ledger: AgencyLedger, database: sqlite3.Connection, unverified: list[dict[str, str]]) -> None:
    contents: dict[str, list[bytes]] = {}
    for row in database.execute("SELECT eid, content FROM dossier_file ORDER BY eid, number"):
        contents.setdefault(row["eid"], []).append(row["content"])
    for row in database.execute("SELECT eid, salt, manifest FROM dossier"):
        header = ledger.taken.get(row["eid"])
        if header is None:
            continue
        try:
            dossier.verify(
                header.dossier, salt=row["salt"], manifest=row["manifest"], contents=contents.get(row["eid"], [])
            )
        except XiebanError as error:
            unverified.append(_named(row["eid"], "dossier", ledger.agency, error.reason.name))
            continue
        ledger.proven.add(row["eid"])


def _gateway(database: sqlite3.Connection) -> GatewayLedger:
    ledger = GatewayLedger()
    for row in database.execute("SELECT eid, type, sealed FROM statement"):
        # Named by what it is, not by what the column says it is.
        sealed = sealed_from_bytes(row["sealed"])
        ledger.statements.add(sealed.eid)
        if row["type"] == "header":
            canonical.decode(sealed.payload, Header)
    ledger.handoffs = {row["eid"] for row in database.execute("SELECT eid FROM handoff")}
    ledger.stages = {row["case_id"]: row["stage"] for row in database.execute("SELECT case_id, stage FROM case_file")}
    ledger.limits = [
        LimitRow(row["case_id"], row["rule"], row["due"], row["state"], bool(row["overdue_logged"]))
        for row in database.execute(
            "SELECT case_id, rule, due, state, overdue_logged FROM limit_clock ORDER BY due, rule"
        )
    ]
    for row in database.execute("SELECT eid, count(*) AS times FROM log_entry WHERE kind = 'LODGED' GROUP BY eid"):
        ledger.lodged[row["eid"]] = row["times"]
    ledger.violations = database.execute("SELECT count(*) FROM violation").fetchone()[0]
    ledger.log_entries = database.execute("SELECT count(*) FROM log_entry").fetchone()[0]
    return ledger


def facts(receipts: dict[str, Receipt]) -> Iterator[tuple[str, Fact]]:
    """Every fact with the receipt that states it."""
    for eid, receipt in receipts.items():
        for fact in receipt.facts:
            yield eid, fact


def _named(eid: str, what: str, agency: Agency, reason: str) -> dict[str, str]:
    return {"eid": eid, "what": what, "at": agency.value, "reason": reason}

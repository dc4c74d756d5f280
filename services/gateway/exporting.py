"""Evidence bundles: what the gateway holds of one case, for the committee or for an agency that is party to it.

Gathering and the entry EXPORT are one transaction, and the entry holds the digest of the list of what was gathered: so the witnessed log
itself says what a bundle holds, and nothing can be left out of it later. Everything that is listed is append-only, and is read after that.
What must not go in: how a bundle is packed and verified (`xieban.bundle`, `xieban.verify`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.database import Database, Row, Transaction, placeholders
from services.gateway import checkpoints, log
from services.gateway.checkpoints import Checkpoints
from services.gateway.log import Note
from xieban import bundle, canonical, lookup
from xieban.agency import Agency
from xieban.bundle import Manifest, Profile
from xieban.errors import Reason, failure
from xieban.handoff import LADDER
from xieban.lookup import LookUp
from xieban.marshal import micros, sealed_from_bytes, stored_payload
from xieban.notice import Notice
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Policy
from xieban.trust import Lineage

AT_ONCE = 200
Member = tuple[str, bytes]
T = TypeVar("T")
_TOLD = ("LODGED", *(kind.upper() for kind in LADDER), "NOTICE", "REPLY", "EQUIVOCATION")
"""What the log says of statements; all else is what the gateway has reckoned or done."""

_HEADERS = """SELECT s.eid FROM statement s JOIN log_entry l ON l.eid = s.eid
    WHERE l.case_id = ? AND l.kind IN ('LODGED', 'EQUIVOCATION')"""
_RECEIPTS = """SELECT DISTINCT f.receipt AS eid FROM receipt_fact f JOIN handoff h ON h.eid = f.of_eid
    WHERE h.case_id = ? AND f.from_agency = h.to_agency AND f.to_agency = h.from_agency"""
_WORDS = """SELECT s.eid, s.type, s.agency, s.sealed, l.kind FROM statement s JOIN log_entry l ON l.eid = s.eid
    WHERE l.case_id = ? AND l.kind IN ('NOTICE', 'SUPERVISION', 'REPLY')"""


@dataclass(frozen=True, slots=True)
class City:
    """Whose log this is: city token, the trust list's file and the eid of its newest version, and whether it is a sandbox."""

    token: str
    trust: bytes
    newest: str
    sandbox: bool


class Exporter:
    """Exports cases of one city."""

    def __init__(
        self,
        database: Database,
        *,
        city: City,
        gathering: Checkpoints,
        policy: Policy,
        lineage: Lineage,
        clock: Clock,
    ) -> None:
        self._database = database
        self._city = city
        self._gathering = gathering
        self._policy = policy
        self._lineage = lineage
        self._clock = clock

    async def export(self, case_id: str, *, profile: Profile, look: LookUp | None = None) -> AsyncIterator[Member]:
        """The members of a bundle. `look`: why the committee wants it; an agency takes out what is its own.

        Errors: CASE_NOT_FOUND (or not the caller's to see), MESSAGE_TOO_LARGE, QUORUM_NOT_MET.
        """
        register = partial(self._register, case_id=case_id, profile=profile, look=look)
        manifest, position = await self._database.write(register)
        data = await self._gathering.covering(position)
        size = checkpoint.parse(note.parse(data).text).size
        yield bundle.MANIFEST, manifest.encode()
        yield bundle.TRUST, self._city.trust
        yield bundle.CHECKPOINT, data
        for positions in _parts([*manifest.entries, position]):
            for member in await self._database.read(partial(_entries, positions=positions, size=size, data=data)):
                yield member
        for eids in _parts(manifest.statements):
            for member in await self._database.read(partial(_statements, eids=eids)):
                yield member
        for marks in _parts(manifest.marks):
            for member in await self._database.read(partial(_marks, marks=marks, size=size)):
                yield member

    def _register(
        self, tx: Transaction, *, case_id: str, profile: Profile, look: LookUp | None
    ) -> tuple[Manifest, int]:
        """Gather, and log that it was; the list, and the position of the entry."""
        statements, entries = _of_committee(tx, case_id) if profile == "committee" else _of_party(tx, case_id, profile)
        if not statements:
            raise failure(Reason.CASE_NOT_FOUND, case=case_id[:32])
        for what, count, limit in (
            ("报文", len(statements), bundle.MAX_STATEMENTS),
            ("日志条目", len(entries), bundle.MAX_ENTRIES),
        ):
            if count > limit:
                raise failure(Reason.MESSAGE_TOO_LARGE, what=what, size=count, limit=limit)
        now = micros(self._clock.now())
        manifest = Manifest(
            city=self._city.token,
            case=case_id,
            profile=profile,
            at=now,
            sandbox=self._city.sandbox,
            trust=self._city.newest,
            statements=sorted(statements),
            entries=sorted(entries),
            marks=_marks_around(tx, sorted(entries), threshold=self._policy.threshold, lineage=self._lineage),
        )
        looked = [Note(lookup.KIND, case_id, detail=look.code)] if look is not None else []
        log.append(tx, [*looked, Note("EXPORT", case_id, detail=manifest.detail)], at=now)
        return manifest, log.size(tx)


def _of_committee(tx: Transaction, case_id: str) -> tuple[set[str], set[int]]:
    """Everything of the case: eids of statements, positions of entries."""
    statements = {row["eid"] for sql in (_HEADERS, _RECEIPTS, _WORDS) for row in tx.all(sql, (case_id,))}
    rows = tx.all("SELECT position FROM log_entry WHERE case_id = ?", (case_id,))
    return statements, {row["position"] for row in rows}


def _of_party(tx: Transaction, case_id: str, agency: str) -> tuple[set[str], set[int]]:
    """What the agency sent or received, and what the log says of exactly that; nothing that the gateway reckoned."""
    between = " AND (h.from_agency = ? OR h.to_agency = ?)"
    headers = f"SELECT h.eid FROM handoff h WHERE h.case_id = ?{between}"
    params = (case_id, agency, agency)
    statements = {row["eid"] for sql in (headers, _RECEIPTS + between) for row in tx.all(sql, params)}
    statements |= {row["eid"] for row in tx.all(f"{_HEADERS} AND s.agency = ?", (case_id, agency))}
    statements |= {row["eid"] for row in tx.all(_WORDS, (case_id,)) if _concerns(row, agency)}
    found: set[int] = set()
    for part in _parts(sorted(statements)):
        sql = (
            f"SELECT position FROM log_entry WHERE case_id = ? AND kind IN ({placeholders(len(_TOLD))})"
            f" AND eid IN ({placeholders(len(part))})"
        )
        found |= {row["position"] for row in tx.all(sql, (case_id, *_TOLD, *part))}
    return statements, found


def _concerns(row: Row, agency: str) -> bool:
    """Whether a notice was sent to the agency, or a reply is its own. A draft of the committee's is its own business."""
    if row["type"] == "notice":
        told = canonical.read(stored_payload(row["sealed"]), Notice).receiver.agency == agency
        return row["kind"] == "NOTICE" and told
    return bool(row["agency"] == agency)


def _marks_around(tx: Transaction, positions: Sequence[int], *, threshold: int, lineage: Lineage) -> list[str]:
    """The witnessed trees just before and just after each entry: they say when it was made."""
    found: set[str] = set()
    before, after = 0, 0
    for position in positions:
        if not before < position <= after:
            before, after = checkpoints.around(tx, position, threshold=threshold, lineage=lineage)
        found |= {bundle.mark_of(before, "last")} if before else set()
        found |= {bundle.mark_of(after, "first")} if after else set()
    return sorted(found)


def _entries(tx: Transaction, *, positions: Sequence[int], size: int, data: bytes) -> list[Member]:
    sql = f"SELECT * FROM log_entry WHERE position IN ({placeholders(len(positions))}) ORDER BY position"
    members: list[Member] = []
    for row in tx.all(sql, positions):
        entry, proof = bundle.entry_names(row["position"])
        members += [
            (entry, canonical.encode(log.entry_of(row))),
            (proof, log.prove(tx, row["position"], count=size, checkpoint=data)),
        ]
    return members


def _statements(tx: Transaction, *, eids: Sequence[str]) -> list[Member]:
    sql = f"SELECT eid, sealed FROM statement WHERE eid IN ({placeholders(len(eids))}) ORDER BY eid"
    return [
        (bundle.statement_name(row["eid"]), bundle.envelope(sealed_from_bytes(row["sealed"])))
        for row in tx.all(sql, eids)
    ]


def _marks(tx: Transaction, *, marks: Sequence[str], size: int) -> list[Member]:
    members: list[Member] = []
    for mark in marks:
        old, side = int(mark[:12]), mark[13:]
        row = tx.one("SELECT note FROM log_checkpoint WHERE size = ?", (old,))
        if row is None:
            raise failure(Reason.DEFECT, trace=f"mark-{old}")
        signed = checkpoints.with_cosignatures(tx, old, row["note"], latest=side == "last")
        members.append((bundle.mark_name(mark), bundle.mark(log.consistency(tx, old, size), signed)))
    return members


def _parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def profile_of(agency: str, role: str) -> Profile:
    """As whom a caller exports. Errors: CALLER_UNKNOWN."""
    for known in ("police", "procuratorate", "court"):
        if agency == known:
            return known
    if (agency, role) in ((Agency.GATEWAY, "committee"), (Agency.GATEWAY, "node")):
        return "committee"
    raise failure(Reason.CALLER_UNKNOWN, identity=f"{agency}/{role}")

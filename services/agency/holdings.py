"""The desk's statements as reconciliation reads them: page by page in order of eids, each judged whole or not. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from services.chassis.database import Row, Transaction, placeholders
from services.reconcile.shelf import Brief, Shelf, brief, judged
from xieban.agency import Agency
from xieban.reconcile import Flaw, Series, Side, Standing, What
from xieban.subjects import parse

SHELVES: Final = (
    Shelf("handoff", Side.OUT), Shelf("handoff", Side.IN), Shelf("receipt", Side.OUT), Shelf("receipt", Side.IN),
    Shelf("notice", Side.IN), Shelf("reply", Side.OUT),
)  # fmt: skip
SKEW: Final = timedelta(days=1) // timedelta(microseconds=1)
"""A statement may have come before it was signed, by another node's clock."""
AT_ONCE: Final = 400

# A sent handoff has its dossier here; a received one, once it was stated complete.
_HANDOFFS: Final = """
    SELECT h.eid, h.box, h.kind, h.case_id, h.from_agency, h.to_agency, h.sent_at, h.sealed,
           d.eid IS NOT NULL OR (h.box = 'in' AND NOT EXISTS
               (SELECT 1 FROM receipt_fact f WHERE f.eid = h.eid AND f.kind = 'complete')) AS effect
    FROM handoff h LEFT JOIN dossier d ON d.eid = h.eid"""
_RECEIPTS: Final = "SELECT eid, box, peer, at, sealed FROM receipt"
_NOTICES: Final = """
    SELECT n.eid, n.case_id, n.occasion, n.received_at, n.sealed, n.supervision = '' OR m.supervision IS NOT NULL AS effect
    FROM notice n LEFT JOIN matter m ON m.supervision = n.supervision"""
_REPLIES: Final = """
    SELECT r.eid, r.sealed, m.case_id FROM reply r LEFT JOIN matter m ON m.supervision = r.supervision"""


class AgencyHoldings:
    """Holdings of one agency's node."""

    def __init__(self, agency: Agency) -> None:
        self._me = str(agency)

    @property
    def shelves(self) -> Sequence[Shelf]:
        return SHELVES

    def page(self, tx: Transaction, shelf: Shelf, *, since: int, after: str, limit: int) -> list[Standing]:
        hint = max(0, since - SKEW)
        if shelf.what == "handoff":
            sql = f"{_HANDOFFS} WHERE h.box = ? AND h.eid > ? AND h.sent_at >= ? ORDER BY h.eid LIMIT {limit}"
            return [_handoff(row) for row in tx.all(sql, (shelf.side, after, hint))]
        if shelf.what == "receipt":
            sql = f"{_RECEIPTS} WHERE box = ? AND eid > ? AND at >= ? ORDER BY eid LIMIT {limit}"
            return self._receipts(tx, tx.all(sql, (shelf.side, after, hint)))
        if shelf.what == "notice":
            sql = f"{_NOTICES} WHERE n.eid > ? AND n.received_at >= ? ORDER BY n.eid LIMIT {limit}"
            return [self._notice(row) for row in tx.all(sql, (after, hint))]
        return [
            self._reply(row) for row in tx.all(f"{_REPLIES} WHERE r.eid > ? ORDER BY r.eid LIMIT {limit}", (after,))
        ]

    def standings(self, tx: Transaction, eids: Collection[str]) -> list[Standing]:
        found: list[Standing] = []
        for part in parts(eids):
            wanted = placeholders(len(part))
            found += [_handoff(row) for row in tx.all(f"{_HANDOFFS} WHERE h.eid IN ({wanted})", part)]
            found += self._receipts(tx, tx.all(f"{_RECEIPTS} WHERE eid IN ({wanted})", part))
            found += [self._notice(row) for row in tx.all(f"{_NOTICES} WHERE n.eid IN ({wanted})", part)]
            found += [self._reply(row) for row in tx.all(f"{_REPLIES} WHERE r.eid IN ({wanted})", part)]
            refused = tx.all(f"SELECT digest, subject FROM refused WHERE digest IN ({wanted})", part)
            found += [standing for row in refused if (standing := _refused(row)) is not None]
        waiting = self._waiting(tx, [standing.eid for standing in found if standing.side is Side.OUT])
        return [_awaiting(standing, waiting) for standing in found]

    def sealed(self, tx: Transaction, eids: Collection[str]) -> dict[str, tuple[Series, bytes]]:
        found: dict[str, tuple[Series, bytes]] = {}
        for part in parts(eids):
            wanted = placeholders(len(part))
            for row in tx.all(f"{_HANDOFFS} WHERE h.eid IN ({wanted})", part):
                found[row["eid"]] = (_handoff(row).series, row["sealed"])
            for row in tx.all(f"{_RECEIPTS} WHERE eid IN ({wanted})", part):
                found[row["eid"]] = (self._receipt_series(row), row["sealed"])
            for row in tx.all(f"{_NOTICES} WHERE n.eid IN ({wanted})", part):
                found[row["eid"]] = (self._notice(row).series, row["sealed"])
            for row in tx.all(f"{_REPLIES} WHERE r.eid IN ({wanted})", part):
                found[row["eid"]] = (self._reply(row).series, row["sealed"])
        return found

    def _receipts(self, tx: Transaction, rows: Sequence[Row]) -> list[Standing]:
        """A receipt is whole when every fact it states of a handoff that is here has its row."""
        told = {row["eid"]: brief(row["eid"], row["sealed"]) for row in rows}
        about = {fact.of for one in told.values() if one is not None for fact in one.facts}
        stated: set[tuple[str, str]] = set()
        handoffs: dict[str, list[Row]] = defaultdict(list)
        for part in parts(about):
            wanted = placeholders(len(part))
            for row in tx.all(f"SELECT eid, kind FROM receipt_fact WHERE eid IN ({wanted})", part):
                stated.add((row["eid"], row["kind"]))
            for row in tx.all(f"SELECT eid, box, to_agency, case_id FROM handoff WHERE eid IN ({wanted})", part):
                handoffs[row["eid"]].append(row)
        return [self._receipt(row, told[row["eid"]], stated, handoffs) for row in rows]

    def _receipt(
        self, row: Row, told: Brief | None, stated: set[tuple[str, str]], handoffs: dict[str, list[Row]]
    ) -> Standing:
        series = self._receipt_series(row)
        if told is None:
            return Standing(
                eid=row["eid"], series=series, side=Side(row["box"]), flaw=Flaw.BYTES, signed_at=row["at"]
            )  # fmt: skip
        heard = row["box"] == "in"
        lacking = any(
            (fact.of, fact.kind) not in stated
            and any(not heard or (one["box"] == "out" and one["to_agency"] == row["peer"]) for one in handoffs[fact.of])
            for fact in told.facts
        )
        case = next((one["case_id"] for fact in told.facts for one in handoffs[fact.of]), "")
        return Standing(
            eid=row["eid"], series=series, side=Side(row["box"]), flaw=Flaw.EFFECT if lacking else Flaw.NONE,
            kind=told.what_kind, case_id=case, signed_at=told.signed_at,
        )  # fmt: skip

    def _receipt_series(self, row: Row) -> Series:
        ends = (self._me, row["peer"]) if row["box"] == "out" else (row["peer"], self._me)
        return Series("receipt", *ends)

    def _notice(self, row: Row) -> Standing:
        told = brief(row["eid"], row["sealed"])
        return Standing(
            eid=row["eid"], series=Series("notice", Agency.GATEWAY, self._me), side=Side.IN, kind=row["occasion"],
            flaw=judged(row["eid"], row["sealed"], effect=bool(row["effect"])), case_id=row["case_id"],
            signed_at=told.signed_at if told is not None else row["received_at"],
        )  # fmt: skip

    def _reply(self, row: Row) -> Standing:
        told = brief(row["eid"], row["sealed"])
        return Standing(
            eid=row["eid"], series=Series("reply", self._me, Agency.GATEWAY), side=Side.OUT, case_id=row["case_id"] or "",
            flaw=judged(row["eid"], row["sealed"], effect=row["case_id"] is not None),
            kind=told.what_kind if told is not None else "", signed_at=told.signed_at if told is not None else 0,
        )  # fmt: skip

    def _waiting(self, tx: Transaction, eids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        waiting: dict[str, list[str]] = defaultdict(list)
        for part in parts(eids):
            sql = f"SELECT eid, audience FROM outbox WHERE done = 0 AND eid IN ({placeholders(len(part))})"
            for row in tx.all(sql, part):
                waiting[row["eid"]].append(row["audience"])
        return {eid: tuple(sorted(audiences)) for eid, audiences in waiting.items()}


def parts(eids: Iterable[str]) -> Iterator[list[str]]:
    """Lists short enough for one statement."""
    wanted = list(eids)
    for start in range(0, len(wanted), AT_ONCE):
        yield wanted[start : start + AT_ONCE]


def _handoff(row: Row) -> Standing:
    return Standing(
        eid=row["eid"], series=Series("handoff", row["from_agency"], row["to_agency"]), side=Side(row["box"]),
        flaw=judged(row["eid"], row["sealed"], effect=bool(row["effect"])), kind=row["kind"], case_id=row["case_id"],
        signed_at=row["sent_at"],
    )  # fmt: skip


def _refused(row: Row) -> Standing | None:
    address = parse(row["subject"])
    if address is None or address.what not in ("handoff", "receipt", "notice"):
        return None
    what: What = "handoff" if address.what == "handoff" else "receipt" if address.what == "receipt" else "notice"
    series = Series(what, address.sender, address.receiver)
    return Standing(eid=row["digest"], series=series, side=Side.IN, held=False)


def _awaiting(standing: Standing, waiting: dict[str, tuple[str, ...]]) -> Standing:
    if standing.side is not Side.OUT or standing.eid not in waiting:
        return standing
    return Standing(
        eid=standing.eid, series=standing.series, side=standing.side, held=standing.held, flaw=standing.flaw,
        kind=standing.kind, case_id=standing.case_id, signed_at=standing.signed_at, awaiting=waiting[standing.eid],
    )  # fmt: skip

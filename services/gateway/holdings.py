"""The gateway's statements as reconciliation reads them: page by page in order of eids, each judged whole or not. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from services.chassis.database import Row, Transaction, placeholders
from services.reconcile.shelf import Shelf, brief
from xieban.reconcile import Flaw, Series, Side, Standing, What

SHELVES: Final = (
    Shelf("handoff", Side.ARCHIVE), Shelf("receipt", Side.ARCHIVE), Shelf("reply", Side.ARCHIVE),
    Shelf("notice", Side.OUT),
)  # fmt: skip
_TYPES: Final[dict[str, What]] = {"header": "handoff", "receipt": "receipt", "reply": "reply", "notice": "notice"}
_OF_WHAT: Final = {what: kind for kind, what in _TYPES.items()}
AT_ONCE: Final = 400

# A notice that was sealed and never sent (a draft) is nobody's to hold. `facts`: rows that a receipt has beside it.
_STATEMENTS: Final = """
    SELECT s.eid, s.type, s.agency, s.standing, s.sealed, h.case_id, h.from_agency, h.to_agency,
           (SELECT COUNT(*) FROM receipt_fact f WHERE f.receipt = s.eid) AS facts
    FROM statement s LEFT JOIN handoff h ON h.eid = s.eid
    WHERE (s.type <> 'notice' OR EXISTS (SELECT 1 FROM outbox o WHERE o.eid = s.eid))"""


class GatewayHoldings:
    """Holdings of the gateway: what it keeps of others, and its own notices."""

    @property
    def shelves(self) -> Sequence[Shelf]:
        return SHELVES

    def page(self, tx: Transaction, shelf: Shelf, *, since: int, after: str, limit: int) -> list[Standing]:
        sql = f"{_STATEMENTS} AND s.type = ? AND s.eid > ? ORDER BY s.eid LIMIT {limit}"
        return [_standing(row) for row in tx.all(sql, (_OF_WHAT[shelf.what], after))]

    def standings(self, tx: Transaction, eids: Collection[str]) -> list[Standing]:
        found: list[Standing] = []
        for part in _parts(eids):
            wanted = placeholders(len(part))
            rows = tx.all(f"{_STATEMENTS} AND s.eid IN ({wanted})", part)
            waiting: dict[str, list[str]] = defaultdict(list)
            for row in tx.all(f"SELECT eid, audience FROM outbox WHERE done = 0 AND eid IN ({wanted})", part):
                waiting[row["eid"]].append(row["audience"])
            cases = _cases(tx, [row["eid"] for row in rows if row["type"] == "receipt"])
            for row in rows:
                standing = _standing(row)
                case = standing.case_id or cases.get(standing.eid, "")
                found.append(replace(standing, case_id=case, awaiting=tuple(sorted(waiting[standing.eid]))))
        return found

    def sealed(self, tx: Transaction, eids: Collection[str]) -> dict[str, tuple[Series, bytes]]:
        found: dict[str, tuple[Series, bytes]] = {}
        for part in _parts(eids):
            for row in tx.all(f"{_STATEMENTS} AND s.eid IN ({placeholders(len(part))})", part):
                found[row["eid"]] = (_standing(row).series, row["sealed"])
        return found


def _standing(row: Row) -> Standing:
    what, told = _TYPES[row["type"]], brief(row["eid"], row["sealed"])
    side = Side.OUT if what == "notice" else Side.ARCHIVE
    if told is None:
        series = Series(what, row["from_agency"] or row["agency"], row["to_agency"] or "")
        return Standing(eid=row["eid"], series=series, side=side, flaw=Flaw.BYTES, case_id=row["case_id"] or "")
    whole = (
        row["standing"] == "equivocal"
        or (what == "handoff" and row["case_id"] is not None)
        or (what == "receipt" and row["facts"] == len(told.facts))
        or what in ("notice", "reply")
    )
    return Standing(
        eid=row["eid"], series=Series(what, told.sender.agency, told.receiver.agency), side=side,
        flaw=Flaw.NONE if whole else Flaw.EFFECT, kind=told.what_kind, case_id=told.case_id, signed_at=told.signed_at,
    )  # fmt: skip


def _cases(tx: Transaction, receipts: Sequence[str]) -> dict[str, str]:
    """The case a receipt is about, by its first fact."""
    if not receipts:
        return {}
    sql = (
        "SELECT f.receipt, h.case_id FROM receipt_fact f JOIN handoff h ON h.eid = f.of_eid"
        f" WHERE f.receipt IN ({placeholders(len(receipts))}) ORDER BY f.position DESC"
    )
    return {row["receipt"]: row["case_id"] for row in tx.all(sql, receipts)}


def _parts(eids: Collection[str]) -> Iterator[list[str]]:
    wanted = list(eids)
    for start in range(0, len(wanted), AT_ONCE):
        yield wanted[start : start + AT_ONCE]

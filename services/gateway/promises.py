"""What the gateway's tickets promise: where in the log the entries of a handoff's way stand, for those the handoff is between.

Read from rows of the transaction that appended them and told after its commit, so that the promise is never ahead of the log. Of whom
limits, looks and supervision tell is not promised: those entries come and go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from services.chassis.database import Row, Transaction, placeholders
from services.gateway.log import OF_HANDOFFS
from xieban.agency import Agency
from xieban.handoff import Logged

_ENTRIES = f"""SELECT l.position, l.kind, l.eid, l.leaf, h.from_agency, h.to_agency FROM log_entry l JOIN handoff h ON h.eid = l.eid
    WHERE l.kind IN ({", ".join(f"'{kind}'" for kind in OF_HANDOFFS)})"""


def made(transaction: Transaction, *, after: int, again: Collection[tuple[str, str]]) -> dict[str, list[Logged]]:
    """By agency: what was appended behind position `after`; and once more to an author what it asks for by repeating a statement.

    `again`: (author, eid of the header that its statement is or is about).
    """
    found: dict[str, list[Logged]] = defaultdict(list)
    for row in transaction.all(f"{_ENTRIES} AND l.position > ? ORDER BY l.position", (after,)):
        for agency in {row["from_agency"], row["to_agency"]} - {Agency.GATEWAY}:
            found[agency].append(_logged(row))
    if again:
        eids = {eid for _, eid in again}
        for row in transaction.all(f"{_ENTRIES} AND l.eid IN ({placeholders(len(eids))})", tuple(eids)):
            for agency in {row["from_agency"], row["to_agency"]} & {
                author for author, eid in again if eid == row["eid"]
            }:
                found[agency].append(_logged(row))
    return found


def _logged(row: Row) -> Logged:
    return Logged(kind=row["kind"], eid=row["eid"], index=row["position"] - 1, leaf=row["leaf"].hex())

"""What was recorded of limits and is still to be told: written with the record, taken away with the notice, each once.

Sealing costs more than recording. When many limits fall due at one instant all of them are recorded first, and told behind. Whoever
changes limits of a case has what waits for it told before, so that a notice says what was so when it was recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.chassis.database import Transaction, placeholders
from services.gateway.clocks import Action
from services.gateway.store import Store


def put(transaction: Transaction, actions: Sequence[Action]) -> None:
    """Let these be told later, in this order."""
    row = transaction.one("SELECT COALESCE(MAX(position), 0) AS n FROM untold")
    last = int(row["n"]) if row is not None else 0
    transaction.many(
        "INSERT INTO untold (position, case_id, rule, start_eid, person, kind, rung) VALUES (?,?,?,?,?,?,?)",
        [(number, *one.limit.key, one.kind, one.rung) for number, one in enumerate(actions, start=last + 1)],
    )


def waits(transaction: Transaction) -> bool:
    """Whether anything is still to be told."""
    return transaction.one("SELECT position FROM untold LIMIT 1") is not None


def take(transaction: Transaction, *, at_most: int) -> list[Action]:
    """The oldest of them with all else of their cases, which wait no more; each limit as it stands."""
    rows = transaction.all("SELECT case_id FROM untold ORDER BY position LIMIT ?", (at_most,))
    return take_of(transaction, {row["case_id"] for row in rows})


def take_of(transaction: Transaction, cases: Collection[str]) -> list[Action]:
    """Those of these cases, in their order."""
    if not cases or not waits(transaction):
        return []
    values, where = tuple(sorted(cases)), f"WHERE case_id IN ({placeholders(len(cases))})"
    rows = transaction.all(f"SELECT * FROM untold {where} ORDER BY position", values)
    transaction.run(f"DELETE FROM untold {where}", values)
    limits = Store(transaction).limits_of(cases)
    keys = [(row["case_id"], row["rule"], row["start_eid"], row["person"]) for row in rows]
    return [
        Action(row["kind"], limits[key], limits[key].overdue_from, row["rung"])
        for row, key in zip(rows, keys, strict=True)
        if key in limits
    ]

"""Dossiers as this node holds them, its own and those it has pulled; nothing of one is in any other table. Functions as in `store`."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.database import Statement, Transaction, placeholders

DossierRow = tuple[str, bytes, bytes, Sequence[bytes]]
"""eid, salt, manifest, contents."""


def insert(rows: Sequence[DossierRow]) -> Statement:
    """One already here stays: it is the same by commitment."""
    sql = "INSERT INTO dossier (eid, salt, manifest) VALUES (?, ?, ?) ON CONFLICT (eid) DO NOTHING"
    return (sql, [row[:3] for row in rows])


def files_insert(rows: Sequence[DossierRow]) -> Statement:
    sql = "INSERT INTO dossier_file (eid, number, content) VALUES (?, ?, ?) ON CONFLICT (eid, number) DO NOTHING"
    return (
        sql,
        [(eid, number, content) for eid, _, _, contents in rows for number, content in enumerate(contents, start=1)],
    )


def read(tx: Transaction, eids: Sequence[str]) -> dict[str, tuple[bytes, bytes, list[bytes]]]:
    """(salt, manifest, contents) of the dossiers held here, by handoff."""
    if not eids:
        return {}
    wanted = placeholders(len(eids))
    rows = tx.all(f"SELECT eid, salt, manifest FROM dossier WHERE eid IN ({wanted})", eids)
    files = tx.all(f"SELECT eid, content FROM dossier_file WHERE eid IN ({wanted}) ORDER BY eid, number", eids)
    found: dict[str, tuple[bytes, bytes, list[bytes]]] = {
        row["eid"]: (row["salt"], row["manifest"], []) for row in rows
    }
    for file in files:
        found[file["eid"]][2].append(file["content"])
    return found

"""Tables of the same shape and name beside those of the file, for what is worked out anew: a statement that names no schema meets these.

They live in the engine's temporary store; the file itself is opened for reading only.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from services.admin.fsck.report import Book

_TABLE: Final = re.compile(r"^CREATE TABLE ", re.IGNORECASE)
_INDEX: Final = re.compile(r"^CREATE (UNIQUE )?INDEX (?=\S)", re.IGNORECASE)


def make(connection: sqlite3.Connection, tables: Collection[str], *, filled: bool) -> None:
    """Empty, or with the rows there are."""
    for table in tables:
        rows = connection.execute(
            "SELECT type, sql FROM main.sqlite_master WHERE tbl_name = ? ORDER BY type DESC", (table,)
        )
        for kind, sql in rows.fetchall():
            if kind == "table":
                connection.execute(_TABLE.sub("CREATE TEMP TABLE ", sql))
            elif kind == "index" and sql and not sql.split()[2].endswith("_check"):
                connection.execute(_INDEX.sub(r"CREATE \1INDEX temp.", sql))
        if filled:
            connection.execute(f"INSERT INTO temp.{table} SELECT * FROM main.{table} NOT INDEXED")


def compare(
    connection: sqlite3.Connection,
    book: Book,
    table: str,
    *,
    without: Collection[str] = (),
    where: str = "1",
    params: Sequence[str] = (),
) -> None:
    """Every difference between the stored rows and those worked out, named by the primary key."""
    found = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    columns = [row[1] for row in found if row[1] not in without]
    keys = [row[1] for row in sorted(found, key=lambda row: row[5]) if row[5]]
    names = ", ".join(columns)

    def rows(one: str, other: str) -> dict[tuple[object, ...], sqlite3.Row]:
        sql = (
            f"SELECT {names} FROM {one}.{table} NOT INDEXED WHERE {where} "
            f"EXCEPT SELECT {names} FROM {other}.{table} NOT INDEXED"
        )
        return {tuple(row[name] for name in keys): row for row in connection.execute(sql, params)}

    stored, worked_out = rows("main", "temp"), rows("temp", "main")
    for key, row in stored.items():
        twin = worked_out.pop(key, None)
        if twin is None:
            book.find(table, key, "不由所存的报文得出")
            continue
        wrong = [name for name in columns if row[name] != twin[name]]
        book.find(table, key, f"列 {'、'.join(wrong)} 与由报文得出的不符")
    for key in worked_out:
        book.find(table, key, "缺少由报文得出的这一行")
    (count,) = connection.execute(f"SELECT COUNT(*) FROM main.{table}").fetchone()
    book.report.checked[table] = count

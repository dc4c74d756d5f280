"""The file itself: pages, indexes, foreign keys, schema, types. What nothing else vouches for stands in an index as well, so that a
changed bit makes table and index disagree (decision 0015)."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from services.admin.fsck.report import Book
from services.chassis import migrate

FILE: Final = "（文件）"
SCHEMA: Final = "（结构）"
AT_ONCE: Final = 200
_MISSING: Final = re.compile(r"row (-?\d+) missing from index (\S+)")
_COUNT: Final = re.compile(r"(?:wrong # of entries in index|non-unique entry in index) (\S+)")
_COLUMN: Final = re.compile(r"(?:NULL|NUMERIC|TEXT) value in (\S+?)\.(\S+)")
_CHECK: Final = re.compile(r"CHECK constraint failed in (\S+)")
_TYPES: Final = {"TEXT": ("text",), "BLOB": ("blob",)}


def sound(connection: sqlite3.Connection, book: Book) -> None:
    """The engine's own check, in our words."""
    with book.reading(FILE):
        for (text,) in connection.execute(f"PRAGMA integrity_check({AT_ONCE})").fetchall():
            if text != "ok":
                _tell(connection, book, text)
    with book.reading(FILE):
        for row in connection.execute("PRAGMA foreign_key_check").fetchall():
            book.find(row[0], _key(connection, row[0], row[1]), f"所指的 {row[2]} 行不存在")


def version(connection: sqlite3.Connection, book: Book, migrations: Path) -> str:
    """The schema version, if the program knows it; else empty, and a finding."""
    with book.reading("alembic_version"):
        rows = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version").fetchall()]
        known, _ = migrate.revisions(migrations)
        if len(rows) == 1 and rows[0] in known:
            return str(rows[0])
        book.find("alembic_version", "、".join(map(str, rows)), "不是本程序所知的数据库版本")
    return ""


def schema(connection: sqlite3.Connection, book: Book, migrations: Path, current: str) -> None:
    """Tables, indexes and guards are those of this version, word for word; every value is of its column's type."""
    expected = _expected(migrations, current)
    with book.reading(SCHEMA):
        found = _master(connection)
        for name in expected.keys() - found.keys():
            book.find(SCHEMA, name, "缺少")
        for name in found.keys() - expected.keys():
            book.find(SCHEMA, name, "多出")
        for name in expected.keys() & found.keys():
            book.expect(expected[name] == found[name], SCHEMA, name, "与该版本的结构不同")
    for kind, table, _ in expected.values():
        if kind == "table":
            with book.reading(table):
                _types(connection, book, table)


def _types(connection: sqlite3.Connection, book: Book, table: str) -> None:
    for _, name, declared, required, _, key in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
        allowed = _TYPES.get(declared, ("text",) if declared.startswith("VARCHAR") else ("integer",))
        wanted = (*allowed, *(() if required or key else ("null",)))
        marks = ",".join("?" * len(wanted))
        sql = f'SELECT rowid FROM "{table}" WHERE typeof("{name}") NOT IN ({marks})'
        for (row,) in connection.execute(sql, wanted).fetchall():
            book.find(table, _key(connection, table, row), f"列 {name} 的值不是 {declared}")


def _tell(connection: sqlite3.Connection, book: Book, text: str) -> None:
    if found := _MISSING.search(text):
        table = _table_of(connection, found[2])
        book.find(table, _key(connection, table, int(found[1])), f"与索引 {found[2]} 不符，这一行或者索引被改动")
    elif found := _COUNT.search(text):
        book.find(_table_of(connection, found[1]), "", f"与索引 {found[1]} 的条目不符")
    elif found := _COLUMN.search(text):
        book.find(found[1], "", f"列 {found[2]} 有不该有的值（{text}）")
    elif found := _CHECK.search(text):
        book.find(found[1], "", "有一行不合本表的约束")
    else:
        book.find(FILE, "", f"存储结构损坏（{' '.join(text.split())[:200]}）")


def _table_of(connection: sqlite3.Connection, index: str) -> str:
    try:
        row = connection.execute("SELECT tbl_name FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    except sqlite3.Error:
        return FILE
    return str(row[0]) if row else FILE


def _key(connection: sqlite3.Connection, table: str, rowid: int | None) -> str:
    """The primary key of a row, or its number when that cannot be read."""
    try:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")').fetchall() if row[5]]
        names = ", ".join(f'"{name}"' for name in columns)
        row = connection.execute(f'SELECT {names} FROM "{table}" NOT INDEXED WHERE rowid = ?', (rowid,)).fetchone()
    except sqlite3.Error:
        row = None
    return " ".join(str(value)[:64] for value in row) if row else f"第 {rowid} 行"


def _master(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_master").fetchall()
    return {row[0]: (row[1], row[2], row[3] or "") for row in rows}


@cache
def _expected(migrations: Path, current: str) -> dict[str, tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        migrate.create(file, migrations=migrations, version=current)
        with closing(sqlite3.connect(file)) as connection:
            return _master(connection)

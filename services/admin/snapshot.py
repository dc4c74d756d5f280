"""A database as it stands at one moment, read beside a running node, and a copy of it.

The read transaction is what makes it one moment: the node goes on writing and the copy does not see it. While it lasts the write-ahead
log cannot be folded back into the file and grows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from services.chassis.database import Transaction
from services.gateway import log

PAGES: Final = 256
"""Copied at a time; between two steps the copy can be interrupted."""
STATEMENTS: Final = {
    False: ("handoff", "receipt", "notice", "reply"),
    True: ("statement",),
}
"""Tables of what was signed, at an agency and at the gateway."""
Step = Callable[[int, int], None]
"""Called with what is done and what there is."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Reading only, one snapshot. Text that is not UTF-8 comes as it is and is the reader's to judge. Errors: sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        yield connection


def copy(source: sqlite3.Connection, target: Path, *, step: Step) -> None:
    """The snapshot as a file of its own, in one piece (no write-ahead log beside it). Errors: sqlite3.Error."""
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        source.backup(connection, pages=PAGES, progress=lambda _, left, total: step(total - left, total))
        connection.execute("PRAGMA journal_mode=DELETE")


def tables(connection: sqlite3.Connection, *, schema: str = "main") -> list[str]:
    rows = connection.execute(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' ORDER BY name")
    return [row[0] for row in rows if not row[0].startswith("sqlite_")]


def statements(connection: sqlite3.Connection, *, gateway: bool) -> dict[str, int]:
    """How many of each kind are held."""
    if gateway:
        rows = connection.execute("SELECT type, COUNT(*) FROM statement GROUP BY type ORDER BY type")
        return {row[0]: row[1] for row in rows}
    there = set(tables(connection))
    names = [name for name in STATEMENTS[False] if name in there]
    return {name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in names}


def log_edge(connection: sqlite3.Connection) -> tuple[int, str]:
    """Number of entries of the gateway's log and its root, in hex."""
    transaction = Transaction(connection)
    return log.size(transaction), log.frontier(transaction).root().hex()


def incarnation(connection: sqlite3.Connection) -> int:
    """1 for a database that has not been given one yet."""
    row = connection.execute("SELECT value FROM node WHERE name = 'incarnation'").fetchone()
    return int(row[0]) if row else 1


def schema_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])

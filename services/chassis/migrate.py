"""Schema migrations: which version a database file has, whether the program knows it, and the way up.

A service's migrations folder holds `versions/` with alembic revisions (`op.execute("…")` in the portable subset) and an env.py that
only calls `run_environment`. Alembic is imported when there is something to migrate and not before: opening a current database
reads one row and a few short files. What must not go in: downgrades on a live node; an old program refuses a newer file instead.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from xieban.errors import Reason, failure

_REVISION: Final = re.compile(r"^(down_revision|revision)\b[^=\n]*=\s*(?:[\"']([^\"']+)[\"']|None)", re.MULTILINE)


def bring_up_to_date(path: Path, *, migrations: Path) -> None:
    """Create or upgrade the database file. DATABASE_NEWER when its version is none of `migrations`. Blocking: call it in a thread."""
    known, head = revisions(migrations)
    current = version_of(path)
    if current == head:
        return
    if current is not None and current not in known:
        raise failure(Reason.DATABASE_NEWER, file=path, version=current)
    _upgrade(path, migrations)


def version_of(path: Path) -> str | None:
    """The schema version a database file carries; None for a new one."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def revisions(migrations: Path) -> tuple[frozenset[str], str]:
    """Every revision in the folder and the newest of them, read from the scripts' text."""
    known: set[str] = set()
    parents: set[str] = set()
    for script in sorted((migrations / "versions").glob("*.py")):
        found = {name: value for name, value in _REVISION.findall(script.read_text(encoding="utf-8"))}
        if "revision" in found:
            known.add(found["revision"])
            parents.add(found.get("down_revision", ""))
    heads = known - parents
    if len(heads) != 1:
        raise RuntimeError(f"{migrations} must have exactly one newest revision, found {sorted(heads)}")
    return frozenset(known), heads.pop()


def run_environment() -> None:
    """All that a migrations folder's env.py does."""
    from alembic import context

    # Transactional: a process killed in the middle leaves the old schema, never half of the new one.
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def create(path: Path, *, migrations: Path, version: str) -> None:
    """A new, empty database of that version, for comparison. Blocking."""
    _upgrade(path, migrations, to=version)


def _upgrade(path: Path, migrations: Path, *, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for DDL
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            connection.commit()
    finally:
        engine.dispose()

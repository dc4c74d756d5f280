"""One check of one node: opens the snapshot and goes through its parts in order."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.admin import snapshot
from services.admin.fsck import derived, desk, notified, sealed, storage, told, tree
from services.admin.fsck.basis import Basis, basis_of
from services.admin.fsck.report import Book, Report
from services.admin.node import Node
from services.admin.showing import Tick
from services.chassis import migrate
from xieban.agency import Agency
from xieban.errors import Reason, failure


def node(node: Node, *, tick: Tick, database: Path | None = None) -> Report:
    """Check the database of `node`, or `database` as if it were that.

    Errors: CONFIG_INVALID and what makes the trust list unusable; FILE_UNREADABLE when there is no database, or one of an older version
    that the node has not yet brought up to date.
    """
    return file(database or node.database, basis_of(node), migrations=node.migrations, tick=tick)


def file(path: Path, basis: Basis, *, migrations: Path, tick: Tick) -> Report:
    """As `node`, with what is believed at hand."""
    if not path.exists():
        raise failure(Reason.FILE_UNREADABLE, file=path, detail="没有数据库")
    report = Report(city=basis.city, agency=basis.agency, database=str(path))
    book = Book(report, tick)
    older = ""
    with book.reading(storage.FILE), snapshot.opened(path) as connection:
        older = _check(connection, basis, book, migrations)
    if older and not report.findings:
        detail = f"数据库版本 {older} 比程序旧，用本程序启动一次节点后再检查"
        raise failure(Reason.FILE_UNREADABLE, file=path, detail=detail)
    report.findings.sort()
    return report


def _check(connection: sqlite3.Connection, basis: Basis, book: Book, migrations: Path) -> str:
    """The version of a database that is older than the program, whose content cannot be judged; else empty."""
    book.step("核对存储", 0, 1)
    storage.sound(connection, book)
    current = storage.version(connection, book, migrations)
    book.step("核对存储", 1, 1)
    if not current:
        return ""
    storage.schema(connection, book, migrations, current)
    if current != migrate.revisions(migrations)[1]:
        return current
    if basis.agency is Agency.GATEWAY:
        held = sealed.check(connection, basis, book)
        derived.check(connection, basis, book, held)
        tree.check(connection, basis, book, held)
    else:
        here = desk.check(connection, basis, book)
        told.check(connection, basis, book, here)
        notified.check(connection, basis, book)
    return ""

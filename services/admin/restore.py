"""`xieban-node restore`: a node's files as a backup has them. Nothing is touched before all of the backup has been found sound.

The database that is there is set aside and never deleted; files other than the database are only put where none are. The restored
database says that it is one (`node`: restored_from), so that the node catches up before it speaks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from services.admin import keybox, manifest, snapshot
from services.admin.manifest import Manifest
from services.admin.node import CONFIG, KEYS, Node, node_of
from services.admin.showing import Tick
from services.chassis import migrate
from services.chassis.lock import alone
from xieban.agency import Agency
from xieban.errors import Reason, failure

MARK: Final = "restored_from"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value of row `restored_from` in table `node`, as JSON. `backup`: digest of its manifest; `incarnation`: the highest known,
    in the backup or in the database that was set aside."""

    backup: str
    taken_at: str
    restored_at: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: files by path, the database set aside if there was one, and secrets that an operator has to bring."""

    manifest: Manifest
    node: Node
    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    aside: Path | None
    missing: tuple[Path, ...]


def restore(
    source: Path, config: Path, *, passphrase: Callable[[], str], force: bool, now: datetime, tick: Tick
) -> Restored:
    """Restore the backup in folder `source` for the node that `config` describes, or will: a missing one comes from the backup.

    `passphrase` is asked only when the backup has keys and some are missing here. Errors: BACKUP_INVALID, CONFIG_INVALID,
    DATABASE_NEWER, DATABASE_IN_USE, DATABASE_AHEAD, KEY_FILE_INVALID.
    """
    saved = manifest.verified(source)
    node = node_of(config, content=None if config.exists() else _saved(source, saved, CONFIG))
    _check_same(node, saved)
    known, _ = migrate.revisions(node.migrations)
    if saved.schema not in known:
        raise failure(Reason.DATABASE_NEWER, file=source / "data.db", version=saved.schema)
    wanted = _wanted(node, source, saved, passphrase)
    with alone(node.database):
        existing = _existing(node, source / "data.db", force=force)
        mark = Mark(
            backup=saved.digest,
            taken_at=saved.taken_at,
            restored_at=now.isoformat(timespec="seconds"),
            incarnation=max(saved.incarnation, existing),
        )
        staged = node.database.with_name(node.database.name + ".restoring")
        try:
            _stage(source / "data.db", staged, mark, tick)
            for file, content in wanted.items():
                _put(file, content)
            aside = _set_aside(node.database, stamp=now.strftime("%Y%m%dT%H%M%S"))
            os.replace(staged, node.database)
        finally:
            staged.unlink(missing_ok=True)
        manifest.sync(node.database.parent)
    there = tuple(file for file in node.public().values() if file.exists() and file not in wanted)
    missing = tuple(file for file in node.secret().values() if not file.exists())
    return Restored(saved, node, (node.database, *wanted), there, aside, missing)


def _check_same(node: Node, saved: Manifest) -> None:
    if (saved.city, saved.agency == Agency.GATEWAY) != (node.city, node.is_gateway):
        raise failure(Reason.BACKUP_INVALID, file=manifest.FILE, detail="是另一城市或者另一类节点的备份")
    if node.settings.tls.certificate.exists() and saved.agency != node.agency():
        raise failure(Reason.BACKUP_INVALID, file=manifest.FILE, detail=f"是 {saved.agency} 的备份，不是本节点的")


def _wanted(node: Node, source: Path, saved: Manifest, passphrase: Callable[[], str]) -> dict[Path, bytes]:
    """What is to be written beside the database: only what is not there."""
    found = {
        file: _saved(source, saved, role)
        for role, file in node.public().items()
        if saved.file(role) is not None and not file.exists()
    }
    absent = {role: file for role, file in node.secret().items() if not file.exists()}
    if saved.file(KEYS) is not None and absent:
        secrets = keybox.unlocked(_saved(source, saved, KEYS), passphrase=passphrase())
        found |= {file: secrets[role] for role, file in absent.items() if role in secrets}
    return found


def _saved(source: Path, saved: Manifest, role: str) -> bytes:
    line = saved.file(role)
    if line is None:
        raise failure(Reason.BACKUP_INVALID, file=role, detail="备份中没有这个文件")
    return (source / line.name).read_bytes()


def _existing(node: Node, backup: Path, *, force: bool) -> int:
    """The incarnation of the database that is there (0: none, or unreadable). Errors: DATABASE_AHEAD."""
    if not node.database.exists():
        return 0
    try:
        with closing(sqlite3.connect(node.database.resolve().as_uri(), uri=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("ATTACH ? AS saved", (f"{backup.resolve().as_uri()}?mode=ro",))
            incarnation = snapshot.incarnation(connection)
            more = _more(connection, gateway=node.is_gateway)
            saved = connection.execute("SELECT value FROM saved.node WHERE name = 'incarnation'").fetchone()
            if saved is not None and incarnation > int(saved[0]):
                more.append(f"节点代次 {incarnation}，备份为 {saved[0]}")
    except (sqlite3.Error, ValueError) as error:
        incarnation, more = 0, [f"无法读取，不能判断其中有什么（{error}）"]
    if more and not force:
        raise failure(Reason.DATABASE_AHEAD, file=node.database, detail="；".join(more))
    return incarnation


def _more(connection: sqlite3.Connection, *, gateway: bool) -> list[str]:
    """What is held here and not in the backup."""
    here, there = set(snapshot.tables(connection)), set(snapshot.tables(connection, schema="saved"))
    found = []
    for table in snapshot.STATEMENTS[gateway]:
        if table in here:
            absent = f" WHERE eid NOT IN (SELECT eid FROM saved.{table})" if table in there else ""
            (count,) = connection.execute(f"SELECT COUNT(*) FROM main.{table}{absent}").fetchone()
            found += [f"{table} 多 {count} 份"] if count else []
    if gateway and "log_entry" in here:
        newest = "SELECT COALESCE(MAX(position), 0) FROM {}.log_entry"
        sizes = [connection.execute(newest.format(schema)).fetchone()[0] for schema in ("main", "saved")]
        found += [f"监督日志多 {sizes[0] - sizes[1]} 条"] if sizes[0] > sizes[1] else []
    return found


def _stage(source: Path, staged: Path, mark: Mark, tick: Tick) -> None:
    """A copy that bears the mark, on the disk."""
    staged.unlink(missing_ok=True)
    total, done = source.stat().st_size, 0
    with source.open("rb") as reading, open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        while chunk := reading.read(1024 * 1024):
            made.write(chunk)
            done += len(chunk)
            tick("放回数据库", done, total)
    with closing(sqlite3.connect(staged)) as connection, connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "INSERT INTO node (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (MARK, msgspec.json.encode(mark, order="sorted").decode()),
        )
    manifest.sync(staged)


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(file.name + ".restoring")
    scratch.unlink(missing_ok=True)
    manifest.write_durably(scratch, content)
    os.replace(scratch, file)
    manifest.sync(file.parent)


def _set_aside(database: Path, *, stamp: str) -> Path | None:
    """A second name for the database, so that there is one at every moment: a node that found none would begin anew.

    A write-ahead log must never meet another database; one is only here when the database could not be read.
    """
    if not database.exists():
        return None
    aside, number = database.with_name(f"{database.name}.before-{stamp}"), 1
    while aside.exists():
        number += 1
        aside = database.with_name(f"{database.name}.before-{stamp}-{number}")
    os.link(database, aside)
    for ending in ("-wal", "-shm"):
        file = database.with_name(database.name + ending)
        if file.exists():
            os.replace(file, aside.with_name(aside.name + ending))
    return aside

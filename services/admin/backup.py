"""`xieban-node backup`: one node as it stands at one moment, while it runs, as a folder that is there whole or not at all.

Everything is written into a folder of another name, onto the disk, and renamed at the end. What must not go in: reading keys without
being asked to.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

import xieban
from services import trusted
from services.admin import keybox, manifest, snapshot
from services.admin.manifest import LogEdge, Manifest, SavedFile
from services.admin.node import DATABASE, KEYS, Node
from services.admin.showing import Tick
from xieban.errors import Reason, failure

OPTIONAL: Final = frozenset({"seen", "clock"})
"""Files that a node makes by itself when it first starts."""


def take(node: Node, out: Path, *, passphrase: str = "", now: datetime, tick: Tick) -> Manifest:
    """Back `node` up into the new folder `out`. With a passphrase, its secrets too, under it.

    Errors: FIELD_INVALID (`out` exists), CONFIG_INVALID, FILE_UNREADABLE, KEY_FILE_INVALID, TRUST_BROKEN and what else makes the trust
    list unreadable; BACKUP_INVALID when the database or its copy is not sound.
    """
    if out.exists():
        raise failure(Reason.FIELD_INVALID, field="--out", detail=f"{out} 已经存在；每份备份用一个新目录")
    agency = node.agency()
    if not node.database.exists():
        raise failure(Reason.FILE_UNREADABLE, file=node.database, detail="没有数据库；节点没有启动过")
    secrets = {role: _content(file) for role, file in node.secret().items()} if passphrase else {}
    box = keybox.locked(secrets, passphrase=passphrase) if passphrase else b""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        database = part / "data.db"
        _copy(node.database, database, tick)
        files = [manifest.described(database, role=DATABASE)]
        for role, file in node.public().items():
            if role not in OPTIONAL or file.exists():
                files.append(_saved(part / _named(role, file), _content(file), role=role))
        if box:
            files.append(_saved(part / keybox.FILE, box, role=KEYS))
        made = _manifest(node, agency, database, files, now=now)
        manifest.write_durably(part / manifest.FILE, made.encode())
        manifest.sync(part)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    manifest.sync(out.parent)
    return made


def _copy(source: Path, target: Path, tick: Tick) -> None:
    try:
        with snapshot.opened(source) as connection:
            target.touch(mode=0o600)
            snapshot.copy(connection, target, step=lambda done, total: tick("复制数据库", done, total))
        with snapshot.opened(target) as connection:
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise failure(Reason.BACKUP_INVALID, file=source.name, detail=f"数据库无法读取（{error}）") from error
    if sound != "ok":
        raise failure(Reason.BACKUP_INVALID, file=source.name, detail=f"数据库已经损坏，用 fsck 查明（{sound}）")
    manifest.sync(target)


def _manifest(node: Node, agency: str, database: Path, files: list[SavedFile], *, now: datetime) -> Manifest:
    with snapshot.opened(database) as connection:
        edge = LogEdge(*snapshot.log_edge(connection)) if node.is_gateway else None
        return Manifest(
            v=manifest.VERSION,
            city=node.city,
            agency=agency,
            incarnation=snapshot.incarnation(connection),
            taken_at=now.isoformat(timespec="seconds"),
            software=xieban.__version__,
            sqlite=sqlite3.sqlite_version,
            schema=snapshot.schema_of(connection),
            trust_version=trusted.read(node.settings.trust).last.value.version,
            has_keys=any(file.role == KEYS for file in files),
            statements=snapshot.statements(connection, gateway=node.is_gateway),
            log=edge,
            files=files,
        )


def _saved(file: Path, content: bytes, *, role: str) -> SavedFile:
    manifest.write_durably(file, content)
    return manifest.described(file, role=role)


def _named(role: str, file: Path) -> str:
    """One name for each role, so that two files of one name do not meet."""
    return file.name if role == "seen" else f"{role}{file.suffix}"


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file, detail=error.strerror or "读取失败") from error

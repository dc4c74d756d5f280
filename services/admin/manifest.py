"""The manifest of a backup: what was saved of which node, when, in which versions, and the digest of every file.

It is checked whole before a restore touches anything. It is not signed: it tells an accident from a good copy, not an enemy from a
friend; what the copy holds proves itself by its seals (`xieban-node fsck`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from xieban.errors import Reason, XiebanError, failure

FILE: Final = "manifest.json"
VERSION: Final = 1
_CHUNK: Final = 1024 * 1024


class SavedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`role`: what it is to the node; `name`: what it is called in the backup."""

    role: str
    name: str
    bytes: int
    sha256: str


class LogEdge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The supervision log at the moment of the backup; the root in hex."""

    size: int
    root: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`taken_at`: the machine's time, RFC 3339. `statements`: how many of each kind. `log` only of a gateway."""

    v: int
    city: str
    agency: str
    incarnation: int
    taken_at: str
    software: str
    sqlite: str
    schema: str
    trust_version: int
    has_keys: bool
    statements: dict[str, int]
    log: LogEdge | None
    files: list[SavedFile]

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's file: the name of the backup."""
        return hashlib.sha256(self.encode()).hexdigest()

    def file(self, role: str) -> SavedFile | None:
        return next((file for file in self.files if file.role == role), None)


def described(file: Path, *, role: str) -> SavedFile:
    """Size and digest of a file as it lies on the disk."""
    found = hashlib.sha256()
    size = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return SavedFile(role=role, name=file.name, bytes=size, sha256=found.hexdigest())


def verified(folder: Path) -> Manifest:
    """The manifest, every file of which was found as it says. Errors: BACKUP_INVALID."""
    try:
        content = (folder / FILE).read_bytes()
        manifest = msgspec.json.decode(content, type=Manifest)
    except OSError as error:
        raise _invalid(FILE, f"无法读取（{error.strerror}），不是完整的备份") from error
    except msgspec.DecodeError as error:
        raise _invalid(FILE, "不是备份清单") from error
    if manifest.v != VERSION or manifest.encode() != content:
        raise _invalid(FILE, "版本或者写法与本程序不符")
    roles = [file.role for file in manifest.files]
    if "database" not in roles or len(set(roles)) != len(roles):
        raise _invalid(FILE, "没有列出数据库，或者重复列出文件")
    for file in manifest.files:
        if file.name in ("", ".", "..", FILE) or Path(file.name).name != file.name:
            raise _invalid(file.name[:40], "文件名不合要求")
        try:
            found = described(folder / file.name, role=file.role)
        except OSError as error:
            raise _invalid(file.name, f"无法读取（{error.strerror}）") from error
        if found != file:
            raise _invalid(file.name, "大小或者摘要与清单不符，文件已经损坏或者被改动")
    return manifest


def write_durably(file: Path, content: bytes) -> None:
    """A new file only its owner can read, on the disk when this returns."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync(place: Path) -> None:
    """A file's content, or a folder's names, onto the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _invalid(file: str, detail: str) -> XiebanError:
    return failure(Reason.BACKUP_INVALID, file=file, detail=detail)

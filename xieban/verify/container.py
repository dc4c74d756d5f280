"""The container: a zip file in exactly one form, so that nothing can hide in it and no byte of it can change unseen.

Members are stored, never compressed, in the order of their names, without times, comments, extra fields or attributes. A reader takes the
members out and packs them again: what does not come out the same is not a bundle. So there is nothing to unpack, and no bomb to set off.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_BUNDLE: Final = 512 * 1024 * 1024
MAX_MEMBERS: Final = 60_000
KIB: Final = 1024

NAMES: Final = tuple(
    (kind, re.compile(pattern), limit)
    for kind, pattern, limit in (
        ("manifest", r"bundle\.json", 4096 * KIB),
        ("checkpoint", r"checkpoint", 128 * KIB),
        ("content", r"dossiers/([0-9a-f]{64})/files/([0-9]{3})", 4096 * KIB),
        ("dossier", r"dossiers/([0-9a-f]{64})/manifest\.json", 1024 * KIB),
        ("salt", r"dossiers/([0-9a-f]{64})/salt", 32),
        ("entry", r"entries/([0-9]{12})\.json", 0xFFFF),
        ("proof", r"entries/([0-9]{12})\.tlog-proof", 256 * KIB),
        ("mark", r"marks/([0-9]{12}-(?:first|last))", 256 * KIB),
        ("statement", r"statements/([0-9a-f]{64})\.json", 32 * KIB),
        ("trust", r"trust\.json", 32 * 1024 * KIB),
    )
)
"""Every name there may be, with the largest size of such a member in bytes."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_VERSION, _DATE = 20, 0x0021  # 1980-01-01, where the times of this format begin


class Unreadable(Exception):
    """These bytes are no bundle; the message says why."""


@dataclass(slots=True)
class Unpacked:
    """The members by name, and (member, why) of everything about the container that is not as it must be."""

    members: dict[str, bytes] = field(default_factory=dict)
    defects: list[tuple[str, str]] = field(default_factory=list)


def kind_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """What kind of member has this name, with the parts that vary; None for a name that no member has."""
    for kind, pattern, _ in NAMES:
        match = pattern.fullmatch(name)
        if match is not None:
            return kind, match.groups()
    return None


def pack(members: Mapping[str, bytes]) -> bytes:
    """The one container of these members."""
    body, directory, offset = [], [], 0
    for name in sorted(members):
        data, label = members[name], name.encode("ascii")
        sizes = (zlib.crc32(data), len(data), len(data), len(label))
        head = _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, *sizes, 0)
        body += [head, label, data]
        directory += [
            _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DATE, *sizes, 0, 0, 0, 0, 0, offset),
            label,
        ]
        offset += len(head) + len(label) + len(data)
    listed = b"".join(directory)
    count = len(members)
    return b"".join((*body, listed, _END.pack(b"PK\x05\x06", 0, 0, count, count, len(listed), offset, 0)))


def unpack(data: bytes) -> Unpacked:
    """Take a container apart. Errors: Unreadable when its structure cannot be followed."""
    if len(data) > MAX_BUNDLE:
        raise Unreadable(f"超过 {MAX_BUNDLE} 字节")
    found = Unpacked()
    offset, before = 0, ""
    while data[offset : offset + 4] == b"PK\x03\x04":
        name, content, crc, offset = _member(data, offset)
        if len(found.members) >= MAX_MEMBERS:
            raise Unreadable(f"成员超过 {MAX_MEMBERS} 个")
        known = next((limit for _, pattern, limit in NAMES if pattern.fullmatch(name)), None)
        if known is None:
            found.defects.append((name, "名称不在规定之内"))
        elif name in found.members:
            found.defects.append((name, "名称重复"))
        elif len(content) > known:
            found.defects.append((name, f"超过 {known} 字节"))
        else:
            if zlib.crc32(content) != crc:
                found.defects.append((name, "内容与容器记录的校验和不符"))
            if name < before:
                found.defects.append((name, "没有按名称排列"))
            found.members[name], before = content, name
    if not found.members:
        raise Unreadable("不是证据包")
    if not found.defects and pack(found.members) != data:
        found.defects.append(("zip", "容器不是规定的形式"))
    return found


def _member(data: bytes, offset: int) -> tuple[str, bytes, int, int]:
    """Name, content and recorded check sum of the member at `offset`, and where the next one begins."""
    if offset + _LOCAL.size > len(data):
        raise Unreadable("文件不完整")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra = _LOCAL.unpack_from(data, offset)
    if flags or method or extra or packed != size:
        raise Unreadable("含有压缩、加密或者附加字段的成员")
    start = offset + _LOCAL.size + name_length
    if start + size > len(data):
        raise Unreadable("文件不完整")
    label = data[offset + _LOCAL.size : start]
    # A name is only ever compared and shown, never used as a path.
    name = label.decode("ascii", "replace").encode("ascii", "replace").decode()
    return name, data[start : start + size], crc, start + size

"""Distinctive strings, every way somebody's program may spell them, and the search for them in what is on the disk.

A spelling is looked for as bytes, so it does not matter whether a database, a log line or a broker's file holds it. Plain digests count
as spellings too: whoever has the digest of a form letter can find out by trial which one it was.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SHORTEST = 5
"""Characters: a shorter string would be found by accident."""


@dataclass(frozen=True, slots=True)
class Found:
    """One canary in one place: its name, how it was spelt, and where."""

    canary: str
    spelling: str
    where: str


def spellings(text: str) -> dict[str, bytes]:
    """How `text` may stand in a file, by name of the spelling."""
    assert len(text) >= SHORTEST
    raw = text.encode()
    escaped = json.dumps(text)[1:-1]
    found = {
        "UTF-8": raw,
        "UTF-16 little": text.encode("utf-16-le"),
        "UTF-16 big": text.encode("utf-16-be"),
        "escaped": escaped.encode(),
        "escaped in capitals": escaped.upper().replace("\\U", "\\u").encode(),
        "hexadecimal": raw.hex().encode(),
        "percent": quote(text).encode(),
        "HTML decimal": "".join(f"&#{ord(one)};" for one in text).encode(),
        "HTML hexadecimal": "".join(f"&#x{ord(one):x};" for one in text).encode(),
        "digest": hashlib.sha256(raw).digest(),
        "digest in hexadecimal": hashlib.sha256(raw).hexdigest().encode(),
    }
    for shift in range(3):
        encoded = _within_base64(raw, shift)
        found[f"base64 from place {shift}"] = encoded
        found[f"base64url from place {shift}"] = encoded.replace(b"+", b"-").replace(b"/", b"_")
    return found


def _within_base64(raw: bytes, shift: int) -> bytes:
    """The characters that `raw` alone decides when `shift` bytes stand before it in what is encoded."""
    encoded = base64.b64encode(bytes(shift) + raw)
    return encoded[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]


def search(data: bytes, canaries: Mapping[str, str], *, where: str) -> list[Found]:
    """Every canary in `data`, once for each spelling."""
    return [
        Found(name, spelling, where)
        for name, text in canaries.items()
        for spelling, raw in spellings(text).items()
        if raw in data
    ]


def search_files(files: Iterable[Path], canaries: Mapping[str, str]) -> list[Found]:
    """As `search`, of whole files."""
    return [found for file in files for found in search(file.read_bytes(), canaries, where=file.name)]


def all_files(folder: Path) -> list[Path]:
    """Every file below `folder`."""
    return sorted(file for file in folder.rglob("*") if file.is_file())

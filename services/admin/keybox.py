"""A node's secrets as one file under a passphrase (PBES2: scrypt, AES-256), the container that encrypted private keys have.

What is inside is not one private key but all secret files of a node by role, so `openssl` opens the container and finds JSON. What must
not go in: where a passphrase comes from.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

import msgspec

from xieban.errors import Reason, failure
from xieban.keys import containers

FILE: Final = "keys.box"
SHORTEST: Final = 12


class _Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    files: dict[str, str]


def locked(files: Mapping[str, bytes], *, passphrase: str) -> bytes:
    """Errors: FIELD_INVALID for a passphrase that is too short."""
    if len(passphrase) < SHORTEST:
        raise failure(Reason.FIELD_INVALID, field="passphrase", detail=f"口令至少 {SHORTEST} 个字符")
    box = _Box(v=1, files={role: base64.b64encode(content).decode() for role, content in files.items()})
    return containers.encrypted(msgspec.json.encode(box), passphrase=passphrase)


def unlocked(data: bytes, *, passphrase: str) -> dict[str, bytes]:
    """Errors: KEY_FILE_INVALID."""
    try:
        box = msgspec.json.decode(containers.decrypted(data, passphrase=passphrase), type=_Box)
        return {role: base64.b64decode(content, validate=True) for role, content in box.files.items()}
    except ValueError as error:  # the library's own, of padding, of JSON, of base64
        raise failure(Reason.KEY_FILE_INVALID, file=FILE, detail="口令不对，或者不是密钥备份") from error

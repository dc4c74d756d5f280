"""Key files: PEM. A private key that others can read is refused, whatever it is wanted for.

Public keys and fingerprints may lie anywhere. Private keys are PKCS#8, encrypted with a passphrase or, where a machine has to start
without a person, kept in the clear behind the file's permissions. A passphrase comes from a person or from a file as well guarded.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Final

from xieban.errors import Reason, XiebanError, failure
from xieban.keys import containers
from xieban.keys.algorithm import PrivateKey, PublicKey

MAX_FILE: Final = 16 * 1024
_OTHERS: Final = 0o077
_PEM: Final = re.compile(
    r"\s*-----BEGIN ((?:ENCRYPTED )?PRIVATE KEY|PUBLIC KEY)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\s*"
)


def save_private(file: Path, key: PrivateKey, *, passphrase: str = "") -> None:
    """Write a new key file, readable by its owner only. Errors: KEY_FILE_INVALID when there is such a file already."""
    der, label = containers.private_to_der(key), "PRIVATE KEY"
    if passphrase:
        der, label = containers.encrypted(der, passphrase=passphrase), "ENCRYPTED PRIVATE KEY"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise _unusable(file, "已经存在，不得覆盖") from error
    except OSError as error:
        raise _unusable(file, f"无法写入（{error.strerror}）") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(_pem(label, der))


def load_private(file: Path, *, passphrase: str = "") -> PrivateKey:
    """Errors: KEY_FILE_EXPOSED, KEY_FILE_INVALID (unreadable, no key, another passphrase, none given), ALGORITHM_MISSING."""
    label, der = _read(file, private=True)
    if label == "PUBLIC KEY":
        raise _unusable(file, "是公钥，不是私钥")
    if label == "ENCRYPTED PRIVATE KEY":
        if not passphrase:
            raise _unusable(file, "私钥已加密，没有给出口令")
        try:
            der = containers.decrypted(der, passphrase=passphrase)
        except ValueError as error:
            raise _unusable(file, "口令不对，或者加密方式不受支持") from error
    try:
        return containers.private_from_der(der)
    except XiebanError as error:
        if error.reason is Reason.KEY_MALFORMED:
            raise _unusable(file, "口令不对，或者不是密钥" if passphrase else "不是密钥") from error
        raise


def is_encrypted(file: Path) -> bool:
    """Whether a private key needs a passphrase. Errors: as `load_private`."""
    return _read(file, private=True)[0] == "ENCRYPTED PRIVATE KEY"


def save_public(file: Path, key: PublicKey) -> None:
    """Write a public key."""
    file.write_bytes(_pem("PUBLIC KEY", containers.public_to_der(key)))


def load_public(file: Path) -> PublicKey:
    """Errors: KEY_FILE_INVALID."""
    label, der = _read(file, private=False)
    if label != "PUBLIC KEY":
        raise _unusable(file, "是私钥，不要拿来当公钥使用")
    try:
        return containers.public_from_der(der)
    except XiebanError as error:
        raise _unusable(file, "不是受支持的公钥") from error


def load_passphrase(file: Path) -> str:
    """The first line of a file that nobody else can read. Errors: KEY_FILE_EXPOSED, KEY_FILE_INVALID."""
    lines = _bytes(file, private=True).decode("utf-8", "replace").splitlines()
    if not lines or not lines[0]:
        raise _unusable(file, "第一行没有口令")
    return lines[0]


def refuse_exposed(file: Path) -> None:
    """Errors: KEY_FILE_EXPOSED when group or others have any right to a private file (where files have such rights), KEY_FILE_INVALID."""
    try:
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        raise _unusable(file, f"无法读取（{error.strerror}）") from error
    if os.name == "posix" and mode & _OTHERS:
        raise failure(Reason.KEY_FILE_EXPOSED, file=file.name, mode=f"{mode:03o}")


def _read(file: Path, *, private: bool) -> tuple[str, bytes]:
    text = _bytes(file, private=private).decode("ascii", "replace")
    found = _PEM.fullmatch(text)
    if found is None:
        raise _unusable(file, "不是 PEM 密钥")
    try:
        return found[1], base64.b64decode("".join(found[2].split()), validate=True)
    except binascii.Error as error:
        raise _unusable(file, "不是 PEM 密钥") from error


def _bytes(file: Path, *, private: bool) -> bytes:
    try:
        if private:
            refuse_exposed(file)
        with file.open("rb") as stream:
            return stream.read(MAX_FILE)
    except OSError as error:
        raise _unusable(file, f"无法读取（{error.strerror}）") from error


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _unusable(file: Path, detail: str) -> XiebanError:
    return failure(Reason.KEY_FILE_INVALID, file=file.name, detail=detail)

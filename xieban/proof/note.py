"""C2SP signed-note: a text and the signatures under it, each by a named key.

A note is taken apart strictly and means nothing until a key that the reader knows has signed it. Two kinds of keys exist, and a key
is of one kind for ever: plain Ed25519, and cosignature/v1, which also states when it was made. What the text says belongs to
`checkpoint`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from xieban.errors import Reason, XiebanError, failure
from xieban.proof.spelling import MAX_NUMBER, octets, spell

MAX_NOTE = 128 * 1024
MAX_SIGNATURES = 64

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_MARK = "— "


class Algorithm(IntEnum):
    """Signature types of C2SP signed-note that are understood here."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name: `public` is the 32 bytes of RFC 8032. Errors: PROOF_MALFORMED."""

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.public) != 32:
            raise _malformed("公钥", "名称或者长度不合要求")

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, say which key signed: the head of SHA-256 over name, kind and public key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as a text: name, key id in hex, kind and public key in base64."""
        return f"{self.name}+{self.key_id.hex()}+{spell(bytes([self.algorithm]) + self.public)}"

    def verify(self, text: str, value: bytes) -> int | None:
        """Check the bytes of a signature over a note's text.

        Returns the time a cosignature states, in POSIX seconds; None for a plain signature. Errors: SEAL_INVALID.
        """
        at = None
        if self.algorithm is Algorithm.COSIGNATURE_V1:
            at, value = int.from_bytes(value[:8], "big"), value[8:]
            if not 0 < at <= MAX_NUMBER:
                raise failure(Reason.SEAL_INVALID)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, _message(text, at))
        except InvalidSignature as error:
            raise failure(Reason.SEAL_INVALID) from error
        return at


def parse_vkey(text: str) -> VerifierKey:
    """Read a key as `VerifierKey.vkey` writes it. Errors: PROOF_MALFORMED (also a key id that is not the key's, a kind unknown)."""
    name, _, rest = text.partition("+")
    key_id, _, key = rest.partition("+")
    data = octets(key, what="公钥", size=33)
    if data[0] not in list(Algorithm):
        raise _malformed("公钥", "不支持的签名算法")
    found = VerifierKey(name, Algorithm(data[0]), data[1:])
    if found.key_id.hex() != key_id:
        raise _malformed("公钥", "密钥编号与公钥不符")
    return found


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id (4 bytes), and the signature's bytes, which may be of any kind."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """The line under the note, its line feed included."""
        return f"{_MARK}{self.name} {spell(self.key_id + self.value)}\n"


class SigningKey:
    """A private key under its name; `public` is what others verify with. Errors: PROOF_MALFORMED (the name)."""

    def __init__(self, name: str, algorithm: Algorithm, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifierKey(name, algorithm, private.public_key().public_bytes_raw())

    def sign(self, text: str, *, at: int | None = None) -> Signature:
        """Sign a note's text, as of `at` (POSIX seconds) if this is a cosigner's key and only then.

        Errors: PROOF_MALFORMED (no note could hold the text), FIELD_INVALID (a time missing, not wanted or out of range).
        """
        if not text.endswith("\n") or _CONTROL.search(text):
            raise _malformed("签名文本", "含有控制字符或者缺少结尾换行")
        is_cosigner = self.public.algorithm is Algorithm.COSIGNATURE_V1
        is_sound = is_cosigner and 0 < at <= MAX_NUMBER if at is not None else not is_cosigner
        if not is_sound:
            raise failure(Reason.FIELD_INVALID, field="at", detail="联署须有时间，普通签名不得有时间")
        value = self._private.sign(_message(text, at))
        stamp = b"" if at is None else at.to_bytes(8, "big")
        return Signature(self.public.name, self.public.key_id, stamp + value)


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a line feed, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note as it is carried and kept."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()

    def verify(self, keys: Collection[VerifierKey]) -> Mapping[VerifierKey, int | None]:
        """The keys out of `keys` that signed, each with the time it states (`VerifierKey.verify`); other signatures are ignored.

        A known key's signature that does not hold condemns the whole note. Errors: SEAL_INVALID, FIELD_INVALID (two of `keys`
        have one name and id).
        """
        known = {(key.name, key.key_id): key for key in keys}
        if len(known) != len(keys):
            raise failure(Reason.FIELD_INVALID, field="keys", detail="密钥名称和编号重复")
        signed = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                signed[key] = key.verify(self.text, signature.value)
        return signed


def parse(data: bytes) -> Note:
    """Take a note apart; nothing is verified yet.

    One signature a key: a repeated name and id is refused, where other readers drop the second. Errors: MESSAGE_TOO_LARGE
    (over 128 KiB), PROOF_MALFORMED.
    """
    if len(data) > MAX_NOTE:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="签名文本", size=len(data), limit=MAX_NOTE)
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("签名文本", "不是 UTF-8") from error
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or _CONTROL.search(text):
        raise _malformed("签名文本", "缺少签名或者含有控制字符")
    return Note(f"{text}\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Signature lines without their note, as a witness answers. Errors: PROOF_MALFORMED (also none, over 64, or a key twice)."""
    if not lines.endswith("\n") or not 1 <= lines.count("\n") <= MAX_SIGNATURES:
        raise _malformed("签名行", "数目不合要求或者缺少结尾换行")
    found = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len({(signature.name, signature.key_id) for signature in found}) != len(found):
        raise _malformed("签名行", "同一密钥签名两次")
    return found


def _signature(line: str) -> Signature:
    name, _, value = line.removeprefix(_MARK).partition(" ")
    data = octets(value, what="签名行")
    if not line.startswith(_MARK) or not _is_name(name) or len(data) < 5:
        raise _malformed("签名行", "名称或者签名不合要求")
    return Signature(name, data[:4], data[4:])


def _message(text: str, at: int | None) -> bytes:
    """What is signed: the text; by a cosigner, the text behind a header and the time."""
    return (text if at is None else f"cosignature/v1\ntime {at}\n{text}").encode()


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not _CONTROL.search(name) and not any(map(str.isspace, name))


def _malformed(what: str, detail: str) -> XiebanError:
    return failure(Reason.PROOF_MALFORMED, what=what, detail=detail)

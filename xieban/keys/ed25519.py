"""`ed25519+sha256`: Ed25519 (RFC 8032) as `cryptography` does it; digests of statements are SHA-256."""

from __future__ import annotations

from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from xieban.errors import Reason, failure

NAME: Final = "ed25519+sha256"


class _Public:
    """32 bytes."""

    __slots__ = ("_key", "raw")
    name: Final[Literal["ed25519+sha256"]] = NAME

    def __init__(self, raw: bytes) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(raw)
        except ValueError as error:
            raise failure(Reason.KEY_MALFORMED, algorithm=NAME) from error
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Public) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def holds(self, signature: bytes, message: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class _Private:
    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = _Public(key.public_key().public_bytes_raw())

    @property
    def raw(self) -> bytes:
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class Ed25519:
    """See `Algorithm`."""

    name: Final[Literal["ed25519+sha256"]] = NAME
    curve: Final = "1.3.101.112"

    def generate(self) -> _Private:
        return _Private(Ed25519PrivateKey.generate())

    def public(self, raw: bytes) -> _Public:
        return _Public(raw)

    def private(self, raw: bytes, public: bytes = b"") -> _Private:
        try:
            key = _Private(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError as error:
            raise failure(Reason.KEY_MALFORMED, algorithm=NAME) from error
        if public and public != key.public.raw:
            raise failure(Reason.KEY_MALFORMED, algorithm=NAME)
        return key

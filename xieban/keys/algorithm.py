"""What every signature algorithm must offer, and the closed table of those there are."""

from __future__ import annotations

import hashlib
from typing import Final, Literal, Protocol

from xieban.errors import Reason, failure
from xieban.ids import KeyId
from xieban.keys import ed25519, sm2

AlgorithmName = Literal["ed25519+sha256", "sm2+sm3"]
DEFAULT: Final[AlgorithmName] = "ed25519+sha256"


class PublicKey(Protocol):
    """A public key that has been checked to be one. `raw` is its one spelling as bytes; equal when algorithm and bytes are."""

    @property
    def raw(self) -> bytes: ...

    @property
    def name(self) -> AlgorithmName: ...

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message`. Never raises for what a stranger may have sent.

        Errors: ALGORITHM_MISSING, because a signature that nobody can check is not a false one.
        """
        ...


class PrivateKey(Protocol):
    """A private key. `raw` is for key files only."""

    @property
    def raw(self) -> bytes: ...

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """Errors: ALGORITHM_MISSING."""
        ...


class Algorithm(Protocol):
    """One way to sign."""

    @property
    def name(self) -> AlgorithmName: ...

    @property
    def curve(self) -> str:
        """The dotted object identifier by which key files tell the algorithm."""
        ...

    def generate(self) -> PrivateKey:
        """Errors: ALGORITHM_MISSING."""
        ...

    def public(self, raw: bytes) -> PublicKey:
        """Errors: KEY_MALFORMED when no key has these bytes."""
        ...

    def private(self, raw: bytes, public: bytes) -> PrivateKey:
        """A private key and its public one (empty: to be derived, where that is possible).

        Errors: KEY_MALFORMED, also when the two are not a pair; ALGORITHM_MISSING.
        """
        ...


ALGORITHMS: Final[dict[AlgorithmName, Algorithm]] = {
    "ed25519+sha256": ed25519.Ed25519(),
    "sm2+sm3": sm2.Sm2(),
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name. Errors: FIELD_INVALID."""
    for known, found in ALGORITHMS.items():
        if known == name:
            return found
    raise failure(Reason.FIELD_INVALID, field="algorithm", detail="应为 " + "、".join(ALGORITHMS))


def fingerprint(public: PublicKey) -> str:
    """SHA-256 of the raw key, 64 hex digits: what people compare aloud and configurations pin."""
    return hashlib.sha256(public.raw).hexdigest()


def keyid(public: PublicKey) -> KeyId:
    """The first 16 digits of the fingerprint: how a signature says which key to look up. A label, no proof of anything."""
    return KeyId(fingerprint(public)[:16])

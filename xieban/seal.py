"""Sealed statements: what was signed is kept and carried as the very bytes that were signed.

A statement is an envelope after DSSE v1: a type, a payload, signatures over their pre-authentication encoding. It is verified
first and parsed afterwards, and never serialised again to verify. The algorithm belongs to the key in the directory, not to the
message, so nobody can be talked down to a weaker one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from xieban.agency import Agency
from xieban.canonical import MAX_PAYLOAD
from xieban.errors import Reason, failure
from xieban.ids import Eid, KeyId

StatementType = Literal["header", "receipt", "ticket"]


@dataclass(frozen=True, slots=True)
class Signature:
    keyid: KeyId
    sig: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """One signed statement. `eid` identifies it: in receipts, in the lane chain, in the log."""

    type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def eid(self) -> Eid:
        return Eid(hashlib.sha256(pae(self.type, self.payload)).hexdigest())


def pae(statement_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: what is signed and what the eid is taken over."""
    kind = statement_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


class SealKey:
    """A node's private seal key (Ed25519)."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.keyid = keyid(self.public)

    @classmethod
    def generate(cls) -> SealKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, file: Path) -> SealKey:
        """Read the 32 raw private bytes from `file`. Errors: CONFIG_INVALID."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise failure(Reason.CONFIG_INVALID, file=file.name, detail="签名密钥文件无法读取") from error

    def save(self, file: Path) -> None:
        """Write the private key, readable by its owner only."""
        file.touch(mode=0o600)
        file.write_bytes(self._private.private_bytes_raw())

    def seal(self, statement_type: StatementType, payload: bytes) -> Sealed:
        signature = self._private.sign(pae(statement_type, payload))
        return Sealed(type=statement_type, payload=payload, signatures=(Signature(keyid=self.keyid, sig=signature),))


def keyid(public: bytes) -> KeyId:
    """The key id of a raw Ed25519 public key."""
    return KeyId(hashlib.sha256(public).hexdigest()[:16])


class DirectoryEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One public key: whose it is and what algorithm it signs with."""

    keyid: str
    city: str
    agency: str
    algorithm: Literal["ed25519"]
    public: str


class _DirectoryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[DirectoryEntry]


class Directory:
    """The public keys of a city's nodes. A signature counts only for the agency its key is listed under."""

    def __init__(self, entries: list[DirectoryEntry]) -> None:
        self.entries = entries
        self._keys = {
            entry.keyid: (
                entry.city,
                Agency(entry.agency),
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry.public)),
            )
            for entry in entries
        }
        # A name that is not the key's digest, or names two agencies, would let one of them speak for the other.
        if len(self._keys) != len(entries) or any(keyid(bytes.fromhex(e.public)) != e.keyid for e in entries):
            raise failure(Reason.CONFIG_INVALID, file="directory.json", detail="密钥编号与公钥不符或者重复")

    @classmethod
    def load(cls, file: Path) -> Directory:
        """Read a directory file. Errors: CONFIG_INVALID."""
        try:
            return cls(msgspec.json.decode(file.read_bytes(), type=_DirectoryFile).keys)
        except (OSError, ValueError) as error:
            raise failure(Reason.CONFIG_INVALID, file=file.name, detail="公钥目录无法读取") from error

    def save(self, file: Path) -> None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(_DirectoryFile(keys=self.entries)), indent=2) + b"\n")

    def verify(self, sealed: Sealed, *, city: str, agency: Agency) -> None:
        """Check that `agency` of `city` signed these bytes.

        Errors: MESSAGE_TOO_LARGE, KEY_UNKNOWN (no such key, or another agency's), SEAL_INVALID.
        """
        if len(sealed.payload) > MAX_PAYLOAD:
            raise failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=len(sealed.payload), limit=MAX_PAYLOAD)
        if len(sealed.signatures) != 1:
            raise failure(Reason.SEAL_INVALID)
        signature = sealed.signatures[0]
        found = self._keys.get(signature.keyid)
        if found is None or found[:2] != (city, agency):
            raise failure(Reason.KEY_UNKNOWN, keyid=signature.keyid[:16], agency=agency)
        try:
            found[2].verify(signature.sig, pae(sealed.type, sealed.payload))
        except InvalidSignature as error:
            raise failure(Reason.SEAL_INVALID) from error


def entry(key: SealKey, *, city: str, agency: Agency) -> DirectoryEntry:
    """The directory row of a node's key."""
    return DirectoryEntry(keyid=key.keyid, city=city, agency=agency, algorithm="ed25519", public=key.public.hex())

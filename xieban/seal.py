"""Sealed statements: what was signed is kept and carried as the very bytes that were signed.

A statement is an envelope after DSSE v1: a type, a payload, signatures over their pre-authentication encoding. It is verified
first and parsed afterwards, and never serialised again to verify. The algorithm belongs to the key in the directory, not to the
message, so nobody can be talked down to a weaker one; and a key counts for a span of the supervision log, not of a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xieban.agency import Agency
from xieban.canonical import MAX_PAYLOAD
from xieban.errors import Reason, failure
from xieban.ids import Eid, KeyId
from xieban.keys import DEFAULT, AlgorithmName, PrivateKey, PublicKey, algorithm, keyid

StatementType = Literal["header", "receipt", "ticket", "notice", "reply", "summary"]


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
    def signed(self) -> bytes:
        """The bytes under the signatures."""
        return pae(self.type, self.payload)

    @property
    def eid(self) -> Eid:
        return Eid(hashlib.sha256(self.signed).hexdigest())


def pae(statement_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: what is signed and what the eid is taken over."""
    kind = statement_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


class SealKey:
    """A node's private seal key."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self.public: PublicKey = private.public
        self.keyid = keyid(private.public)

    @classmethod
    def generate(cls, name: AlgorithmName = DEFAULT) -> SealKey:
        return cls(algorithm(name).generate())

    def seal(self, statement_type: StatementType, payload: bytes) -> Sealed:
        signature = self._private.sign(pae(statement_type, payload))
        return Sealed(type=statement_type, payload=payload, signatures=(Signature(keyid=self.keyid, sig=signature),))


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One seal key: for whom it speaks, and for which indexes of the supervision log.

    `office` empty: every office of the agency. `until_index` is the first index at which it does not count any more, `ended` says why.
    """

    city: str
    agency: Agency
    key: PublicKey
    office: str = ""
    from_index: int = 0
    until_index: int | None = None
    ended: Literal["retired", "revoked"] = "retired"

    def covers(self, index: int) -> bool:
        return self.from_index <= index and (self.until_index is None or index < self.until_index)


class Directory:
    """The seal keys of a city, as a trust list gives them. A signature counts only for the agency its key is listed under.

    `at` is the index at which statements are judged whose own is not known: their place in the log cannot be before it. None judges no
    index at all and is for reading again what was accepted before.
    """

    def __init__(self, entries: Iterable[DirectoryEntry], *, at: int | None = 0) -> None:
        self._at = at
        rows = tuple(entries)
        self._keys = {keyid(row.key): row for row in rows}
        if len(self._keys) != len(rows):  # a key that is two agencies' would let one of them speak for the other
            raise failure(Reason.TRUST_BROKEN, detail="密钥重复")

    def verify(self, sealed: Sealed, *, city: str, agency: Agency, index: int | None = None) -> DirectoryEntry:
        """Check that `agency` of `city` signed these bytes; returns the key's entry.

        `index` is the place in the supervision log of what is signed, where it is known.
        Errors: MESSAGE_TOO_LARGE, KEY_UNKNOWN (no such key, or another agency's), SEAL_INVALID, KEY_OUT_OF_SPAN (the signature holds, but
        not there), ALGORITHM_MISSING.
        """
        if len(sealed.payload) > MAX_PAYLOAD:
            raise failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=len(sealed.payload), limit=MAX_PAYLOAD)
        if len(sealed.signatures) != 1:
            raise failure(Reason.SEAL_INVALID)
        signature = sealed.signatures[0]
        found = self._keys.get(signature.keyid)
        if found is None or (found.city, found.agency) != (city, agency):
            raise failure(Reason.KEY_UNKNOWN, keyid=signature.keyid[:16], agency=agency)
        if not found.key.holds(signature.sig, sealed.signed):
            raise failure(Reason.SEAL_INVALID)
        if self._at is not None:
            at = self._at if index is None else index
            if not found.covers(at):
                why = "尚未启用" if at < found.from_index else _ENDED[found.ended]
                raise failure(Reason.KEY_OUT_OF_SPAN, keyid=signature.keyid[:16], index=at, detail=why)
        return found

    def archive(self) -> Directory:
        """The same keys, judging no index."""
        return Directory(self._keys.values(), at=None)


_ENDED = {"retired": "已经停用", "revoked": "已经吊销"}


def entry(key: SealKey, *, city: str, agency: Agency) -> DirectoryEntry:
    """The directory row of a node's key that counts from the beginning and without an end."""
    return DirectoryEntry(city=city, agency=agency, key=key.public)

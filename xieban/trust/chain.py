"""The file of a city's trust: every version of the list from the first, each under the signatures of the root keys.

A version is a statement like any other (DSSE, type `trustlist`), signed by a threshold of the roots it names; if it names other roots
than the version before, also by a threshold of those. The first is held to roots that the reader was given by hand. The last may lack
signatures: then it is a draft, which can be looked at and signed but not relied on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from xieban import canonical
from xieban.errors import Reason, XiebanError, failure
from xieban.ids import KeyId
from xieban.keys import fingerprint
from xieban.seal import Sealed, Signature
from xieban.trust import lists
from xieban.trust.lists import MAX_ROOTS, Root, TrustList
from xieban.trust.succession import check_succession

TYPE: Final = "trustlist"
MAX_FILE: Final = 32 * 1024 * 1024
MAX_VERSIONS: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
    sig: Annotated[bytes, Meta(max_length=256)]


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: bytes
    signatures: Annotated[list[_Signature], Meta(max_length=2 * MAX_ROOTS)]
    type: Literal["trustlist"]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lists: Annotated[list[_Envelope], Meta(min_length=1, max_length=MAX_VERSIONS)]


@dataclass(frozen=True, slots=True)
class Pins:
    """What a reader was given by hand: the fingerprints of the first list's roots, and how many of them must sign."""

    roots: frozenset[str]
    threshold: int


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many of a set of roots have signed, and how many must."""

    count: int
    threshold: int

    @property
    def met(self) -> bool:
        return self.count >= self.threshold


@dataclass(frozen=True, slots=True)
class Signed:
    """One version with its signatures, each of which holds. `quorums`: by its own roots; by the former ones too if they differ."""

    sealed: Sealed
    value: TrustList
    quorums: tuple[Quorum, ...]

    @property
    def complete(self) -> bool:
        return all(quorum.met for quorum in self.quorums)

    @property
    def signers(self) -> frozenset[KeyId]:
        return frozenset(signature.keyid for signature in self.sealed.signatures)


@dataclass(frozen=True, slots=True)
class Chain:
    """Versions in order, all but perhaps the last signed by enough roots."""

    versions: tuple[Signed, ...]

    @property
    def last(self) -> Signed:
        return self.versions[-1]

    @property
    def draft(self) -> Signed | None:
        return None if self.last.complete else self.last

    @property
    def settled(self) -> Signed | None:
        """The newest version that is signed by enough; None while the first is not."""
        done = self.versions if self.last.complete else self.versions[:-1]
        return done[-1] if done else None

    def encode(self) -> bytes:
        """The file."""
        return spell([version.sealed for version in self.versions])

    def effective(self, *, now: datetime) -> TrustList:
        """The list to rely on. Errors: TRUST_UNSIGNED when the newest is a draft, TRUST_EXPIRED (by the machine's clock)."""
        if not self.last.complete:
            short = next(quorum for quorum in self.last.quorums if not quorum.met)
            version = self.last.value.version
            raise failure(Reason.TRUST_UNSIGNED, version=version, count=short.count, limit=short.threshold)
        value = self.last.value
        expiry = moment(value.expires_at)
        if now >= expiry:
            raise failure(Reason.TRUST_EXPIRED, version=value.version, at=expiry.date())
        return value


def micros(at: datetime) -> int:
    """Microseconds since the epoch of an aware time."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The aware time (UTC) of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=value)


def parse(data: bytes, *, pins: Pins | None) -> Chain:
    """Verify a whole file from its first version.

    `pins` None only to look at a file or to start one: then nothing says whose roots these are.
    Errors: MESSAGE_TOO_LARGE, PROOF_MALFORMED, TRUST_BROKEN, ALGORITHM_MISSING.
    """
    try:
        file = canonical.decode(data, _File, limit=MAX_FILE)
    except XiebanError as error:
        if error.reason is Reason.PAYLOAD_NOT_CANONICAL:
            raise failure(Reason.PROOF_MALFORMED, what="信任清单文件", detail="不是规范编码") from error
        raise
    versions: list[Signed] = []
    for envelope in file.lists:
        sealed = Sealed(
            type=envelope.type,
            payload=envelope.payload,
            signatures=tuple(Signature(keyid=KeyId(row.keyid), sig=row.sig) for row in envelope.signatures),
        )
        versions.append(admit(versions, sealed, pins=pins))
    return Chain(tuple(versions))


def admit(before: Sequence[Signed], sealed: Sealed, *, pins: Pins | None) -> Signed:
    """The next version after `before`, verified. Errors: as `parse`."""
    value = lists.decode(sealed.payload)
    former: list[Root] = []
    if before:
        if not before[-1].complete:
            raise _broken(value, "前一版签名不足")
        check_succession(before[-1].value, value, digest=before[-1].sealed.eid)
        if not _same_roots(before[-1].value, value):
            former = before[-1].value.roots
    elif value.version != 1:
        raise _broken(value, "文件没有从第 1 版开始")
    elif pins is not None:
        found = {fingerprint(root.key) for root in value.roots}
        if found != pins.roots or value.threshold != pins.threshold:
            raise _broken(value, "根密钥与所核对的指纹不符")
    signers = _signers(sealed, value, former)
    quorums = [_quorum(value.roots, value.threshold, signers)]
    if former:
        quorums.append(_quorum(former, before[-1].value.threshold, signers))
    return Signed(sealed=sealed, value=value, quorums=tuple(quorums))


def spell(versions: Sequence[Sealed]) -> bytes:
    """The file of these versions."""
    envelopes = [
        _Envelope(
            payload=version.payload,
            signatures=[_Signature(keyid=row.keyid, sig=row.sig) for row in version.signatures],
            type=TYPE,
        )
        for version in versions
    ]
    return canonical.encode(_File(lists=envelopes))


def _signers(sealed: Sealed, value: TrustList, former: Sequence[Root]) -> frozenset[str]:
    """Who signed. One spelling: by key id, each once, none that is not a root's, none that does not hold."""
    keys = {root.id: root.key for root in (*value.roots, *former)}
    names = [signature.keyid for signature in sealed.signatures]
    if names != sorted(set(names)):
        raise _broken(value, "签名重复或者没有按密钥编号排列")
    message = sealed.signed
    for signature in sealed.signatures:
        key = keys.get(signature.keyid)
        if key is None or not key.holds(signature.sig, message):
            raise _broken(value, f"密钥 {signature.keyid} 的签名不成立")
    return frozenset(names)


def _quorum(roots: Collection[Root], threshold: int, signers: frozenset[str]) -> Quorum:
    return Quorum(count=len(signers & {root.id for root in roots}), threshold=threshold)


def _same_roots(before: TrustList, after: TrustList) -> bool:
    return before.roots == after.roots and before.threshold == after.threshold


def _broken(value: TrustList, detail: str) -> XiebanError:
    return failure(Reason.TRUST_BROKEN, version=value.version, detail=detail)

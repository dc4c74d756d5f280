"""One trust list: who holds which key, and from which entry of the supervision log to which it counts.

A list is canonical JSON of closed structs. A key that was ever listed stays listed, with the index at which it ended, so that the newest
list alone judges a signature of any age: by the log index of what was signed, never by a clock. What must not go in: who signed the
list (`chain`), what may follow on what (`succession`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from xieban import canonical
from xieban.agency import Agency, city, office
from xieban.approval import OfficerEntry, Officers
from xieban.errors import Reason, XiebanError, failure
from xieban.ids import KeyId
from xieban.keys import AlgorithmName, PublicKey, algorithm, keyid
from xieban.seal import Directory, DirectoryEntry

VERSION: Final = 1
MAX_LIST: Final = 1024 * 1024
MAX_ROOTS: Final = 16
MAX_ENTRIES: Final = 4096
MAX_BARRED: Final = 4096

Index = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Micros = Annotated[int, Meta(ge=0, lt=4_102_444_800_000_000)]
Hex = Annotated[str, Meta(pattern=r"\A([0-9a-f]{2}){32,64}\Z")]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
MaybeDigest = Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
Token = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
MaybeDivision = Annotated[str, Meta(pattern=r"\A([0-9]{6})?\Z")]
# As C2SP notes name keys: no space, no plus.
NoteName = Annotated[str, Meta(pattern=r"\A[a-z0-9./-]{1,128}\Z")]

EndReason = Literal["compromised", "lost", "superseded", "left", "mistake"]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing that the key signed counts from `index` on, whatever was announced before."""

    index: Index
    reason: EndReason


class _Valid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From `from_index` up to, and not including, `until_index` (None: no end announced)."""

    from_index: Index
    until_index: Index | None = None
    revoked: Revocation | None = None

    @property
    def end(self) -> int | None:
        """The first index at which it does not count any more."""
        ends = [] if self.until_index is None else [self.until_index]
        if self.revoked is not None:
            ends.append(self.revoked.index)
        return min(ends, default=None)

    def covers(self, index: int) -> bool:
        """Whether it counts for the log entry of that index."""
        return self.from_index <= index and (self.end is None or index < self.end)


class _Keyed(_Valid, frozen=True, forbid_unknown_fields=True, kw_only=True):
    algorithm: AlgorithmName
    public: Hex

    @property
    def key(self) -> PublicKey:
        """Errors: KEY_MALFORMED."""
        return algorithm(self.algorithm).public(bytes.fromhex(self.public))

    @property
    def id(self) -> KeyId:
        return keyid(self.key)


class Seal(_Keyed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="use", tag="seal"):
    """A node's seal key: speaks for `agency` of the list's city; with `office` (a division code) for that office alone."""

    agency: Agency
    office: MaybeDivision


class Officer(_Keyed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="use", tag="officer"):
    """A person's key: who handles (经办) or who approves (审批). `holder` is a service number, never a name."""

    agency: Agency
    office: MaybeDivision
    role: Literal["handler", "approver"]
    holder: Token


class Log(_Keyed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="use", tag="log"):
    """The key that signs checkpoints of the supervision log under the note name `name`.

    `keeps`: it founds a new log, which begins with so many entries of the one before. Left out of every other key's entry.
    """

    name: NoteName
    keeps: Index | UnsetType = UNSET


class Witness(_Keyed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="use", tag="witness"):
    """A key that cosigns checkpoints under the note name `name`, and who runs the witness."""

    name: NoteName
    holder: Token


class Authority(_Valid, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="use", tag="ca"):
    """An authority of TLS certificates: SHA-256 of its certificate (DER)."""

    fingerprint: Digest

    @property
    def id(self) -> str:
        return self.fingerprint[:16]


Entry = Seal | Officer | Log | Witness | Authority
_Use = TypeVar("_Use", Seal, Officer, Log, Witness, Authority)
USES: Final[dict[type[Entry], str]] = {
    Authority: "ca",
    Log: "log",
    Officer: "officer",
    Seal: "seal",
    Witness: "witness",
}


class Root(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that signs lists."""

    algorithm: AlgorithmName
    public: Hex

    @property
    def key(self) -> PublicKey:
        """Errors: KEY_MALFORMED."""
        return algorithm(self.algorithm).public(bytes.fromhex(self.public))

    @property
    def id(self) -> KeyId:
        return keyid(self.key)


class Barred(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate of TLS that opens no port any more, whoever issued it: SHA-256 of it (DER)."""

    fingerprint: Digest
    reason: EndReason


class TrustList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version. `previous` is the eid of the version before (empty for the first), `index` the log index it is in force from.

    `barred` is left out where it is empty, so that lists from before there was one keep their bytes and signatures. A certificate is
    judged when it is shown, not by an index: nothing that was logged rests on one.
    """

    v: Literal[1]
    city: Token
    version: Annotated[int, Meta(ge=1, le=2**31)]
    previous: MaybeDigest
    index: Index
    issued_at: Micros
    expires_at: Micros
    threshold: Annotated[int, Meta(ge=1, le=MAX_ROOTS)]
    roots: Annotated[list[Root], Meta(min_length=1, max_length=MAX_ROOTS)]
    entries: Annotated[list[Entry], Meta(max_length=MAX_ENTRIES)]
    barred: Annotated[list[Barred], Meta(max_length=MAX_BARRED)] = []

    def directory(self, *, at: int | None = None) -> Directory:
        """Whose seal key is whose. Statements of unknown index are judged at `at`, the list's own index if not given."""
        return Directory(self._speakers(), at=self.index if at is None else at)

    def archive(self) -> Directory:
        """For reading again what a database of ours had accepted once: each key counts wherever it ever was listed."""
        return Directory(self._speakers(), at=None)

    def officers(self, *, at: int | None = None) -> Officers:
        """Who may stand behind handoffs. Those of unknown index are judged at `at`, the list's own index if not given."""
        return Officers(self._officers(), at=self.index if at is None else at)

    def find(self, id: str) -> Entry:
        """The entry of that key id. Errors: KEY_UNKNOWN."""
        for entry in self.entries:
            if entry.id == id:
                return entry
        raise failure(Reason.KEY_UNKNOWN, keyid=id[:16], agency="清单")

    def of_use(self, use: type[_Use], *, at: int) -> tuple[_Use, ...]:
        """The entries of one use that count at an index."""
        return tuple(entry for entry in self.entries if isinstance(entry, use) and entry.covers(at))

    def _speakers(self) -> Iterator[DirectoryEntry]:
        for entry in self.entries:
            if isinstance(entry, Seal):
                yield DirectoryEntry(
                    city=self.city, agency=entry.agency, office=entry.office, key=entry.key,
                    from_index=entry.from_index, until_index=entry.end,
                    ended="revoked" if entry.revoked else "retired",
                )  # fmt: skip

    def _officers(self) -> Iterator[OfficerEntry]:
        for entry in self.entries:
            if isinstance(entry, Officer):
                yield OfficerEntry(
                    agency=entry.agency, office=entry.office, role=entry.role, holder=entry.holder, key=entry.key,
                    from_index=entry.from_index, until_index=entry.end,
                )  # fmt: skip


def encode(value: TrustList) -> bytes:
    """The bytes that are signed."""
    return canonical.encode(value)


def decode(payload: bytes) -> TrustList:
    """A list in its one spelling, sound in itself. Errors: MESSAGE_TOO_LARGE, PROOF_MALFORMED, TRUST_BROKEN."""
    try:
        value = canonical.decode(payload, TrustList, limit=MAX_LIST)
    except XiebanError as error:
        if error.reason is Reason.PAYLOAD_NOT_CANONICAL:
            raise failure(Reason.PROOF_MALFORMED, what="信任清单", detail="不是规范编码") from error
        raise
    check(value)
    return value


def check(value: TrustList) -> None:
    """What a list must be on its own. Errors: TRUST_BROKEN."""
    try:
        defect = next(_defects(value), None)
    except XiebanError as error:  # a key that is none, an office or a city that is none of ours
        raise failure(Reason.TRUST_BROKEN, version=value.version, detail=error.cause) from error
    if defect is not None:
        raise failure(Reason.TRUST_BROKEN, version=value.version, detail=defect)


def place(entry: Entry) -> tuple[str, str]:
    """Where an entry stands among the others: sorted by use, then key id."""
    return USES[type(entry)], entry.id


def _defects(value: TrustList) -> Iterator[str]:
    home = city(value.city)
    if (value.version == 1) != (value.previous == ""):
        yield "只有第 1 版没有前一版"
    if value.expires_at <= value.issued_at:
        yield "签发时间晚于到期时间"
    if value.threshold > len(value.roots):
        yield "要求的签名数多于根密钥数"
    roots = [root.id for root in value.roots]
    if roots != sorted(set(roots)):
        yield "根密钥重复或者没有按编号排列"
    places = [place(entry) for entry in value.entries]
    ids = [id for _, id in places]
    if places != sorted(places) or len(set(ids)) != len(ids) or set(ids) & set(roots):
        yield "密钥重复或者没有按编号排列"
    for entry in value.entries:
        if entry.until_index is not None and entry.until_index < entry.from_index:
            yield f"密钥 {entry.id} 的止期早于起期"
        if isinstance(entry, Log | Witness) and entry.algorithm != "ed25519+sha256":
            yield f"密钥 {entry.id} 的算法不能用于日志"
        if isinstance(entry, Seal | Officer) and entry.office and office(entry.agency, entry.office).city != home:
            yield f"密钥 {entry.id} 的单位不属于本市"
    barred = [row.fingerprint for row in value.barred]
    if barred != sorted(set(barred)):
        yield "停用的证书重复或者没有按指纹排列"
    if not {entry.fingerprint for entry in value.entries if isinstance(entry, Authority)}.isdisjoint(barred):
        yield "根证书不能作为单份证书停用"
    yield from _of_logs([entry for entry in value.entries if isinstance(entry, Log)])


def _of_logs(keys: Sequence[Log]) -> Iterator[str]:
    """A name is the first log's, or is founded once, by its earliest key, behind a log that was there before."""
    founders = [key for key in keys if key.keeps is not UNSET]
    founded = {key.name: key.from_index for key in founders}
    first = [key for key in keys if key.name not in founded]
    if len(founded) < len(founders) or len({key.name for key in first}) > 1:
        yield "日志名称重复设立，或者新的名称没有写明保留条数"
    begins = min((key.from_index for key in first), default=None)
    for key in keys:
        if key.keeps is not UNSET and key.keeps > key.from_index:
            yield f"密钥 {key.id} 的保留条数多于起期"
        if key.name in founded and (begins is None or not begins <= founded[key.name] <= key.from_index):
            yield f"密钥 {key.id} 的日志设立早于之前的日志"

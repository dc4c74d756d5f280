"""The city's trust list: every version from the first, each under the signatures of the root keys, and what each may change.

A version is signed by a threshold of the roots it names and, where it names other roots than the one before, by a threshold of those too. A
key that was listed stays listed, so the newest version judges a signature of any age by its place in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from xieban.verify import closed, schemas, sm2
from xieban.verify.closed import NotCanonical
from xieban.verify.members import Envelope, envelope, in_one_spelling

ED25519: Final = "ed25519+sha256"
SM2: Final = "sm2+sm3"
_RAW: Final = {ED25519: 64, SM2: 128}
MAX_LIST: Final = 1024 * 1024
DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Pins:
    """Fingerprints of the first list's root keys as the reader was given them by hand, and how many must sign."""

    roots: frozenset[str]
    threshold: int = 3


@dataclass(frozen=True, slots=True)
class Version:
    """A version and its eid."""

    eid: str
    value: dict[str, Any]


@dataclass(slots=True)
class Chain:
    """What could be read of the file. `defects`: (version, why); without any, the last version is to be relied on."""

    versions: list[Version]
    defects: list[tuple[str, str]]

    @property
    def last(self) -> dict[str, Any]:
        return self.versions[-1].value


def fingerprint(public: str) -> str:
    """SHA-256 of a raw key, both in hex."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def keyid(row: dict[str, Any]) -> str:
    """The id of a listed key or authority."""
    return str(row["fingerprint"] if "fingerprint" in row else fingerprint(row["public"]))[:DIGITS]


def holds(row: dict[str, Any], signature: bytes, message: bytes) -> bool:
    """Whether the listed key has made this signature."""
    public = bytes.fromhex(row["public"])
    if row["algorithm"] == SM2:
        return sm2.holds(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def end_of(row: dict[str, Any]) -> int | None:
    """The first index at which a key does not count any more."""
    ends = [end for end in (row["until_index"], (row["revoked"] or {}).get("index")) if end is not None]
    return min(ends, default=None)


def covers(row: dict[str, Any], index: int) -> bool:
    end = end_of(row)
    return bool(row["from_index"] <= index and (end is None or index < end))


def read(data: bytes) -> Chain:
    """The whole file, version by version up to the first that is not sound."""
    chain = Chain([], [])
    try:
        file = closed.read(data, schemas.TRUST_FILE)
    except NotCanonical as error:
        chain.defects.append(("trust.json", str(error)))
        return chain
    for number, row in enumerate(file["lists"], start=1):
        reason = _admit(chain, row)
        if reason:
            chain.defects.append((f"v{number}", reason))
            break
    return chain


def _admit(chain: Chain, row: dict[str, Any]) -> str:
    """Take the next version; why not, if not."""
    if row["type"] != "trustlist" or not in_one_spelling(row):
        return "不是规范编码"
    sealed = envelope(row)
    if len(sealed.payload) > MAX_LIST:
        return "过长"
    try:
        value = closed.read(sealed.payload, schemas.TRUST_LIST)
    except NotCanonical as error:
        return str(error)
    before = chain.versions[-1] if chain.versions else None
    reasons = [*_unsound(value), *(_succession(before, value) if before else _beginning(value))]
    if not reasons:
        reasons = list(_unsigned(before.value if before else None, value, sealed))
    if not reasons:
        chain.versions.append(Version(sealed.eid, value))
    return reasons[0] if reasons else ""


def _beginning(value: dict[str, Any]) -> Iterator[str]:
    if value["version"] != 1:
        yield "没有从第 1 版开始"


def _unsound(value: dict[str, Any]) -> Iterator[str]:
    keyed = [row for row in (*value["roots"], *value["entries"]) if "public" in row]
    if any(len(row["public"]) != _RAW[row["algorithm"]] for row in keyed):
        yield "公钥长度与算法不符"
        return
    if (value["version"] == 1) != (value["previous"] == ""):
        yield "只有第 1 版没有前一版"
    if value["expires_at"] <= value["issued_at"]:
        yield "到期时间不晚于签发时间"
    if value["threshold"] > len(value["roots"]):
        yield "要求的签名数多于根密钥数"
    roots = [keyid(row) for row in value["roots"]]
    places = [(row["use"], keyid(row)) for row in value["entries"]]
    ids = [id for _, id in places]
    if roots != sorted(set(roots)):
        yield "根密钥重复或者没有排列"
    if places != sorted(places) or len(set(ids)) != len(ids) or set(ids) & set(roots):
        yield "密钥重复或者没有排列"
    for row in value["entries"]:
        if row["until_index"] is not None and row["until_index"] < row["from_index"]:
            yield f"密钥 {keyid(row)} 的止期早于起期"
        if row["use"] in ("log", "witness") and row["algorithm"] != ED25519:
            yield f"密钥 {keyid(row)} 的算法不能用于日志"
    barred = [row["fingerprint"] for row in value.get("barred", ())]
    if barred != sorted(set(barred)):
        yield "停用的证书重复或者没有排列"
    if any(row["use"] == "ca" and row["fingerprint"] in barred for row in value["entries"]):
        yield "根证书不能作为单份证书停用"
    yield from _of_logs([row for row in value["entries"] if row["use"] == "log"])


def _of_logs(keys: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A name is the first log's, or is founded once, by its earliest key, behind a log that was there before."""
    founders = [row for row in keys if "keeps" in row]
    founded = {row["name"]: row["from_index"] for row in founders}
    first = [row for row in keys if row["name"] not in founded]
    if len(founded) < len(founders) or len({row["name"] for row in first}) > 1:
        yield "日志名称重复设立，或者新的名称没有写明保留条数"
    begins = min((row["from_index"] for row in first), default=None)
    for row in keys:
        if row.get("keeps", 0) > row["from_index"]:
            yield f"密钥 {keyid(row)} 的保留条数多于起期"
        since = founded.get(row["name"])
        if since is not None and (begins is None or not begins <= since <= row["from_index"]):
            yield f"密钥 {keyid(row)} 的日志设立早于之前的日志"


def _succession(before: Version, after: dict[str, Any]) -> Iterator[str]:
    old = before.value
    if after["version"] != old["version"] + 1 or after["previous"] != before.eid:
        yield "没有接续前一版"
    if after["city"] != old["city"]:
        yield "城市与前一版不同"
    if after["index"] < old["index"] or after["issued_at"] < old["issued_at"]:
        yield "日志序号或者签发时间早于前一版"
    kept = {keyid(row): row for row in after["entries"]}
    for row in old["entries"]:
        same = kept.pop(keyid(row), None)
        if same is None:
            yield f"缺少前一版的密钥 {keyid(row)}"
        else:
            yield from _changes(row, same, after["index"])
    for id, row in kept.items():
        if row["from_index"] < after["index"]:
            yield f"新密钥 {id} 的起期早于本版"
    for row in old.get("barred", ()):
        if row not in after.get("barred", ()):
            yield f"前一版停用的证书 {row['fingerprint'][:DIGITS]} 被取消或者改动"


def _changes(old: dict[str, Any], new: dict[str, Any], index: int) -> Iterator[str]:
    ends = ("until_index", "revoked")
    was, revoked, before = old["until_index"], new["revoked"], old["revoked"]
    if {k: v for k, v in old.items() if k not in ends} != {k: v for k, v in new.items() if k not in ends}:
        yield f"密钥 {keyid(old)} 的内容被改动"
    if new["until_index"] != was:
        passed = was is not None and was <= index
        if passed or new["until_index"] is None or new["until_index"] < index:
            yield f"密钥 {keyid(old)} 的止期被不当改动"
    if before is not None and (revoked is None or revoked["index"] > before["index"]):
        yield f"密钥 {keyid(old)} 的吊销被取消或者推后"
    if revoked is not None and revoked != before and revoked["index"] > index:
        yield f"密钥 {keyid(old)} 的吊销晚于本版"


def _unsigned(before: dict[str, Any] | None, value: dict[str, Any], sealed: Envelope) -> Iterator[str]:
    """Signatures in one order, each by a root of this version or the one before, each holding; and enough of them."""
    former: Sequence[dict[str, Any]] = ()
    if before is not None and (before["roots"], before["threshold"]) != (value["roots"], value["threshold"]):
        former = before["roots"]
    keys = {keyid(row): row for row in (*value["roots"], *former)}
    names = [name for name, _ in sealed.signatures]
    if names != sorted(set(names)):
        yield "签名重复或者没有排列"
        return
    for name, signature in sealed.signatures:
        if name not in keys or not holds(keys[name], signature, sealed.signed):
            yield f"密钥 {name} 的签名不成立"
            return
    sets = [(value["roots"], value["threshold"])]
    if former and before is not None:
        sets.append((former, before["threshold"]))
    for roots, threshold in sets:
        count = len(set(names) & {keyid(row) for row in roots})
        if count < threshold:
            yield f"有 {count} 份根签名，须有 {threshold} 份"

"""What one version of the list may change of the version before it. Keys end; they never reopen, change hands or vanish. A certificate
that is barred stays so."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from xieban.errors import Reason, failure
from xieban.trust.lists import Entry, TrustList

_ENDS = ("until_index", "revoked")


def check_succession(before: TrustList, after: TrustList, *, digest: str) -> None:
    """Whether `after` may follow `before`, whose eid is `digest`. Errors: TRUST_BROKEN."""
    for defect in _defects(before, after, digest):
        raise failure(Reason.TRUST_BROKEN, version=after.version, detail=defect)


def _defects(before: TrustList, after: TrustList, digest: str) -> Iterator[str]:
    if after.version != before.version + 1:
        yield f"前一版是第 {before.version} 版"
    if after.previous != digest:
        yield "所载的前一版摘要不符"
    if after.city != before.city:
        yield "城市与前一版不同"
    if after.index < before.index or after.issued_at < before.issued_at:
        yield "日志序号或者签发时间早于前一版"
    kept = {entry.id: entry for entry in after.entries}
    for old in before.entries:
        new = kept.pop(old.id, None)
        if new is None:
            yield f"缺少前一版的密钥 {old.id}"
        else:
            yield from _changes(old, new, after.index)
    for entry in kept.values():
        if entry.from_index < after.index:
            yield f"新密钥 {entry.id} 的起期早于本版"
    for row in before.barred:
        if row not in after.barred:
            yield f"前一版停用的证书 {row.fingerprint[:16]} 被取消或者改动"


def _changes(old: Entry, new: Entry, index: int) -> Iterator[str]:
    if type(new) is not type(old) or _without_end(new) != _without_end(old):
        yield f"密钥 {old.id} 的内容被改动"
    if new.until_index != old.until_index:
        # An end that has passed stays where it was, and none is announced for what has been logged already.
        if old.until_index is not None and old.until_index <= index:
            yield f"密钥 {old.id} 已经停用，不得改动止期"
        elif new.until_index is None or new.until_index < index:
            yield f"密钥 {old.id} 的止期早于本版或者被取消"
    if old.revoked is not None and (new.revoked is None or new.revoked.index > old.revoked.index):
        yield f"密钥 {old.id} 的吊销被取消或者推后"
    if new.revoked is not None and new.revoked != old.revoked and new.revoked.index > index:
        yield f"密钥 {old.id} 的吊销晚于本版"


def _without_end(entry: Entry) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(entry).items() if name not in _ENDS}

"""Drafting the next version and collecting its signatures: pure steps on a chain, each giving a new chain.

A draft nobody has signed may be amended further. Once somebody has, it is finished or drawn up anew: whoever signed saw these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from xieban.errors import Reason, failure
from xieban.keys import PrivateKey, PublicKey, fingerprint, keyid
from xieban.seal import Sealed, Signature
from xieban.trust import chain, lists
from xieban.trust.chain import Chain, Signed
from xieban.trust.lists import Authority, Barred, EndReason, Entry, Log, Revocation, Root, TrustList, Witness

THRESHOLD: Final = 3
ROOTS: Final = 5
LIFE: Final = timedelta(days=730)


@dataclass(frozen=True, slots=True)
class Issue:
    """What a new draft is issued with: the log index it will be in force from, when it is drawn up and when it expires (microseconds).

    Used only when a draft is begun; a draft that is amended keeps its own. `afresh` throws the signatures of a draft away.
    """

    index: int
    at: int
    expires_at: int
    afresh: bool = False


def begin(*, city: str, roots: Sequence[PublicKey], threshold: int, issued_at: datetime, expires_at: datetime) -> Chain:
    """A first version without entries, to be amended and signed. Errors: TRUST_BROKEN."""
    value = TrustList(
        v=lists.VERSION,
        city=city,
        version=1,
        previous="",
        index=0,
        issued_at=chain.micros(issued_at),
        expires_at=chain.micros(expires_at),
        threshold=threshold,
        roots=_sorted_roots(roots),
        entries=[],
    )
    return Chain((_drafted((), value),))


def add(before: Chain, *entries: Entry, issue: Issue) -> Chain:
    """List new keys. Errors: TRUST_BROKEN (listed before, or anything else a list may not be), TRUST_UNSIGNED."""
    draft = _draft(before, issue)
    return _amended(before, draft, [*draft.entries, *entries])


def renew(before: Chain, *, issue: Issue) -> Chain:
    """The same list with a new expiry. Errors: TRUST_UNSIGNED."""
    draft = _draft(before, issue)
    return _amended(before, msgspec.structs.replace(draft, expires_at=issue.expires_at), draft.entries)


def rotate(before: Chain, *, id: str, to: PublicKey, overlap: int, issue: Issue) -> Chain:
    """Put a new key in the place of an entry's: it counts from the draft's index, the old one for `overlap` more log entries.

    Errors: KEY_UNKNOWN, TRUST_BROKEN, TRUST_UNSIGNED, FIELD_INVALID (an authority: add the new one, then end the old; an overlap of log
    or witness keys, of whom there is one at a time).
    """
    draft = _draft(before, issue)
    old = draft.find(id)
    if isinstance(old, Log | Witness) and overlap:
        raise failure(Reason.FIELD_INVALID, field="overlap", detail="日志和见证方同一时间只有一把密钥")
    if isinstance(old, Authority):
        raise failure(Reason.FIELD_INVALID, field="key", detail="根证书不能更换公钥；先 add 新证书，再 revoke 旧证书")
    new = msgspec.structs.replace(
        old, algorithm=to.name, public=to.raw.hex(), from_index=draft.index, until_index=None, revoked=None
    )
    if isinstance(new, Log):
        new = msgspec.structs.replace(new, keeps=msgspec.UNSET)  # a log is founded once
    ended = msgspec.structs.replace(old, until_index=draft.index + overlap)
    return _amended(before, draft, [*_without(draft, id), ended, new])


def rotate_root(before: Chain, *, id: str, to: PublicKey, issue: Issue) -> Chain:
    """Put a new root in the place of one. Both sets of roots will have to sign. Errors: KEY_UNKNOWN, TRUST_BROKEN, TRUST_UNSIGNED."""
    draft = _draft(before, issue)
    kept = [root.key for root in draft.roots if root.id != id]
    if len(kept) == len(draft.roots):
        raise failure(Reason.KEY_UNKNOWN, keyid=id[:16], agency="根密钥")
    return _amended(before, msgspec.structs.replace(draft, roots=_sorted_roots([*kept, to])), draft.entries)


def revoke(before: Chain, *, id: str, reason: EndReason, from_index: int | None, issue: Issue) -> Chain:
    """End a key at `from_index`, which may lie before the draft's own index (default): all it signed from there on is refused.

    Errors: KEY_UNKNOWN, TRUST_BROKEN, TRUST_UNSIGNED.
    """
    draft = _draft(before, issue)
    index = draft.index if from_index is None else from_index
    ended = msgspec.structs.replace(draft.find(id), revoked=Revocation(index=index, reason=reason))
    return _amended(before, draft, [*_without(draft, id), ended])


def bar(before: Chain, *, fingerprint: str, reason: EndReason, issue: Issue) -> Chain:
    """Bar one certificate of TLS by the SHA-256 of it (DER, hex). It cannot be taken back: whoever held it gets another one.

    Errors: TRUST_BROKEN (barred already, or an authority's, which is revoked), TRUST_UNSIGNED.
    """
    draft = _draft(before, issue)
    rows = [*draft.barred, Barred(fingerprint=fingerprint, reason=reason)]
    ordered = sorted(rows, key=lambda row: row.fingerprint)
    return _amended(before, msgspec.structs.replace(draft, barred=ordered), draft.entries)


def sign(before: Chain, key: PrivateKey) -> Chain:
    """Add a root's signature to the last version. Signing twice changes nothing. Errors: KEY_UNKNOWN (no root of it)."""
    last, id = before.last, keyid(key.public)
    roots = {root.id for root in last.value.roots}
    if len(before.versions) > 1:
        roots |= {root.id for root in before.versions[-2].value.roots}
    if id not in roots:
        raise failure(Reason.KEY_UNKNOWN, keyid=id, agency="根密钥")
    kept = [signature for signature in last.sealed.signatures if signature.keyid != id]
    mine = Signature(keyid=id, sig=key.sign(last.sealed.signed))
    signatures = tuple(sorted([*kept, mine], key=lambda signature: signature.keyid))
    return _with_last(before, replace(last.sealed, signatures=signatures))


def pinned(value: TrustList) -> chain.Pins:
    """What a reader has to be given by hand to believe this list, if it is a first one."""
    return chain.Pins(roots=frozenset(fingerprint(root.key) for root in value.roots), threshold=value.threshold)


def _draft(before: Chain, issue: Issue) -> TrustList:
    """The draft to amend: the one there is, or a new one on top of the settled version."""
    draft = before.draft
    if draft is None:
        last = before.last
        return msgspec.structs.replace(
            last.value,
            version=last.value.version + 1,
            previous=last.sealed.eid,
            index=issue.index,
            issued_at=issue.at,
            expires_at=issue.expires_at,
        )
    if draft.sealed.signatures and not issue.afresh:
        short = next(quorum for quorum in draft.quorums if not quorum.met)
        raise failure(Reason.TRUST_UNSIGNED, version=draft.value.version, count=short.count, limit=short.threshold)
    return draft.value


def _amended(before: Chain, draft: TrustList, entries: Sequence[Entry]) -> Chain:
    value = msgspec.structs.replace(draft, entries=sorted(entries, key=lists.place))
    base = before.versions if before.draft is None else before.versions[:-1]
    return Chain((*base, _drafted(base, value)))


def _drafted(base: Sequence[Signed], value: TrustList) -> Signed:
    return chain.admit(base, Sealed(type=chain.TYPE, payload=lists.encode(value), signatures=()), pins=None)


def _with_last(before: Chain, sealed: Sealed) -> Chain:
    base = before.versions[:-1]
    return Chain((*base, chain.admit(base, sealed, pins=None)))


def _without(draft: TrustList, id: str) -> list[Entry]:
    return [entry for entry in draft.entries if entry.id != id]


def _sorted_roots(keys: Sequence[PublicKey]) -> list[Root]:
    return sorted((Root(algorithm=key.name, public=key.raw.hex()) for key in keys), key=lambda root: root.id)

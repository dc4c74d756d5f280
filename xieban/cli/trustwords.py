"""A trust list in words: its state, its keys, and what a version changes. Whoever signs reads these lines first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import typer
from msgspec import UNSET

from xieban.agency import NAMES, Agency, office
from xieban.agency import city as city_of
from xieban.cli.printing import fields, plain, table
from xieban.keys import fingerprint
from xieban.trust import Authority, Chain, Entry, Log, Officer, Root, Seal, TrustList, Witness
from xieban.trust.chain import moment

USES = {Seal: "签名", Officer: "办案人员", Log: "日志", Witness: "见证", Authority: "根证书"}
ROLES = {"handler": "经办", "approver": "审批"}
REASONS = {"compromised": "泄露", "lost": "遗失", "superseded": "更换", "left": "离任", "mistake": "误登"}


def state(chain: Chain, *, now: datetime) -> str:
    """`draft`, `expired` or `effective`."""
    if chain.draft is not None:
        return "draft"
    return "expired" if now >= moment(chain.last.value.expires_at) else "effective"


def print_state(chain: Chain, *, now: datetime) -> None:
    value, last = chain.last.value, chain.last
    states = {"draft": "草案，签名不足", "expired": "已过期", "effective": "有效"}
    rows: list[tuple[str, object]] = [
        ("城市", city_of(value.city).name),
        ("版本", f"第 {value.version} 版，日志序号 {value.index} 起"),
        ("状态", states[state(chain, now=now)]),
        ("到期", moment(value.expires_at).date()),
        ("根签名", f"{last.quorums[0].count} 份，须有 {last.quorums[0].threshold} 份（根密钥 {len(value.roots)} 把）"),
    ]
    if len(last.quorums) > 1:
        rows.append(("前一组根", f"{last.quorums[1].count} 份，须有 {last.quorums[1].threshold} 份"))
    fields(rows)


def print_entries(value: TrustList, *, index: int | None) -> None:
    rows = [entry for entry in value.entries if index is None or entry.covers(index)]
    if rows:
        typer.echo("")
        table(
            ("用途", "密钥编号", "归属", "算法", "有效的日志序号"),
            [
                (USES[type(entry)], entry.id, owner(entry), getattr(entry, "algorithm", "x509+sha256"), span(entry))
                for entry in rows
            ],
        )
    else:
        typer.echo("没有密钥")
    if value.barred:
        typer.echo("")
        table(("停用的证书（SHA-256）", "原因"), [(row.fingerprint, REASONS[row.reason]) for row in value.barred])


def changes(chain: Chain) -> Iterator[str]:
    """What the last version changes of the one before, a line each."""
    after = chain.last.value
    before = chain.versions[-2].value if len(chain.versions) > 1 else None
    yield f"第 {after.version} 版草案，日志序号 {after.index} 起，{moment(after.expires_at).date()} 到期"
    old = {} if before is None else {entry.id: entry for entry in before.entries}
    for entry in after.entries:
        known = old.get(entry.id)
        if known is None:
            yield f"  + 列入 {USES[type(entry)]} {owner(entry)}，{span(entry)}，指纹 {_print(entry)}"
        elif known != entry:
            yield f"  ! 停用 {USES[type(entry)]} {owner(entry)}，{span(entry)}，密钥 {entry.id}"
    known_barred = [] if before is None else before.barred
    for row in after.barred:
        if row not in known_barred:
            yield f"  ! 停用证书 {row.fingerprint}（{REASONS[row.reason]}），此后不能连接任何节点"
    roots = set() if before is None else {root.id for root in before.roots}
    for root in after.roots:
        if root.id not in roots:
            yield f"  + 根密钥（{root.algorithm}），指纹 {fingerprint(root.key)}"
    for gone in sorted(roots - {root.id for root in after.roots}):
        yield f"  - 根密钥 {gone}"
    if before is None or before.threshold != after.threshold:
        yield f"  生效须有 {after.threshold} 份根签名"


def owner(entry: Entry) -> str:
    """Whose it is, in words."""
    if isinstance(entry, Seal | Officer):
        where = _office(entry.agency, entry.office)
        return f"{where} {ROLES[entry.role]} {entry.holder}" if isinstance(entry, Officer) else where
    if isinstance(entry, Witness):
        return f"{entry.holder} {entry.name}"
    if isinstance(entry, Log):
        return entry.name if entry.keeps is UNSET else f"{entry.name}（另行设立，保留前 {entry.keeps} 条）"
    return "TLS"


def span(entry: Entry) -> str:
    """Where it counts, in words."""
    if entry.revoked is not None:
        ended = f"{entry.from_index} 起；{entry.revoked.index} 起吊销（{REASONS[entry.revoked.reason]}）"
    elif entry.until_index is not None:
        ended = f"{entry.from_index} 起，至 {entry.until_index} 之前"
    else:
        ended = f"{entry.from_index} 起"
    return ended


def state_json(chain: Chain, *, now: datetime, index: int | None = None) -> dict[str, Any]:
    """The newest version as JSON. Keys are only ever added."""
    value = chain.last.value
    return {
        "city": value.city,
        "version": value.version,
        "index": value.index,
        "state": state(chain, now=now),
        "issued_at": plain(moment(value.issued_at)),
        "expires_at": plain(moment(value.expires_at)),
        "eid": chain.last.sealed.eid,
        "signatures": [{"count": quorum.count, "threshold": quorum.threshold} for quorum in chain.last.quorums],
        "roots": [{"keyid": root.id, "signed": root.id in chain.last.signers, **_root(root)} for root in value.roots],
        "entries": [_entry(entry) for entry in value.entries if index is None or entry.covers(index)],
        "barred": [plain(row) for row in value.barred],
    }


def _print(entry: Entry) -> str:
    """In full: whoever signs compares it with what the key's holder reads out."""
    return entry.fingerprint if isinstance(entry, Authority) else fingerprint(entry.key)


def _root(root: Root) -> dict[str, str]:
    return {"algorithm": root.algorithm, "fingerprint": fingerprint(root.key)}


def _entry(entry: Entry) -> dict[str, Any]:
    row = plain(entry)
    return {"use": entry.__struct_config__.tag, "keyid": entry.id, **{k: v for k, v in row.items() if v is not UNSET}}


def _office(agency: Agency, division: str) -> str:
    return office(agency, division).name if division else f"{NAMES[agency]}（全机关）"

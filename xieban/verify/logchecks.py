"""What the supervision log proves: its signed tree, what is in it, that the export is registered, and when entries were made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xieban.errors import XiebanError
from xieban.proof import checkpoint, merkle, note, tlogproof
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, Note, VerifierKey
from xieban.proof.spelling import octets
from xieban.verify import trustlist
from xieban.verify.members import Bundle, Entry
from xieban.verify.report import Check, Report

MARK: Final = "xieban/tlog-consistency@v1"
SKEW: Final = 60
"""Seconds by which clocks of different nodes may differ."""
MAX_HASHES: Final = 126
_BROKEN = (XiebanError, ValueError)


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkpoint that was believed, and when each witness saw it: POSIX seconds, by name, in order of time."""

    size: int
    times: Mapping[str, int]

    @property
    def not_before(self) -> int:
        """The middle of the times, the lower of two."""
        times = sorted(self.times.values())
        return times[(len(times) - 1) // 2]

    @property
    def not_after(self) -> int:
        """The middle of the times, the upper of two."""
        times = sorted(self.times.values())
        return times[len(times) // 2]


def check_checkpoint(bundle: Bundle, trust: dict[str, Any], report: Report) -> Tree | None:
    """Signed by the city's log, cosigned by enough of its witnesses, and by nobody else."""
    check = report["checkpoint"]
    data = bundle.members.get("checkpoint")
    if data is None:
        check.unjudged = "没有检查点"
        return None
    try:
        tree = _believed(data, trust)
    except _Doubt as doubt:
        check.fail("checkpoint", str(doubt))
        return None
    check.checked += 1 + len(tree.times)
    check.note = f"大小 {tree.size}，{len(tree.times)} 个见证方联署"
    return tree


class _Doubt(Exception):
    """Why a checkpoint is not believed."""


def _believed(data: bytes, trust: dict[str, Any]) -> Tree:
    try:
        signed = note.parse(data)
        tree = checkpoint.parse(signed.text)
    except _BROKEN as error:
        raise _Doubt("格式有误") from error
    if tree.size < 1 or tree.extensions:
        raise _Doubt("格式有误")
    logs, witnesses = _keys(trust, tree.size - 1)
    signers = {(one.name, one.key_id): one.value for one in signed.signatures}
    logged = [key for key in logs if key.name == tree.origin and (key.name, key.key_id) in signers]
    if len(logged) != 1:
        raise _Doubt("没有本市监督日志的签名")
    known = {(key.name, key.key_id): key for key in (*logged, *witnesses)}
    if signers.keys() - known.keys():
        raise _Doubt("含有信任清单以外的签名")
    times: dict[str, int] = {}
    for place, value in signers.items():
        try:
            at = known[place].verify(signed.text, value)
        except _BROKEN as error:
            raise _Doubt(f"{place[0]} 的签名不成立") from error
        if at is not None:
            times[place[0]] = at
    count = len({key.name for key in witnesses})
    needed = 2 * count // 3 + 1
    if not count or len(times) < needed:
        raise _Doubt(f"有 {len(times)} 份联署，须有 {needed} 份")
    return Tree(tree.size, dict(sorted(times.items(), key=lambda item: (item[1], item[0]))))


def _keys(trust: dict[str, Any], index: int) -> tuple[list[VerifierKey], list[VerifierKey]]:
    """The log's and the witnesses' keys that count at an index."""
    found: dict[str, list[VerifierKey]] = {"log": [], "witness": []}
    for row in trust["entries"]:
        if row["use"] in found and trustlist.covers(row, index):
            algorithm = Algorithm.ED25519 if row["use"] == "log" else Algorithm.COSIGNATURE_V1
            found[row["use"]].append(VerifierKey(row["name"], algorithm, bytes.fromhex(row["public"])))
    return found["log"], found["witness"]


def tree_of(bundle: Bundle) -> tuple[Note, Checkpoint] | None:
    """The bundle's checkpoint as a text; nobody's signature is looked at."""
    try:
        signed = note.parse(bundle.members.get("checkpoint", b""))
        return signed, checkpoint.parse(signed.text)
    except _BROKEN:
        return None


def check_inclusion(bundle: Bundle, report: Report) -> None:
    """Each entry is in the tree of the bundle's checkpoint, at the place it names, by a proof that names the same checkpoint."""
    check, found = report["inclusion"], tree_of(bundle)
    if found is None:
        check.unjudged = "没有可用的检查点"
        return
    entries = [*bundle.entries.values(), *([bundle.export] if bundle.export else [])]
    for entry in entries:
        reason = _outside(entry, bundle.members["checkpoint"], found[1])
        check.demand(not reason, f"#{entry.position}", reason)


def _outside(entry: Entry, signed: bytes, tree: Checkpoint) -> str:
    """Why an entry is not shown to be in the tree; empty when it is."""
    if entry.value is None:
        return "条目不是规范编码"
    if entry.value["position"] != entry.position:
        return "条目所载的序号与名称不符"
    if entry.proof is None:
        return "没有入册证明"
    try:
        proof = tlogproof.decode(entry.proof)
    except _BROKEN:
        return "入册证明格式有误"
    if proof.extra or proof.checkpoint != signed or proof.index != entry.position - 1:
        return "入册证明不是本包检查点的，或者不是这一条的"
    try:
        leaf = merkle.leaf_hash(entry.data)
        merkle.verify_inclusion(leaf, index=proof.index, size=tree.size, root=tree.root, proof=proof.hashes)
    except _BROKEN:
        return "推算结果与树根不符"
    return ""


def check_export(bundle: Bundle, report: Report) -> None:
    """The log itself says that exactly this was exported."""
    check, export = report["export"], bundle.export
    if export is None or export.value is None:
        check.unjudged = "没有本次导出的登记"
        return
    manifest, what = bundle.manifest, f"#{export.position}"
    digest = hashlib.sha256(bundle.members["bundle.json"]).hexdigest()
    value = export.value
    check.demand(value["kind"] == "EXPORT" and value["eid"] == "", what, "不是导出登记")
    check.demand(value["case"] == manifest["case"], what, "是另一案件的")
    check.demand(value["detail"] == f"{manifest['profile']}:{digest}", what, "登记的内容摘要与目录不符")
    check.demand(value["at"] == manifest["at"], what, "登记的时间与目录不符")
    last = max(manifest["entries"], default=0)
    check.demand(export.position > last, what, "登记不在所列条目之后")


def check_times(bundle: Bundle, trust: dict[str, Any], final: Tree | None, report: Report) -> None:
    """No entry was made before what the witnesses had seen without it, nor after what they have seen with it."""
    check = report["times"]
    if final is None:
        check.unjudged = "没有可信的检查点"
        return
    lower: list[Tree] = []
    upper = [final]
    for name in bundle.manifest["marks"]:
        data = bundle.members.get(f"marks/{name}")
        if data is None:
            continue
        tree = _marked(name, data, bundle, trust, check)
        if tree is not None:
            (lower if name.endswith("last") else upper).append(tree)
    if bundle.manifest["sandbox"]:
        check.not_applicable = "沙箱时钟，时间不作证明"
        return
    for entry in (*bundle.entries.values(), *([bundle.export] if bundle.export else [])):
        if entry.value is None:
            continue
        at = entry.value["at"] // 1_000_000
        begin = max((tree.not_before for tree in lower if tree.size < entry.position), default=0)
        end = min((tree.not_after for tree in upper if tree.size >= entry.position), default=None)
        holds = begin - SKEW <= at and (end is None or at <= end + SKEW)
        check.demand(holds, f"#{entry.position}", "登记时间不在前后联署的时间之间")


def _marked(name: str, data: bytes, bundle: Bundle, trust: dict[str, Any], check: Check) -> Tree | None:
    """The tree of a mark: witnessed, and the beginning of the bundle's own."""
    what, found = f"marks/{name}", tree_of(bundle)
    head, blank, signed = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
        hashes = [octets(line, what=what, size=merkle.HASH_SIZE) for line in lines]
        if first != MARK or not blank or len(hashes) > MAX_HASHES or found is None:
            raise ValueError
        tree = _believed(signed, trust)
        if f"{tree.size:012}" != name[:12]:
            raise ValueError
        old, new = checkpoint.parse(note.parse(signed).text), found[1]
        merkle.verify_consistency(old=old.size, old_root=old.root, new=new.size, new_root=new.root, proof=hashes)
    except _Doubt as doubt:
        check.fail(what, str(doubt))
        return None
    except _BROKEN:
        check.fail(what, "不是本日志较早的检查点")
        return None
    check.checked += 1
    return tree

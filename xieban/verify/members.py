"""A bundle taken apart: members as values, and what can be said of them one by one. Nothing here is believed yet."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from xieban.verify import closed, schemas
from xieban.verify.closed import NotCanonical
from xieban.verify.container import kind_of
from xieban.verify.report import Report

MAX_PAYLOAD: Final = 16 * 1024
FACT_KINDS: Final = frozenset(kind.upper() for kind in schemas.FACTS)
WORD_KINDS: Final = frozenset({"NOTICE", "SUPERVISION", "REPLY"})
OF_STATEMENTS: Final = FACT_KINDS | WORD_KINDS | {"LODGED", "EQUIVOCATION"}
"""Kinds of entries that tell of a statement; all others tell what the gateway itself has reckoned or done."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed statement: DSSE, as `docs/bundle-format.md` writes it."""

    type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def signed(self) -> bytes:
        kind = self.type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)

    @property
    def eid(self) -> str:
        return hashlib.sha256(self.signed).hexdigest()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the bundle. `value` is its payload; None if that is not canonical or not of its type's schema."""

    eid: str
    envelope: Envelope
    value: dict[str, Any] | None

    @property
    def type(self) -> str:
        return self.envelope.type


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log by its place in the bundle. `value` None: its bytes are not canonical."""

    position: int
    data: bytes
    proof: bytes | None
    value: dict[str, Any] | None

    @property
    def kind(self) -> str:
        return self.value["kind"] if self.value is not None else ""


@dataclass(slots=True)
class Bundle:
    """Everything in it. `export` is the one entry that the manifest does not list; `about` the others by the eid they name."""

    members: dict[str, bytes]
    manifest: dict[str, Any]
    statements: dict[str, Statement] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    export: Entry | None = None
    about: dict[str, list[Entry]] = field(default_factory=dict)

    def of_type(self, type: str) -> dict[str, dict[str, Any]]:
        """Payloads of the statements of one type that are of their form, by eid."""
        found = self.statements.items()
        return {eid: one.value for eid, one in found if one.type == type and one.value is not None}

    def told(self, eid: str, *kinds: str) -> list[Entry]:
        """The entries of these kinds about one statement."""
        return [entry for entry in self.about.get(eid, ()) if entry.kind in kinds]

    @property
    def headers(self) -> dict[str, dict[str, Any]]:
        """Headers that are no second content under a name already used, by eid."""
        return {eid: one for eid, one in self.of_type("header").items() if not self.told(eid, "EQUIVOCATION")}


def envelope(value: dict[str, Any]) -> Envelope:
    """An envelope out of decoded JSON of the schema."""
    signatures = tuple((row["keyid"], base64.b64decode(row["sig"])) for row in value["signatures"])
    return Envelope(value["type"], base64.b64decode(value["payload"]), signatures)


def in_one_spelling(value: dict[str, Any]) -> bool:
    """Whether the base64 of an envelope has no stray bits."""
    texts = [value["payload"], *(row["sig"] for row in value["signatures"])]
    return all(base64.b64encode(base64.b64decode(one)).decode() == one for one in texts)


def take_apart(members: dict[str, bytes], report: Report) -> Bundle | None:
    """The bundle of these members; None when there is no manifest to go by. Tells the checks `manifest` and `canonical`."""
    manifest = _manifest(members, report)
    if manifest is None:
        return None
    bundle = Bundle(members, manifest)
    for name, data in members.items():
        found = kind_of(name)
        if found is None:
            continue
        kind, (first, *_) = found[0], (*found[1], "")
        if kind == "statement":
            _statement(bundle, first, data, report)
        elif kind == "entry":
            position = int(first)
            bundle.entries[position] = _entry(position, data, members.get(f"entries/{first}.tlog-proof"))
    listed = set(manifest["entries"])
    extra = [position for position in bundle.entries if position not in listed]
    bundle.export = bundle.entries.pop(max(extra)) if extra else None
    bundle.entries = dict(sorted(bundle.entries.items()))
    for entry in bundle.entries.values():
        if entry.value is not None:
            bundle.about.setdefault(entry.value["eid"], []).append(entry)
    _complete(bundle, report)
    return bundle


def _manifest(members: dict[str, bytes], report: Report) -> dict[str, Any] | None:
    check, data = report["manifest"], members.get("bundle.json")
    if data is None:
        check.fail("bundle.json", "缺少")
        return None
    check.checked += 1
    try:
        value: dict[str, Any] = closed.read(data, lambda value: isinstance(value, dict))
        version = value.get("v")
        if value.get("format") == schemas.FORMAT and type(version) is int and version > schemas.VERSION:
            check.unjudged = f"本程序只认识第 {schemas.VERSION} 版格式"
            report.unreadable = True
            return None
        if not schemas.MANIFEST(value):
            raise NotCanonical("字段不合规定")
    except NotCanonical as error:
        check.fail("bundle.json", str(error))
        return None
    for name in ("statements", "entries", "marks"):
        check.demand(value[name] == sorted(set(value[name])), "bundle.json", f"{name} 重复或者没有排列")
    return value


def _statement(bundle: Bundle, named: str, data: bytes, report: Report) -> None:
    check, name = report["canonical"], f"statements/{named}.json"
    check.checked += 1
    try:
        value = closed.read(data, schemas.ENVELOPE)
        if not in_one_spelling(value):
            raise NotCanonical("不是规范编码")
    except NotCanonical as error:
        check.fail(name, f"信封{error}")
        return
    sealed = envelope(value)
    payload = None
    try:
        if sealed.type not in schemas.STATEMENTS or len(sealed.payload) > MAX_PAYLOAD:
            raise NotCanonical("种类不认识或者过长")
        payload = closed.read(sealed.payload, schemas.STATEMENTS[sealed.type])
    except NotCanonical as error:
        check.fail(name, str(error))
    if sealed.eid != named:
        check.fail(name, f"内容的标识是 {sealed.eid[:16]}…，与名称不符")
        return
    bundle.statements[named] = Statement(named, sealed, payload)


def _entry(position: int, data: bytes, proof: bytes | None) -> Entry:
    try:
        value = closed.read(data, schemas.ENTRY)
    except NotCanonical:
        value = None
    return Entry(position, data, proof, value)


def _complete(bundle: Bundle, report: Report) -> None:
    """Whether exactly what is listed is there."""
    check, manifest, members = report["manifest"], bundle.manifest, bundle.members
    positions = [*manifest["entries"], *([bundle.export.position] if bundle.export else [])]
    wanted = {"bundle.json", "checkpoint", "trust.json"}
    wanted |= {f"statements/{eid}.json" for eid in manifest["statements"]}
    wanted |= {f"entries/{position:012}.{end}" for position in positions for end in ("json", "tlog-proof")}
    wanted |= {f"marks/{mark}" for mark in manifest["marks"]}
    present = {name for name in members if not name.startswith("dossiers/")}
    check.checked += len(wanted)
    for name in sorted(wanted - present):
        check.fail(name, "目录列有而没有")
    for name in sorted(present - wanted):
        check.fail(name, "目录没有列出")
    check.demand(bundle.export is not None, "entries", "缺少本次导出的登记")

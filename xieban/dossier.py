"""The dossier 案卷: what travels between the two agencies only, and how its receiver proves it whole.

The header names a dossier by commitment: SHA-256(salt ‖ manifest). The manifest is canonical JSON and names every file by
digest, so one salted digest on the bus binds everything, and a form letter cannot be guessed from it. What was packed once is
kept as those bytes and never packed again. This module knows no database and no network.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from xieban import canonical
from xieban.errors import Reason, failure
from xieban.handoff import Commitment
from xieban.ids import person_tag

MAX_DOSSIER = 4 * 1024 * 1024
MAX_MANIFEST = 1024 * 1024
MAX_FILES = 500
SALT_BYTES = 32

EVIDENCE_KINDS = ("physical", "documentary", "witness", "victim", "suspect", "expert", "inspection", "electronic")
"""The eight kinds of 刑诉50, in the order of the article."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The triggering document: 文书名称, 文号, ISO date."""

    title: str
    number: str
    date: str


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person of the case; `tag` is all that is ever said of them outside the dossier."""

    tag: str
    name: str
    in_custody: bool
    place: str


class EvidenceItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the evidence list; `kind` is one of EVIDENCE_KINDS."""

    kind: str
    title: str
    pages: int


class CaseNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers the agencies print; empty where not yet given."""

    police: str = ""
    procuratorate: str = ""
    court: str = ""


class ManifestFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file by digest (SHA-256, hex) and size in bytes."""

    name: str
    media_type: str
    sha256: str
    bytes: int
    pages: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything of a dossier but the contents."""

    v: int
    document: Document
    persons: list[Person]
    evidence: list[EvidenceItem]
    files: list[ManifestFile]
    case_numbers: CaseNumbers
    charge: str
    remark: str


@dataclass(frozen=True, slots=True)
class File:
    """A file with its content, as handed in."""

    name: str
    media_type: str
    content: bytes
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Dossier:
    """A dossier as handed in by an agency system, or as put together again by the receiver."""

    document: Document
    persons: tuple[Person, ...] = ()
    evidence: tuple[EvidenceItem, ...] = ()
    files: tuple[File, ...] = ()
    case_numbers: CaseNumbers = field(default_factory=CaseNumbers)
    charge: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    """A dossier frozen for sending: these bytes are stored and served, never made again."""

    salt: bytes
    manifest: bytes
    contents: tuple[bytes, ...]
    commitment: Commitment


# A classification mark, not the word: 侵犯商业秘密罪 is a charge, 机密★ is a mark (GB/T 9704). A number of years alone makes a
# mark only where the word does not belong to 商业秘密 or 国家秘密, which are followed by years in many a charge.
# Spaces are taken once and never given back (`*+`): tried again and again, a long run of them would take minutes.
_MARK = re.compile(
    r"(绝密|机密|秘密)\s*[★☆※*]"
    r"|(绝密|机密|(?<!商业)(?<!国家)秘密)\s*+[（(【\[〔]?+\s*+(长期|\d+\s*年)"
    r"|[（(【\[〔]\s*(绝密|机密|秘密)\s*[）)】\]〕]"
    r"|^(绝密|机密|秘密)$"
    r"|密级\s*[:：]\s*(绝密|机密|秘密)"
)


def new_salt() -> bytes:
    """Fresh salt for one dossier's commitment."""
    return secrets.token_bytes(SALT_BYTES)


def has_secret_mark(text: str) -> bool:
    """Whether a text carries a classification mark (秘密, 机密, 绝密)."""
    return _MARK.search(text.strip()) is not None


def pack(dossier: Dossier, *, salt: bytes) -> Packed:
    """Check and freeze a dossier.

    Errors: SECRET_MARK (nothing of the dossier is in the error), TEXT_FORBIDDEN, FIELD_INVALID, MESSAGE_TOO_LARGE.
    """
    _refuse_secret(dossier)
    size = sum(len(file.content) for file in dossier.files)
    if size > MAX_DOSSIER:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="案卷", size=size, limit=MAX_DOSSIER)
    if len(dossier.files) > MAX_FILES:
        raise failure(Reason.FIELD_INVALID, field="dossier.files", detail=f"超过 {MAX_FILES} 个文件")
    manifest = _manifest(dossier)
    _check_codes(manifest)
    payload = canonical.encode(manifest)
    if len(payload) > MAX_MANIFEST:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="移送清单", size=len(payload), limit=MAX_MANIFEST)
    return Packed(
        salt=salt,
        manifest=payload,
        contents=tuple(file.content for file in dossier.files),
        commitment=_commit(manifest, payload, salt),
    )


def verify(commitment: Commitment, *, salt: bytes, manifest: bytes, contents: Sequence[bytes]) -> Manifest:
    """Prove a pulled dossier against the header's commitment. Errors: DIGEST_MISMATCH naming the item, PAYLOAD_NOT_CANONICAL,
    FIELD_INVALID."""
    if len(salt) != SALT_BYTES or hashlib.sha256(salt + manifest).hexdigest() != commitment.commit:
        raise failure(Reason.DIGEST_MISMATCH, item="移送清单")
    read = canonical.decode(manifest, Manifest, limit=MAX_MANIFEST)
    _check_codes(read)
    if _commit(read, manifest, salt) != commitment or len(contents) != len(read.files):
        raise failure(Reason.DIGEST_MISMATCH, item="移送清单")
    for number, (line, content) in enumerate(zip(read.files, contents, strict=True), start=1):
        if len(content) != line.bytes or hashlib.sha256(content).hexdigest() != line.sha256:
            raise failure(Reason.DIGEST_MISMATCH, item=f"第 {number} 个文件")
    return read


def _check_codes(manifest: Manifest) -> None:
    """What its reader relies on; the sender has committed to the rest, which is for people to read."""
    for person in manifest.persons:
        person_tag(person.tag)
    kinds = all(item.kind in EVIDENCE_KINDS for item in manifest.evidence)
    pages = [item.pages for item in manifest.evidence] + [file.pages for file in manifest.files]
    sizes = [file.bytes for file in manifest.files]
    if manifest.v != 1 or not kinds or not all(0 <= count < 2**31 for count in (*pages, *sizes)):
        raise failure(Reason.FIELD_INVALID, field="manifest", detail="版本、证据种类或者页数不合要求")


def unpack(manifest: Manifest, contents: Sequence[bytes]) -> Dossier:
    """The dossier a verified manifest and its contents stand for."""
    return Dossier(
        document=manifest.document,
        persons=tuple(manifest.persons),
        evidence=tuple(manifest.evidence),
        files=tuple(
            File(name=line.name, media_type=line.media_type, content=content, pages=line.pages)
            for line, content in zip(manifest.files, contents, strict=True)
        ),
        case_numbers=manifest.case_numbers,
        charge=manifest.charge,
        remark=manifest.remark,
    )


def _commit(manifest: Manifest, payload: bytes, salt: bytes) -> Commitment:
    return Commitment(
        commit=hashlib.sha256(salt + payload).hexdigest(),
        files=len(manifest.files),
        bytes=sum(file.bytes for file in manifest.files),
        pages=sum(file.pages for file in manifest.files) + sum(item.pages for item in manifest.evidence),
    )


def _manifest(dossier: Dossier) -> Manifest:
    check = canonical.text
    for item in dossier.evidence:
        if item.kind not in EVIDENCE_KINDS:
            raise failure(
                Reason.FIELD_INVALID, field="dossier.evidence.kind", detail="应为刑诉法第五十条的八种证据之一"
            )
    if not dossier.document.title.strip():
        raise failure(Reason.FIELD_INVALID, field="dossier.document.title", detail="缺少文书名称")
    numbers = dossier.case_numbers
    return Manifest(
        v=1,
        document=Document(
            title=check(dossier.document.title, field="dossier.document.title"),
            number=check(dossier.document.number, field="dossier.document.number", limit=128),
            date=check(dossier.document.date, field="dossier.document.date", limit=10),
        ),
        persons=[
            Person(
                tag=person_tag(person.tag),
                name=check(person.name, field="dossier.persons.name"),
                in_custody=person.in_custody,
                place=check(person.place, field="dossier.persons.place"),
            )
            for person in dossier.persons
        ],
        evidence=[
            EvidenceItem(kind=item.kind, title=check(item.title, field="dossier.evidence.title"), pages=item.pages)
            for item in dossier.evidence
        ],
        files=[
            ManifestFile(
                name=check(file.name, field="dossier.files.name", limit=512),
                media_type=check(file.media_type, field="dossier.files.media_type", limit=128),
                sha256=hashlib.sha256(file.content).hexdigest(),
                bytes=len(file.content),
                pages=file.pages,
            )
            for file in dossier.files
        ],
        case_numbers=CaseNumbers(
            police=check(numbers.police, field="case_numbers.police", limit=128),
            procuratorate=check(numbers.procuratorate, field="case_numbers.procuratorate", limit=128),
            court=check(numbers.court, field="case_numbers.court", limit=128),
        ),
        charge=check(dossier.charge, field="dossier.charge"),
        remark=check(dossier.remark, field="dossier.remark"),
    )


def _refuse_secret(dossier: Dossier) -> None:
    if any(has_secret_mark(text) for text in _texts(dossier)):
        raise failure(Reason.SECRET_MARK)


def _texts(dossier: Dossier) -> Iterator[str]:
    yield from (dossier.document.title, dossier.document.number, dossier.charge, dossier.remark)
    yield from (person.place for person in dossier.persons)
    yield from (item.title for item in dossier.evidence)
    yield from (file.name for file in dossier.files)

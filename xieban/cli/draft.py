"""Reads a draft file (JSON) into a `Draft`. The format is in docs/cli.md.

Whatever must not leave the house is stopped here, before a connection is opened: a secrecy mark above internal, anywhere.
"""

from __future__ import annotations

import json
import mimetypes
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from xieban import dossier as d
from xieban.agency import Agency, Office, office
from xieban.errors import Reason, failure
from xieban.views import ActView, Draft, DueView

_SECRET = ("秘密", "机密", "绝密", "secret", "confidential", "top_secret")
_EVIDENCE = dict(
    zip(
        (
            "物证",
            "书证",
            "证人证言",
            "被害人陈述",
            "犯罪嫌疑人、被告人供述和辩解",
            "鉴定意见",
            "勘验、检查、辨认、侦查实验等笔录",
            "视听资料、电子数据",
        ),
        d.EVIDENCE_KINDS,
        strict=True,
    )
)


class _Office(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agency: str
    division: str


class _Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    what: str
    at: datetime
    person: str = ""
    derived: bool = False


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    number: str = ""
    date: str = ""


class _Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tag: str
    name: str
    in_custody: bool = False
    place: str = ""


class _Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    title: str
    pages: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    name: str = ""
    media_type: str = ""
    pages: int = 0


class _Dossier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: _Document
    persons: tuple[_Person, ...] = ()
    evidence: tuple[_Evidence, ...] = ()
    files: tuple[_File, ...] = ()
    case_numbers: d.CaseNumbers = d.CaseNumbers()
    charge: str = ""
    remark: str = ""


class _Due(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: str
    due: str
    person: str = ""


class _DraftFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    client_ref: str
    kind: str
    case_id: str
    sender: _Office | str = msgspec.field(name="from")
    receiver: _Office | str = msgspec.field(name="to")
    dossier: _Dossier
    outcome: str = ""
    secrecy: str = "none"
    acts: tuple[_Act, ...] = ()
    re: tuple[str, ...] = ()
    dues: tuple[_Due, ...] = ()


def read(source: str) -> Draft:
    """The draft in file `source` (`-` for standard input); files it names are meant from its own folder.

    Errors: FILE_UNREADABLE, FIELD_INVALID naming the place, SECRET_MARK, OFFICE_UNKNOWN, TEXT_FORBIDDEN, MESSAGE_TOO_LARGE.
    """
    raw = _bytes(Path(source)) if source != "-" else sys.stdin.buffer.read(16 * 1024 * 1024)
    _refuse_secret(source, raw)
    try:
        row = msgspec.json.decode(raw, type=_DraftFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failure(Reason.FIELD_INVALID, field=source, detail=str(error)[:160]) from error
    if row.secrecy not in ("none", "internal"):
        raise failure(Reason.FIELD_INVALID, field="secrecy", detail="应为 none 或 internal")
    draft = Draft(
        client_ref=row.client_ref,
        kind=row.kind,
        case_id=row.case_id,
        sender=_office(row.sender),
        receiver=_office(row.receiver),
        outcome=row.outcome,
        acts=tuple(
            ActView(what=act.what, at=_aware(act.at), person=act.person, derived=act.derived) for act in row.acts
        ),
        secrecy="internal" if row.secrecy == "internal" else "none",
        dossier=_dossier(row.dossier, Path(source).parent if source != "-" else Path()),
        re=row.re,
        dues=tuple(DueView(rule=due.rule, due=due.due, person=due.person) for due in row.dues),
    )
    # The node does the same again; doing it here keeps what is refused from ever leaving.
    d.pack(draft.dossier, salt=bytes(d.SALT_BYTES))
    return draft


def _refuse_secret(source: str, raw: bytes) -> None:
    """Looked at before the strict reading: a marked draft is refused for its mark, whatever else is wrong with it."""
    try:
        loose: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return
    secrecy = loose.get("secrecy") if isinstance(loose, dict) else None
    if isinstance(secrecy, str) and any(mark in secrecy.lower() for mark in _SECRET):
        raise failure(Reason.SECRET_MARK)


def _dossier(row: _Dossier, folder: Path) -> d.Dossier:
    return d.Dossier(
        document=d.Document(title=row.document.title, number=row.document.number, date=row.document.date),
        persons=tuple(
            d.Person(tag=person.tag, name=person.name, in_custody=person.in_custody, place=person.place)
            for person in row.persons
        ),
        evidence=tuple(
            d.EvidenceItem(kind=_EVIDENCE.get(item.kind, item.kind), title=item.title, pages=item.pages)
            for item in row.evidence
        ),
        files=tuple(_file(file, folder) for file in row.files),
        case_numbers=row.case_numbers,
        charge=row.charge,
        remark=row.remark,
    )


def _file(row: _File, folder: Path) -> d.File:
    path = folder / row.path
    kind = row.media_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return d.File(name=row.name or path.name, media_type=kind, content=_bytes(path), pages=row.pages)


def _office(row: _Office | str) -> Office:
    agency, _, division = row.partition("-") if isinstance(row, str) else (row.agency, "", row.division)
    return office(Agency(agency) if agency in set(Agency) else agency, division)


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise failure(Reason.FIELD_INVALID, field="acts.at", detail="时间必须带时区，例如 2026-03-02T10:00:00+08:00")
    return at


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > 2 * d.MAX_DOSSIER:
            raise failure(Reason.MESSAGE_TOO_LARGE, what=path.name, size=path.stat().st_size, limit=d.MAX_DOSSIER)
        return path.read_bytes()
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=path, detail=error.strerror or "读取失败") from error

"""Conversions between the library's values and the generated messages, in pairs: `x_to_pb`, `x_from_pb`.

Generated code stops here, at `client` and at the servicers. What comes from outside is checked while it is converted; what is
wrong is refused with a coded reason and never half taken.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from xieban import dossier as d
from xieban.agency import Office, office
from xieban.errors import Reason, failure
from xieban.handoff import MAX_FACTS, Approval, OfficerRole
from xieban.ids import KeyId
from xieban.seal import Sealed, Signature
from xieban.wire.v1 import dossier_pb2, handoff_pb2, seal_pb2

_ROLES: dict[int, OfficerRole] = {
    handoff_pb2.OFFICER_ROLE_HANDLER: "handler",
    handoff_pb2.OFFICER_ROLE_APPROVER: "approver",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def answered(convert: Callable[_P, _T]) -> Callable[_P, _T]:
    """For a conversion of what a server says: a word, a number or a time that this library does not know becomes DEFECT."""

    @wraps(convert)
    def converted(*args: _P.args, **named: _P.kwargs) -> _T:
        try:
            return convert(*args, **named)
        except (KeyError, ValueError, OverflowError) as error:
            raise failure(Reason.DEFECT, trace=f"{convert.__name__}:{type(error).__name__}") from error

    return converted


def micros(at: datetime) -> int:
    """Microseconds since the epoch of an aware time. Errors: FIELD_INVALID for a naive one."""
    if at.tzinfo is None:
        raise failure(Reason.FIELD_INVALID, field="at", detail="时间必须带时区")
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The aware time (UTC) of microseconds since the epoch."""
    return _EPOCH + value * _MICROSECOND


def time_to_pb(value: int) -> Timestamp:
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)


def time_from_pb(value: Timestamp) -> int:
    return value.seconds * 1_000_000 + value.nanos // 1000


def sealed_to_bytes(sealed: Sealed) -> bytes:
    """The envelope as carried on the bus and kept in databases."""
    message = seal_pb2.Sealed(type=sealed.type, payload=sealed.payload)
    for signature in sealed.signatures:
        message.signatures.add(keyid=signature.keyid, sig=signature.sig)
    return message.SerializeToString(deterministic=True)


def sealed_from_bytes(data: bytes) -> Sealed:
    """Errors: PAYLOAD_NOT_CANONICAL when the bytes are no envelope, or not the one spelling of it."""
    try:
        message = seal_pb2.Sealed.FromString(data)
    except DecodeError as error:
        raise failure(Reason.PAYLOAD_NOT_CANONICAL) from error
    sealed = Sealed(
        type=message.type,
        payload=message.payload,
        signatures=tuple(Signature(keyid=KeyId(row.keyid), sig=row.sig) for row in message.signatures),
    )
    if len(sealed.signatures) > MAX_FACTS or sealed_to_bytes(sealed) != data:
        raise failure(Reason.PAYLOAD_NOT_CANONICAL)
    return sealed


def stored_payload(data: bytes) -> bytes:
    """The payload of an envelope that was verified when it was stored. Not for anything from outside."""
    return seal_pb2.Sealed.FromString(data).payload


def office_to_pb(value: Office) -> handoff_pb2.Office:
    return handoff_pb2.Office(agency=value.agency, division=value.division)


def office_from_pb(value: handoff_pb2.Office) -> Office:
    """Errors: OFFICE_UNKNOWN."""
    return office(value.agency, value.division)


def approval_to_pb(value: Approval) -> handoff_pb2.Approval:
    role = handoff_pb2.OfficerRole.Value(f"OFFICER_ROLE_{value.role.upper()}")
    return handoff_pb2.Approval(role=role, keyid=value.keyid, sig=value.sig)


def approval_from_pb(value: handoff_pb2.Approval) -> Approval:
    """Errors: FIELD_INVALID."""
    if value.role not in _ROLES:
        raise failure(Reason.FIELD_INVALID, field="approvals.role", detail="应为经办或者审批")
    try:
        return msgspec.convert({"role": _ROLES[value.role], "keyid": value.keyid, "sig": value.sig}, Approval)
    except msgspec.ValidationError as error:
        raise failure(Reason.FIELD_INVALID, field="approvals", detail="密钥编号或者签名的形式不合要求") from error


def dossier_to_pb(value: d.Dossier) -> dossier_pb2.Dossier:
    message = dossier_pb2.Dossier(
        document=dossier_pb2.Document(
            title=value.document.title, number=value.document.number, date=value.document.date
        ),
        remark=value.remark,
        charge=value.charge,
        case_numbers=dossier_pb2.CaseNumbers(
            police=value.case_numbers.police,
            procuratorate=value.case_numbers.procuratorate,
            court=value.case_numbers.court,
        ),
    )
    for person in value.persons:
        message.persons.add(tag=person.tag, name=person.name, in_custody=person.in_custody, place=person.place)
    for item in value.evidence:
        message.evidence.add(
            kind=dossier_pb2.EvidenceKind.ValueType(d.EVIDENCE_KINDS.index(item.kind) + 1),
            title=item.title,
            pages=item.pages,
        )
    for file in value.files:
        message.files.add(name=file.name, media_type=file.media_type, content=file.content, pages=file.pages)
    return message


def dossier_from_pb(value: dossier_pb2.Dossier) -> d.Dossier:
    """Errors: FIELD_INVALID."""
    for item in value.evidence:
        if not 1 <= item.kind <= len(d.EVIDENCE_KINDS):
            raise failure(
                Reason.FIELD_INVALID, field="dossier.evidence.kind", detail="应为刑诉法第五十条的八种证据之一"
            )
    return d.Dossier(
        document=d.Document(title=value.document.title, number=value.document.number, date=value.document.date),
        persons=tuple(
            d.Person(tag=person.tag, name=person.name, in_custody=person.in_custody, place=person.place)
            for person in value.persons
        ),
        evidence=tuple(
            d.EvidenceItem(kind=d.EVIDENCE_KINDS[item.kind - 1], title=item.title, pages=item.pages)
            for item in value.evidence
        ),
        files=tuple(
            d.File(name=file.name, media_type=file.media_type, content=file.content, pages=file.pages)
            for file in value.files
        ),
        case_numbers=d.CaseNumbers(
            police=value.case_numbers.police,
            procuratorate=value.case_numbers.procuratorate,
            court=value.case_numbers.court,
        ),
        charge=value.charge,
        remark=value.remark,
    )

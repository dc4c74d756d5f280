"""Typed identifiers, and the one place that says what each may look like.

Identifiers are codes: ASCII, bounded, never a person's name. Checking happens where outside input becomes a typed id.
"""

from __future__ import annotations

import re
import secrets
from typing import NewType

from xieban.errors import Reason, failure

CaseId = NewType("CaseId", str)
"""案件编号 given by the office that filed the case; opaque, capital letters and digits (公安机关案件编号 fits)."""
HandoffId = NewType("HandoffId", str)
"""流转编号 drawn by the sending node; unique within (agency, incarnation)."""
Eid = NewType("Eid", str)
"""SHA-256 over the sealed bytes of a statement, 64 hex digits: the statement's identity everywhere."""
KeyId = NewType("KeyId", str)
"""First 16 hex digits of SHA-256 over a raw public key."""

_CASE = re.compile(r"[A-Z0-9]{4,32}")
_EID = re.compile(r"[0-9a-f]{64}")
_PERSON = re.compile(r"P[1-9][0-9]{0,2}")


def case_id(text: str) -> CaseId:
    """Check an outside text. Errors: FIELD_INVALID."""
    if not _CASE.fullmatch(text):
        raise failure(Reason.FIELD_INVALID, field="case_id", detail="应为 4 至 32 位大写字母和数字")
    return CaseId(text)


def eid(text: str) -> Eid:
    """Check an outside text. Errors: FIELD_INVALID."""
    if not _EID.fullmatch(text):
        raise failure(Reason.FIELD_INVALID, field="eid", detail="应为 64 位小写十六进制数字")
    return Eid(text)


def person_tag(text: str) -> str:
    """Check a per-case person tag (P1, P2, …): the only way a person is named outside a dossier. Errors: FIELD_INVALID."""
    if not _PERSON.fullmatch(text):
        raise failure(Reason.FIELD_INVALID, field="person", detail="应为 P1、P2 等人员代号，不得使用姓名")
    return text


def new_handoff_id() -> HandoffId:
    """A fresh random id, 24 hex digits."""
    return HandoffId(secrets.token_hex(12))

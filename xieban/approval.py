"""Who stands behind a handoff: the approvals 签批 of two officers, one who handles it (经办) and one who approves it (审批).

The law has the head of the office approve or decide some handoffs (the column `approval` of the table names the article). A node's
seal says which system sent; an approval says which officer stood behind what was sent. An officer signs the matter: what the handoff
is, its acts and the commitment of its dossier. Number, lane and time of sending are the node's and come after. The signatures travel
in the header, so that the receiver, the gateway and whoever holds a bundle can check them. What must not go in: where officers keep
their keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from xieban import canonical
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import MAX_APPROVALS, Act, Approval, ClockAct, Commitment, Header, OfficerRole, Party
from xieban.keys import PrivateKey, PublicKey, keyid
from xieban.seal import pae

MATTER: Final = "approval"
"""Its statement type: what an officer signs is never taken for anything else."""
ROLES: Final[tuple[OfficerRole, ...]] = ("approver", "handler")
ROLE_NAMES: Final[dict[OfficerRole, str]] = {"approver": "审批人", "handler": "经办人"}


class Matter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an officer stands behind: the fields of the header of the same names, and the role they sign in."""

    v: Literal[1]
    role: OfficerRole
    sender: Party = msgspec.field(name="from")
    receiver: Party = msgspec.field(name="to")
    case: str
    kind: str
    outcome: str
    re: list[str]
    secrecy: Literal["none", "internal"]
    acts: list[Act]
    clocks: list[ClockAct]
    dossier: Commitment
    client_ref_hash: str

    @property
    def signed(self) -> bytes:
        """The bytes under the signature: the pre-authentication encoding of its canonical JSON."""
        return pae(MATTER, canonical.encode(self))


def matter_of(header: Header, role: OfficerRole) -> Matter:
    """What an officer of that role has signed, if they stand behind this header."""
    return Matter(
        v=1, role=role, sender=header.sender, receiver=header.receiver, case=header.case.id, kind=header.kind,
        outcome=header.outcome, re=header.re, secrecy=header.secrecy, acts=header.acts, clocks=header.clocks,
        dossier=header.dossier, client_ref_hash=header.client_ref_hash,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OfficerKey:
    """An officer's private key and the role it signs in."""

    role: OfficerRole
    private: PrivateKey

    def approve(self, matter: Matter) -> Approval:
        """Sign. Errors: FIELD_INVALID when the matter is for the other role."""
        if matter.role != self.role:
            raise failure(Reason.FIELD_INVALID, field="role", detail=f"这是{ROLE_NAMES[self.role]}的密钥")
        signature = base64.b64encode(self.private.sign(matter.signed)).decode()
        return Approval(role=self.role, keyid=keyid(self.private.public), sig=signature)


@dataclass(frozen=True, slots=True)
class OfficerEntry:
    """One listed officer: for which office (empty: any of the agency), in which role, and for which indexes of the log."""

    agency: Agency
    office: str
    role: OfficerRole
    holder: str
    key: PublicKey
    from_index: int = 0
    until_index: int | None = None

    def covers(self, index: int) -> bool:
        return self.from_index <= index and (self.until_index is None or index < self.until_index)

    def speaks_for(self, party: Party) -> bool:
        return self.agency == party.agency and self.office in ("", party.office)


class Officers:
    """The officers of a city, as a trust list names them. `at`: the index judged at where none is given; None judges no index at all."""

    def __init__(self, entries: Iterable[OfficerEntry], *, at: int | None = 0) -> None:
        self._at = at
        self._entries: dict[str, OfficerEntry] = {keyid(entry.key): entry for entry in entries}

    def named(self, party: Party, *, index: int | None = None) -> bool:
        """Whether the list names officers of both roles for this office: from then on their approvals are asked for."""
        at = self._at if index is None else index
        roles = {one.role for one in self._entries.values() if one.speaks_for(party) and (at is None or one.covers(at))}
        return len(roles) == len(ROLES)

    def check(self, header: Header, *, article: str, index: int | None = None) -> None:
        """Every approval in the header must hold; where `article` asks for two and officers are named, both must be there.

        Errors: APPROVAL_INVALID (whose it is, and why), APPROVAL_MISSING.
        """
        roles = [one.role for one in header.approvals]
        if len(roles) > MAX_APPROVALS or roles != sorted(set(roles)):
            raise failure(Reason.APPROVAL_INVALID, role="同一角色", detail="重复或者没有按顺序排列")
        holders = {self._holds(header, approval, index) for approval in header.approvals}
        if len(holders) != len(roles):
            raise failure(Reason.APPROVAL_INVALID, role="审批人", detail="与经办人为同一人")
        missing = [role for role in ROLES if role not in roles]
        if article and missing and self.named(header.sender, index=index):
            raise failure(Reason.APPROVAL_MISSING, kind=header.kind, article=article, role=ROLE_NAMES[missing[0]])

    def _holds(self, header: Header, approval: Approval, index: int | None) -> str:
        """The holder of the key that signed."""
        name, found = ROLE_NAMES[approval.role], self._entries.get(approval.keyid)
        if found is None or found.role != approval.role or not found.speaks_for(header.sender):
            raise failure(Reason.APPROVAL_INVALID, role=name, detail=f"密钥 {approval.keyid} 不是该单位{name}的")
        at = self._at if index is None else index
        if at is not None and not found.covers(at):
            raise failure(
                Reason.APPROVAL_INVALID, role=name, detail=f"密钥 {approval.keyid} 在监督日志序号 {at} 处无效"
            )
        try:
            signature = base64.b64decode(approval.sig, validate=True)
        except binascii.Error:
            signature = b""
        # Also where stray bits would give one signature two spellings.
        if base64.b64encode(signature).decode() != approval.sig:
            raise failure(Reason.APPROVAL_INVALID, role=name, detail="签名不是 base64")
        if not found.key.holds(signature, matter_of(header, approval.role).signed):
            raise failure(Reason.APPROVAL_INVALID, role=name, detail="签名与内容不符")
        return found.holder

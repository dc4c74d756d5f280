"""The officers of the city on paper and their keys, Ed25519 and SM2, with signatures that are the same in every run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.library import samples
from xieban.agency import Agency
from xieban.approval import OfficerKey, matter_of
from xieban.handoff import Approval, Header, OfficerRole
from xieban.keys import PrivateKey, PublicKey, algorithm
from xieban.trust import Officer
from xieban.verify import sm2


class NationalKey:
    """An SM2 private key whose signatures follow from key and text; for tests, since how they are made is not guarded against anything."""

    name: Final[Literal["sm2+sm3"]] = "sm2+sm3"

    def __init__(self, secret: int) -> None:
        self._secret = secret
        x, y, z = sm2._sum(secret, sm2.G, 0, sm2.G)
        self._point = (x * pow(z, -2, sm2.P) % sm2.P, y * pow(z, -3, sm2.P) % sm2.P)

    @property
    def raw(self) -> bytes:
        return self._secret.to_bytes(32, "big")

    @property
    def public(self) -> PublicKey:
        x, y = self._point
        return algorithm(self.name).public(x.to_bytes(32, "big") + y.to_bytes(32, "big"))

    def sign(self, message: bytes) -> bytes:
        nonce = int.from_bytes(hashlib.sha256(self.raw + message).digest(), "big") % sm2.N
        x, _, z = sm2._sum(nonce, sm2.G, 0, sm2.G)
        r = (sm2._digest(self._point, message) + x * pow(z, -2, sm2.P) % sm2.P) % sm2.N
        return encode_dss_signature(r, pow(1 + self._secret, -1, sm2.N) * (nonce - r * self._secret) % sm2.N)


def private(number: int) -> PrivateKey:
    return algorithm("ed25519+sha256").private(number.to_bytes(32, "big"), b"")


# The key of the published example, GB/T 32918.5, annex A.
NATIONAL = NationalKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)

PS_HANDLER, PS_APPROVER = private(31), private(32)
PS_BOTH, PS_LEFT, PS_ELSEWHERE = private(33), private(34), private(35)
"""The approver's second key, as a handler; a handler who has left; a handler of another office."""
PP_HANDLER, PP_APPROVER = private(36), NATIONAL

_Row = tuple[PrivateKey, Agency, str, OfficerRole, str]
ROWS: Final[tuple[_Row, ...]] = (
    (PS_HANDLER, Agency.POLICE, samples.DIVISION, "handler", "0117"),
    (PS_APPROVER, Agency.POLICE, samples.DIVISION, "approver", "0003"),
    (PS_BOTH, Agency.POLICE, samples.DIVISION, "handler", "0003"),
    (PS_LEFT, Agency.POLICE, samples.DIVISION, "handler", "0118"),
    (PS_ELSEWHERE, Agency.POLICE, "620103", "handler", "0220"),
    (PP_HANDLER, Agency.PROCURATORATE, "", "handler", "2005"),
    (PP_APPROVER, Agency.PROCURATORATE, "", "approver", "2001"),
)
SIGNERS: Final[dict[str, dict[OfficerRole, PrivateKey]]] = {
    "police": {"approver": PS_APPROVER, "handler": PS_HANDLER},
    "procuratorate": {"approver": PP_APPROVER, "handler": PP_HANDLER},
}


def listed(*, from_index: int) -> Sequence[Officer]:
    """Their entries in the trust list. The court names none."""
    return [
        Officer(
            agency=agency, office=office, role=role, holder=holder, algorithm=key.public.name, public=key.public.raw.hex(),
            from_index=from_index,
        )
        for key, agency, office, role, holder in ROWS
    ]  # fmt: skip


def approve(header: Header, role: OfficerRole, key: PrivateKey | None = None) -> Approval:
    """By the officer of the sending agency who signs in that role, or by another key."""
    private = key or SIGNERS[header.sender.agency][role]
    return OfficerKey(role=role, private=private).approve(matter_of(header, role))


def approvals(header: Header) -> list[Approval]:
    """As an honest office gives them."""
    return [approve(header, "approver"), approve(header, "handler")]


def respelled(approval: Approval) -> Approval:
    """With stray bits in the base64 of its signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = approval.sig.rstrip("=")
    assert text != approval.sig
    other = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    sig = other + approval.sig[len(text) :]
    assert base64.b64decode(sig) == base64.b64decode(approval.sig)
    return Approval(role=approval.role, keyid=approval.keyid, sig=sig)

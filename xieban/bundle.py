"""The members of an evidence bundle, as those who export write them. Reading is `xieban.verify`'s alone; format: docs/bundle-format.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from xieban import canonical
from xieban.handoff import CaseNumber, Code, Count, Digest, Micros
from xieban.proof.spelling import spell
from xieban.seal import Sealed

FORMAT: Final = "xieban-bundle"
VERSION: Final = 1
MANIFEST: Final = "bundle.json"
CHECKPOINT: Final = "checkpoint"
TRUST: Final = "trust.json"
MARK: Final = "xieban/tlog-consistency@v1"
MAX_STATEMENTS: Final = 10_000
MAX_ENTRIES: Final = 20_000

Profile = Literal["committee", "police", "procuratorate", "court"]
Side = Literal["first", "last"]
"""Of a checkpoint that was cosigned more than once: each witness's first cosignature, or its last."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was exported of which case, for whom, when. The log's entry EXPORT holds its digest; nothing of that entry is in it.

    `statements` eids and `entries` positions in ascending order, `marks` names of earlier checkpoints, `trust` the eid of the newest list.
    """

    format: Literal["xieban-bundle"] = FORMAT
    v: Literal[1] = VERSION
    city: Code
    case: CaseNumber
    profile: Profile
    at: Micros
    sandbox: bool
    trust: Digest
    statements: list[Digest]
    entries: list[Count]
    marks: list[Annotated[str, Meta(pattern=r"\A[0-9]{12}-(first|last)\Z")]]

    def encode(self) -> bytes:
        """The member."""
        return canonical.encode(self)

    @property
    def detail(self) -> str:
        """What the log's entry EXPORT says."""
        return f"{self.profile}:{hashlib.sha256(self.encode()).hexdigest()}"


class _Signature(msgspec.Struct, frozen=True):
    keyid: str
    sig: bytes


class _Envelope(msgspec.Struct, frozen=True):
    payload: bytes
    signatures: list[_Signature]
    type: str


def envelope(sealed: Sealed) -> bytes:
    """A statement as JSON: what was signed and the signatures, both in base64."""
    signatures = [_Signature(keyid=one.keyid, sig=one.sig) for one in sealed.signatures]
    return canonical.encode(_Envelope(payload=sealed.payload, signatures=signatures, type=sealed.type))


def mark(hashes: Sequence[bytes], note: bytes) -> bytes:
    """An earlier checkpoint, and the proof that the bundle's own extends it."""
    return "".join(f"{line}\n" for line in (MARK, *map(spell, hashes), "")).encode() + note


def statement_name(eid: str) -> str:
    return f"statements/{eid}.json"


def entry_names(position: int) -> tuple[str, str]:
    """The entry and its proof."""
    return f"entries/{position:012}.json", f"entries/{position:012}.tlog-proof"


def mark_of(size: int, side: Side) -> str:
    """As the manifest lists it."""
    return f"{size:012}-{side}"


def mark_name(mark: str) -> str:
    return f"marks/{mark}"


def dossier_members(eid: str, *, salt: bytes, manifest: bytes, contents: Sequence[bytes] = ()) -> dict[str, bytes]:
    """A dossier's members; its files only if given."""
    members = {f"dossiers/{eid}/salt": salt, f"dossiers/{eid}/manifest.json": manifest}
    return members | {f"dossiers/{eid}/files/{number:03}": data for number, data in enumerate(contents, start=1)}

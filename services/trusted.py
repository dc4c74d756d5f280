"""What a node believes at start: its city's trust list, its own seal key in it, the authority of its certificates in it, its own
certificate not barred by it.

Shared by the agencies and the gateway. A list is read once; a newer one takes effect at the next start. The newest version this node
has used is written down beside its database, so that nobody can put an older one back. What must not go in: the format of lists.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from xieban import canonical
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError, failure
from xieban.keys import PrivateKey, files
from xieban.keys.certificates import fingerprints
from xieban.proof.note import SigningKey, VerifierKey
from xieban.seal import Directory, SealKey
from xieban.trust import Authority, Chain, Pins, Seal, TrustList, parse

log = logging.getLogger(__name__)

NOTICE: Final = timedelta(days=30)


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Table `[trust]`: the list's file, and the fingerprints of its first roots (64 hex digits each) with how many must sign."""

    file: Path
    roots: tuple[str, ...]
    threshold: int = 3


class _Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest version this node has used."""

    eid: str
    version: int


@dataclass(frozen=True, slots=True)
class Trusted:
    """The effective list as a node uses it, and its eid."""

    eid: str
    value: TrustList
    directory: Directory
    key: SealKey


@dataclass(frozen=True, slots=True)
class Own:
    """A node's own material: seal key (and the file with its passphrase, if it has one), authority, its certificate and the key of that."""

    seal_key: Path
    passphrase: Path | None
    ca: Path
    certificate: Path
    tls_key: Path


def load(settings: Trust, *, city: str, agency: Agency, own: Own, seen: Path, now: datetime) -> Trusted:
    """Everything checked, or a refusal to start. `now` is the machine's time, also in a sandbox: lists are about keys, not cases.

    Errors: CONFIG_INVALID, PROOF_MALFORMED, TRUST_BROKEN, TRUST_UNSIGNED, TRUST_EXPIRED, TRUST_OLDER, TRUST_LACKS,
    CERTIFICATE_BARRED, KEY_FILE_EXPOSED, KEY_FILE_INVALID, ALGORITHM_MISSING.
    """
    chain = read(settings)
    value = chain.effective(now=now)
    if value.city != city:
        raise failure(Reason.TRUST_BROKEN, version=value.version, detail="是另一城市的清单")
    _refuse_older(chain, seen)
    files.refuse_exposed(own.tls_key)
    _check_authority(value, own.ca)
    for found in _fingerprints(own.certificate):
        refuse_barred(value, found)
    key = SealKey(_private(own))
    seals = value.of_use(Seal, at=value.index)
    if not any(
        row.id == key.keyid and row.key == key.public and (row.agency, row.office) == (agency, "") for row in seals
    ):
        raise failure(Reason.TRUST_LACKS, what=f"本节点的签名密钥 {key.keyid} ", version=value.version)
    _remember(chain, seen)
    if chain_ends_soon(value, now=now):
        log.warning("the trust list expires soon", extra={"version": value.version})
    return Trusted(eid=chain.last.sealed.eid, value=value, directory=value.directory(), key=key)


def refuse_barred(value: TrustList, fingerprint: str) -> None:
    """Errors: CERTIFICATE_BARRED."""
    for row in value.barred:
        if row.fingerprint == fingerprint:
            raise failure(
                Reason.CERTIFICATE_BARRED, fingerprint=fingerprint[:16], version=value.version, detail=row.reason
            )


def note_key(file: Path, *, listed: VerifierKey | None, value: TrustList) -> SigningKey:
    """This node's key for checkpoints, which must be the listed one. Errors: TRUST_LACKS, KEY_FILE_EXPOSED, KEY_FILE_INVALID."""
    private = files.load_private(file)
    if listed is None or private.public.raw != listed.public:
        raise failure(Reason.TRUST_LACKS, what=f"本节点的密钥 {file.name} ", version=value.version)
    return SigningKey(listed.name, listed.algorithm, Ed25519PrivateKey.from_private_bytes(private.raw))


def read(settings: Trust) -> Chain:
    """The verified file. Errors: CONFIG_INVALID, PROOF_MALFORMED, TRUST_BROKEN."""
    return parse(_bytes(settings.file), pins=Pins(roots=frozenset(settings.roots), threshold=settings.threshold))


def archive(file: Path) -> Directory:
    """For a tool that reads the databases of its own city again. Errors: CONFIG_INVALID, PROOF_MALFORMED, TRUST_BROKEN."""
    return parse(_bytes(file), pins=None).last.value.archive()


def chain_ends_soon(value: TrustList, *, now: datetime) -> bool:
    """Whether it is time to issue the next version."""
    return value.expires_at - int(now.timestamp() * 1_000_000) < NOTICE // timedelta(microseconds=1)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise failure(Reason.CONFIG_INVALID, file=file.name, detail="信任清单无法读取") from error


def _private(own: Own) -> PrivateKey:
    passphrase = files.load_passphrase(own.passphrase) if own.passphrase is not None else ""
    return files.load_private(own.seal_key, passphrase=passphrase)


def _check_authority(value: TrustList, file: Path) -> None:
    listed = {row.fingerprint for row in value.of_use(Authority, at=value.index)}
    for found in _fingerprints(file):
        if found not in listed:
            raise failure(Reason.TRUST_LACKS, what=f"根证书 {found[:16]} ", version=value.version)


def _fingerprints(file: Path) -> tuple[str, ...]:
    try:
        return fingerprints(file.read_bytes())
    except (OSError, ValueError) as error:
        raise failure(Reason.CONFIG_INVALID, file=file.name, detail="证书无法读取") from error


def _refuse_older(chain: Chain, file: Path) -> None:
    if not file.exists():
        return
    try:
        seen = canonical.decode(file.read_bytes(), _Seen)
    except (OSError, XiebanError) as error:
        raise failure(Reason.CONFIG_INVALID, file=file.name, detail="用过的信任清单版本无法读取") from error
    eids = [version.sealed.eid for version in chain.versions]
    if seen.version > len(eids) or eids[seen.version - 1] != seen.eid:
        raise failure(Reason.TRUST_OLDER, version=chain.last.value.version, seen=seen.version)


def _remember(chain: Chain, file: Path) -> None:
    last = chain.last
    content = canonical.encode(_Seen(eid=last.sealed.eid, version=last.value.version))
    if file.exists() and file.read_bytes() == content:
        return  # an ordinary start needs no room on the disk
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)

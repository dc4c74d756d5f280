"""The first trust list of an embedded city: five roots, all on this machine; its nodes, its log, its witnesses, its authority.

A real city's roots are made and kept by different people on different machines (docs/trust.md); here they only make the same
verification run. What must not go in: anything a running node needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from xieban.agency import Agency
from xieban.handoff import OfficerRole
from xieban.keys import DEFAULT, PublicKey, algorithm, files
from xieban.trust import (
    Authority,
    Entry,
    Issue,
    Log,
    Officer,
    Pins,
    Seal,
    Witness,
    add,
    begin,
    log_name,
    parse,
    pinned,
    sign,
    witness_name,
)
from xieban.trust.amend import ROOTS, THRESHOLD
from xieban.trust.chain import micros

LIFE: Final = timedelta(days=3650)
"""As long as the certificates of an embedded city, which keeps its data."""


def found(
    folder: Path,
    *,
    city: str,
    seals: Mapping[Agency, PublicKey],
    log: PublicKey,
    witnesses: Mapping[Agency, PublicKey],
    officers: Mapping[tuple[Agency, OfficerRole], PublicKey],
    authority: x509.Certificate,
    now: datetime,
) -> Pins:
    """Make or keep `trust.json` and `roots/` in `folder`; returns what its nodes are to be given by hand."""
    file = folder / "trust.json"
    if not file.exists():
        entries = [*_seals(seals), *_officers(officers), *_witnesses(city, log, witnesses), _authority(authority)]
        file.write_bytes(_founded(folder / "roots", entries, city=city, now=now))
    return pinned(parse(file.read_bytes(), pins=None).versions[0].value)


def _founded(roots: Path, entries: Sequence[Entry], *, city: str, now: datetime) -> bytes:
    roots.mkdir(mode=0o700, exist_ok=True)
    made = []
    for number in range(1, ROOTS + 1):
        made.append(algorithm(DEFAULT).generate())
        files.save_private(roots / f"root-{number}.key", made[-1])
        files.save_public(roots / f"root-{number}.pub", made[-1].public)
    draft = begin(
        city=city, roots=[root.public for root in made], threshold=THRESHOLD, issued_at=now, expires_at=now + LIFE
    )
    chain = add(draft, *entries, issue=Issue(index=0, at=micros(now), expires_at=micros(now + LIFE)))
    for root in made[:THRESHOLD]:
        chain = sign(chain, root)
    return chain.encode()


def _seals(keys: Mapping[Agency, PublicKey]) -> list[Entry]:
    return [
        Seal(agency=agency, office="", algorithm=key.name, public=key.raw.hex(), from_index=0)
        for agency, key in keys.items()
    ]


def _officers(keys: Mapping[tuple[Agency, OfficerRole], PublicKey]) -> list[Entry]:
    return [
        Officer(
            agency=agency, office="", role=role, holder=f"{agency}-{role}", algorithm=key.name, public=key.raw.hex(),
            from_index=0,
        )
        for (agency, role), key in keys.items()
    ]  # fmt: skip


def _witnesses(city: str, log: PublicKey, keys: Mapping[Agency, PublicKey]) -> list[Entry]:
    names = [(agency, witness_name(city, agency), key) for agency, key in keys.items()]
    return [
        Log(name=log_name(city), algorithm=log.name, public=log.raw.hex(), from_index=0),
        *(
            Witness(name=name, holder=agency, algorithm=key.name, public=key.raw.hex(), from_index=0)
            for agency, name, key in names
        ),
    ]


def _authority(certificate: x509.Certificate) -> Entry:
    fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return Authority(fingerprint=fingerprint, from_index=0)

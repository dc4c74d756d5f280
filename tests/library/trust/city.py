"""A city's roots and lists to test with: fixed keys, a fixed day, and a log that is counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.library.samples import CITY, key
from xieban.agency import Agency
from xieban.keys import PrivateKey, PublicKey, algorithm
from xieban.trust import Chain, Issue, Pins, Seal, add, begin, pinned, sign
from xieban.trust.chain import micros

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
LIFE = timedelta(days=730)
LATER = NOW + timedelta(days=30)


def private(number: int) -> PrivateKey:
    """An Ed25519 key that is the same in every run."""
    return algorithm("ed25519+sha256").private(bytes([number]) * 32, b"")


ROOTS = tuple(private(number) for number in range(101, 106))
POLICE, NEW_POLICE, COURT, THIEF = key(1), key(11), key(3), key(66)


def issue(index: int, *, afresh: bool = False, at: datetime = LATER) -> Issue:
    return Issue(index=index, at=micros(at), expires_at=micros(at + LIFE), afresh=afresh)


def seal(public: PublicKey, agency: Agency = Agency.POLICE, *, from_index: int = 0, office: str = "") -> Seal:
    return Seal(agency=agency, office=office, algorithm=public.name, public=public.raw.hex(), from_index=from_index)


def draft(*, threshold: int = 3) -> Chain:
    """A first version that lists police and court, unsigned."""
    begun = begin(
        city=CITY, roots=[root.public for root in ROOTS], threshold=threshold, issued_at=NOW, expires_at=NOW + LIFE
    )
    return add(begun, seal(POLICE.public), seal(COURT.public, Agency.COURT), issue=issue(0, at=NOW))


def signed(chain: Chain, *roots: PrivateKey) -> Chain:
    """With the signatures of `roots`, or of the first three."""
    for root in roots or ROOTS[:3]:
        chain = sign(chain, root)
    return chain


def founded() -> Chain:
    return signed(draft())


def pins(chain: Chain) -> Pins:
    """What the readers of this city were given by hand."""
    return pinned(chain.versions[0].value)

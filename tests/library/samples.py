"""Statements to test with: fixed keys, so that digests can be written down, and one sound value of each kind."""

from __future__ import annotations

from typing import Any

from xieban.agency import Agency
from xieban.handoff import Act, CaseRef, Commitment, Fact, Header, Lane, Node, Party, Receipt, Ticket
from xieban.keys import algorithm
from xieban.seal import Directory, SealKey, entry
from xieban.subjects import Address

CITY = "lanzhou"
DIVISION = "620102"


def key(number: int) -> SealKey:
    """A key that is the same in every run."""
    return SealKey(algorithm("ed25519+sha256").private(bytes([number]) * 32, b""))


POLICE_KEY, PROCURATORATE_KEY, STRANGER_KEY = key(1), key(2), key(9)
DIRECTORY = Directory(
    [
        entry(POLICE_KEY, city=CITY, agency=Agency.POLICE),
        entry(PROCURATORATE_KEY, city=CITY, agency=Agency.PROCURATORATE),
    ]
)
HANDOFF = Address(city=CITY, what="handoff", sender="police", receiver="procuratorate")
RECEIPT = Address(city=CITY, what="receipt", sender="procuratorate", receiver="police")
TICKET = Address(city=CITY, what="ticket", sender="procuratorate", receiver="police")


def header(**changes: Any) -> Header:
    """A sound header from the police to the procuratorate."""
    values: dict[str, Any] = {
        "v": 1,
        "id": "0123456789abcdef01234567",
        "client_ref_hash": "ab" * 32,
        "sender": Party(city=CITY, agency="police", office=DIVISION),
        "receiver": Party(city=CITY, agency="procuratorate", office=DIVISION),
        "inc": 1,
        "case": CaseRef(id="A6201020000002026030001", stage="S10_investigation"),
        "kind": "arrest_request",
        "outcome": "",
        "lane": Lane(seq=1, prev=""),
        "re": [],
        "secrecy": "none",
        "acts": [Act(what="detained", at=1_772_413_200_000_000, person="P1", custody=True, derived=False)],
        "sent_at": 1_772_500_000_000_000,
        "dossier": Commitment(commit="cd" * 32, files=1, bytes=12, pages=3),
        "rules": "2026-11",
        "clocks": [],
    }
    return Header(**{**values, **changes})


def receipt(**changes: Any) -> Receipt:
    """A sound receipt of the procuratorate to the police."""
    values: dict[str, Any] = {
        "v": 1,
        "id": "76543210fedcba9876543210",
        "sender": Node(city=CITY, agency="procuratorate"),
        "receiver": Node(city=CITY, agency="police"),
        "inc": 1,
        "at": 1_772_500_000_100_000,
        "facts": [Fact(of="ef" * 32, kind="delivered", at=1_772_500_000_100_000, defects=[], answer="")],
    }
    return Receipt(**{**values, **changes})


def ticket(**changes: Any) -> Ticket:
    """A sound ticket of the procuratorate to the police."""
    values: dict[str, Any] = {
        "v": 1,
        "sender": Node(city=CITY, agency="procuratorate"),
        "receiver": Node(city=CITY, agency="police"),
        "at": 1_772_500_000_200_000,
        "holds": ["ef" * 32],
    }
    return Ticket(**{**values, **changes})

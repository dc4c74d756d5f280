"""Statements to test with: fixed keys, so that digests can be written down, and one sound value of each kind."""

from __future__ import annotations

from typing import Any

from xieban.agency import Agency
from xieban.handoff import Act, CaseRef, Commitment, Fact, Header, Lane, Logged, LogView, Node, Party, Receipt, Ticket
from xieban.keys import algorithm
from xieban.notice import SCOPE, Basis, Demand, Notice, Occasion, Reply
from xieban.seal import Directory, SealKey, entry
from xieban.subjects import Address
from xieban.supervision import State

CITY = "lanzhou"
DIVISION = "620102"


def key(number: int) -> SealKey:
    """A key that is the same in every run."""
    return SealKey(algorithm("ed25519+sha256").private(bytes([number]) * 32, b""))


POLICE_KEY, PROCURATORATE_KEY, GATEWAY_KEY, STRANGER_KEY = key(1), key(2), key(3), key(9)
DIRECTORY = Directory(
    [
        entry(POLICE_KEY, city=CITY, agency=Agency.POLICE),
        entry(PROCURATORATE_KEY, city=CITY, agency=Agency.PROCURATORATE),
    ]
)
NOTICES = Directory(
    [entry(POLICE_KEY, city=CITY, agency=Agency.POLICE), entry(GATEWAY_KEY, city=CITY, agency=Agency.GATEWAY)]
)
HANDOFF = Address(city=CITY, what="handoff", sender="police", receiver="procuratorate")
RECEIPT = Address(city=CITY, what="receipt", sender="procuratorate", receiver="police")
TICKET = Address(city=CITY, what="ticket", sender="procuratorate", receiver="police")
PROMISE = Address(city=CITY, what="ticket", sender="gateway", receiver="police")
NOTICE = Address(city=CITY, what="notice", sender="gateway", receiver="police")
REPLY = Address(city=CITY, what="reply", sender="police", receiver="gateway")


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


def log_view(**changes: Any) -> LogView:
    """A view of the form that a header carries; no log has signed it."""
    return LogView(**{"size": 20_852, "root": "12" * 32, "sig": "q83vASNF" + "A" * 83 + "=", **changes})


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


def logged(**changes: Any) -> Logged:
    """The gateway's word on an entry of the log."""
    return Logged(**{"kind": "LODGED", "eid": "ef" * 32, "index": 20_851, "leaf": "34" * 32, **changes})


def promise(**changes: Any) -> Ticket:
    """A sound ticket of the gateway to the police, with its word on the log."""
    return ticket(**{"sender": Node(city=CITY, agency="gateway"), "logged": [logged()], **changes})


def notice(**changes: Any) -> Notice:
    """A sound warning of the gateway to the police."""
    values: dict[str, Any] = {
        "v": 1,
        "id": "13572468fedcba9876543210",
        "sender": Node(city=CITY, agency="gateway"),
        "receiver": Party(city=CITY, agency="police", office=DIVISION),
        "inc": 1,
        "at": 1_773_072_000_000_000,
        "case": "A6201020000002026030001",
        "occasion": Occasion.WARNING,
        "rung": "d1",
        "basis": Basis(
            kind="statute",
            rule="supplement_time",
            article="刑诉175",
            start="ef" * 32,
            person="",
            started_at=1_772_500_000_000_000,
            due="2026-03-10",
            safe_due="2026-03-10",
            edition="npc-2018",
            calendar="chinesecalendar-1.11.0(2004-2026)",
        ),
        "demand": None,
        "scope": SCOPE,
    }
    return Notice(**{**values, **changes})


def demand(**changes: Any) -> Demand:
    """A supervision as it stands when it has been issued."""
    values: dict[str, Any] = {
        "id": "2026-3",
        "step": 2,
        "state": State.ISSUED,
        "level": 1,
        "whom": "经办机关",
        "severity": 1,
        "days_over": 2,
        "reply_by": "2026-03-13",
        "by": "ZF0012",
        "reason": "",
        "remark": "请说明",
    }
    return Demand(**{**values, **changes})


def reply(**changes: Any) -> Reply:
    """A sound signature of the police for a supervision."""
    values: dict[str, Any] = {
        "v": 1,
        "id": "24681357fedcba9876543210",
        "sender": Party(city=CITY, agency="police", office=DIVISION),
        "receiver": Node(city=CITY, agency="gateway"),
        "inc": 1,
        "at": 1_773_158_400_000_000,
        "of": "ef" * 32,
        "supervision": "2026-3",
        "act": "acknowledge",
        "by": "620102A7",
        "cause": None,
        "measures": [],
        "expected": "",
        "text": "",
        "scope": SCOPE,
    }
    return Reply(**{**values, **changes})

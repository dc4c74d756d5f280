"""Names on the bus, as pure values: the subject grammar, the stream, who consumes what.

    xieban.v1.<city>.handoff.<from>.<to>     sealed headers
    xieban.v1.<city>.receipt.<from>.<to>     sealed receipts
    xieban.v1.<city>.ticket.<from>.<to>      sealed tickets (outside the stream: re-issued on demand)

Tokens are ASCII and hold no personal data.
"""

from __future__ import annotations

from dataclasses import dataclass

from xieban.agency import Agency

MAX_MESSAGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A JetStream stream; file storage, one replica, old messages age out, a full stream refuses new ones."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: int = 30 * 24 * 3600
    max_msg_bytes: int = MAX_MESSAGE
    duplicate_window_seconds: int = 120


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable pull consumer with explicit acknowledgement."""

    stream: str
    durable: str
    subjects: tuple[str, ...]
    ack_wait_seconds: int = 10
    max_deliver: int = 8


def handoff(city: str, sender: str, receiver: str) -> str:
    return f"xieban.v1.{city}.handoff.{sender}.{receiver}"


def receipt(city: str, sender: str, receiver: str) -> str:
    return f"xieban.v1.{city}.receipt.{sender}.{receiver}"


def ticket(city: str, sender: str, receiver: str) -> str:
    return f"xieban.v1.{city}.ticket.{sender}.{receiver}"


@dataclass(frozen=True, slots=True)
class Address:
    """A subject taken apart."""

    city: str
    what: str
    sender: str
    receiver: str


def parse(subject: str) -> Address | None:
    """Take a subject apart; None if it is not one of ours."""
    parts = subject.split(".")
    if len(parts) != 6 or parts[:2] != ["xieban", "v1"]:
        return None
    return Address(city=parts[2], what=parts[3], sender=parts[4], receiver=parts[5])


def stream(city: str) -> StreamSpec:
    """The city's one stream: headers and receipts."""
    return StreamSpec(name=f"XIEBAN_{city}", subjects=(f"xieban.v1.{city}.handoff.>", f"xieban.v1.{city}.receipt.>"))


def consumer(city: str, agency: Agency) -> ConsumerSpec:
    """What a node reads: an agency what is addressed to it, the gateway everything."""
    if agency is Agency.GATEWAY:
        subjects = stream(city).subjects
    else:
        subjects = (handoff(city, "*", agency), receipt(city, "*", agency))
    return ConsumerSpec(stream=stream(city).name, durable=f"{agency}", subjects=subjects)

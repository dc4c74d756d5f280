"""Names on the bus, as pure values: the subject grammar, the stream, who consumes what.

    xieban.v1.<city>.handoff.<from>.<to>     sealed headers
    xieban.v1.<city>.receipt.<from>.<to>     sealed receipts
    xieban.v1.<city>.notice.gateway.<to>     sealed notices
    xieban.v1.<city>.reply.<from>.gateway    sealed replies to them
    xieban.v1.<city>.ticket.<from>.<to>      sealed tickets (outside the stream: re-issued on demand)

Tokens are ASCII and hold no personal data.
"""

from __future__ import annotations

from dataclasses import dataclass

from xieban.agency import PARTIES, Agency

MAX_MESSAGE = 64 * 1024
_SPEAKERS = {
    "handoff": PARTIES,
    "receipt": PARTIES,
    "notice": (Agency.GATEWAY,),
    "reply": PARTIES,
    "ticket": (*PARTIES, Agency.GATEWAY),
}
_STREAMED = ("handoff", "receipt", "notice", "reply")


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
    """A durable pull consumer with explicit acknowledgement. One pattern, because the broker can hold a reader to one."""

    stream: str
    durable: str
    pattern: str
    ack_wait_seconds: int = 10
    max_deliver: int = 8


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one node may publish and subscribe to at the broker; everything else is refused there."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def handoff(city: str, sender: str, receiver: str) -> str:
    return f"xieban.v1.{city}.handoff.{sender}.{receiver}"


def receipt(city: str, sender: str, receiver: str) -> str:
    return f"xieban.v1.{city}.receipt.{sender}.{receiver}"


def notice(city: str, receiver: str) -> str:
    """Only the gateway gives notice."""
    return f"xieban.v1.{city}.notice.{Agency.GATEWAY}.{receiver}"


def reply(city: str, sender: str) -> str:
    """Only the gateway is replied to."""
    return f"xieban.v1.{city}.reply.{sender}.{Agency.GATEWAY}"


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
    """The city's one stream: everything but tickets."""
    return StreamSpec(name=f"XIEBAN_{city}", subjects=tuple(f"xieban.v1.{city}.{what}.>" for what in _STREAMED))


def consumer(city: str, agency: Agency) -> ConsumerSpec:
    """What a node reads: an agency what is addressed to it, the gateway everything."""
    pattern = f"xieban.v1.{city}.>" if agency is Agency.GATEWAY else f"xieban.v1.{city}.*.*.{agency}"
    return ConsumerSpec(stream=stream(city).name, durable=f"{agency}", pattern=pattern)


def inbox(agency: Agency) -> str:
    """Prefix of the subjects on which the broker answers a node."""
    return f"_INBOX_{agency}"


def permissions(city: str, agency: Agency) -> Permissions:
    """A node speaks in its own name only, and reads what its consumer may read.

    A consumer is made by naming its pattern in the subject of the request, so nobody can make himself one that reads what is meant
    for others. Only the gateway may change a stream that exists.
    """
    spec = consumer(city, agency)
    speech = [what for what, speakers in _SPEAKERS.items() if agency in speakers]
    requests = [
        f"STREAM.CREATE.{spec.stream}",
        f"CONSUMER.CREATE.{spec.stream}.{spec.durable}.{spec.pattern}",
        f"CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}",
    ]
    if agency is Agency.GATEWAY:
        requests.append(f"STREAM.UPDATE.{spec.stream}")
    return Permissions(
        publish=(
            *(f"xieban.v1.{city}.{what}.{agency}.*" for what in speech),
            *(f"$JS.API.{request}" for request in requests),
            f"$JS.ACK.{spec.stream}.{spec.durable}.>",
        ),
        subscribe=(f"{inbox(agency)}.>", ticket(city, "*", agency)),
    )

"""Tickets: a node's signed word that it holds what another said. Shared by the agencies and the gateway.

A ticket is sent once, outside the stream, and is nobody's to wait for: a lost one costs a repetition of the statement, never the
statement. So tickets linger a moment and go out together, one signature for many, and what they finish is written down together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from services.chassis.clock import Clock
from services.chassis.room import once_there_is_room
from xieban import canonical, subjects
from xieban.agency import Agency
from xieban.errors import Unreachable, XiebanError
from xieban.handoff import HEADER_VERSION, MAX_HOLDS, MAX_LOGGED, Logged, Node, Ticket
from xieban.marshal import micros, sealed_to_bytes
from xieban.seal import Directory, SealKey
from xieban.statement import open_ticket, seal_ticket

log = logging.getLogger(__name__)

LINGER = 0.25
SANDBOX_LINGER = 0.02
"""In a sandbox somebody waits for every instant to be over before the clock moves on."""
Finished = tuple[str, str]
"""(eid, audience) of an outbox row whose audience has given its word."""
ROOM: Final = canonical.MAX_PAYLOAD - 512
"""What a ticket has for its lists, beside its fixed fields."""
HOLD_SIZE: Final = 67
"""An eid in a list: 64 digits, two quotation marks, a comma."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A ticket that was verified, and its bytes as carried."""

    ticket: Ticket
    data: bytes


def finished(heard: Iterable[Heard]) -> list[Finished]:
    """The outbox rows that these tickets finish."""
    return [(eid, one.ticket.sender.agency) for one in heard for eid in one.ticket.holds]


class Wire(Protocol):
    """The part of the bus that tickets need."""

    async def send(self, subject: str, data: bytes) -> None: ...


class Issuer:
    """Gives this node's word. `owe` only after the commit of what is owed for."""

    def __init__(
        self, wire: Wire, *, city: str, agency: Agency, key: SealKey, clock: Clock, linger: float = LINGER
    ) -> None:
        self._wire = wire
        self._city = city
        self._agency = agency
        self._key = key
        self._clock = clock
        self._linger = linger
        self._owed: dict[str, dict[str, None]] = defaultdict(dict)
        self._logged: dict[str, dict[Logged, None]] = defaultdict(dict)
        self._wake = asyncio.Event()

    def owe(self, audience: str, eids: Iterable[str], logged: Iterable[Logged] = ()) -> None:
        """These statements of `audience` are durable here, and these entries about its handoffs are in the log."""
        self._owed[audience].update(dict.fromkeys(eids))
        self._logged[audience].update(dict.fromkeys(logged))
        self._wake.set()

    async def run(self) -> None:
        """Send what is owed, a moment after it became so, for ever."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(self._linger)
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send what is owed now."""
        owed, self._owed = self._owed, defaultdict(dict)
        logged, self._logged = self._logged, defaultdict(dict)
        for audience, eids in owed.items():
            for part in portions(list(eids), list(logged[audience])):
                await self._send(audience, *part)

    async def _send(self, audience: str, eids: list[str], logged: list[Logged]) -> None:
        ticket = Ticket(
            v=HEADER_VERSION,
            sender=Node(city=self._city, agency=self._agency),
            receiver=Node(city=self._city, agency=audience),
            at=micros(self._clock.now()),
            holds=eids,
            logged=logged,
        )
        subject = subjects.ticket(self._city, self._agency, audience)
        try:
            await self._wire.send(subject, sealed_to_bytes(seal_ticket(ticket, self._key)))
        except Unreachable:
            log.info("no broker for a ticket; it will be asked for again", extra={"agency": audience})


def portions(eids: Sequence[str], logged: Sequence[Logged]) -> Iterator[tuple[list[str], list[Logged]]]:
    """What is owed, in parts that fit into a ticket each."""
    while eids or logged:
        words = list(logged[:MAX_LOGGED])
        room = ROOM - sum(len(canonical.encode(one)) + 1 for one in words)
        count = min(MAX_HOLDS, room // HOLD_SIZE)
        yield list(eids[:count]), words
        eids, logged = eids[count:], logged[MAX_LOGGED:]


class Collector:
    """Takes others' word and has it written down. A false word finishes nothing; the true one is asked for by re-sending."""

    def __init__(
        self,
        *,
        directory: Directory,
        clock: Clock,
        finish: Callable[[list[Heard]], Awaitable[None]],
        linger: float = LINGER,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._linger = linger
        self._finish = finish
        self._heard: list[Heard] = []
        self._wake = asyncio.Event()

    async def take(self, subject: str, data: bytes, headers: object) -> None:
        """Listener for tickets addressed to this node."""
        address = subjects.parse(subject)
        if address is None:
            return
        try:
            ticket = open_ticket(data, address=address, directory=self._directory)
        except XiebanError as error:
            log.warning("false ticket", extra={"subject": subject, "reason": error.reason.name})
            return
        self._heard.append(Heard(ticket, data))
        self._wake.set()

    async def run(self) -> None:
        """Have it written down, a moment after it was heard, for ever."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(self._linger)
            self._wake.clear()
            heard, self._heard = self._heard, []
            await once_there_is_room(partial(self._finish, heard), clock=self._clock)

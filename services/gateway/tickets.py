"""Tickets: the gateway's signed word to an author that it holds certain statements durably.

They go over the core bus and may be lost: the author re-sends what it has no ticket for, and a duplicate is answered with a ticket
again. So a failure to send is noted and nothing more.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from services.chassis.clock import Clock
from services.gateway.store import Statement
from xieban import subjects
from xieban.agency import Agency
from xieban.errors import Unreachable
from xieban.handoff import HEADER_VERSION, MAX_HOLDS, Node, Ticket
from xieban.marshal import micros, sealed_to_bytes
from xieban.seal import SealKey
from xieban.statement import seal_ticket

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """The part of the bus that tickets need."""

    async def send(self, subject: str, data: bytes) -> None: ...


class Tickets:
    """Issues tickets in the gateway's name."""

    def __init__(self, wire: Wire, *, city: str, key: SealKey, clock: Clock) -> None:
        self._wire = wire
        self._city = city
        self._key = key
        self._clock = clock

    async def issue(self, statements: Iterable[Statement]) -> None:
        """One ticket an author for what is held of it, at most 200 statements each."""
        held: dict[str, list[str]] = defaultdict(list)
        for statement in statements:
            held[statement.agency].append(statement.eid)
        for agency, eids in held.items():
            for start in range(0, len(eids), MAX_HOLDS):
                await self._send(agency, eids[start : start + MAX_HOLDS])

    async def _send(self, agency: str, eids: list[str]) -> None:
        ticket = Ticket(
            v=HEADER_VERSION,
            sender=Node(city=self._city, agency=Agency.GATEWAY),
            receiver=Node(city=self._city, agency=agency),
            at=micros(self._clock.now()),
            holds=eids,
        )
        subject = subjects.ticket(self._city, Agency.GATEWAY, agency)
        try:
            await self._wire.send(subject, sealed_to_bytes(seal_ticket(ticket, self._key)))
        except Unreachable:
            logger.info("ticket not sent; it is asked for again", extra={"agency": agency, "count": len(eids)})

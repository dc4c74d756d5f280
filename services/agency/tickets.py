"""Tickets: this node's signed word that it holds what another said. Sent once, outside the stream; the author asks by re-sending."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.agency.work import Identity
from services.chassis.bus import Bus
from services.chassis.clock import Clock
from xieban import subjects
from xieban.errors import Unreachable
from xieban.handoff import HEADER_VERSION, MAX_HOLDS, Node, Ticket
from xieban.marshal import micros, sealed_to_bytes
from xieban.statement import seal_ticket

log = logging.getLogger(__name__)


class Tickets:
    """Issues tickets; a lost one costs a repetition, never a statement."""

    def __init__(self, *, me: Identity, bus: Bus, clock: Clock) -> None:
        self._me = me
        self._bus = bus
        self._clock = clock

    async def issue(self, agency: str, eids: Sequence[str]) -> None:
        """Tell `agency` that these statements of its are durable here."""
        for start in range(0, len(eids), MAX_HOLDS):
            ticket = Ticket(
                v=HEADER_VERSION,
                sender=Node(city=self._me.city, agency=self._me.agency),
                receiver=Node(city=self._me.city, agency=agency),
                at=micros(self._clock.now()),
                holds=list(eids[start : start + MAX_HOLDS]),
            )
            data = sealed_to_bytes(seal_ticket(ticket, self._me.key))
            try:
                await self._bus.send(subjects.ticket(self._me.city, self._me.agency, agency), data)
            except Unreachable:
                log.debug("no broker for a ticket; its author will ask again")

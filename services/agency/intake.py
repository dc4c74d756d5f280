"""From the bus to the desk: what is a header, what a receipt, what a notice. Receipts first: they may explain a header's stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.agency.desk import Arrival
from services.agency.hearing import Hearing
from services.agency.noticing import Noticing
from services.agency.receiving import Receiving
from services.chassis.bus import Incoming, Verdict
from services.chassis.telemetry import inject, span
from xieban.subjects import parse

log = logging.getLogger(__name__)


class Intake:
    """The desk's ear on the bus. A message is acknowledged only after the desk's transaction.

    A message that fails again and again without a coded reason is set aside at its last delivery, visible and without effect, so that
    it cannot hold up the others for ever.
    """

    def __init__(self, *, receiving: Receiving, hearing: Hearing, noticing: Noticing, max_deliver: int) -> None:
        self._receiving = receiving
        self._hearing = hearing
        self._noticing = noticing
        self._max_deliver = max_deliver

    async def batch(self, messages: Sequence[Incoming]) -> list[Verdict]:
        """Handler of the durable consumer: everything it returns for is durable, refused for good, or set aside."""
        last = [message for message in messages if message.deliveries >= self._max_deliver]
        verdicts = {message.sequence: await self._last_try(message) for message in last}
        await self._take([message for message in messages if message.sequence not in verdicts])
        return [verdicts.get(message.sequence, Verdict.ACK) for message in messages]

    async def _take(self, messages: Sequence[Incoming]) -> None:
        kinds = {"handoff": list[Arrival](), "receipt": list[Arrival](), "notice": list[Arrival]()}
        for message in messages:
            address = parse(message.subject)
            if address is not None and address.what in kinds:
                with span(f"{address.what}.receive", message.headers):
                    trace = inject().get("traceparent", message.headers.get("traceparent", ""))
                kinds[address.what].append(Arrival(subject=message.subject, data=message.data, trace=trace))
        if kinds["receipt"]:
            await self._hearing.hear(kinds["receipt"])
        if kinds["handoff"]:
            await self._receiving.receive(kinds["handoff"])
        if kinds["notice"]:
            await self._noticing.receive(kinds["notice"])

    async def _last_try(self, message: Incoming) -> Verdict:
        try:
            await self._take([message])
        except Exception:
            log.exception("message set aside", extra={"subject": message.subject, "sequence": message.sequence})
            await self._receiving.set_aside(Arrival(subject=message.subject, data=message.data, trace=""))
            return Verdict.DEAD
        return Verdict.ACK

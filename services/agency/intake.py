"""From the bus to the desk: what is a header, what a receipt, what a ticket. Receipts first: they may explain a header's stage."""

from __future__ import annotations

from collections.abc import Sequence

from services.agency.desk import Arrival
from services.agency.hearing import Hearing
from services.agency.receiving import Receiving
from services.chassis.bus import Incoming, Verdict
from services.chassis.telemetry import extract, tracer
from xieban.subjects import parse


class Intake:
    """The desk's ear on the bus. A message is acknowledged only after the desk's transaction."""

    def __init__(self, *, receiving: Receiving, hearing: Hearing) -> None:
        self._receiving = receiving
        self._hearing = hearing
        self._tracer = tracer("xieban.agency")

    async def batch(self, messages: Sequence[Incoming]) -> list[Verdict]:
        """Handler of the durable consumer: everything it returns for is durable or refused for good."""
        kinds = {"handoff": list[Arrival](), "receipt": list[Arrival]()}
        for message in messages:
            address = parse(message.subject)
            if address is not None and address.what in kinds:
                with self._tracer.start_as_current_span(f"{address.what}.receive", context=extract(message.headers)):
                    trace = message.headers.get("traceparent", "")
                kinds[address.what].append(Arrival(subject=message.subject, data=message.data, trace=trace))
        if kinds["receipt"]:
            await self._hearing.hear(kinds["receipt"])
        if kinds["handoff"]:
            await self._receiving.receive(kinds["handoff"])
        return [Verdict.ACK] * len(messages)

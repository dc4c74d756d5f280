"""Handoffs through a whole city of real processes, by one agency system over the public API.

A handoff is timed from the call of Send to the moment the sender's inbox stream tells of the receipt: by then the receiver's signed
fact has been verified and committed at the sender. `delivered` is the first such receipt, `complete` the one after the dossier was
pulled and proven. In a burst a slot is free again at `delivered`; the burst is over when every handoff is complete.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.chassis.clock import SystemClock
from xieban.agency import Agency, office
from xieban.client import XiebanClient
from xieban.dossier import Document, Dossier, EvidenceItem, File, Person
from xieban.handoff import State
from xieban.views import Draft

DIVISION = "620102"
DOSSIER = Dossier(
    document=Document(title="商请介入侦查函", number="示例公(刑)请字〔2026〕1号", date="2026-03-02"),
    persons=(Person(tag="P1", name="测试某", in_custody=False, place="示例看守所"),),
    evidence=tuple(EvidenceItem(kind="documentary", title=f"示例书证{number}", pages=2) for number in range(8)),
    files=(File(name="商请介入侦查函.txt", media_type="text/plain", content="示例文书内容。".encode() * 50, pages=2),),
    charge="盗窃罪",
)


@dataclass(frozen=True, slots=True)
class Burst:
    """Seconds: each handoff's way to its two receipts, and from the first Send to the last receipt of each kind."""

    delivered: list[float]
    complete: list[float]
    all_delivered: float
    all_complete: float


class Sender:
    """A police system that sends and follows its inbox stream."""

    def __init__(self, client: XiebanClient) -> None:
        self._client = client
        self._clock = SystemClock()
        self._numbers = itertools.count(1)
        self._at: dict[tuple[str, State], float] = {}
        self._waiting: dict[tuple[str, State], asyncio.Future[float]] = {}

    async def follow(self) -> None:
        """Read the inbox stream for ever."""
        async for event in self._client.watch():
            view = event.handoff
            if view.state in (State.DELIVERED, State.COMPLETE):
                key, now = (view.eid, view.state), self._clock.ticks()
                waiter = self._waiting.pop(key, None)
                if waiter is None:
                    self._at[key] = now
                else:
                    waiter.set_result(now)

    async def burst(self, count: int, *, in_flight: int) -> Burst:
        """Send `count` handoffs, each the first of a case of its own."""
        begun = self._clock.ticks()
        slots = asyncio.Semaphore(in_flight)
        results: list[tuple[float, float, float]] = []

        async def one() -> None:
            async with slots:
                sent_at = self._clock.ticks()
                view = await self._client.send(self._draft())
                delivered = await self._told(view.eid, State.DELIVERED)
            results.append((sent_at, delivered, await self._told(view.eid, State.COMPLETE)))

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
        return Burst(
            delivered=[delivered - sent for sent, delivered, _ in results],
            complete=[complete - sent for sent, _, complete in results],
            all_delivered=max(delivered for _, delivered, _ in results) - begun,
            all_complete=max(complete for _, _, complete in results) - begun,
        )

    async def _told(self, eid: str, state: State) -> float:
        key = (eid, state)
        if key in self._at:
            return self._at.pop(key)
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiter
        return await waiter

    def _draft(self) -> Draft:
        number = next(self._numbers)
        return Draft(
            client_ref=f"示例公(刑)请字〔2026〕{number}号",
            kind="early_opinion_request",
            case_id=case_number(number),
            sender=office(Agency.POLICE, DIVISION),
            receiver=office(Agency.PROCURATORATE, DIVISION),
            dossier=DOSSIER,
        )


def case_number(number: int) -> str:
    """The case of a sender's nth handoff."""
    return f"A{number:022d}"


@asynccontextmanager
async def sender(client: XiebanClient) -> AsyncIterator[Sender]:
    """A sender whose inbox stream is being followed."""
    system = Sender(client)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(system.follow())
        yield system
        following.cancel()

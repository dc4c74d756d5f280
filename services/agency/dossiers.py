"""Dossiers between two agencies: the sender serves them, the receiver pulls and proves them.

A node serves a dossier only to the node it was addressed to, by the identity in the caller's certificate, and what it holds itself to
systems of its own agency. The gateway asks in vain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import grpc.aio

from services.agency import contents, store
from services.agency.desk import header_of
from services.agency.receiving import Pulled
from services.agency.store import Entry
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.chassis.identity import caller
from services.chassis.room import once_there_is_room
from xieban import dossier
from xieban.dossier import Packed
from xieban.errors import Reason, XiebanError, failure
from xieban.ids import eid as checked_eid
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import dossier_pb2, dossier_pb2_grpc

log = logging.getLogger(__name__)

MAX_PULL = 32
MAX_READ = 8  # dossiers in memory at once, 4 MiB each at the most
MAX_TOGETHER = 1024 * 1024  # bytes of small dossiers in one message
PULL_DEADLINE = 30.0
LINGER = 0.005  # the receipt `delivered` goes first, and what comes together is pulled together
RETRY_FIRST = 0.2
RETRY_LONGEST = 30.0
SERVICE = "xieban.wire.v1.DossierService"


class DossierServicer(dossier_pb2_grpc.DossierServiceServicer):
    """Serves the dossiers of sent handoffs."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def PullDossiers(
        self, request: dossier_pb2.PullDossiersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[dossier_pb2.PullDossiersResponse]:
        peer = caller(context)
        if len(request.eids) > MAX_PULL * 2:
            raise failure(Reason.FIELD_INVALID, field="eids", detail=f"一次最多 {MAX_PULL * 2} 份")
        wanted = [checked_eid(one) for one in request.eids]
        missing = ""
        for start in range(0, len(wanted), MAX_READ):
            part = wanted[start : start + MAX_READ]
            held = await self._database.read(partial(_held_for, eids=part, agency=peer.agency))
            # What is missing is told at the end: it must not hold up those asked for after it.
            missing = missing or next((one for one in part if one not in held), "")
            for message in _messages([held[one] for one in part if one in held]):
                yield message
        if missing:
            raise failure(Reason.HANDOFF_NOT_FOUND, handoff=missing[:16])

    async def ExportDossiers(
        self, request: dossier_pb2.ExportDossiersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[dossier_pb2.ExportDossiersResponse]:
        if len(request.eids) > MAX_PULL * 2:
            raise failure(Reason.FIELD_INVALID, field="eids", detail=f"一次最多 {MAX_PULL * 2} 份")
        wanted = [checked_eid(one) for one in request.eids]
        for start in range(0, len(wanted), MAX_READ):
            held = await self._database.read(partial(_held, eids=wanted[start : start + MAX_READ]))
            for one in held.values():
                if not request.with_contents:
                    one.ClearField("contents")
                yield dossier_pb2.ExportDossiersResponse(dossier=one)


class Puller:
    """Pulls the dossiers of delivered handoffs, one loop a peer, so that a dead peer holds up nobody else."""

    def __init__(
        self,
        *,
        peers: dict[str, grpc.aio.Channel],
        complete: Callable[[Sequence[Pulled]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._stubs = {name: dossier_pb2_grpc.DossierServiceStub(channel) for name, channel in peers.items()}
        self._complete = complete
        self._clock = clock
        self._waiting: dict[str, dict[str, Entry]] = {name: {} for name in peers}
        self._wakes = {name: asyncio.Event() for name in peers}

    def add(self, entries: Iterable[Entry]) -> None:
        """Queue delivered handoffs."""
        for entry in entries:
            peer = entry.from_agency if entry.box == "in" else entry.to_agency  # our own, lost, is with its receiver
            if peer in self._waiting:
                self._waiting[peer].setdefault(entry.eid, entry)
                self._wakes[peer].set()

    def unfinished(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    async def run(self, peer: str) -> None:
        """The loop of one peer."""
        pause = RETRY_FIRST
        queue, wake = self._waiting[peer], self._wakes[peer]
        while True:
            if not queue:
                wake.clear()
                await wake.wait()
                await self._clock.sleep(LINGER)
            batch = list(queue.values())[:MAX_PULL]
            pulled = await self._pull(peer, batch)
            if pulled:
                await once_there_is_room(partial(self._complete, pulled), clock=self._clock)
                for item in pulled:
                    queue.pop(item.eid, None)
                pause = RETRY_FIRST
            else:
                # What cannot be had now goes behind what has not been tried, and a newcomer does not wait for it.
                for entry in batch:
                    queue[entry.eid] = queue.pop(entry.eid)
                await self._sleep_or_wake(pause, wake)
                pause = min(pause * 2, RETRY_LONGEST)

    async def _sleep_or_wake(self, seconds: float, wake: asyncio.Event) -> None:
        wake.clear()
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(self._clock.sleep(seconds))
            waking = group.create_task(wake.wait())
            await asyncio.wait([sleeping, waking], return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            waking.cancel()

    async def _pull(self, peer: str, batch: Sequence[Entry]) -> list[Pulled]:
        """What could be had, in order; the rest stays queued."""
        expected = {entry.eid: entry for entry in batch}
        pulled: list[Pulled] = []
        request = dossier_pb2.PullDossiersRequest(eids=list(expected))
        try:
            async for answer in self._stubs[peer].PullDossiers(request, timeout=PULL_DEADLINE):
                for one in answer.dossiers:
                    entry = expected.pop(one.eid, None)
                    if entry is not None:
                        pulled.append(_prove(entry, one))
        except grpc.aio.AioRpcError as error:
            log.info("pull interrupted", extra={"peer": peer, "reason": error_from_rpc(error).reason.name})
        return pulled


def _held_for(tx: Transaction, *, eids: Sequence[str], agency: str) -> dict[str, dossier_pb2.PackedDossier]:
    """What was sent to that agency, and what it sent itself: its author gets it back after a restore."""
    own = store.handoffs_received_from(tx, eids, agency=agency)
    return _held(tx, eids=[*store.handoffs_sent_to(tx, eids, agency=agency), *own])


def _held(tx: Transaction, *, eids: Sequence[str]) -> dict[str, dossier_pb2.PackedDossier]:
    found = contents.read(tx, eids)
    return {
        eid: dossier_pb2.PackedDossier(eid=eid, salt=salt, manifest=manifest, contents=contents)
        for eid, (salt, manifest, contents) in found.items()
    }


def _messages(dossiers: Sequence[dossier_pb2.PackedDossier]) -> Iterator[dossier_pb2.PullDossiersResponse]:
    """As few messages as their size allows: a message costs more than a small dossier."""
    message, size = dossier_pb2.PullDossiersResponse(), 0
    for one in dossiers:
        length = one.ByteSize()
        if message.dossiers and size + length > MAX_TOGETHER:
            yield message
            message, size = dossier_pb2.PullDossiersResponse(), 0
        message.dossiers.append(one)
        size += length
    if message.dossiers:
        yield message


def _prove(entry: Entry, answer: dossier_pb2.PackedDossier) -> Pulled:
    commitment = header_of(entry).dossier
    contents = tuple(answer.contents)
    try:
        manifest = dossier.verify(commitment, salt=answer.salt, manifest=answer.manifest, contents=contents)
    except XiebanError as error:
        return Pulled(eid=entry.eid, packed=None, manifest=None, error=error)
    packed = Packed(salt=answer.salt, manifest=answer.manifest, contents=contents, commitment=commitment)
    return Pulled(eid=entry.eid, packed=packed, manifest=manifest, error=None)

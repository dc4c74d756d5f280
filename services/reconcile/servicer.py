"""ReconcileService: what this node holds, told to its counterparts and to people's systems. Marshalling, and who may know what.

A counterpart is told of statements it is an end of, the gateway of all; whoever else asks for one learns nothing, not even that it is not
there. Who may call which method is the policy table's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import grpc.aio

from services.chassis.identity import Identity, caller
from services.reconcile.comparing import Comparer, Run
from services.reconcile.shelf import Inventory
from xieban import marshal
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import LATEST, Node
from xieban.marshal import micros, sealed_to_bytes
from xieban.reconcile import (
    SUMMARY_VERSION,
    Difference,
    LogDispute,
    Series,
    SeriesSum,
    Standing,
    Summary,
    Window,
    branch,
    pairs,
    root,
)
from xieban.reconcile_views import (
    MOST_DIFFERENCES,
    branch_to_pb,
    difference_to_pb,
    dispute_to_pb,
    eids_of,
    prefix_of,
    reconciliation_to_pb,
    series_from_pb,
    series_to_pb,
    side_from_pb,
    standing_to_pb,
    window_from_pb,
)
from xieban.seal import SealKey
from xieban.statement import seal_summary
from xieban.wire.v1 import reconcile_pb2 as pb
from xieban.wire.v1 import reconcile_pb2_grpc

SERVICE: Final = "xieban.wire.v1.ReconcileService"
MAX_TOGETHER: Final = 128 * 1024
Context = grpc.aio.ServicerContext[Any, Any]


class Speaker(Protocol):
    """Who the node is when it speaks; its incarnation changes when it comes back from a restore."""

    @property
    def inc(self) -> int: ...


class ReconcileServicer(reconcile_pb2_grpc.ReconcileServiceServicer):
    """One node's. `send_again` opens outbox rows of ours for an agency; `witnessed`, `log_views`, `broken_promises` and `fence` tell how
    the node stands."""

    def __init__(
        self,
        *,
        city: str,
        agency: Agency,
        key: SealKey,
        speaker: Speaker,
        inventory: Inventory,
        comparer: Comparer,
        run: Run,
        send_again: Callable[[str, Sequence[str]], Awaitable[int]],
        witnessed: Callable[[], Awaitable[bytes]] | None = None,
        log_views: Callable[[], Awaitable[tuple[list[LogDispute], int]]] | None = None,
        broken_promises: Callable[[], Awaitable[list[Difference]]] | None = None,
        fence: Callable[[], str] = lambda: "",
    ) -> None:
        self._city = city
        self._agency = agency
        self._key = key
        self._speaker = speaker
        self._inventory = inventory
        self._comparer = comparer
        self._run = run
        self._send_again = send_again
        self._witnessed = witnessed
        self._log_views = log_views
        self._broken_promises = broken_promises
        self._fence = fence

    async def Summarize(self, request: pb.SummarizeRequest, context: Context) -> pb.SummarizeResponse:
        peer, window = caller(context), window_from_pb(request.window)
        leaves = await self._inventory.of(window, anew=True)
        series = []
        for pair in pairs(self._agency, peer.agency):
            one, held = pair.series, leaves.get((pair.series, pair.mine), [])
            series.append(
                SeriesSum(
                    what=one.what, sender=one.sender, receiver=one.receiver, side=pair.mine.value, count=len(held),
                    root=root(held).hex(),
                )
            )  # fmt: skip
        summary = Summary(
            v=SUMMARY_VERSION,
            sender=Node(city=self._city, agency=self._agency),
            receiver=Node(city=self._city, agency=peer.agency),
            inc=self._speaker.inc,
            at=micros(self._inventory.clock.now()),
            since=window.since,
            until=window.until,
            series=series,
        )
        return pb.SummarizeResponse(sealed=sealed_to_bytes(seal_summary(summary, self._key)))

    async def ListBranch(self, request: pb.ListBranchRequest, context: Context) -> pb.ListBranchResponse:
        series, side = series_from_pb(request.series), side_from_pb(request.side)
        self._is_shared(caller(context), series)
        leaves = (await self._inventory.of(window_from_pb(request.window))).get((series, side), [])
        return branch_to_pb(branch(leaves, prefix_of(request.prefix)))

    async def GetStandings(self, request: pb.GetStandingsRequest, context: Context) -> pb.GetStandingsResponse:
        peer = caller(context)
        found = await self._inventory.standings(eids_of(request.eids))
        return pb.GetStandingsResponse(standings=[standing_to_pb(one) for one in found if _may(peer, one.series)])

    async def FetchStatements(self, request: pb.FetchStatementsRequest, context: Context) -> pb.FetchStatementsResponse:
        peer, wanted = caller(context), eids_of(request.eids)
        held = await self._inventory.database.read(lambda tx: self._inventory.holdings.sealed(tx, wanted))
        answer = pb.FetchStatementsResponse()
        size = 0
        for eid in wanted:
            series, data = held.get(eid, (None, b""))
            if size + len(data) > MAX_TOGETHER and size:
                break
            answer.asked_through += 1
            if series is not None and _may(peer, series):
                size += len(data)
                answer.statements.add(sealed=data, series=series_to_pb(series))
        return answer

    async def SendAgain(self, request: pb.SendAgainRequest, context: Context) -> pb.SendAgainResponse:
        return pb.SendAgainResponse(count=await self._send_again(caller(context).agency, eids_of(request.eids)))

    async def Reconcile(self, request: pb.ReconcileRequest, context: Context) -> pb.ReconcileResponse:
        since = marshal.time_from_pb(request.since_time)
        if not 0 <= since < LATEST:
            raise failure(Reason.FIELD_INVALID, field="since_time", detail="时间超出范围")
        found = await self._comparer.run(since=since)
        if request.repair:
            found = await self._run.repaired(found)
        return reconciliation_to_pb(found)

    async def GetReconciliation(
        self, request: pb.GetReconciliationRequest, context: Context
    ) -> pb.GetReconciliationResponse:
        last = self._run.last
        shown = reconciliation_to_pb(last) if last is not None else None
        disputes, waiting = await self._log_views() if self._log_views is not None else ([], 0)
        broken = await self._broken_promises() if self._broken_promises is not None else []
        return pb.GetReconciliationResponse(
            last=shown,
            fence=self._fence(),
            incarnation=self._speaker.inc,
            disputes=[dispute_to_pb(one) for one in disputes[:MOST_DIFFERENCES]],
            views_waiting=waiting,
            broken_promises=[difference_to_pb(one) for one in broken[:MOST_DIFFERENCES]],
        )

    async def GetWitnessed(self, request: pb.GetWitnessedRequest, context: Context) -> pb.GetWitnessedResponse:
        return pb.GetWitnessedResponse(note=await self._witnessed() if self._witnessed is not None else b"")

    def _is_shared(self, peer: Identity, series: Series) -> None:
        if not any(series == pair.series for pair in pairs(self._agency, peer.agency)):
            raise failure(Reason.CALLER_UNKNOWN, identity=peer.uri)


def _may(peer: Identity, series: Series) -> bool:
    return peer.agency in (Agency.GATEWAY, series.sender, series.receiver)


__all__ = ["SERVICE", "ReconcileServicer", "Standing", "Window"]

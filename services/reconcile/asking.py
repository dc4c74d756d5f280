"""One counterpart of a node, asked over mutual TLS. Marshalling only; errors arrive as the counterpart raised them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import grpc.aio

from xieban.reconcile import Branch, Pair, Series, Standing, Window
from xieban.reconcile_views import (
    MAX_ASKED,
    SIDES,
    branch_from_pb,
    series_from_pb,
    series_to_pb,
    standing_from_pb,
    window_to_pb,
)
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import reconcile_pb2 as pb
from xieban.wire.v1 import reconcile_pb2_grpc

DEADLINE: Final = 10.0
INVENTORY_DEADLINE: Final = 60.0
_T = TypeVar("_T")


class Counterpart:
    """The node `name`, behind `channel`."""

    def __init__(self, name: str, channel: grpc.aio.Channel) -> None:
        self.name = name
        self._stub = reconcile_pb2_grpc.ReconcileServiceStub(channel)

    async def summarize(self, window: Window, *, deadline: float = INVENTORY_DEADLINE) -> bytes:
        """Its sealed summary. Errors: PEER_UNREACHABLE, CALLER_UNKNOWN."""
        request = pb.SummarizeRequest(window=window_to_pb(window))
        return (await self._ask(self._stub.Summarize, request, deadline=deadline)).sealed

    async def branch(self, window: Window, pair: Pair, prefix: str) -> Branch:
        """What it says of its own copies below a prefix."""
        request = pb.ListBranchRequest(
            window=window_to_pb(window), series=series_to_pb(pair.series), side=SIDES[pair.theirs], prefix=prefix
        )
        return branch_from_pb(await self._ask(self._stub.ListBranch, request, deadline=INVENTORY_DEADLINE))

    async def standings(self, eids: Sequence[str]) -> list[Standing]:
        """Its copies of these."""
        found: list[Standing] = []
        for start in range(0, len(eids), MAX_ASKED):
            request = pb.GetStandingsRequest(eids=eids[start : start + MAX_ASKED])
            answer = await self._ask(self._stub.GetStandings, request)
            found += [standing_from_pb(row) for row in answer.standings]
        return found

    async def fetch(self, eids: Sequence[str]) -> list[tuple[Series, bytes]]:
        """As many of these as it holds. Nothing of them has been verified."""
        found: list[tuple[Series, bytes]] = []
        for start in range(0, len(eids), MAX_ASKED):
            wanted = list(eids[start : start + MAX_ASKED])
            while wanted:
                answer = await self._ask(self._stub.FetchStatements, pb.FetchStatementsRequest(eids=wanted))
                found += [(series_from_pb(row.series), row.sealed) for row in answer.statements]
                wanted = wanted[max(1, answer.asked_through) :]
        return found

    async def send_again(self, eids: Sequence[str]) -> int:
        """Have it publish again what we lack of its own."""
        count = 0
        for start in range(0, len(eids), MAX_ASKED):
            request = pb.SendAgainRequest(eids=eids[start : start + MAX_ASKED])
            count += (await self._ask(self._stub.SendAgain, request)).count
        return count

    async def witnessed(self, *, deadline: float = DEADLINE) -> bytes:
        """The newest checkpoint of the log it has cosigned; empty when there is none."""
        return (await self._ask(self._stub.GetWitnessed, pb.GetWitnessedRequest(), deadline=deadline)).note

    async def _ask(self, method: Callable[..., Awaitable[_T]], request: Any, *, deadline: float = DEADLINE) -> _T:
        try:
            return await method(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, peer=self.name) from error

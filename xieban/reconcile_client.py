"""The way in for reconciliation: an agency's system asks its own node, the committee and the operator ask the gateway.

As in `xieban.client`: errors are the one tree, every call has a deadline, and what is repeated by itself cannot do anything twice.
"""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio

from xieban import marshal
from xieban.calling import Caller
from xieban.client import Profile
from xieban.reconcile import Difference, LogDispute, Reconciliation
from xieban.reconcile_views import difference_from_pb, dispute_from_pb, reconciliation_from_pb
from xieban.wire.v1 import reconcile_pb2, reconcile_pb2_grpc

__all__ = ["ReconcileClient"]

RUN_DEADLINE: Final = 300.0


class ReconcileClient(Caller):
    """One node: what it and its counterparts hold of the statements between them."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = reconcile_pb2_grpc.ReconcileServiceStub(channel)

    async def run(self, *, since: int = 0, repair: bool = False) -> Reconciliation:
        """Compare now, statements signed from `since` (microseconds) on. Errors: CALLER_UNKNOWN, PEER_UNREACHABLE."""
        request = reconcile_pb2.ReconcileRequest(since_time=marshal.time_to_pb(since), repair=repair)
        answer = await self._call(self._stub.Reconcile, request, deadline=RUN_DEADLINE, repeatable=True)
        return reconciliation_from_pb(answer)

    async def last(self) -> tuple[Reconciliation | None, str, int]:
        """What the node's own last run found, why it is fenced (empty: it is not), and its incarnation."""
        request = reconcile_pb2.GetReconciliationRequest()
        answer = await self._call(self._stub.GetReconciliation, request, repeatable=True)
        last = reconciliation_from_pb(answer.last) if answer.HasField("last") else None
        return last, answer.fence, answer.incarnation

    async def disputes(self) -> tuple[tuple[LogDispute, ...], int]:
        """What the node has heard of the supervision log that does not fit its own, forks first; and how much is not settled yet."""
        request = reconcile_pb2.GetReconciliationRequest()
        answer = await self._call(self._stub.GetReconciliation, request, repeatable=True)
        return tuple(dispute_from_pb(one) for one in answer.disputes), answer.views_waiting

    async def broken_promises(self) -> tuple[Difference, ...]:
        """What the gateway's tickets promised of the supervision log and its log does not show, as the node's last audit left it."""
        request = reconcile_pb2.GetReconciliationRequest()
        answer = await self._call(self._stub.GetReconciliation, request, repeatable=True)
        return tuple(difference_from_pb(one) for one in answer.broken_promises)

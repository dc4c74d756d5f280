"""Between a node and the log: the gateway asks for cosignatures (WitnessService), and is asked for proofs and hashes. Marshalling only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import grpc.aio

from services.agency.witness import Witness
from xieban.errors import Reason, failure
from xieban.proof.tiles import Tile
from xieban.proof.tlogproof import MAX_HASHES
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import log_pb2, log_pb2_grpc

SERVICE = "xieban.wire.v1.WitnessService"
PATIENCE: Final = 5.0
_T = TypeVar("_T")


class WitnessServicer(log_pb2_grpc.WitnessServiceServicer):
    """Asked by the gateway's node and by nobody else."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def Cosign(
        self, request: log_pb2.CosignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> log_pb2.CosignResponse:
        if len(request.proof) > 2 * MAX_HASHES:
            raise failure(Reason.FIELD_INVALID, field="proof", detail="一致性证明过长")
        cosigned = await self._witness.cosign(request.checkpoint, old=request.old_size, proof=list(request.proof))
        return log_pb2.CosignResponse(size=cosigned.size, cosignature=cosigned.line)

    async def Remember(
        self, request: log_pb2.RememberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> log_pb2.RememberResponse:
        if len(request.proof) > 2 * MAX_HASHES:
            raise failure(Reason.FIELD_INVALID, field="proof", detail="一致性证明过长")
        return log_pb2.RememberResponse(size=await self._witness.remember(request.note, proof=list(request.proof)))


class LogAt:
    """The log behind `channel`. Every call: errors as the gateway gave them, PEER_UNREACHABLE."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = log_pb2_grpc.LogServiceStub(channel)

    async def prove(self, old: int, new: int) -> Sequence[bytes]:
        """A consistency proof."""
        request = log_pb2.ProveConsistencyRequest(old_size=old, new_size=new)
        return list((await _asked(self._stub.ProveConsistency, request)).proof)

    async def tile(self, tile: Tile) -> bytes:
        """Its hashes."""
        request = log_pb2.GetTileRequest(level=tile.level, number=tile.number, width=tile.width)
        return (await _asked(self._stub.GetTile, request)).hashes

    async def witnessed(self) -> bytes:
        """The newest checkpoint that enough witnesses have cosigned."""
        return (await _asked(self._stub.GetCheckpoint, log_pb2.GetCheckpointRequest(witnessed=True))).note

    async def entries(self, eid: str) -> list[tuple[bytes, bytes]]:
        """Each entry about a statement that a witnessed tree has, with its proof."""
        answer = await _asked(self._stub.ProveStatement, log_pb2.ProveStatementRequest(eid=eid))
        return [(row.entry, row.proof) for row in answer.entries]


async def _asked(method: Callable[..., Awaitable[_T]], request: object) -> _T:
    try:
        return await method(request, timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


async def unproven(old: int, new: int) -> Sequence[bytes]:
    """For a node that has no way to the log. Errors: PEER_UNREACHABLE."""
    raise failure(Reason.PEER_UNREACHABLE, peer="监督网关")

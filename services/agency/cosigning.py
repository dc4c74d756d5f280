"""Between a witness and the log: the gateway asks for cosignatures (WitnessService), and is asked for proofs. Marshalling only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc.aio

from services.agency.log_views import Prove
from services.agency.witness import Witness
from xieban.errors import Reason, failure
from xieban.proof.tlogproof import MAX_HASHES
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import log_pb2, log_pb2_grpc

SERVICE = "xieban.wire.v1.WitnessService"
PATIENCE: Final = 5.0


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


def prover_at(channel: grpc.aio.Channel) -> Prove:
    """Asks the log behind `channel`. Errors: as it gave them, PEER_UNREACHABLE."""
    stub = log_pb2_grpc.LogServiceStub(channel)

    async def prove(old: int, new: int) -> Sequence[bytes]:
        request = log_pb2.ProveConsistencyRequest(old_size=old, new_size=new)
        try:
            answer = await stub.ProveConsistency(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return list(answer.proof)

    return prove


async def unproven(old: int, new: int) -> Sequence[bytes]:
    """For a node that has no way to the log. Errors: PEER_UNREACHABLE."""
    raise failure(Reason.PEER_UNREACHABLE, peer="监督网关")

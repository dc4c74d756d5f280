"""WitnessService: the gateway of this city asks for cosignatures. Marshalling only."""

from __future__ import annotations

from typing import Any

import grpc.aio

from services.agency.witness import Witness
from xieban.errors import Reason, failure
from xieban.proof.tlogproof import MAX_HASHES
from xieban.wire.v1 import log_pb2, log_pb2_grpc

SERVICE = "xieban.wire.v1.WitnessService"


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

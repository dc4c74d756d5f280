"""The way to a witness: one call to the agency's node, over mutual TLS."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from services.gateway.checkpoints import PATIENCE, Ask, Remind
from xieban.rpcstatus import error_from_rpc
from xieban.wire.v1 import log_pb2, log_pb2_grpc


def witness_at(channel: grpc.aio.Channel) -> Ask:
    """Asks the witness behind `channel`. Errors: as the witness gave them, PEER_UNREACHABLE."""
    stub = log_pb2_grpc.WitnessServiceStub(channel)

    async def ask(old: int, proof: Sequence[bytes], checkpoint: bytes) -> tuple[int, str]:
        request = log_pb2.CosignRequest(old_size=old, proof=proof, checkpoint=checkpoint)
        try:
            answer = await stub.Cosign(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return answer.size, answer.cosignature

    return ask


def reminder_at(channel: grpc.aio.Channel) -> Remind:
    """Shows the witness behind `channel` its own cosignature. Errors: as for `witness_at`."""
    stub = log_pb2_grpc.WitnessServiceStub(channel)

    async def remind(note: bytes, proof: Sequence[bytes]) -> int:
        try:
            answer = await stub.Remember(log_pb2.RememberRequest(note=note, proof=proof), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return int(answer.size)

    return remind

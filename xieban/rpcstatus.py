"""Errors over gRPC, both ways: the pair that lets a reason leave one process and arrive as the same class in another.

On the wire an error is a google.rpc.Status: its message is the four-part Chinese text, its one detail an ErrorInfo with the reason's
name, the domain `xieban` and the metadata. Nothing but these three crosses; a traceback never does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from xieban.errors import (
    Broken,
    Conflict,
    Denied,
    InvalidInput,
    NotAllowed,
    NotFound,
    Reason,
    TooLarge,
    Unreachable,
    XiebanError,
    failure,
)

DOMAIN: Final = "xieban"
DETAILS_KEY: Final = "grpc-status-details-bin"
# The text travels twice (percent-encoded and in the details) and has to fit into 8 KiB of metadata.
LONGEST_VALUE: Final = 160

CODES: Final[dict[type[XiebanError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotAllowed: grpc.StatusCode.FAILED_PRECONDITION,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unreachable: grpc.StatusCode.UNAVAILABLE,
    Broken: grpc.StatusCode.INTERNAL,
}
_OVER: Final = re.compile(r"larger than max \((\d+) vs\. (\d+)\)")
_GONE: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: XiebanError) -> NoReturn:
    """End the call with `error`. Values longer than a code or an identifier ever is are clipped."""
    clipped = type(error)(error.reason, **{key: value[:LONGEST_VALUE] for key, value in error.metadata.items()})
    code = CODES[type(error)]
    info = error_details_pb2.ErrorInfo(reason=error.reason.name, domain=DOMAIN, metadata=clipped.metadata)
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=clipped.explain(), details=[packed])
    await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("abort returned")


def error_from_rpc(rpc_error: grpc.RpcError, *, peer: str = "对方") -> XiebanError:
    """The error the server raised: same reason, class and metadata.

    What carries no reason we know becomes MESSAGE_TOO_LARGE, PEER_UNREACHABLE (nobody there, too slow, too busy), CALLER_UNKNOWN
    (refused before our code ran) or DEFECT, by its status code.
    """
    info = _error_info(rpc_error)
    if info is not None and info.reason in Reason.__members__:
        return failure(Reason[info.reason], **dict(info.metadata))
    code, details = _plain_status(rpc_error)
    if over := _OVER.search(details):
        return failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=over[1], limit=over[2])
    if code in _GONE:
        return failure(Reason.PEER_UNREACHABLE, peer=peer)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return failure(Reason.CALLER_UNKNOWN, identity="—")
    return failure(Reason.DEFECT, trace=f"{peer}:{code.name}" if info is None else f"{peer}:{info.reason}")


def _plain_status(rpc_error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    if not isinstance(rpc_error, grpc.Call | grpc.aio.AioRpcError):
        return grpc.StatusCode.UNKNOWN, ""
    return rpc_error.code(), rpc_error.details() or ""


def _error_info(rpc_error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    if not isinstance(rpc_error, grpc.Call | grpc.aio.AioRpcError):
        return None
    trailing: Sequence[tuple[str, str | bytes]] = tuple(rpc_error.trailing_metadata() or ())
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            info = error_details_pb2.ErrorInfo()
            try:
                for detail in status_pb2.Status.FromString(value).details:
                    if detail.Unpack(info) and info.domain == DOMAIN:
                        return info
            except DecodeError:
                return None
    return None

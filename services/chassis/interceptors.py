"""The one server interceptor: who may not call is refused, errors become coded statuses, a call without a deadline gets one, and the
trace is joined.

Light on purpose: the instrumentation packages halve the unary rate. Handlers are wrapped once per method, not once per call.
What must not go in: the rules of who may what, and anything else that differs between services.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import grpc.aio

from services.chassis import telemetry
from xieban.errors import Reason, XiebanError, failure
from xieban.rpcstatus import abort_with

log = logging.getLogger(__name__)

DEFAULT_DEADLINE: Final = 10.0
Guard = Callable[[str, grpc.aio.ServicerContext[Any, Any]], None]
Handler = Any  # grpc.RpcMethodHandler, whose stubs know neither the aio flavours nor replacement


class Boundary(grpc.aio.ServerInterceptor):
    """Between the wire and our code. `guard` is asked (method, context) before every call and raises for whoever may not; `deadline` is
    for unary answers whose caller set none; streams end with their caller."""

    def __init__(
        self,
        *,
        guard: Guard,
        deadline: float = DEFAULT_DEADLINE,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._guard = guard
        self._deadline = deadline
        self._on_fatal = on_fatal
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._wrapped[method] = self._wrap(handler, method)
        return wrapped

    def _wrap(self, handler: Handler, method: str) -> Handler:
        arguments = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._single(handler.unary_unary, method), **arguments)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._single(handler.stream_unary, method), **arguments)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(handler.unary_stream, method), **arguments)
        return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method), **arguments)

    def _single(self, inner: Callable[[Any, Any], Awaitable[Any]], method: str) -> Callable[[Any, Any], Any]:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with _traced(method, context):
                try:
                    self._guard(method, context)
                    if context.time_remaining() is not None:
                        return await inner(request, context)
                    async with asyncio.timeout(self._deadline):
                        return await inner(request, context)
                except BaseException as error:
                    await self._conclude(context, error, method)

        return call

    def _stream(self, inner: Callable[[Any, Any], Any], method: str) -> Callable[[Any, Any], Any]:
        if inspect.isasyncgenfunction(inner):

            async def generate(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                # No span around a stream: a generator's frames run in its consumer's context, and a span cannot be
                # current in one context and ended in another.
                try:
                    self._guard(method, context)
                    async for item in inner(request, context):
                        yield item
                except BaseException as error:
                    await self._conclude(context, error, method)

            return generate

        async def write(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            with _traced(method, context):
                try:
                    self._guard(method, context)
                    await inner(request, context)
                except BaseException as error:
                    await self._conclude(context, error, method)

        return write

    async def _conclude(self, context: grpc.aio.ServicerContext[Any, Any], error: BaseException, method: str) -> None:
        """End the call as `error` demands. Always raises."""
        if isinstance(error, XiebanError):
            await abort_with(context, error)
        if isinstance(error, asyncio.CancelledError | GeneratorExit | grpc.aio.AbortError):
            raise error
        if isinstance(error, TimeoutError):
            log.warning("call timed out", extra={"method": method})
            await abort_with(context, failure(Reason.PEER_UNREACHABLE, peer=method.rpartition("/")[2]))
        trace = telemetry.trace_id() or secrets.token_hex(8)
        log.error("call failed", exc_info=error, extra={"method": method, "trace": trace})
        if not isinstance(error, Exception) and self._on_fatal is not None:
            self._on_fatal(error)
        await abort_with(context, failure(Reason.DEFECT, trace=trace))


@contextmanager
def _traced(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
    if not telemetry.enabled():
        yield
        return
    headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    with telemetry.span(method.lstrip("/"), headers):
        yield

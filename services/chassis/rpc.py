"""gRPC servers and channels: mutual TLS, limits on everything a peer can send, health, and reflection for development.

A server refuses whoever holds no certificate of the city's authority; a channel refuses a server whose certificate is not the
agency's it means to talk to. What must not go in: any service's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from services.chassis import telemetry
from services.chassis.identity import server_name
from services.chassis.interceptors import DEFAULT_DEADLINE, Boundary, Guard
from xieban.errors import Reason, failure

MAX_MESSAGE: Final = 256 * 1024
MAX_METADATA: Final = 8 * 1024
MAX_STREAMS: Final = 64
STOP_GRACE: Final = 3.0

Options = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the authority both sides trust, and our own certificate and key."""

    ca: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """CONFIG_INVALID names the first file that cannot be read."""
        return _bytes(self.ca), _bytes(self.certificate), _bytes(self.key)


class RpcServer:
    """One listening port. Add servicers to `server`, then `start`; leave the context (or `stop`) to end gracefully."""

    def __init__(
        self,
        *,
        tls: Tls,
        guard: Guard,
        max_message: int = MAX_MESSAGE,
        max_streams: int = MAX_STREAMS,
        deadline: float = DEFAULT_DEADLINE,
        development: bool = False,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        options: Options = [
            *_common(max_message),
            ("grpc.max_concurrent_streams", max_streams),
            ("grpc.so_reuseport", 0),  # or a second process would share the port without a word
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_idle_ms", 15 * 60_000),
        ]
        self._tls = tls
        self._development = development
        self._health = health.aio.HealthServicer()
        self.server = grpc.aio.server(
            interceptors=(Boundary(guard=guard, deadline=deadline, on_fatal=on_fatal),), options=options
        )

    async def start(self, address: str, *, services: Sequence[str] = ()) -> int:
        """Listen on `host:port` (port 0 picks one) and report `services` (full names) as healthy. Returns the port."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        if self._development:
            from grpc_reflection.v1alpha import reflection

            names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self.server)
        ca, certificate, key = self._tls.read()
        credentials = grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)
        try:
            port = self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise failure(Reason.PORT_TAKEN, port=address.rpartition(":")[2]) from error
        if port == 0:
            raise failure(Reason.PORT_TAKEN, port=address.rpartition(":")[2])
        await self.server.start()
        for name in ("", *services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Say not-serving, let running calls end within `grace` seconds, then cut."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def channel(address: str, *, tls: Tls, agency: str, max_message: int = MAX_MESSAGE) -> grpc.aio.Channel:
    """A channel to `agency`'s server at `address`. Connects lazily; the handshake fails unless the server's certificate comes from
    our authority and names `agency`."""
    ca, certificate, key = tls.read()
    credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)
    options: Options = [
        *_common(max_message),
        ("grpc.ssl_target_name_override", server_name(agency)),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.aio.secure_channel(address, credentials, options=options)


def call_metadata() -> tuple[tuple[str, str], ...]:
    """What a caller passes as `metadata=` so that the server joins its trace; empty when there is none."""
    return tuple(telemetry.inject().items())


def _common(max_message: int) -> Options:
    return [
        ("grpc.max_receive_message_length", max_message),
        ("grpc.max_send_message_length", max_message),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise failure(Reason.CONFIG_INVALID, file=file, detail=f"证书文件无法读取（{error.strerror}）") from error

"""Listening for browsers inside the gateway's own process and event loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from services.chassis.lifecycle import Process
from xieban.errors import Reason, failure

GRACE = 2


class _Server(uvicorn.Server):
    """Signals belong to the process's lifecycle, not to one of its ports."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_pages(process: Process, site: ASGIApp, *, address: str) -> int:
    """Serve `site` on `host:port` until the process ends; returns the port. Errors: PORT_TAKEN."""
    host, _, port = address.rpartition(":")
    listener = _listen(host, int(port))
    server = _Server(
        uvicorn.Config(
            site,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            limit_concurrency=64,
        )
    )
    task = process.tasks.create_task(server.serve(sockets=[listener]), name="pages")

    async def stop() -> None:
        server.should_exit = True
        await task

    process.stack.push_async_callback(stop)
    return int(listener.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise failure(Reason.PORT_TAKEN, port=port) from error
    listener.listen(128)
    return listener

"""How a process lives and ends: signals, one exit stack, loops that may not die in silence, exit codes.

    0   stopped by SIGTERM or SIGINT, everything closed
    70  a loop crashed, or closing took too long: supervisor, restart me
    78  refused to start (configuration, a newer database, a taken port …): a person has to act; four-part text on stderr

A main function sets things up in reading order and returns; the process then serves until it is told to stop, and unwinds in the
opposite order. What must not go in: what is being served.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import uvloop

from xieban.errors import XiebanError

log = logging.getLogger(__name__)

OK: Final = 0
CRASHED: Final = 70
REFUSED: Final = 78
CLOSING_LIMIT: Final = 20.0
CANCEL_AGAIN: Final = 3.0


class Tasks:
    """The loops of a process, each for as long as it lives. A loop that raises ends the process.

    Each is cancelled when the exit stack comes back to the point where it was created: after everything opened later is closed, and
    before everything it uses. Short-lived tasks belong into an asyncio.TaskGroup inside a loop.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    def create_task(self, loop: Coroutine[Any, Any, None], *, name: str | None = None) -> asyncio.Task[None]:
        """Run `loop` until it returns or the process ends."""
        task = asyncio.get_running_loop().create_task(loop, name=name)
        task.add_done_callback(self._ended)
        self._process.stack.push_async_callback(_cancelled, task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.critical("loop crashed: %s", task.get_name(), exc_info=error)
            self._process.fail(error)


class Process:
    """What a main function is given: `stack` to push clean-up on, `tasks` for its loops."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.tasks = Tasks(self)
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """What is ending the process, if it is not a wish."""
        return self._error

    def stop(self) -> None:
        """Ask for a graceful end."""
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """End the process because of `error`; the first one counts."""
        self._error = self._error or error
        self._stopping.set()

    async def stopping(self) -> None:
        """Returns when the process begins to end."""
        await self._stopping.wait()


Main = Callable[[Process], Awaitable[None]]


def run(main: Main) -> int:
    """Run a process to its end and return the exit code for `sys.exit`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(supervise(main))


async def supervise(main: Main) -> int:
    """`run` for a loop that is already there; installs the signal handlers."""
    process = Process()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    try:
        code = await _serve(main, process)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return code


async def _serve(main: Main, process: Process) -> int:
    code = OK
    starting = asyncio.ensure_future(main(process))
    waiting = asyncio.ensure_future(process.stopping())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await _cancelled(starting)
    elif not starting.cancelled() and (error := starting.exception()) is not None:
        code = _refusal(error)
    if code == OK:
        _settle_memory()
        await waiting
    await _cancelled(waiting)
    closed = await _close(process)
    return CRASHED if process.error is not None or not closed else code


def _settle_memory() -> None:
    """What start-up has loaded lives as long as the process: the collector need not walk through it again and again.

    Without this a busy node spends about a sixth of its time there (measured with a sampling profiler under load).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _refusal(error: BaseException) -> int:
    if isinstance(error, XiebanError):
        print(error.explain(), file=sys.stderr, flush=True)
        return REFUSED
    log.critical("start-up crashed", exc_info=error)
    return CRASHED


async def _close(process: Process) -> bool:
    closing = asyncio.ensure_future(process.stack.aclose())
    done, _ = await asyncio.wait([closing], timeout=CLOSING_LIMIT)
    if not done:
        log.critical("closing took too long")
        logging.shutdown()
        os._exit(CRASHED)  # threads that will not end would otherwise hold the process for ever
    if (error := closing.exception()) is not None:
        log.critical("closing failed", exc_info=error)
        return False
    return True


async def _cancelled(task: asyncio.Future[None]) -> None:
    """Cancel and wait; what the task raised has been dealt with where it ended.

    Again after a while: `asyncio.wait_for` before Python 3.12, and gRPC, keep a cancellation to themselves that meets an answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN)

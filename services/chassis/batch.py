"""Group commit: many callers, one handler call for all that is waiting.

An fsync costs the same for one row as for a hundred, so whoever writes per request submits here and the loop hands over everything
queued at that moment. There is no timer: with one caller a batch holds one item at once, under load batches grow by themselves.
What must not go in: what the items are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from xieban.errors import Reason, failure

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items for `handler`, which returns one result (or Exception) per item, in order.

    The handler must be all or nothing: when it raises on several items nothing of them may remain, because each is then tried
    alone, so that a poisonous one cannot fail its neighbours.
    """

    def __init__(
        self, handler: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], *, limit: int = 128
    ) -> None:
        self._handler = handler
        self._limit = limit
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    async def submit(self, item: Item) -> Result:
        """The handler's result for `item`; raises it when it is an Exception. Unreachable once the loop has been stopped."""
        if self._closed:
            raise _stopped()
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, waiter))
        self._wake.set()
        return await waiter

    async def run(self) -> None:
        """The loop; one per batcher. When it ends, for whatever reason, everyone still waiting gets Unreachable."""
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while True:
                await self._wake.wait()
                batch = self._drain()
                if batch:
                    await self._handle(batch)
        finally:
            self._closed = True
            for _, waiter in (*batch, *self._queue):
                if not waiter.done():
                    waiter.set_exception(_stopped())
            self._queue.clear()

    def _drain(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._queue and len(batch) < self._limit:
            item, waiter = self._queue.popleft()
            if not waiter.done():  # a caller that gave up before its turn is left out
                batch.append((item, waiter))
        if not self._queue:
            self._wake.clear()
        return batch

    async def _handle(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handler([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0][1], error)
                return
            for single in batch:
                await self._handle([single])
            return
        for (_, waiter), result in zip(batch, results, strict=True):
            _settle(waiter, result)


def _settle(waiter: asyncio.Future[Result], result: Result | Exception) -> None:
    if waiter.done():
        return
    if isinstance(result, Exception):
        waiter.set_exception(result)
    else:
        waiter.set_result(result)


def _stopped() -> Exception:
    return failure(Reason.PEER_UNREACHABLE, peer="本进程（正在停止）")

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from services.chassis.batch import Batcher
from xieban.errors import Unreachable

Handler = Callable[[Sequence[int]], Awaitable[Sequence[int | Exception]]]


@asynccontextmanager
async def running(handler: Handler, *, limit: int = 128) -> AsyncIterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(handler, limit=limit)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(batcher.run())
        yield batcher
        loop.cancel()


async def test_everything_queued_goes_into_one_call_up_to_the_limit() -> None:
    calls: list[list[int]] = []

    async def double(items: Sequence[int]) -> Sequence[int | Exception]:
        calls.append(list(items))
        return [item * 2 for item in items]

    async with running(double, limit=4) as batcher:
        assert await asyncio.gather(*(batcher.submit(n) for n in range(10))) == [n * 2 for n in range(10)]
    assert calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_an_exception_in_one_result_reaches_only_its_caller() -> None:
    async def odd_fail(items: Sequence[int]) -> Sequence[int | Exception]:
        return [ValueError(item) if item % 2 else item for item in items]

    async with running(odd_fail) as batcher:
        results = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int, ValueError]


async def test_a_poisonous_item_does_not_fail_its_neighbours() -> None:
    async def handler(items: Sequence[int]) -> Sequence[int | Exception]:
        if 3 in items:
            raise ValueError("poison")
        return list(items)

    async with running(handler) as batcher:
        results = await asyncio.gather(*(batcher.submit(n) for n in range(6)), return_exceptions=True)
        assert [result for result in results if isinstance(result, int)] == [0, 1, 2, 4, 5]
        assert isinstance(results[3], ValueError)
        assert await batcher.submit(7) == 7


async def test_stopping_fails_whoever_waits_and_whoever_comes_later() -> None:
    entered = asyncio.Event()

    async def stuck(items: Sequence[int]) -> Sequence[int | Exception]:
        entered.set()
        await asyncio.Event().wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(stuck, limit=1)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(batcher.run())
        waiters = asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
        await entered.wait()
        loop.cancel()
        assert [type(result) for result in await waiters] == [Unreachable, Unreachable]
    with pytest.raises(Unreachable):
        await batcher.submit(3)


async def test_a_caller_that_gave_up_before_its_turn_is_left_out() -> None:
    calls: list[list[int]] = []
    entered, gate = asyncio.Event(), asyncio.Event()

    async def handler(items: Sequence[int]) -> Sequence[int | Exception]:
        calls.append(list(items))
        entered.set()
        await gate.wait()
        return list(items)

    async with running(handler, limit=1) as batcher, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(batcher.submit(1))
        second = tasks.create_task(batcher.submit(2))
        third = tasks.create_task(batcher.submit(3))
        await entered.wait()
        second.cancel()
        gate.set()
        assert (await first, await third) == (1, 3)
    assert calls == [[1], [3]]


async def test_a_crash_passes_through_the_loop_and_leaves_nobody_waiting() -> None:
    class Crash(BaseException):
        pass

    async def handler(items: Sequence[int]) -> Sequence[int | Exception]:
        raise Crash

    batcher: Batcher[int, int] = Batcher(handler)
    submitted = asyncio.gather(batcher.submit(1), return_exceptions=True)
    await asyncio.sleep(0)
    with pytest.raises(Crash):
        await batcher.run()
    assert [type(result) for result in await submitted] == [Unreachable]

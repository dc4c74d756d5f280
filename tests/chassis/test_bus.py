"""Against a real nats-server, which is killed, restarted and wiped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.chassis import bus as bus_module
from services.chassis import faults
from services.chassis.bus import Bus, Incoming, Outgoing, Verdict, nats_server_binary
from services.chassis.clock import SystemClock
from services.chassis.publisher import matches
from tests.broker import Broker, broker
from xieban.errors import Unreachable

PATIENCE = 30.0


@dataclass(frozen=True)
class Stream:
    name: str = "LETTERS"
    subjects: Sequence[str] = ("letters.>",)
    max_age_seconds: int = 0
    max_msg_bytes: int = 65_536
    duplicate_window_seconds: int = 120


@dataclass(frozen=True)
class Consumer:
    stream: str = "LETTERS"
    durable: str = "reader"
    pattern: str = "letters.a"
    ack_wait_seconds: int = 30
    max_deliver: int = 8


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker(tmp_path) as running:
        yield running


async def connect(url: str, *, patience: float = 5.0, streams: Sequence[Stream] = (Stream(),)) -> Bus:
    return await Bus.connect(
        url, name="test", inbox_prefix="_INBOX.test", streams=streams, clock=SystemClock(), patience=patience
    )


@asynccontextmanager
async def during(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(loop) for loop in loops]
        yield
        for task in running:
            task.cancel()


def letters(first: int, last: int, *, subject: str = "letters.a") -> list[Outgoing]:
    return [Outgoing(subject, str(n).encode(), f"letter-{n}") for n in range(first, last)]


async def publish_until_done(bus: Bus, messages: Sequence[Outgoing]) -> None:
    """As an outbox does: again until the stream has it."""
    left = list(messages)
    while left:
        done = await bus.publish_many(left)
        left = [message for message, there in zip(left, done, strict=True) if not there]
        if left:
            await asyncio.sleep(0.02)


class Reader:
    """Remembers what arrived and lets a test wait for it."""

    def __init__(self, verdict: Callable[[Incoming], Verdict] = lambda _: Verdict.ACK) -> None:
        self.seen: list[Incoming] = []
        self.batches: list[int] = []
        self._verdict = verdict
        self._more = asyncio.Condition()

    async def __call__(self, messages: Sequence[Incoming]) -> Sequence[Verdict]:
        async with self._more:
            self.seen.extend(messages)
            self.batches.append(len(messages))
            self._more.notify_all()
        return [self._verdict(message) for message in messages]

    @property
    def numbers(self) -> set[int]:
        return {int(message.data) for message in self.seen}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._more:
            await self._more.wait_for(condition)


async def test_what_is_published_arrives_in_order_with_its_place_and_time(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        before = SystemClock().now()
        assert await bus.publish_many(letters(0, 500)) == [True] * 500
        await reader.until(lambda: len(reader.seen) >= 500)
    assert [int(message.data) for message in reader.seen] == list(range(500))
    assert [message.sequence for message in reader.seen] == list(range(1, 501))
    assert not any(message.redelivered for message in reader.seen)
    assert abs(reader.seen[0].published_at - before) < timedelta(seconds=10)


async def test_headers_arrive_and_only_the_consumers_subjects_do(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await bus.publish_many([Outgoing("letters.z", b"1", "z"), Outgoing("letters.a", b"2", "a", {"trace": "t"})])
        await reader.until(lambda: len(reader.seen) >= 1)
    assert [message.subject for message in reader.seen] == ["letters.a"]
    assert reader.seen[0].headers["trace"] == "t"


async def test_a_repetition_is_confirmed_and_not_delivered_twice(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        assert await bus.publish_many(letters(0, 40)) == [True] * 40
        assert await bus.publish_many(letters(0, 41)) == [True] * 41
        await reader.until(lambda: 40 in reader.numbers)
    assert len(reader.seen) == 41


async def test_what_no_stream_takes_is_reported_false_and_its_neighbours_true(url: Broker) -> None:
    async with await connect(url) as bus:
        wrong = [
            Outgoing("nowhere", b"x", "1"),
            Outgoing("letters.a", b"x", "2"),
            Outgoing("letters.a", b"x" * 70_000, "3"),
            Outgoing("letters.a\r\nPUB", b"x", "4"),
        ]
        assert await bus.publish_many(wrong) == [False, True, False, False]


async def test_one_bad_message_in_a_large_group_does_not_fail_the_others(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        group = letters(0, 40)
        group[20] = Outgoing("letters.a", b"x" * 70_000, "large")
        done = await bus.publish_many(group)
        assert [index for index, there in enumerate(done) if not there] == [20]
        await reader.until(lambda: len(reader.seen) >= 39)
    assert reader.numbers == set(range(40)) - {20}


async def test_the_point_after_publish_lies_between_the_stream_and_the_answer(url: Broker) -> None:
    class Crash(BaseException):
        pass

    def crash() -> None:
        raise Crash

    faults.arm("S3", action=crash)
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        with pytest.raises(Crash):
            await bus.publish_many(letters(0, 2))
        await reader.until(lambda: reader.numbers == {0, 1})
        assert await bus.publish_many(letters(0, 2)) == [True, True]
    assert len(reader.seen) == 2


@pytest.mark.parametrize(
    ("subject", "pattern", "expected"),
    [
        ("a.b.c", "a.>", True),
        ("a", "a.>", False),
        ("a.b", "a.*", True),
        ("a.b.c", "a.*", False),
        ("a.b.c", "a.*.c", True),
        ("a.b", "a.b", True),
        ("ab", "a", False),
        ("a.b", ">", True),
    ],
)
def test_a_subject_falls_under_a_pattern_as_the_broker_says(subject: str, pattern: str, expected: bool) -> None:
    assert matches(subject, pattern) is expected


async def test_publishing_without_a_broker_is_false_and_sending_unreachable(tmp_path: Path) -> None:
    async with broker(tmp_path, started=False) as url, await connect(url, patience=0.05) as bus:
        assert not bus.connected
        assert await bus.publish_many(letters(0, 2)) == [False, False]
        with pytest.raises(Unreachable):
            await bus.send("letters.a", b"")


async def test_a_broker_that_comes_later_is_found(tmp_path: Path) -> None:
    reader = Reader()
    async with broker(tmp_path, started=False) as url, await connect(url, patience=0.05) as bus:
        async with during(bus.consume(Consumer(), reader)):
            await url.start()
            await publish_until_done(bus, letters(0, 10))
            await reader.until(lambda: reader.numbers == set(range(10)))
            assert bus.connected


async def test_a_killed_broker_loses_nothing_and_goes_on_after_restart(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await publish_until_done(bus, letters(0, 50))
        await reader.until(lambda: reader.numbers == set(range(50)))
        for round_ in (1, 2):
            await url.kill()
            assert await bus.publish_many(letters(0, 1)) == [False]
            await url.start()
            await publish_until_done(bus, letters(round_ * 50, round_ * 50 + 50))
            await reader.until(lambda: reader.numbers >= set(range(round_ * 50 + 50)))  # noqa: B023


async def test_a_broker_killed_under_load_has_everything_it_confirmed(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(publish_until_done(bus, letters(0, 3_000)))
            consuming = tasks.create_task(bus.consume(Consumer(), reader))
            for _ in range(2):
                count = len(reader.seen)
                await reader.until(lambda: len(reader.seen) > count + 100)  # noqa: B023
                await url.kill()
                await url.start()
            await publishing
            await reader.until(lambda: reader.numbers == set(range(3_000)))
            consuming.cancel()


async def test_a_frozen_broker_is_noticed_and_found_again(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(ack_wait_seconds=2), reader)):
        await publish_until_done(bus, letters(0, 5))
        url.freeze()
        assert not any(await bus.publish_many(letters(5, 900), timeout=0.3))
        url.thaw()
        await publish_until_done(bus, letters(5, 900))
        await reader.until(lambda: reader.numbers == set(range(900)))


async def test_whoever_waits_for_a_broker_that_dies_is_told_at_once(url: Broker) -> None:
    async with await connect(url) as bus, asyncio.TaskGroup() as tasks:
        url.freeze()
        publishing = tasks.create_task(bus.publish_many(letters(0, 3), timeout=3_600))
        await asyncio.sleep(0)
        await url.kill()
        async with asyncio.timeout(PATIENCE):
            assert await publishing == [False, False, False]


async def test_a_wiped_broker_gets_its_streams_and_consumers_back(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await publish_until_done(bus, letters(0, 50))
        await reader.until(lambda: reader.numbers == set(range(50)))
        await url.kill()
        await url.wipe()
        await url.start()
        await publish_until_done(bus, letters(50, 100))
        await reader.until(lambda: reader.numbers == set(range(100)))


async def test_a_stream_deleted_under_a_live_connection_comes_back(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await publish_until_done(bus, letters(0, 5))
        await reader.until(lambda: len(reader.seen) >= 5)
        await api(url, "STREAM.DELETE.LETTERS")
        assert await bus.publish_many(letters(5, 10)) == [True] * 5
        await reader.until(lambda: reader.numbers == set(range(10)))


async def test_a_consumer_deleted_under_a_live_connection_comes_back(url: Broker) -> None:
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await publish_until_done(bus, letters(0, 5))
        await reader.until(lambda: len(reader.seen) >= 5)
        await api(url, "CONSUMER.DELETE.LETTERS.reader")
        await publish_until_done(bus, letters(5, 10))
        await reader.until(lambda: reader.numbers == set(range(10)))


async def test_what_was_acknowledged_is_not_delivered_to_the_next_process(url: Broker) -> None:
    first, second = Reader(), Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(), first)):
        await publish_until_done(bus, letters(0, 300))
        await first.until(lambda: len(first.seen) >= 300)
    async with await connect(url) as bus, during(bus.consume(Consumer(), second)):
        await publish_until_done(bus, letters(300, 301))
        await second.until(lambda: 300 in second.numbers)
    assert second.numbers == {300}


async def test_what_was_pulled_but_not_handled_goes_to_the_next_process_at_once(url: Broker) -> None:
    entered = asyncio.Event()

    async def stuck(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        entered.set()
        await asyncio.Event().wait()
        return []

    second = Reader()
    async with await connect(url) as bus:
        await publish_until_done(bus, letters(0, 20))
        async with during(bus.consume(Consumer(), stuck, batch=4)):
            await entered.wait()
    async with await connect(url) as bus, during(bus.consume(Consumer(), second)):
        async with asyncio.timeout(10):  # far below the acknowledgement wait of 30 s
            await second.until(lambda: second.numbers == set(range(20)))


async def test_a_retry_comes_again_and_a_dead_message_does_not(url: Broker) -> None:
    def verdict(message: Incoming) -> Verdict:
        if message.data == b"0":
            return Verdict.DEAD
        return Verdict.ACK if message.redelivered else Verdict.RETRY

    reader = Reader(verdict)
    async with await connect(url) as bus, during(bus.consume(Consumer(), reader)):
        await publish_until_done(bus, letters(0, 3))
        await reader.until(lambda: len(reader.seen) >= 5)
        await publish_until_done(bus, letters(7, 8))
        await reader.until(lambda: 7 in reader.numbers)
    assert sorted((int(m.data), m.deliveries) for m in reader.seen if m.data != b"7") == [
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


async def test_a_poisonous_message_does_not_hold_up_its_batch(url: Broker) -> None:
    reader = Reader()
    attempts: list[int] = []

    async def handler(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        attempts.append(len(messages))
        if any(message.data == b"13" and not message.redelivered for message in messages):
            raise ValueError("poison")
        return await reader(messages)

    async with await connect(url) as bus:
        await publish_until_done(bus, letters(0, 30))
        async with during(bus.consume(Consumer(), handler)):
            await reader.until(lambda: reader.numbers == set(range(30)))
    assert len(reader.seen) == 30
    assert [message.deliveries for message in reader.seen if message.data == b"13"] == [2]


async def test_a_message_is_not_acknowledged_when_the_process_dies_in_the_handler(url: Broker) -> None:
    class Crash(BaseException):
        pass

    async def dies(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        raise Crash

    async with await connect(url) as bus:
        await publish_until_done(bus, letters(0, 1))
        with pytest.raises(Crash):
            await bus.consume(Consumer(ack_wait_seconds=1), dies)
    reader = Reader()
    async with await connect(url) as bus, during(bus.consume(Consumer(ack_wait_seconds=1), reader)):
        await reader.until(lambda: reader.numbers == {0})


async def test_a_slow_handler_is_not_taken_for_a_dead_one(url: Broker) -> None:
    reader = Reader()
    gate = asyncio.Event()

    async def slow(messages: Sequence[Incoming]) -> Sequence[Verdict]:
        await gate.wait()
        return await reader(messages)

    async with await connect(url) as bus, await connect(url) as other:
        async with during(bus.consume(Consumer(ack_wait_seconds=1), slow, batch=4)):
            await publish_until_done(bus, letters(0, 10))
            watch: Callable[[], Awaitable[int]] = lambda: redelivered(other)  # noqa: E731
            for _ in range(12):  # two and a half times the acknowledgement wait, in the broker's own time
                await asyncio.sleep(0.2)
                assert await watch() == 0
            gate.set()
            await reader.until(lambda: len(reader.seen) >= 10)
    assert not any(message.redelivered for message in reader.seen)


async def test_plain_messages_reach_listeners_also_after_a_restart(url: Broker) -> None:
    heard: asyncio.Queue[tuple[str, bytes, str | None]] = asyncio.Queue()

    async def listen(subject: str, data: bytes, headers: Any) -> None:
        if data == b"bad":
            raise ValueError(data)
        heard.put_nowait((subject, data, headers.get("trace")))

    async with asyncio.timeout(PATIENCE), await connect(url) as bus:
        await bus.subscribe(["plain.*"], listen)
        await bus.send("plain.x", b"bad")
        await bus.send("plain.x", b"1", {"trace": "t"})
        assert await heard.get() == ("plain.x", b"1", "t")
        await url.kill()
        await url.start()
        while heard.empty():
            try:
                await bus.send("plain.y", b"2")
            except Unreachable:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.01)
        assert await heard.get() == ("plain.y", b"2", None)


async def test_a_stream_keeps_what_it_has_and_follows_a_changed_specification(url: Broker) -> None:
    async with await connect(url) as bus:
        await publish_until_done(bus, letters(0, 3))
    async with await connect(url, streams=[Stream(subjects=("letters.>", "more.>"))]) as bus:
        assert await bus.publish_many([Outgoing("more.x", b"", "m")]) == [True]
        config = (await api(url, "STREAM.INFO.LETTERS"))["config"]
    assert config["storage"] == "file"
    assert config["discard"] == "new"
    assert config["deny_delete"] is True
    assert (await api(url, "STREAM.INFO.LETTERS"))["state"]["messages"] == 4


def test_the_broker_program_can_be_named_and_its_absence_is_coded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert nats_server_binary().is_file()
    monkeypatch.setenv("XIEBAN_NATS_SERVER", str(tmp_path / "none"))
    with pytest.raises(Unreachable, match="XB-5006"):
        bus_module.nats_server_binary()


async def api(url: str, verb: str) -> Any:
    import json

    import nats

    client = await nats.connect(url)
    try:
        return json.loads((await client.request(f"$JS.API.{verb}", b"", timeout=5)).data)
    finally:
        await client.close()


async def redelivered(bus: Bus) -> int:
    return int((await api(bus._url, "CONSUMER.INFO.LETTERS.reader"))["num_redelivered"])

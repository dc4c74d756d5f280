"""Real processes: signals and exit codes cannot be believed otherwise."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

import pytest

from services.chassis import lifecycle
from services.chassis.lifecycle import Process

PRELUDE = """
import asyncio, sys
from services.chassis import faults
from services.chassis.lifecycle import Process, run
from xieban.errors import Reason, failure

def say(word):
    print(word, flush=True)

async def closing(word):
    say(word)

async def forever(name):
    try:
        await asyncio.Event().wait()
    finally:
        say(name)
"""


async def start(body: str, **environment: str) -> asyncio.subprocess.Process:
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{PRELUDE}\nasync def main(process):\n{lines}\n\nsys.exit(run(main))\n",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment or None,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_unwinds_in_the_opposite_order_and_exits_0(number: signal.Signals) -> None:
    process = await start("""
process.stack.push_async_callback(closing, "database")
process.tasks.create_task(forever("loop"))
process.stack.push_async_callback(closing, "server")
await asyncio.sleep(0)
say("up")
""")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out.split(), err) == (0, [b"server", b"loop", b"database"], b"")


async def test_a_crashing_loop_ends_the_process_loudly_with_70() -> None:
    process = await start("""
process.stack.push_async_callback(closing, "closed")
async def crash():
    raise KeyError("x")
process.tasks.create_task(crash(), name="relay")
""")
    out, err = await process.communicate()
    assert (process.returncode, out) == (70, b"closed\n")
    assert b"relay" in err


async def test_a_refusal_to_start_exits_78_with_four_parts_and_no_traceback() -> None:
    process = await start("""
process.stack.push_async_callback(closing, "closed")
raise failure(Reason.CONFIG_INVALID, file="node.toml", detail="x")
""")
    out, err = await process.communicate()
    assert (process.returncode, out) == (78, b"closed\n")
    text = err.decode()
    assert [line.partition("：")[0] for line in text.splitlines()] == ["发生", "原因", "办法", "编号"]


async def test_a_defect_at_the_start_exits_70() -> None:
    process = await start("raise ZeroDivisionError")
    _, err = await process.communicate()
    assert process.returncode == 70
    assert b"ZeroDivisionError" in err


async def test_a_signal_during_a_long_start_ends_it() -> None:
    process = await start("""
process.stack.push_async_callback(closing, "closed")
say("starting")
await asyncio.Event().wait()
""")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"starting\n"
    process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"closed\n")


async def test_a_fault_from_the_environment_kills_a_sandbox_at_its_second_pass() -> None:
    body = "{}\nfor _ in range(3):\n    say('pass')\n    faults.point('S3')\nprocess.stop()"
    sandbox = await start(body.format("faults.enable_from_environment()"), XIEBAN_FAULT="S3:2")
    out, _ = await sandbox.communicate()
    assert (sandbox.returncode, out.split()) == (-signal.SIGKILL, [b"pass"] * 2)
    production = await start(body.format("pass"), XIEBAN_FAULT="S3:2")
    out, _ = await production.communicate()
    assert (production.returncode, out.split()) == (0, [b"pass"] * 3)


async def test_a_loop_whose_library_swallows_the_stop_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_AGAIN", 0.01)
    process, swallowed = Process(), asyncio.Event()

    async def loop() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    task = process.tasks.create_task(loop())
    async with asyncio.timeout(5):
        await asyncio.wait([task], timeout=0)  # it runs
        await process.stack.aclose()
    assert swallowed.is_set()
    assert task.cancelled()

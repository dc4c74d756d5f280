"""`make bench`: rounds of the exchange and of its floors in turn, then of the limits and of the log; medians as a table and as JSON.

python -m bench [--only exchange|limits|log] [--rounds 5] [--burst 2000] [--sequential 200] [--open 1000000]
                [--entries 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from bench import floors, limits, proof
from bench.exchange import case_number, sender
from services.chassis.bus import Bus
from services.chassis.clock import SystemClock
from services.provision import provision
from services.stack.processes import Stack, free_ports
from xieban import subjects
from xieban.agency import Agency
from xieban.client import XiebanClient

CITY = "lanzhou"
IN_FLIGHT = 64
# figure: (title, unit, bar or ceiling)
ROWS = {
    "burst_rate": ("handoffs/s, 64 in flight, to the `delivered` receipt", "≥ 400"),
    "burst_complete_rate": ("handoffs/s, 64 in flight, to the `complete` receipt", ""),
    "burst_p50_ms": ("p50 ms, 64 in flight, `delivered`", ""),
    "burst_p99_ms": ("p99 ms, 64 in flight, `delivered`", ""),
    "one_p50_ms": ("p50 ms, one at a time, `delivered`", "≤ 12"),
    "one_p99_ms": ("p99 ms, one at a time, `delivered`", ""),
    "one_complete_p50_ms": ("p50 ms, one at a time, `complete`", ""),
    "bundle_ms": ("a case of one handoff exported as a bundle and verified off line, ms a verification", "≤ 50"),
    "floor_publish_64": ("floor: JetStream publishes/s, 2 KB, 64 in flight, fsync each", ""),
    "floor_publish_1": ("floor: JetStream publishes/s, one at a time", ""),
    "floor_commit": ("floor: SQLite commits/s, 2 KB, fsync each", ""),
    "floor_seal": ("floor: Ed25519 seals/s", ""),
    "floor_verify": ("floor: Ed25519 verifications/s", ""),
    "burst_of_publish_floor": ("burst rate ÷ publish floor (64 in flight)", ""),
}


async def rounds(count: int, *, burst: int, sequential: int, folder: Path) -> dict[str, list[float]]:
    """Every figure of every round."""
    figures: dict[str, list[float]] = {name: [] for name in ROWS}
    clock = SystemClock()
    home = provision(folder / "city", now=clock.now(), city_token=CITY, ports=free_ports())
    stack = Stack(home, tell=lambda _: None)
    async with AsyncExitStack() as resources:
        await resources.enter_async_context(stack.running())
        client = await resources.enter_async_context(XiebanClient.open(home.client("police")))
        system = await resources.enter_async_context(sender(client))
        bus = await resources.enter_async_context(
            await Bus.connect(
                f"nats://127.0.0.1:{home.ports.nats}",
                name="bench",
                inbox_prefix=subjects.inbox(Agency.POLICE),
                nkey_seed=home.node(Agency.POLICE) / "nats.seed",
                streams=[subjects.stream(CITY)],
                clock=clock,
            )
        )
        database = await resources.enter_async_context(await floors.scratch_database(folder))
        committee, trust = home.client("committee"), (home.folder / "trust.json").read_bytes()
        await system.burst(burst // 10, in_flight=IN_FLIGHT)  # warm: connections, caches, consumers
        for number in range(count):
            one = await system.burst(sequential, in_flight=1)
            many = await system.burst(burst, in_flight=IN_FLIGHT)
            measured = {
                "burst_rate": burst / many.all_delivered,
                "burst_complete_rate": burst / many.all_complete,
                "burst_p50_ms": 1000 * statistics.median(many.delivered),
                "burst_p99_ms": 1000 * _p99(many.delivered),
                "one_p50_ms": 1000 * statistics.median(one.delivered),
                "one_p99_ms": 1000 * _p99(one.delivered),
                "one_complete_p50_ms": 1000 * statistics.median(one.complete),
                "bundle_ms": 1000 * (await proof.offline(committee, case_number(1), trust=trust)).seconds,
                "floor_publish_64": await floors.publish(bus, count=2000, in_flight=IN_FLIGHT, city=CITY),
                "floor_publish_1": await floors.publish(bus, count=300, in_flight=1, city=CITY),
                "floor_commit": await floors.commit(database, count=500),
            }
            measured["floor_seal"], measured["floor_verify"] = floors.seal_and_verify(count=2000)
            measured["burst_of_publish_floor"] = measured["burst_rate"] / measured["floor_publish_64"]
            for name, value in measured.items():
                figures[name].append(value)
            print(f"round {number + 1}/{count}: {measured['burst_rate']:.0f} handoffs/s, one at a time p50 "
                  f"{measured['one_p50_ms']:.1f} ms", file=sys.stderr, flush=True)  # fmt: skip
        if stack.restarts:
            raise RuntimeError(f"a process fell over during the run: {stack.restarts}")
    return figures


def table(figures: dict[str, list[float]]) -> str:
    """Median [min … max] of each figure, as a Markdown table."""
    lines = ["| figure | median | min … max | bar |", "| --- | ---: | ---: | --- |"]
    for name, (title, bar) in (ROWS | limits.ROWS | proof.ROWS).items():
        if name not in figures:
            continue
        values = figures[name]
        shown = f"| {title} | {_number(statistics.median(values))} | {_number(min(values))} … {_number(max(values))} | {bar} |"
        lines.append(shown)
    return "\n".join(lines)


def _aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=("exchange", "limits", "log"), default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--burst", type=int, default=2000)
    parser.add_argument("--sequential", type=int, default=200)
    parser.add_argument("--open", type=int, default=1_000_000, help="open limits that the gateway watches")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the log that proofs are made in")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"))
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="xieban-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        figures: dict[str, list[float]] = {}
        if chosen.only in ("", "exchange"):
            figures |= runner.run(
                rounds(chosen.rounds, burst=chosen.burst, sequential=chosen.sequential, folder=Path(folder))
            )
        if chosen.only in ("", "limits"):
            figures |= runner.run(
                limits.rounds(chosen.rounds, folder=Path(folder), open_limits=chosen.open, tell=_aside)
            )
        if chosen.only in ("", "log"):
            figures |= runner.run(proof.rounds(chosen.rounds, folder=Path(folder), entries=chosen.entries, tell=_aside))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(
        json.dumps({"machine": machine, "rounds": chosen.rounds, "figures": figures}, indent=2) + "\n"
    )
    print(f"medians of {chosen.rounds} rounds on {machine['cores']} cores, {machine['system']}\n")
    print(table(figures))
    print(f"\nall rounds: {chosen.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the statutory clock costs: dates a second, many limits due at one instant, a gateway that watches a million of them.

Everything goes through the gateway's own code: its schema, its watch with the desk that tells the offices, SQLite with an fsync a commit.
`python -m bench.limits FILE` is a gateway's restart without its network: it opens the file, recalculates if it must, makes the first round
and says so on stdout; the parent holds the watch.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.database import Database, Transaction
from services.gateway.app import MIGRATIONS
from services.gateway.clocks import DEFAULT, SHANGHAI, Limit
from services.gateway.follow import Follower
from services.gateway.ladder import DAY
from services.gateway.outbox import nothing_to_send
from services.gateway.recalculate import recalculate
from services.gateway.reckoning import Reckoner
from services.gateway.store import Store
from services.gateway.supervision.desk import Desk
from services.gateway.supervision.steps import Rules
from services.gateway.supervision.writing import Author
from services.gateway.watch import Watch
from xieban.marshal import micros
from xieban.seal import SealKey
from xieban.supervision import Terms
from xieban.timelimits import RULES, Calendar, Extension, Facts, Office, compute
from xieban.timelimits.terms import Policy

CITY, DIVISION = "lanzhou", "620102"
FILL = 10_000  # limits a transaction while a database is being filled
LENGTH = 30 * DAY
YELLOW = LENGTH // 5  # how long before the end the first rung of a month's limit is due
RULE = "prosecution_review"
CALENDAR = Calendar.published()


SURGE = 10_000
# figure: (title, bar)
ROWS = {
    "dates_plain": ("due dates/s with their derivation, one core, every rule in turn", "≥ 20,000"),
    "dates_extended": (
        "the same for investigation custody extended three times: four dates and their grounds each",
        "",
    ),
    "surge_p99_s": ("p99 s from due to recorded and logged, 10,000 limits due at one instant", "≤ 2"),
    "told_p99_s": ("p99 s from due to a sealed notice for its office, committed to be sent, the same limits", ""),
    "restart_tenth_s": ("restart to the first round, s, a tenth of the open limits", ""),
    "restart_s": ("restart to the first round, s, all open limits", "≤ 5"),
    "memory_tenth_mb": ("memory then, MB, a tenth of the open limits", ""),
    "memory_mb": ("memory then, MB, all open limits", ""),
    "tick_tenth_ms": ("a round with one limit due, ms, a tenth of the open limits", ""),
    "tick_ms": ("a round with one limit due, ms, all open limits", ""),
    "idle_tenth_ms": ("a round with none due, ms, a tenth of the open limits", ""),
    "idle_ms": ("a round with none due, ms, all open limits", ""),
}


async def rounds(count: int, *, folder: Path, open_limits: int, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Every figure of every round; the city of `open_limits` and that of a tenth are filled once."""
    figures: dict[str, list[float]] = {name: [] for name in ROWS}
    for number in range(count):
        plain, extended = dates(count=20_000)
        many = await surge(folder, count=SURGE)
        measured = {
            "dates_plain": plain, "dates_extended": extended,
            "surge_p99_s": _p99(many.recorded), "told_p99_s": _p99(many.told),
        }  # fmt: skip
        for name, value in measured.items():
            figures[name].append(value)
        tell(f"limits {number + 1}/{count}: {plain:,.0f} dates/s, surge p99 {measured['surge_p99_s']:.2f} s")
    for size, tenth in ((open_limits // 10, "_tenth"), (open_limits, "")):
        file = await city(folder, count=size)
        tell(f"{size:,} open limits")
        for _ in range(count):
            again = await restart(file, due=3)
            one, none = await ticks(file, count=5)
            figures[f"restart{tenth}_s"].append(again.seconds)
            figures[f"memory{tenth}_mb"].append(again.memory)
            figures[f"tick{tenth}_ms"].append(1000 * one)
            figures[f"idle{tenth}_ms"].append(1000 * none)
    return figures


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


# --- dates


def dates(*, count: int) -> tuple[float, float]:
    """Due dates with their derivation a second, on one core: every rule in turn, and investigation custody extended three times."""
    facts = [
        Facts(start=datetime(2026, 1, 1, 9, tzinfo=SHANGHAI) + timedelta(days=day), custody=day % 2 == 0)
        for day in range(365)
    ]
    names = [name for name, row in RULES.items() if row.policy is not Policy.SENTENCE]
    plain = [(names[number % len(names)], facts[number % len(facts)]) for number in range(count)]
    chain = (
        Extension(kind="add", by=Office.UPPER_PROCURATORATE, months=1),
        Extension(kind="add", by=Office.PROVINCIAL_PROCURATORATE, months=2),
        Extension(kind="add", by=Office.PROVINCIAL_PROCURATORATE, months=2),
    )
    extended = [("inv_custody", replace(one, extensions=chain)) for _, one in plain]
    return _rate(plain), _rate(extended)


def _rate(asked: Sequence[tuple[str, Facts]]) -> float:
    begun = _core_seconds()
    found = [compute(name, facts, calendar=CALENDAR) for name, facts in asked]
    passed = _core_seconds() - begun
    assert len(found) == len(asked)
    assert all(due.steps for due in found)
    return len(found) / passed


def _core_seconds() -> float:
    """What this process has used of its core: what other processes take of the machine does not count against the arithmetic."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# --- many at one instant


@dataclass(frozen=True, slots=True)
class Surge:
    """Seconds from the moment a warning was due to the commit that holds it, and to the one that holds its notice; one for each limit."""

    recorded: tuple[float, ...]
    told: tuple[float, ...]


async def surge(folder: Path, *, count: int) -> Surge:
    """`count` limits, each of a case of its own, whose first rung is due at one and the same instant a little ahead of now."""
    clock = SystemClock()
    async with await Database.open(folder / f"surge-{clock.ticks()}.db", migrations=MIGRATIONS) as database:
        due = micros(clock.now()) + 3_000_000 + count * 100
        await _fill(database, count, first_due=due, apart=0)
        assert micros(clock.now()) < due, "filling took longer than was allowed for"
        commits: list[int] = []
        watch = _watch(database, clock, committed=lambda: commits.append(micros(clock.now())))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(watch.run())
            while await database.read(_notices) < count:
                await clock.sleep(0.05)
            running.cancel()
        # Each rung exactly once: as many rows as limits, as many limits as entries of the log and as notices to the offices.
        for sql in (
            "SELECT COUNT(DISTINCT case_id) AS n FROM limit_rung WHERE rung = 'yellow'",
            "SELECT COUNT(*) AS n FROM limit_rung",
            "SELECT COUNT(DISTINCT case_id) AS n FROM log_entry WHERE kind = 'CLOCK_WARN'",
            "SELECT COUNT(*) AS n FROM log_entry WHERE kind = 'CLOCK_WARN'",
            "SELECT COUNT(DISTINCT case_id) AS n FROM notice",
            "SELECT COUNT(*) AS n FROM notice",
        ):
            assert (await database.read(lambda tx, sql=sql: tx.all(sql)))[0]["n"] == count, sql  # type: ignore[misc]
        recorded = await database.read(partial(_times, table="limit_rung", at="recorded_at"))
        told = await database.read(partial(_times, table="notice", at="sent_at"))
    late = [
        [(commits[bisect.bisect_right(commits, begun)] - due) / 1_000_000 for begun in row] for row in (recorded, told)
    ]
    assert len(late[0]) == len(late[1]) == count
    assert min(late[0]) >= 0
    return Surge(tuple(late[0]), tuple(late[1]))


def _times(transaction: Transaction, *, table: str, at: str) -> list[int]:
    """When the transaction began that wrote each row; the next commit of the watch is its own."""
    return [row["begun"] for row in transaction.all(f"SELECT {at} AS begun FROM {table} ORDER BY {at}")]


def _notices(transaction: Transaction) -> int:
    return int(transaction.all("SELECT COUNT(*) AS n FROM notice")[0]["n"])


# --- many that are not due


async def city(folder: Path, *, count: int) -> Path:
    """A gateway's database with `count` open limits, none of them due within a month."""
    file = folder / f"open-{count}.db"
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        await _fill(database, count, first_due=micros(SystemClock().now()) + 40 * DAY, apart=1_000_000)
    return file


@dataclass(frozen=True, slots=True)
class Restart:
    """Seconds from the start of the process to its first round done; its resident memory then, in MB."""

    seconds: float
    memory: float


async def restart(file: Path, *, due: int) -> Restart:
    """A process that opens `file`, of whose limits `due` have become due, and makes its first round."""
    clock = SystemClock()
    await _become_due(file, due)
    begun = clock.ticks()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.limits", str(file), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    passed = clock.ticks() - begun
    assert await process.wait() == 0
    told = json.loads(line)
    assert told["recorded"] == due, told
    return Restart(passed, told["memory_mb"])


async def ticks(file: Path, *, count: int) -> tuple[float, float]:
    """Seconds of a round with one limit due and of one with none; medians of `count`."""
    clock = SystemClock()
    one: list[float] = []
    none: list[float] = []
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        watch = _watch(database, clock)
        await watch.round()
        for _ in range(count):
            await database.write(lambda tx: _bring_forward(tx, 1))
            for expected, found in ((1, one), (0, none)):
                begun = clock.ticks()
                recorded = await watch.round()
                found.append(clock.ticks() - begun)
                assert recorded == expected, recorded
    return statistics.median(one), statistics.median(none)


async def _become_due(file: Path, count: int) -> None:
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        await database.write(lambda tx: _bring_forward(tx, count))


def _bring_forward(transaction: Transaction, count: int) -> None:
    """Move the start and the end of limits that have not warned yet, so that their first rung is due now."""
    ends = micros(SystemClock().now()) - 1 + YELLOW
    transaction.run(
        "UPDATE limit_clock SET started_at = ?, overdue_from = ?, safe_from = ?, next_at = ? WHERE case_id IN (SELECT case_id "
        "FROM limit_clock WHERE urgency = 2 AND state = 'running' ORDER BY case_id DESC LIMIT ?)",
        (ends - LENGTH, ends, ends, ends - YELLOW, count),
    )


async def _fill(database: Database, count: int, *, first_due: int, apart: int) -> None:
    for start in range(0, count, FILL):
        rows = [
            _limit(number, first_due + number * apart + YELLOW) for number in range(start, min(start + FILL, count))
        ]
        await database.write(lambda tx, rows=rows: Store(tx).limits_put(rows))  # type: ignore[misc]
    found = await database.read(lambda tx: tx.all("SELECT COUNT(*) AS n FROM limit_clock WHERE next_at IS NOT NULL"))
    assert found[0]["n"] == count, found[0]["n"]


def _limit(number: int, ends: int) -> Limit:
    """An open limit of a month that ends at `ends`; its first rung is due a fifth of it before."""
    day = datetime.fromtimestamp(ends / 1_000_000, tz=SHANGHAI).date().isoformat()
    return Limit(
        case_id=f"A{DIVISION}{number:016d}", rule=RULE, start_eid=f"{number:064x}", bearer_agency="procuratorate",
        bearer_office=DIVISION, start_event="delivered", started_at=ends - LENGTH, due=day, safe_due=day, overdue_from=ends,
        safe_from=ends, provisional=False, in_custody=False, edition="cpl-2018", calendar=CALENDAR.version,
    )  # fmt: skip


def _watch(database: Database, clock: SystemClock, *, committed: Callable[[], None] = nothing_to_send) -> Watch:
    desk = Desk(Author(city=CITY, inc=1, key=SealKey.generate(), rules=Rules(Terms(), CALENDAR)))
    return Watch(database, clock=clock, quiet_for=lambda: 3600.0, desk=desk, committed=committed)


async def _restarted(file: Path) -> dict[str, float]:
    clock = SystemClock()
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        await recalculate(database, Follower(Reckoner(CALENDAR), DEFAULT), clock=clock)
        recorded = await _watch(database, clock).round()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"recorded": recorded, "memory_mb": memory}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_restarted(Path(sys.argv[1])))), flush=True)

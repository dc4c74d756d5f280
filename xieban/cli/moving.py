"""Moving the clocks of a sandbox city while somebody looks on: settle, move, tell what fired, settle again.

How clocks move is `xieban.sandbox_client.SandboxCity`; here is what is checked before and what is told meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import typer

from xieban.agency import Agency
from xieban.cli.printing import moment
from xieban.cli.speaking import FIRED, fired, node_name
from xieban.cli.times import exact, later, spoken
from xieban.errors import Reason, XiebanError, failure
from xieban.timelimits import RULES

STEPS: Final = 20
LOG_PAGE: Final = 200


class Shown(Protocol):
    """Where a move tells of itself."""

    def line(self, text: str) -> None: ...

    def at(self, now: datetime, *, done: int) -> None: ...


async def together(city: Any) -> dict[Agency, datetime]:
    """The clock of every node: they can be moved. Errors: CLIENT_UNCONFIGURED, PEER_UNREACHABLE, SANDBOX_ONLY."""
    missing = [node_name(agency) for agency in Agency if agency not in city.nodes]
    if missing:
        detail = f"{'、'.join(missing)}的接口配置不在旁边的目录里，时钟必须全市一起移动"
        raise failure(Reason.CLIENT_UNCONFIGURED, detail=detail)
    told = await city.clocks()
    for answer in told.values():
        if isinstance(answer, XiebanError):
            raise answer
    return {agency: answer.now for agency, answer in told.items()}


async def set_to(city: Any, to: datetime, *, patience: float) -> None:
    """Every clock to `to`. Errors: FIELD_INVALID for going back, and those of `together` and `carry`."""
    clocks = await together(city)
    latest = max(clocks.values())
    if to < latest:
        ahead = "、".join(node_name(agency) for agency, now in clocks.items() if now == latest)
        detail = f"沙箱时钟只能前进，当前为 {exact(latest)}（{ahead}）"
        raise failure(Reason.FIELD_INVALID, field="时间", detail=detail)
    if to == min(clocks.values()):
        typer.echo(f"各节点已经是 {exact(to)}，没有改动")
        return
    await carry(city, clocks, to, patience=patience)


async def advance_by(city: Any, by: timedelta, *, patience: float) -> None:
    """Every clock on by `by`; when an earlier move was broken off, that one is finished instead and nothing more."""
    clocks = await together(city)
    latest = max(clocks.values())
    if min(clocks.values()) < latest:
        typer.echo(f"上一次推进没有完成，这一次只把各节点推进到 {exact(latest)}；要继续推进，请再执行一次")
        await carry(city, clocks, latest, patience=patience)
        return
    await carry(city, clocks, later(latest, by, field="时长"), patience=patience)


async def carry(city: Any, clocks: Mapping[Agency, datetime], to: datetime, *, patience: float) -> None:
    """Move, and tell. Errors: PEER_UNREACHABLE, also when the city does not settle within `patience` seconds."""
    await _settled(city, patience)
    begin = clocks[Agency.GATEWAY]
    typer.echo(f"从 {exact(begin)} 推进到 {exact(to)}（{spoken(to - begin)}）")
    with _shown(begin) as shown:
        teller = _Teller(city.oversight, shown, seen=(await city.oversight.summary()).log_entries)
        try:
            await city.move(to, steps=STEPS, tick=teller.tell)
            await _settled(city, patience)
        except (asyncio.CancelledError, XiebanError):
            typer.echo(f"没有推进完。完成这一次推进：xieban clock set {exact(to)}", err=True)
            raise
    typer.echo(f"各节点已到 {exact(to)}，收发已经办完；{teller.summary}")


class _Teller:
    """Tells what the gateway has logged of limits since it was last asked."""

    def __init__(self, oversight: Any, shown: Shown, *, seen: int) -> None:
        self._oversight = oversight
        self._shown = shown
        self._seen = seen
        self._steps = 0
        self._counts: Counter[str] = Counter()

    async def tell(self, now: datetime) -> None:
        """After one more step, at `now`."""
        while entries := await self._oversight.log(after=self._seen, size=LOG_PAGE):
            self._seen = entries[-1].index
            for entry in entries:
                if entry.kind in FIRED:
                    self._counts[entry.kind] += 1
                    self._shown.line(fired_line(entry))
        self._steps += 1
        self._shown.at(now, done=self._steps)

    @property
    def summary(self) -> str:
        counts = self._counts
        return f"预警 {counts['CLOCK_WARN']} 次，超期 {counts['OVERDUE']} 个，期满 {counts['CLOCK_LAPSED']} 个"


def fired_line(entry: Any) -> str:
    """One entry of the log as a line: when, what, which limit, which case."""
    rule, _, rung = entry.detail.partition(":")
    name = RULES[rule].name if rule in RULES else rule
    return f"  {moment(entry.recorded_at)}  {fired(entry.kind, rung)}  {name}  {entry.case_id}"


async def _settled(city: Any, patience: float) -> None:
    left = await city.settle(patience=patience)
    if left:
        owed = "，".join(
            f"{node_name(agency)}有 {backlog.unacknowledged} 份未收讫、{backlog.incomplete} 份未收齐"
            for agency, backlog in left.items()
        )
        raise failure(Reason.PEER_UNREACHABLE, peer=f"城市节点（{owed}，{patience:g} 秒没有进展）")


@contextmanager
def _shown(begin: datetime) -> Iterator[Shown]:
    """A bar on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("推进"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=Console(), transient=True) as bar:
        yield _Bar(bar, bar.add_task("", total=STEPS, now=moment(begin)))


class _Lines:
    """Plain lines, a quarter of the way each."""

    def line(self, text: str) -> None:
        typer.echo(text)

    def at(self, now: datetime, *, done: int) -> None:
        if done * 4 % STEPS == 0:
            typer.echo(f"  {done * 100 // STEPS}%  沙箱时间 {moment(now)}")


class _Bar:
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def at(self, now: datetime, *, done: int) -> None:
        self._progress.update(self._task, completed=done, now=moment(now))

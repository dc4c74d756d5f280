"""What `xieban-node` tells the person at the terminal: a bar while it works, plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

Tick = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""
TENTHS: Final = 10


def say(text: str) -> None:
    """One line."""
    print(text, flush=True)


@contextmanager
def progress() -> Iterator[Tick]:
    """On stderr, so that what is printed can be read by a program."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _plain(console: Console) -> Tick:
    shown: dict[str, int] = {}

    def tick(what: str, done: int, total: int) -> None:
        tenth = done * TENTHS // max(total, 1)
        if tenth > shown.get(what, -1):
            shown[what] = tenth
            console.out(f"  {what} {tenth * 10}%", highlight=False)

    return tick

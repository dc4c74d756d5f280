"""What a replay tells the person at the terminal: a bar while it runs (plain lines where there is no terminal), words and figures after.

What must not go in: anything a program should read; that is the report file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xieban.procedure import table

Tick = Callable[[int, datetime], None]
PLAIN_STEPS: Final = 10
NAMED: Final = 20


@contextmanager
def progress(total: int) -> Iterator[Tick]:
    """A function to call with the steps done so far and the sandbox's time."""
    console = Console(stderr=False)
    if not console.is_terminal:
        yield _plain(total)
        return
    columns = (
        TextColumn("回放"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[at]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, at="")
        yield lambda done, at: bar.update(task, completed=done, at=at.strftime("沙箱时间 %Y-%m-%d"))


def _plain(total: int) -> Tick:
    shown = 0

    def tick(done: int, at: datetime) -> None:
        nonlocal shown
        tenth = done * PLAIN_STEPS // max(total, 1)
        if tenth > shown:
            shown = tenth
            print(f"  {done}/{total} 份流转，沙箱时间 {at:%Y-%m-%d}", flush=True)

    return tick


def summary(content: dict[str, Any]) -> str:
    """What happened, for a person."""
    c = content
    lines = [
        f"回放完成，用时 {c['elapsed_s']:.1f} 秒",
        f"  案件 {c['cases']} 件，流转 {c['handoffs']} 份"
        f"（送达 {c['delivered']}，案卷核验 {c['dossiers_verified']}，接收 {c['accepted']}，"
        f"退回 {c['returned']}，答复 {c['answered']}，撤回 {c['withdrawn']}）",
        f"  签名回执 {c['receipts']} 份，逐份复验通过 {c['receipts_verified']} 份，未通过 {c['unverified']} 份",
        f"  法定期限起算 {c['limits_started']} 个，超期 {c['limits_overdue']} 个；监督日志 {c['log_entries']} 条",
        f"  丢失 {c['lost']}，重复 {c['duplicates']}，拒收 {c['rejected']}，未办结 {c['unfinished'] + c['troubles']}",
    ]
    if c["restarts"]:
        lines.append("  途中重新启动：" + "、".join(f"{name} {times} 次" for name, times in c["restarts"].items()))
    stages = table().stages
    reached: dict[str, int] = {}
    for case in c["by_case"]:
        name = stages[case["final_stage"]].name if case["final_stage"] in stages else "无记录"
        reached[name] = reached.get(name, 0) + 1
    lines.append("  案件阶段：" + "，".join(f"{name} {number}" for name, number in sorted(reached.items())))
    for title, key in (("丢失", "lost_named"), ("重复", "duplicates_named"), ("未通过", "unverified_named")):
        lines += [f"  ! {title} {item}" for item in c[key][:NAMED]]
    lines += [
        f"  ! 中断 {item['id']} 第 {item['step'] + 1} 步 {item['kind']}：{item['text']}"
        for item in c["troubles_named"][:NAMED]
    ]
    lines += [f"  ! 拒收 {_turned_away(item)}" for item in c["rejected_named"][:NAMED]]
    return "\n".join(lines)


def _turned_away(item: dict[str, Any]) -> str:
    where = f"第 {item['line']} 行" if item["what"] == "line" else f"流转 {item['id'][:16]}"
    return f"{where} {item['code']}：{item['detail']}"

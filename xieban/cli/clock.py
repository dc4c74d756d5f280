"""`xieban clock`: the clocks of a sandbox city, for its operator; and a dry run of what time will bring.

`show`, `set` and `advance` need a sandbox and refuse elsewhere (XB-5007). `timeline` only reads, so it works in production too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from xieban.agency import Agency
from xieban.cli.calls import AsJson, Officer, ProfileFolder, PurposeCode, as_committee, as_operator
from xieban.cli.printing import as_json, plain, table
from xieban.cli.speaking import fired, node_name
from xieban.cli.times import duration, exact, later, moment, spoken
from xieban.errors import Reason, XiebanError, failure
from xieban.lookup import purpose as purpose_of

clock_app = typer.Typer(help="沙箱时钟：查看、设定、推进；预演将到的预警和超期。", no_args_is_help=True)

Patience = Annotated[int, typer.Option("--patience", metavar="秒", min=0, help="等待收发办完，多少秒没有进展即停止")]
DEFAULT_PATIENCE = 60
DEFAULT_LOOK = timedelta(days=30)


@clock_app.command("show")
def show_command(profile: ProfileFolder = None, json: AsJson = False) -> None:
    """各节点的沙箱时间，是否冻结，与真实时间相差多少。"""
    told = as_operator(profile, lambda city: city.clocks())
    shown = {agency: answer for agency, answer in told.items() if not isinstance(answer, XiebanError)}
    latest = max(reading.now for reading in shown.values())
    agree = len(shown) == len(told) and all(reading.now == latest for reading in shown.values())
    if json:
        as_json({"clock": {"agree": agree, "nodes": [_node_json(agency, told[agency]) for agency in told]}})
        return
    table(
        ("节点", "沙箱时间", "状态", "比真实时间", "比最晚的节点"),
        [_node_row(agency, answer, latest) for agency, answer in told.items()],
    )
    missing = [node_name(agency) for agency in Agency if agency not in told]
    if missing:
        typer.echo(f"没有接口配置的节点：{'、'.join(missing)}")
    if agree:
        typer.echo("各节点时间一致")
    elif any(reading.now != latest for reading in shown.values()):
        typer.echo(f"各节点时间不一致；对齐：xieban clock set {exact(latest)}")


@clock_app.command("set")
def set_command(
    time: Annotated[str, typer.Argument(metavar="时间", help="带时区，例如 2026-03-02T10:00:00+08:00")],
    profile: ProfileFolder = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> None:
    """把全市的沙箱时钟移到某一时刻并停在那里。只能前进。"""
    from xieban.cli.moving import set_to

    to = moment(time, field="时间")
    as_operator(profile, lambda city: set_to(city, to, patience=patience))


@clock_app.command("advance")
def advance_command(
    length: Annotated[str, typer.Argument(metavar="时长", help="例如 3d（天）、36h（小时）、10m（分钟）、1d12h")],
    profile: ProfileFolder = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> None:
    """把全市的沙箱时钟推进一段时间，列出其间的预警和超期。中断后可以再次执行。"""
    from xieban.cli.moving import advance_by

    by = duration(length, field="时长")
    as_operator(profile, lambda city: advance_by(city, by, patience=patience))


@clock_app.command("timeline")
def timeline_command(
    until: Annotated[str, typer.Option("--until", metavar="时间", help="到哪一时刻为止，带时区")] = "",
    length: Annotated[str, typer.Option("--for", metavar="时长", help="多长时间以内，例如 30d；不写即 30d")] = "",
    case: Annotated[str, typer.Option("--case", metavar="编号", help="只看这件案件；须写明 --purpose")] = "",
    purpose: PurposeCode = "",
    officer: Officer = "",
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """预演：如果什么也不办，到时会有哪些预警和超期。期限不作任何记录，正式环境也可以用；只看一件案件的，查看本身记入监督日志。"""
    if until and length:
        raise failure(Reason.FIELD_INVALID, field="--until", detail="不能与 --for 同时给出")
    end = moment(until, field="--until") if until else None
    by = duration(length, field="--for") if length else DEFAULT_LOOK
    why = purpose_of(purpose) if case else None

    async def talk(client: Any) -> Any:
        from xieban.client import everything

        now = (await client.summary()).now
        to = end or later(now, by, field="--for")
        return (
            now,
            to,
            await everything(lambda page: client.forecast(page, until=to, case_id=case, purpose=why, officer=officer)),
        )

    now, to, entries = as_committee(profile, talk)
    if json:
        as_json({"forecast": {"now": now, "until": to, "entries": entries}})
        return
    begin, last = (at.isoformat(timespec="seconds") for at in (now, to))
    typer.echo(f"预演 {begin} 至 {last}，不作任何记录；其间的办理会改变结果")
    if not entries:
        typer.echo("没有预警，也没有超期")
        return
    table(
        ("时间", "事项", "期限", "届满", "严重程度", "责任单位", "人员", "案件编号", "期限编号"),
        [_entry_row(entry) for entry in entries],
    )
    typer.echo(f"共 {len(entries)} 项")


def _entry_row(entry: Any) -> tuple[object, ...]:
    limit = entry.limit
    return (
        entry.due_at,
        fired(entry.kind, entry.rung),
        limit.name,
        limit.due + ("（暂定）" if limit.provisional else ""),
        "1 超期羁押" if limit.severity == 1 else limit.severity,
        limit.bearer.name if limit.bearer else "—",
        limit.person or "—",
        limit.case_id,
        limit.rule,
    )


def _node_row(agency: Agency, answer: Any, latest: datetime) -> tuple[object, ...]:
    if isinstance(answer, XiebanError):
        return node_name(agency), "—", _silent(answer), "—", "—"
    behind = latest - answer.now
    return (
        node_name(agency),
        exact(answer.now),
        "冻结" if answer.frozen else "运行",
        f"{'晚' if answer.offset > timedelta() else '早'} {spoken(answer.offset)}",
        f"落后 {spoken(behind)}" if behind else "一致",
    )


def _node_json(agency: Agency, answer: Any) -> Mapping[str, object]:
    if isinstance(answer, XiebanError):
        return {"node": agency.value, "error": answer.reason.number}
    offset = answer.offset.total_seconds()
    return {"node": agency.value, **plain(answer), "offset_seconds": offset}


def _silent(error: XiebanError) -> str:
    return "正式环境，系统时钟" if error.reason is Reason.SANDBOX_ONLY else "没有应答"

"""`xieban limits list`: the limits that run in the city, as the gateway reckons them. For the committee's profile."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xieban.cli.calls import AsJson, Limit, Officer, ProfileFolder, PurposeCode, as_committee, first
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json, table
from xieban.cli.speaking import LIMITS, rung_colour
from xieban.lookup import purpose as purpose_of


def list_command(
    state: Annotated[str, typer.Option("--state", metavar="状态", help="running、overdue、met、late 或 lapsed")] = "",
    case: Annotated[str, typer.Option("--case", metavar="编号", help="只列这件案件；须写明 --purpose")] = "",
    purpose: PurposeCode = "",
    officer: Officer = "",
    profile: ProfileFolder = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """列出全市的法定期限，先到期的在前（需要监督方的接口配置）。加 --case --json 可见期限台账和推算过程。"""
    if state:
        one_of(LIMITS, state, option="--state")
    why = purpose_of(purpose) if case else None

    async def talk(client: Any) -> Any:
        if case:
            rows = (await client.timeline(case, purpose=why, officer=officer)).limits
            return tuple(row for row in rows if state in ("", row.state))[:limit]
        return await first(limit, lambda page: client.limits(page, state=state))

    rows = as_committee(profile, talk)
    if json:
        as_json({"limits": rows})
        return
    table(
        ("期限", "状态", "预警", "届满", "责任单位", "起算", "案件编号", "依据"),
        [
            (
                row.name,
                "停止计算" if row.stopped else LIMITS.get(row.state, row.state),
                _warning(row) if row.state == "running" else "",
                row.due + ("（暂定）" if row.provisional else ""),
                row.bearer.name if row.bearer else "—",
                row.started_at.date(),
                row.case_id,
                row.article,
            )
            for row in rows
        ],
    )


def _warning(row: Any) -> str:
    """红 or 黄 by the last rung fired."""
    colours = {rung_colour(rung) for rung in row.warned}
    return "▲ 红" if "red" in colours else "◆ 黄" if colours else ""


def register(app: typer.Typer) -> None:
    """Add the command to the `limits` group, once."""
    if all(command.name != "list" for command in app.registered_commands):
        app.command("list")(list_command)

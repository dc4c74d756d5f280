"""`xieban supervise`: the committee's officers look at supervisions 督办, issue drafts and review explanations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xieban.cli.calls import AsJson, Limit, ProfileFolder, as_supervisor, first
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json, fields, moment, table
from xieban.notice import SCOPE
from xieban.supervision import (
    ACT_NAMES,
    CAUSE_NAMES,
    DROPPED_NAMES,
    LIMIT_NAMES,
    MEASURE_NAMES,
    STATE_NAMES,
    Act,
    Dropped,
    State,
    document_number,
    supervision_id,
)

supervise_app = typer.Typer(help="督办：查看、发出、审核（政法委）。", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="督办", help="督办编号，如 2026-3 或者 督办〔2026〕3号")]
By = Annotated[str, typer.Option("--by", metavar="工号", help="经办人的工号，不写姓名")]
Remark = Annotated[str, typer.Option("--remark", metavar="要求", help="需要说明或者补充的内容，只谈程序、期限和材料")]
Days = Annotated[int, typer.Option("--days", min=0, max=30, metavar="天数", help="回复期限（工作日），0 为通常期限")]


@supervise_app.command("list")
def list_command(
    state: Annotated[str, typer.Option("--state", metavar="状态", help="只列这个状态，例如 drafted、explained")] = "",
    case: Annotated[str, typer.Option("--case", metavar="编号", help="只列这件案件")] = "",
    profile: ProfileFolder = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """列出督办：未办结的在前，后果最重的在前。"""
    wanted = one_of(State, state, option="--state") if state else None

    async def talk(client: Any) -> Any:
        return await first(limit, lambda page: client.list(page, state=wanted, case_id=case))

    rows = as_supervisor(profile, talk)
    if json:
        as_json({"supervisions": rows})
        return
    table(
        ("督办", "状态", "期限", "超期", "被督办单位", "回复期限", "现由", "案件编号"),
        [
            (
                row.supervision_id,
                STATE_NAMES[row.state],
                row.name,
                "没有超期" if row.lifted_at else f"{row.days_over} 天",
                row.office.name,
                f"{row.reply_by}{' 逾期' if row.reply_over else ''}",
                row.whom,
                row.case_id,
            )
            for row in rows
        ],
    )
    typer.echo(f"\n{SCOPE}")


@supervise_app.command("show")
def show_command(which: Which, profile: ProfileFolder = None, json: AsJson = False) -> None:
    """一件督办：期限的推算过程和办理的每一步。"""
    _shown(as_supervisor(profile, lambda client: client.get(supervision_id(which))), json=json)


@supervise_app.command("issue")
def issue_command(
    which: Which, by: By, remark: Remark = "", days: Days = 0, profile: ProfileFolder = None, json: AsJson = False
) -> None:
    """发出一件拟稿。"""

    async def talk(client: Any) -> Any:
        return await client.issue(supervision_id(which), by=by, remark=remark, days=days)

    _shown(as_supervisor(profile, talk), json=json)


@supervise_app.command("discard")
def discard_command(
    which: Which,
    by: By,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="代码", help="；".join(f"{code} {name}" for code, name in DROPPED_NAMES.items())
        ),
    ],
    remark: Remark = "",
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """不予发出一件拟稿，写明理由。"""
    why = one_of(Dropped, reason, option="--reason")

    async def talk(client: Any) -> Any:
        return await client.discard(supervision_id(which), by=by, reason=why, remark=remark)

    _shown(as_supervisor(profile, talk), json=json)


@supervise_app.command("close")
def close_command(
    which: Which, by: By, remark: Remark = "", profile: ProfileFolder = None, json: AsJson = False
) -> None:
    """认可说明，办结。"""
    _review(which, Act.CLOSE, by=by, remark=remark, days=0, profile=profile, json=json)


@supervise_app.command("return")
def return_command(
    which: Which,
    by: By,
    remark: Annotated[str, typer.Option("--remark", metavar="要求", help="需要补充的内容")],
    days: Days = 0,
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """退回补充：说明需要补充的内容，重新计算回复期限。"""
    _review(which, Act.RETURN, by=by, remark=remark, days=days, profile=profile, json=json)


@supervise_app.command("escalate")
def escalate_command(
    which: Which, by: By, remark: Remark = "", days: Days = 0, profile: ProfileFolder = None, json: AsJson = False
) -> None:
    """升级：由上一级答复，重新计算回复期限。"""
    _review(which, Act.ESCALATE, by=by, remark=remark, days=days, profile=profile, json=json)


def _review(which: str, verdict: Act, *, by: str, remark: str, days: int, profile: Any, json: bool) -> None:
    async def talk(client: Any) -> Any:
        return await client.review(supervision_id(which), verdict, by=by, remark=remark, days=days)

    _shown(as_supervisor(profile, talk), json=json)


def _shown(found: Any, *, json: bool) -> None:
    if json:
        as_json({"supervision": found})
        return
    fields(
        [
            ("督办", document_number(found.supervision_id)),
            ("状态", STATE_NAMES[found.state]),
            ("案件编号", found.case_id),
            ("被督办单位", found.office.name),
            ("期限", f"{found.name}（{found.article}）"),
            ("届满", found.due + (f"，审慎计算 {found.safe_due}" if found.safe_due != found.due else "")),
            ("期限现状", _limit_now(found)),
            ("现由", f"{found.whom}（第 {found.level} 级）"),
            ("回复期限", f"{found.reply_by or '—'}{'（逾期未回复）' if found.reply_over else ''}"),
        ]
    )
    for line in found.explanation:
        typer.echo(f"推算  {line}")
    for step in found.steps:
        held = "已送达" if step.held else ""
        parts = (moment(step.at), ACT_NAMES[step.act], step.by or "系统", held, *_said(step))
        typer.echo("经过  " + "  ".join(part for part in parts if part))
    typer.echo(f"\n{found.scope}")


def _limit_now(found: Any) -> str:
    if found.lifted_at:
        return f"{moment(found.lifted_at)} 查明没有超期"
    return f"超期 {found.days_over} 天，{LIMIT_NAMES[found.limit_state]}"


def _said(step: Any) -> list[str]:
    told = [DROPPED_NAMES[Dropped(step.reason)]] if step.reason else []
    if step.reply is not None:
        measures = "、".join(MEASURE_NAMES[one] for one in step.reply.measures)
        told.append(f"{CAUSE_NAMES[step.reply.cause]}；{measures}；{step.reply.expected} 前完成；{step.reply.text}")
    return [*told, *([step.remark] if step.remark else [])]

"""`xieban notice`: what an agency was told of its limits; signing for a supervision 督办 and explaining."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xieban.cli.calls import AsJson, Limit, ProfileFolder, as_notified, first
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json, fields, moment, table
from xieban.cli.speaking import fired
from xieban.notice import MAX_TEXT, OCCASION_NAMES, SCOPE
from xieban.supervision import (
    ACT_NAMES,
    CAUSE_NAMES,
    MEASURE_NAMES,
    STATE_NAMES,
    Cause,
    Measure,
    document_number,
    supervision_id,
)

notices_app = typer.Typer(help="期限通知和督办：查看、签收、说明（办案机关）。", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="编号", help="督办编号（如 2026-3），或通知编号（64 位）")]
Supervision = Annotated[str, typer.Argument(metavar="督办", help="督办编号，如 2026-3 或者 督办〔2026〕3号")]
By = Annotated[str, typer.Option("--by", metavar="工号", help="经办人的工号或者警号，不写姓名")]


def _listed(names: dict[Any, str]) -> str:
    return "；".join(f"{code} {name}" for code, name in names.items())


@notices_app.command("list")
def list_command(
    case: Annotated[str, typer.Option("--case", metavar="编号", help="只列这件案件")] = "",
    supervisions: Annotated[bool, typer.Option("--supervisions", help="只列督办")] = False,
    profile: ProfileFolder = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """列出收到的期限预警、超期通知和督办，最新的在前。"""

    async def talk(client: Any) -> Any:
        return await first(limit, lambda page: client.list(page, case_id=case, supervisions_only=supervisions))

    rows = as_notified(profile, talk)
    if json:
        as_json({"notices": rows})
        return
    table(
        ("收到", "事项", "督办", "期限", "届满", "回复期限", "责任单位", "案件编号"),
        [
            (
                row.received_at,
                fired("CLOCK_WARN", row.rung) if row.rung else OCCASION_NAMES[row.occasion],
                row.demand.supervision_id if row.demand else "",
                row.name,
                row.due,
                row.demand.reply_by if row.demand else "",
                row.office.name,
                row.case_id,
            )
            for row in rows
        ],
    )
    typer.echo(f"\n{SCOPE}")


@notices_app.command("show")
def show_command(which: Which, profile: ProfileFolder = None, json: AsJson = False) -> None:
    """一份通知；是督办的，连同全部往来。"""
    notice, matter = as_notified(profile, lambda client: client.get(which.strip()))
    if json:
        as_json({"notice": notice, "matter": matter})
        return
    fields(
        [
            ("通知", notice.eid),
            ("事项", OCCASION_NAMES[notice.occasion]),
            ("案件编号", notice.case_id),
            ("责任单位", notice.office.name),
            ("期限", f"{notice.name}（{notice.article}）"),
            ("起算", notice.started_at),
            ("届满", notice.due + (f"，审慎计算 {notice.safe_due}" if notice.safe_due != notice.due else "")),
            ("发出", notice.sent_at),
            ("收到", notice.received_at),
        ]
    )
    if matter is not None:
        _show_matter(matter)
    typer.echo(f"\n{notice.scope}")


@notices_app.command("sign")
def sign_command(which: Supervision, by: By, profile: ProfileFolder = None, json: AsJson = False) -> None:
    """签收一件督办。重复签收不产生新的记录。"""
    _said(as_notified(profile, lambda client: client.acknowledge(supervision_id(which), by=by)), json=json)


@notices_app.command("explain")
def explain_command(
    which: Supervision,
    by: By,
    cause: Annotated[str, typer.Option("--cause", metavar="代码", help=f"超期原因：{_listed(CAUSE_NAMES)}")],
    measure: Annotated[
        list[str], typer.Option("--measure", metavar="代码", help=f"整改措施，可以多次给出：{_listed(MEASURE_NAMES)}")
    ],
    expected: Annotated[str, typer.Option("--expected", metavar="日期", help="预计完成日期，如 2026-03-12")],
    text: Annotated[
        str, typer.Option("--text", metavar="说明", help=f"简要说明，不超过 {MAX_TEXT} 字；不写案情、证据和姓名")
    ],
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """说明超期原因、整改措施和预计完成日期。"""
    chosen = one_of(Cause, cause, option="--cause")
    measures = [one_of(Measure, one, option="--measure") for one in measure]

    async def talk(client: Any) -> Any:
        return await client.explain(
            supervision_id(which), by=by, cause=chosen, measures=measures, expected=expected, text=text
        )

    _said(as_notified(profile, talk), json=json)


def _said(matter: Any, *, json: bool) -> None:
    if json:
        as_json({"matter": matter})
        return
    _show_matter(matter)
    typer.echo(f"\n{SCOPE}")


def _show_matter(matter: Any) -> None:
    fields(
        [
            ("督办", document_number(matter.supervision_id)),
            ("状态", STATE_NAMES[matter.state] + ("（已注明没有超期）" if matter.lifted else "")),
            ("答复人", f"{matter.whom}（第 {matter.level} 级）"),
            ("回复期限", matter.reply_by or "—"),
        ]
    )
    # Of one instant (a frozen clock makes many), a reply stands after the notice it answers.
    place = {notice.eid: number for number, notice in enumerate(matter.notices)}
    told = [
        (n.sent_at, place[n.eid], 0, OCCASION_NAMES[n.occasion], n.demand.by or "系统", n.demand.remark)
        for n in matter.notices
    ]
    told += [
        (r.sent_at, place.get(r.of, 0), number, ACT_NAMES[r.act], r.by, _explained(r))
        for number, r in enumerate(matter.replies, start=1)
    ]
    for at, _, _, what, by, more in sorted(told, key=lambda row: row[:3]):
        typer.echo(f"经过  {moment(at)}  {what}  {by}{f'  {more}' if more else ''}")


def _explained(reply: Any) -> str:
    if reply.cause is None:
        return ""
    measures = "、".join(MEASURE_NAMES[one] for one in reply.measures)
    return f"{CAUSE_NAMES[reply.cause]}；{measures}；{reply.expected} 前完成；{reply.text}"

"""`xieban case`: the cases of one's own agency."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xieban.cli.calls import AsJson, Limit, ProfileFolder, as_agency, as_party, first
from xieban.cli.printing import as_json, fields, plain, table
from xieban.cli.speaking import handoff_rows, stage_name
from xieban.lookup import PURPOSE_NAMES, caller_name

cases_app = typer.Typer(help="本单位的案件。", no_args_is_help=True)


@cases_app.command("list")
def list_command(profile: ProfileFolder = None, limit: Limit = 50, json: AsJson = False) -> None:
    """列出案件，最新的在前。"""

    async def talk(client: Any) -> Any:
        return await first(limit, client.case_list)

    rows = as_agency(profile, talk)
    if json:
        as_json({"cases": rows})
        return
    table(
        ("案件编号", "阶段", "退补", "流转", "更新时间"),
        [(row.case_id, stage_name(row.stage), row.returns, row.handoffs, row.updated_at) for row in rows],
    )


@cases_app.command("show")
def show_command(
    case_id: Annotated[str, typer.Argument(metavar="案件编号", help="案件编号")],
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """一件案件和它的全部流转。"""

    async def talk(client: Any) -> Any:
        case = await client.case_get(case_id)
        return case, await first(100_000, lambda page: client.list(page, case_id=case_id))

    case, handoffs = as_agency(profile, talk)
    if json:
        as_json({"case": plain(case), "handoffs": handoffs})
        return
    fields(
        [
            ("案件编号", case.case_id),
            ("阶段", stage_name(case.stage)),
            ("退回补充侦查", f"{case.returns} 次"),
            ("公安文号", case.numbers.police),
            ("检察文号", case.numbers.procuratorate),
            ("法院案号", case.numbers.court),
            ("登记时间", case.opened_at),
        ]
    )
    typer.echo()
    handoff_rows(tuple(reversed(handoffs)))


@cases_app.command("lookups")
def lookups_command(
    case_id: Annotated[str, typer.Argument(metavar="案件编号", help="案件编号")],
    profile: ProfileFolder = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """监督方何时、为何查看过这件案件，最近的在前（本单位须是该案的办理单位）。"""

    async def talk(client: Any) -> Any:
        return await first(limit, lambda page: client.lookups(case_id, page))

    rows = as_party(profile, talk)
    if json:
        as_json({"lookups": rows})
        return
    table(
        ("时间", "事由", "查看方", "工号", "日志序号"),
        [
            (row.looked_at, PURPOSE_NAMES[row.purpose], caller_name(row.caller), row.officer or "—", row.index)
            for row in rows
        ],
    )

"""`xieban handoff`: send, receive and answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xieban.cli.approvals import ApprovedFile, approve_command, with_approvals
from xieban.cli.calls import AsJson, Limit, ProfileFolder, as_agency, first
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json, fields, moment, table
from xieban.cli.speaking import FACTS, STATES, handoff_rows, kind_name, stage_name
from xieban.errors import Reason, failure

handoffs_app = typer.Typer(help="流转：发送、接收、退回、答复、撤回。", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="流转", help="流转编号，或其前 8 位以上")]
DraftFile = Annotated[str, typer.Argument(metavar="文件", help="流转文件（JSON，- 为标准输入），格式见 docs/cli.md")]
MAX_LOOKED_AT = 20_000


@handoffs_app.command("kinds")
def kinds_command(json: AsJson = False) -> None:
    """列出全部流转环节（不需要接口配置）。"""
    from xieban.procedure import table as procedure_table

    kinds = procedure_table().kinds.values()
    if json:
        as_json(
            {
                "kinds": [
                    {
                        "id": kind.id, "name": kind.name, "document": kind.document, "from": kind.senders,
                        "to": kind.receivers, "outcomes": kind.outcomes, "acts": kind.acts, "stages": kind.stages,
                        "answers": kind.answers, "articles": kind.articles, "approval": kind.approval,
                    }
                    for kind in kinds
                ]
            }
        )  # fmt: skip
        return
    table(
        ("标识", "名称", "结果", "依据", "审批依据"),
        [(kind.id, kind.name, " ".join(kind.outcomes), kind.article, kind.approval or "—") for kind in kinds],
    )


handoffs_app.command("approve")(approve_command)


@handoffs_app.command("send")
def send_command(
    file: DraftFile, approvals: ApprovedFile = None, profile: ProfileFolder = None, json: AsJson = False
) -> None:
    """发送一份流转。同一文号同一内容重复发送，得到的是同一份流转。"""
    from xieban.cli.draft import read

    draft = with_approvals(read(file), approvals)
    _show_one(as_agency(profile, lambda client: client.send(draft)), json=json)


@handoffs_app.command("answer")
def answer_command(
    which: Which,
    file: DraftFile,
    approvals: ApprovedFile = None,
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """以另一份流转答复收到的流转。"""
    from xieban.cli.draft import read

    draft = read(file)

    async def talk(client: Any) -> Any:
        eid = await _resolved(client, which)
        return await client.answer(eid, with_approvals(draft, approvals, answering=eid))

    _show_one(as_agency(profile, talk), json=json)


@handoffs_app.command("list")
def list_command(
    case: Annotated[str, typer.Option("--case", metavar="编号", help="只列这件案件")] = "",
    state: Annotated[str, typer.Option("--state", metavar="状态", help="只列这个状态，例如 complete")] = "",
    profile: ProfileFolder = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """列出发出和收到的流转，最新的在前。"""
    from xieban.handoff import State

    wanted = one_of(State, state, option="--state") if state else None

    async def talk(client: Any) -> Any:
        return await first(limit, lambda page: client.list(page, case_id=case, state=wanted))

    rows = as_agency(profile, talk)
    if json:
        as_json({"handoffs": rows})
    else:
        handoff_rows(rows)


@handoffs_app.command("show")
def show_command(
    which: Which,
    dossier: Annotated[bool, typer.Option("--dossier", help="连同案卷目录")] = False,
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """一份流转和它的全部回执。"""

    async def talk(client: Any) -> Any:
        return await client.get(await _resolved(client, which), with_dossier=dossier)

    _show_one(as_agency(profile, talk), json=json)


@handoffs_app.command("accept")
def accept_command(which: Which, profile: ProfileFolder = None, json: AsJson = False) -> None:
    """接收。"""

    async def talk(client: Any) -> Any:
        return await client.accept(await _resolved(client, which))

    _show_one(as_agency(profile, talk), json=json)


@handoffs_app.command("return")
def return_command(
    which: Which,
    defect: Annotated[list[str], typer.Option("--defect", metavar="代码[:法条[:事项]]", help="退回原因，可以多次给出")],
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """退回补正。"""
    from xieban.views import DefectView

    parts = [(*text.split(":", 2), "", "")[:3] for text in defect]
    defects = [DefectView(code=code, article=article, item=item) for code, article, item in parts]

    async def talk(client: Any) -> Any:
        return await client.return_(await _resolved(client, which), defects)

    _show_one(as_agency(profile, talk), json=json)


@handoffs_app.command("withdraw")
def withdraw_command(
    which: Which,
    ref: Annotated[str, typer.Option("--ref", metavar="文号", help="撤回通知的文号")],
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """撤回本单位发出、对方尚未接收的流转。"""

    async def talk(client: Any) -> Any:
        return await client.withdraw(await _resolved(client, which), ref)

    _show_one(as_agency(profile, talk), json=json)


async def _resolved(client: Any, which: str) -> str:
    """The whole eid of a shortened one."""
    text = which.strip().lower()
    if len(text) == 64:
        return text
    if len(text) < 8 or not all(sign in "0123456789abcdef" for sign in text):
        raise failure(Reason.FIELD_INVALID, field="流转", detail="应为 64 位十六进制编号，或其前 8 位以上")
    matches: set[str] = {row.eid for row in await first(MAX_LOOKED_AT, client.list) if row.eid.startswith(text)}
    if len(matches) > 1:
        raise failure(Reason.FIELD_INVALID, field="流转", detail=f"有 {len(matches)} 份流转以此开头，请多给几位")
    if not matches:
        raise failure(Reason.HANDOFF_NOT_FOUND, handoff=text)
    return matches.pop()


def _show_one(handoff: Any, *, json: bool) -> None:
    from xieban.approval import ROLE_NAMES

    if json:
        as_json({"handoff": handoff})
        return
    fields(
        [
            ("流转", handoff.eid),
            ("环节", f"{kind_name(handoff.kind)}（{handoff.kind}）"),
            ("结果", handoff.outcome or "—"),
            ("案件编号", handoff.case_id),
            ("案件阶段", stage_name(handoff.stage)),
            ("发送", handoff.sender.name),
            ("接收", handoff.receiver.name),
            ("文号", handoff.client_ref or "—"),
            ("发出时间", handoff.sent_at),
            ("状态", STATES[handoff.state]),
        ]
    )
    for fact in handoff.receipts:
        reasons = "；".join(" ".join(filter(None, (d.code, d.article, d.item))) for d in fact.defects)
        typer.echo(f"回执  {moment(fact.at)}  {FACTS.get(fact.kind, fact.kind)}{f'  {reasons}' if reasons else ''}")
    for one in handoff.approvals:
        typer.echo(f"签批  {ROLE_NAMES[one.role]}  密钥 {one.keyid}")
    for act in handoff.acts:
        typer.echo(f"行为  {moment(act.at)}  {act.what} {act.person}{'（推定）' if act.derived else ''}")
    if handoff.dossier is not None:
        _show_dossier(handoff.dossier)


def _show_dossier(dossier: Any) -> None:
    typer.echo(f"文书  {dossier.document.title} {dossier.document.number} {dossier.document.date}")
    for person in dossier.persons:
        typer.echo(f"人员  {person.tag}  {person.name}  {'在押' if person.in_custody else '未羁押'}  {person.place}")
    for number, item in enumerate(dossier.evidence, start=1):
        typer.echo(f"证据  {number}. {item.title}（{item.pages} 页）")
    for file in dossier.files:
        typer.echo(f"文件  {file.name}  {file.media_type}  {len(file.content)} 字节")

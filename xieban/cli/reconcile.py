"""`xieban reconcile`: which statement is missing, and where. An agency's system asks its own node, committee and operator the gateway."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from xieban.agency import Agency
from xieban.cli.calls import AsJson, ProfileFolder, as_reconciler
from xieban.cli.printing import as_json, fields, plain, table
from xieban.cli.speaking import FACTS, kind_name, node_name
from xieban.cli.times import SHANGHAI, day
from xieban.errors import Reason, Unreachable
from xieban.marshal import micros, moment
from xieban.notice import OCCASION_NAMES
from xieban.reconcile import Problem

WHATS = {"handoff": "流转", "receipt": "回执", "notice": "通知", "reply": "督办回复"}
PROBLEMS = {
    Problem.MISSING: "缺失", Problem.EXTRA: "原件缺失", Problem.DIFFERENT: "不完整", Problem.UNKEPT: "承诺未兑现",
    Problem.UNLOGGED: "未入日志", Problem.CONTRADICTED: "承诺互相矛盾",
}  # fmt: skip
FLAWS = {"": "", "bytes": "存储的内容与签名不符", "effect": "报文所载事项没有相应记录"}
AGREED, DIFFERENCES, UNASKED = 0, 1, 2


def reconcile_command(
    since: Annotated[str, typer.Option("--since", metavar="日期", help="只核对该日以后签发的报文，如 2026-03-01")] = "",
    repair: Annotated[bool, typer.Option("--repair", help="同时请原发送方重新发送缺失的报文")] = False,
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """对账：与各对方节点逐份核对报文，指明缺失的是哪一份、缺在何处；机关节点并核对网关对监督日志的承诺。

    退出码：0 全部一致；1 有差异；2 有节点无法询问。
    """
    begin = micros(day(since, field="--since")) if since else 0

    async def talk(client: Any) -> Any:
        return await client.run(since=begin, repair=repair)

    try:
        found = as_reconciler(profile, talk)
    except Unreachable as error:
        print(error.explain(), file=sys.stderr)
        raise typer.Exit(UNASKED) from error
    if json:
        as_json({"reconciliation": _plain(found)})
    else:
        _show(found)
    raise typer.Exit(DIFFERENCES if not found.agrees else AGREED if found.complete else UNASKED)


def _show(found: Any) -> None:
    fields(
        [
            ("对账节点", _node(found.node)),
            ("核对至", moment(found.until).astimezone(SHANGHAI)),
            ("用时", f"{found.elapsed_ms / 1000:.1f} 秒"),
            ("在途", f"{found.in_flight} 份（不计为差异）"),
        ]
    )
    typer.echo()
    table(
        ("对方节点", "本方", "对方", "结果"),
        [
            (
                _node(pair.counterpart),
                "—" if pair.trouble else pair.held_here,
                "—" if pair.trouble else pair.held_there,
                _unasked(pair.trouble) if pair.trouble else "已核对",
            )
            for pair in found.pairs
        ],
    )
    typer.echo()
    if found.agrees:
        typer.echo("没有差异。" if found.complete else "可以询问的节点没有差异。")
        return
    table(
        ("问题", "报文", "种类", "环节", "发送方", "接收方", "案件编号", "问题节点", "完整保存于", "处置"),
        [
            (
                PROBLEMS[one.problem] + _detail(one),
                one.eid[:12],
                WHATS[one.series.what],
                _kind(one),
                _node(one.series.sender),
                _node(one.series.receiver),
                one.case_id or "—",
                _node(one.at),
                "、".join(_node(name) for name in one.held_by) or "—",
                "已重新发送" if one.repairing else "",
            )
            for one in found.differences
        ],
    )
    if found.left_out:
        typer.echo(f"还有 {found.left_out} 份未列出。")


def _detail(one: Any) -> str:
    if one.entry:
        return f"（{entry_place(one)}）"
    return f"（{FLAWS[one.flaw]}）" if one.flaw else ""


def entry_place(one: Any) -> str:
    """The entry of the log that a difference is about, and its promised index."""
    return f"{one.entry}，日志序号 {one.index}" if one.index is not None else str(one.entry)


def _unasked(number: str) -> str:
    named = next((reason.value.happened for reason in Reason if reason.number == number), "")
    return f"没有核对：{named}（{number}）"


def _kind(one: Any) -> str:
    if one.series.what == "handoff":
        return kind_name(one.kind) if one.kind else "—"
    if one.series.what == "receipt":
        return "、".join(FACTS.get(kind, kind) for kind in one.kind.split(","))
    names = {str(occasion): name for occasion, name in OCCASION_NAMES.items()}
    return names.get(str(one.kind), {"acknowledge": "签收", "explain": "说明"}.get(one.kind, str(one.kind)))


def _node(name: str) -> str:
    return node_name(Agency(name)) if name in set(Agency) else name or "—"


def _plain(found: Any) -> Any:
    """Times as everywhere in JSON; a series is spread out beside its statement."""
    told = plain(found)
    told["until"] = _time(found.until)
    for row, one in zip(told["pairs"], found.pairs, strict=True):
        row["summarized_at"] = _time(one.summarized_at) if one.summarized_at else ""
    for row, one in zip(told["differences"], found.differences, strict=True):
        row |= {"signed_at": _time(one.signed_at), **row.pop("series")}
    return told


def _time(value: int) -> str:
    return moment(value).astimezone(SHANGHAI).isoformat()

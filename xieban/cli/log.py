"""`xieban log`: verify a bundle without any server, and ask the log where it stands. The verifier is `xieban.verify`'s, whole."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from xieban.agency import Agency
from xieban.cli.calls import AsJson, ProfileFolder, named
from xieban.cli.printing import as_json, fields, table
from xieban.cli.reconcile import PROBLEMS, entry_place
from xieban.cli.speaking import node_name
from xieban.errors import Reason, XiebanError, failure

log_app = typer.Typer(help="监督日志：离线核验证据包，查看检查点和联署，取得入册证明。", no_args_is_help=True)


@log_app.command("verify")
def verify_command(
    bundle: Annotated[Path, typer.Argument(metavar="证据包", help="xieban bundle export 导出的 zip 文件")],
    roots: Annotated[
        Path | None, typer.Option("--roots", metavar="文件", help="经核对的根密钥指纹，每行一个；可写 threshold N")
    ] = None,
    root_fingerprint: Annotated[
        list[str] | None, typer.Option("--root-fingerprint", metavar="指纹", help="同上，每把一次")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", min=1, max=16, help="第 1 版信任清单须有几份根签名，默认 3")
    ] = None,
    json: AsJson = False,
) -> None:
    """离线核验证据包：不连服务器。全部通过以 0 退出，有不通过的以 1 退出，无法判断（不能读取、没有给出根密钥）以 2 退出。"""
    from xieban.verify.command import Misused, carry_out, read_pins

    try:
        pins = read_pins(roots, root_fingerprint or (), threshold=threshold)
        text, code = carry_out(bundle, pins=pins, as_json=json)
    except Misused as error:
        typer.echo(failure(Reason.FIELD_INVALID, field="命令行", detail=error).explain(), err=True)
        raise typer.Exit(2) from None
    typer.echo(text)
    raise typer.Exit(code)


@log_app.command("status")
def status_command(profile: ProfileFolder = None, json: AsJson = False) -> None:
    """监督日志的大小和树根，哪些见证方何时联署，是否足数；用机关的接口配置时，还有本节点所见、网关的承诺与日志是否一致。"""
    import asyncio

    newest, witnessed = asyncio.run(_checkpoints(named(profile)))
    disputes, waiting, broken = asyncio.run(_disputes(named(profile)))
    told = _told(newest)
    quorum = witnessed is not None and _told(witnessed)["size"] == told["size"]
    if json:
        shown = {**told, "quorum": quorum, "witnessed_size": _told(witnessed)["size"] if witnessed else None}
        promises = [
            {"problem": one.problem, "eid": one.eid, "entry": one.entry, "index": one.index, "case_id": one.case_id}
            for one in broken
        ]
        as_json({"log": shown, "disputes": disputes, "views_waiting": waiting, "broken_promises": promises})
        return
    fields(
        [
            ("日志", told["origin"]),
            ("条数", told["size"]),
            ("树根", told["root"]),
            ("联署", "足数" if quorum else "不足数"),
        ]
    )
    if witnessed is not None and not quorum:
        fields([("联署足数的最新条数", _told(witnessed)["size"])])
    if told["witnesses"]:
        typer.echo()
        table(("见证方", "联署时间"), [(one["name"], one["at"]) for one in told["witnesses"]])
    _show_disputes(disputes, waiting)
    _show_broken(broken)


@log_app.command("proof")
def proof_command(
    eid: Annotated[str, typer.Argument(metavar="报文标识", help="完整的 64 位标识")],
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """一份报文在监督日志中的全部登记。加 --json 可见条目原文和入册证明（C2SP tlog-proof）。"""
    import asyncio

    rows = asyncio.run(_proven(named(profile), eid))
    entries = [jsonlib.loads(row.entry) for row in rows]
    if json:
        as_json({"proofs": [{"entry": row.entry.decode(), "proof": row.proof.decode()} for row in rows]})
        return
    table(
        ("日志序号", "登记", "时间", "案件编号"),
        [(entry["position"] - 1, entry["kind"], _moment(entry["at"] / 1_000_000), entry["case"]) for entry in entries],
    )


async def _checkpoints(folder: Path) -> tuple[bytes, bytes | None]:
    """The newest, and the newest that is witnessed."""
    from xieban.client import Profile
    from xieban.log_client import LogClient

    async with LogClient.open(Profile.load(folder).at_gateway()) as log:
        try:
            witnessed = await log.checkpoint(witnessed=True)
        except XiebanError as error:
            if error.reason is not Reason.QUORUM_NOT_MET:
                raise
            witnessed = None
        return await log.checkpoint(witnessed=False), witnessed


async def _disputes(folder: Path) -> tuple[tuple[Any, ...], int, tuple[Any, ...]]:
    """What an agency's own node has heard of the log that does not fit, how much it has not settled, and which promises of the gateway
    its last audit found broken; nothing from the gateway."""
    from xieban.client import Profile
    from xieban.reconcile_client import ReconcileClient

    profile = Profile.load(folder)
    if profile == profile.at_gateway():
        return (), 0, ()
    async with ReconcileClient.open(profile) as node:
        return (*await node.disputes(), await node.broken_promises())


def _show_disputes(disputes: tuple[Any, ...], waiting: int) -> None:
    if waiting:
        typer.echo(f"\n本节点还有 {waiting} 处他机关所见的日志待核对。")
    if not disputes:
        return
    typer.echo()
    if any(one.is_signed and one.eid for one in disputes):
        typer.echo("监督日志出现两种历史，均有日志签名；证据已留存，本节点不再联署。立即报告政法委。")
    table(
        ("说明", "所见条数", "所见树根", "本节点条数", "本节点树根", "告知方", "报文"),
        [
            (
                ("日志分叉" if one.eid else "已拒绝联署") if one.is_signed else "没有日志签名",
                one.size,
                one.root[:16],
                one.own_size or "—",
                one.own_root[:16] or "—",
                node_name(Agency(one.sender)),
                one.eid or "—",
            )
            for one in disputes
        ],
    )


def _show_broken(broken: tuple[Any, ...]) -> None:
    if not broken:
        return
    typer.echo("\n监督日志与网关签名的承诺不符；网关的回执票据已留存。立即报告政法委。")
    table(
        ("说明", "登记", "报文", "案件编号"),
        [(PROBLEMS[one.problem], entry_place(one), one.eid, one.case_id or "—") for one in broken],
    )


async def _proven(folder: Path, eid: str) -> Any:
    from xieban.client import Profile
    from xieban.log_client import LogClient

    async with LogClient.open(Profile.load(folder).at_gateway()) as log:
        return await log.prove(eid)


def _told(data: bytes) -> dict[str, Any]:
    """What a checkpoint says; nobody's signature is verified here, as `verify` does."""
    from xieban.proof import checkpoint, note

    signed = note.parse(data)
    tree = checkpoint.parse(signed.text)
    witnesses = [
        {"name": one.name, "at": _moment(int.from_bytes(one.value[:8], "big"))}
        for one in signed.signatures
        if one.name != tree.origin and len(one.value) == 72
    ]
    return {"origin": tree.origin, "size": tree.size, "root": tree.root.hex(), "witnesses": witnesses}


def _moment(seconds: float) -> datetime:
    from xieban.views import SHANGHAI

    return datetime.fromtimestamp(seconds, UTC).astimezone(SHANGHAI)

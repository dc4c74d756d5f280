"""`xieban bundle`: takes a case's evidence out of the platform. Verifying it is `xieban log verify`, which needs no platform."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from xieban.cli.calls import AsJson, Officer, ProfileFolder, PurposeCode, named
from xieban.cli.printing import as_json, fields
from xieban.errors import Reason, failure
from xieban.lookup import Purpose
from xieban.lookup import purpose as purpose_of

bundle_app = typer.Typer(help="证据包：导出一件案件的全部报文、回执和入册证明。", no_args_is_help=True)


@bundle_app.callback()
def group() -> None:
    """证据包：导出一件案件的全部报文、回执和入册证明。"""


@bundle_app.command("export")
def export_command(
    case_id: Annotated[str, typer.Argument(metavar="案件编号", help="案件编号")],
    out: Annotated[Path, typer.Option("--out", metavar="文件", help="写到这个 zip 文件；已有的不覆盖")],
    dossiers: Annotated[
        bool, typer.Option("--dossiers", help="附上本机关所存的移送清单和盐值，以便核对承诺和摘要")
    ] = False,
    files: Annotated[
        bool, typer.Option("--files", help="连同案卷文件的内容；只限本机关持有的，须先有 --dossiers")
    ] = False,
    purpose: PurposeCode = "",
    officer: Officer = "",
    profile: ProfileFolder = None,
    json: AsJson = False,
) -> None:
    """导出证据包。监督方导出全案（须写明 --purpose），办案机关只能导出本机关是一方的流转；每次导出都登记在监督日志中。"""
    import asyncio

    from xieban.verify.container import pack

    if files and not dossiers:
        raise failure(Reason.FIELD_INVALID, field="--files", detail="须与 --dossiers 一起给出")
    if out.exists():
        raise failure(Reason.FIELD_INVALID, field="--out", detail=f"{out.name} 已经存在")
    why = purpose_of(purpose) if purpose else None
    wanted = _Wanted(case_id, why, officer, dossiers=dossiers, files=files)
    members = asyncio.run(_gathered(named(profile), wanted))
    data = pack(members)
    _write(out, data)
    counts = {
        "statements": sum(name.startswith("statements/") for name in members),
        "entries": sum(name.startswith("entries/") and name.endswith(".json") for name in members),
        "dossiers": sum(name.endswith("/salt") for name in members),
        "bytes": len(data),
    }
    if json:
        as_json({"bundle": {"case": case_id, "file": str(out), **counts}})
        return
    fields(
        [
            ("案件编号", case_id),
            ("证据包", out),
            ("报文", f"{counts['statements']} 份"),
            ("日志条目", f"{counts['entries']} 条"),
            ("移送清单", f"{counts['dossiers']} 份"),
            ("大小", f"{counts['bytes']} 字节"),
        ]
    )
    typer.echo(f"核验：xieban log verify {out} --roots 文件")


@dataclass(frozen=True, slots=True)
class _Wanted:
    case_id: str
    purpose: Purpose | None
    officer: str
    dossiers: bool
    files: bool


async def _gathered(folder: Path, wanted: _Wanted) -> dict[str, bytes]:
    from xieban.client import Profile
    from xieban.log_client import DossierClient, LogClient
    from xieban.verify.container import kind_of

    profile = Profile.load(folder)
    way = profile.at_gateway()
    if wanted.dossiers and way == profile:
        raise failure(Reason.FIELD_INVALID, field="--dossiers", detail="监督方不持有案卷，只有办案机关可以附上")
    async with LogClient.open(way) as log:
        members = await log.export(wanted.case_id, purpose=wanted.purpose, officer=wanted.officer)
    if wanted.dossiers:
        eids = sorted(found[1][0] for name in members if (found := kind_of(name)) and found[0] == "statement")
        async with DossierClient.open(profile) as own:
            async for dossier in own.export(eids, with_contents=wanted.files):
                members |= dossier
    return members


def _write(file: Path, data: bytes) -> None:
    """Readable by its owner alone. Errors: FILE_UNREADABLE."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=error.strerror or "不能写入") from error

"""`xieban handoff approve`: an officer reads what a draft says and signs it, on a machine of their own and without any node.

The file beside the draft holds the salt of the dossier's commitment and the approvals so far; it travels from one officer to the other and
goes out with the draft. What must not go in: whose approval counts, which the trust list says where it is judged.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from xieban.cli.calls import AsJson
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json, fields
from xieban.cli.speaking import kind_name
from xieban.cli.trustfiles import PassphraseFile, passphrase_of
from xieban.errors import Reason, failure
from xieban.handoff import MAX_APPROVALS, Approval

MAX_FILE = 64 * 1024
Salt = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
ApprovedFile = Annotated[
    Path | None, typer.Option("--approved", metavar="文件", help="签批文件（handoff approve 所写）")
]


class _Approved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: salt in hex, what it was signed in answer to (an eid or empty), and the approvals."""

    salt: Salt
    answering: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
    approvals: Annotated[tuple[Approval, ...], msgspec.Meta(max_length=MAX_APPROVALS)]


def approve_command(
    file: Annotated[str, typer.Argument(metavar="文件", help="流转文件（JSON），格式见 docs/cli.md")],
    role: Annotated[str, typer.Option("--role", metavar="角色", help="handler 经办 或 approver 审批")],
    key: Annotated[Path, typer.Option("--key", metavar="私钥文件", help="本人的私钥")],
    out: Annotated[Path, typer.Option("--out", metavar="文件", help="签批文件；已有时加签在后")],
    answering: Annotated[str, typer.Option("--answering", metavar="流转", help="所答复的流转，64 位编号")] = "",
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再当面确认")] = False,
    json: AsJson = False,
) -> None:
    """用本人密钥签批一份流转；不连接任何节点。"""
    from xieban.approval import ROLE_NAMES, ROLES, OfficerKey
    from xieban.cli.draft import read
    from xieban.drafting import approved
    from xieban.ids import eid
    from xieban.keys import files
    from xieban.procedure import table

    wanted = one_of(ROLES, role, option="--role")
    answered = eid(answering) if answering else ""
    before = _load(out, answering=answered) if out.exists() else None
    draft = read(file)
    if before is not None:
        draft = replace(draft, salt=bytes.fromhex(before.salt), approvals=before.approvals)
    kind = table().kind(draft.kind)
    if not json:
        fields(
            [
                ("环节", f"{kind_name(draft.kind)}（{draft.kind}）"),
                ("结果", draft.outcome or "—"),
                ("案件编号", draft.case_id),
                ("发送", draft.sender.name),
                ("接收", draft.receiver.name),
                ("文书", f"{draft.dossier.document.title} {draft.client_ref}"),
                ("案卷", f"{len(draft.dossier.files)} 个文件，证据 {len(draft.dossier.evidence)} 项"),
                ("审批依据", kind.approval or "本环节不要求签批"),
                ("以何身份", ROLE_NAMES[wanted]),
            ]
        )
    if not yes and not typer.confirm("内容无误，签批？"):
        raise typer.Exit(1)
    private = files.load_private(key, passphrase=passphrase_of(key, passphrase_file))
    signed = approved(draft, [OfficerKey(wanted, private)], answering=answered)
    _save(out, _Approved(salt=signed.salt.hex(), answering=answered, approvals=signed.approvals))
    if json:
        as_json({"approvals": [{"role": one.role, "keyid": one.keyid} for one in signed.approvals]})
    else:
        typer.echo(f"已签批：{'、'.join(ROLE_NAMES[one.role] for one in signed.approvals)}，写入 {out}")


def with_approvals(draft: Any, file: Path | None, *, answering: str = "") -> Any:
    """The draft with what its officers have signed, if a file of it is given. Errors: FILE_UNREADABLE, FIELD_INVALID."""
    if file is None:
        return draft
    found = _load(file, answering=answering)
    return replace(draft, salt=bytes.fromhex(found.salt), approvals=found.approvals)


def _load(file: Path, *, answering: str) -> _Approved:
    try:
        with file.open("rb") as stream:
            found = msgspec.json.decode(stream.read(MAX_FILE), type=_Approved)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=error.strerror) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise failure(Reason.FIELD_INVALID, field=file.name, detail="不是签批文件") from error
    if found.answering != answering:
        raise failure(Reason.FIELD_INVALID, field=file.name, detail="签批时所答复的流转与现在的不同")
    return found


def _save(file: Path, value: _Approved) -> None:
    fresh = file.with_name(file.name + ".new")
    try:
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
        fresh.replace(file)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=error.strerror) from error

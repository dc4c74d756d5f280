"""`xieban trust add`, `rotate`, `revoke`, `bar`: amendments of a draft. The first amendment of a settled list begins the next version."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from xieban.cli.calls import AsJson
from xieban.cli.choice import one_of
from xieban.cli.printing import as_json
from xieban.cli.trustfiles import Days, machine_now, read, write
from xieban.cli.trustwords import changes, state_json
from xieban.errors import Reason, failure
from xieban.keys import files
from xieban.keys.certificates import fingerprints
from xieban.trust import (
    Authority,
    Chain,
    Entry,
    Issue,
    Log,
    Officer,
    Seal,
    Witness,
    add,
    bar,
    renew,
    revoke,
    rotate,
    rotate_root,
)
from xieban.trust.chain import micros
from xieban.trust.lists import EndReason

ListFile = Annotated[Path, typer.Argument(metavar="文件", help="信任清单，或者尚未签名的草案")]
IndexOption = Annotated[
    int | None, typer.Option("--index", min=0, metavar="序号", help="新一版从监督日志的哪一条起算；起草时必填")
]
Afresh = Annotated[bool, typer.Option("--afresh", help="草案已有签名时丢弃签名，重新起草")]
KeyId = Annotated[str, typer.Argument(metavar="密钥编号", help="16 位，见 xieban trust show")]
ReasonOption = Annotated[
    str,
    typer.Option(
        "--reason",
        metavar="原因",
        help="compromised（泄露）、lost（遗失）、superseded（更换）、left（离任）、mistake（误登）",
    ),
]
_USES: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "seal": (Seal, ("agency",)),
    "officer": (Officer, ("agency", "role", "holder")),
    "log": (Log, ("name",)),
    "witness": (Witness, ("name", "holder")),
    "ca": (Authority, ()),
}


def add_command(
    file: ListFile,
    use: Annotated[str, typer.Option("--use", metavar="用途", help="seal、officer、log、witness 或 ca")],
    key: Annotated[Path, typer.Option("--key", metavar="公钥文件", help="keygen 生成的 .pub；ca 则为根证书（PEM）")],
    agency: Annotated[str, typer.Option("--agency", metavar="机关", help="police、procuratorate、court、gateway")] = "",
    office: Annotated[str, typer.Option("--office", metavar="区划代码", help="只代表这一单位；不写即整个机关")] = "",
    role: Annotated[str, typer.Option("--role", metavar="角色", help="handler（经办）或 approver（审批）")] = "",
    holder: Annotated[str, typer.Option("--holder", metavar="工号", help="持有人工号或见证方代号，不得写姓名")] = "",
    name: Annotated[str, typer.Option("--name", metavar="名称", help="日志或见证方签名所用的名称")] = "",
    keeps: Annotated[
        int | None,
        typer.Option("--keeps", min=0, metavar="条数", help="另行设立日志：新日志以原日志的前多少条开头；只用于 log"),
    ] = None,
    index: IndexOption = None,
    days: Days = 730,
    afresh: Afresh = False,
    json: AsJson = False,
) -> None:
    """列入一把密钥或一份根证书。"""
    chain = read(file)
    given: dict[str, str | int] = {"agency": agency, "role": role, "holder": holder, "name": name, "office": office}
    if keeps is not None:
        given["keeps"] = keeps
    issue = _issue(chain, index, days, afresh)
    entry = _entry(use, key, given, from_index=issue.index)
    _done(file, chain, add(chain, entry, issue=issue), json)


def renew_command(
    file: ListFile, index: IndexOption = None, days: Days = 730, afresh: Afresh = False, json: AsJson = False
) -> None:
    """内容不变，延长有效期：清单快要过期时用。"""
    chain = read(file)
    _done(file, chain, renew(chain, issue=_issue(chain, index, days, afresh)), json)


def rotate_command(
    file: ListFile,
    id: KeyId,
    key: Annotated[Path, typer.Option("--key", metavar="公钥文件", help="新密钥的 .pub")],
    overlap: Annotated[
        int, typer.Option("--overlap", min=0, metavar="条数", help="旧密钥还能用多少条日志，供在途报文到达")
    ] = 0,
    index: IndexOption = None,
    days: Days = 730,
    afresh: Afresh = False,
    json: AsJson = False,
) -> None:
    """更换一把密钥。更换根密钥时，新旧两组根密钥都要签足。"""
    chain = read(file)
    issue = _issue(chain, index, days, afresh)
    to = files.load_public(key)
    if any(root.id == id for root in chain.last.value.roots):
        after = rotate_root(chain, id=id, to=to, issue=issue)
    else:
        after = rotate(chain, id=id, to=to, overlap=overlap, issue=issue)
    _done(file, chain, after, json)


def revoke_command(
    file: ListFile,
    id: KeyId,
    reason: ReasonOption,
    from_index: Annotated[
        int | None, typer.Option("--from-index", min=0, metavar="序号", help="从哪一条起不再采信，可以早于本版")
    ] = None,
    index: IndexOption = None,
    days: Days = 730,
    afresh: Afresh = False,
    json: AsJson = False,
) -> None:
    """吊销一把密钥：从某条日志起，它签的一律不采信。"""
    why: EndReason = one_of(get_args(EndReason), reason, option="--reason")
    chain = read(file)
    issue = _issue(chain, index, days, afresh)
    _done(file, chain, revoke(chain, id=id, reason=why, from_index=from_index, issue=issue), json)


def bar_command(
    file: ListFile,
    reason: ReasonOption,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="证书文件", help="要停用的证书（PEM），只含一份")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", metavar="指纹", help="手上没有证书时，它（DER）的 SHA-256，64 位")
    ] = "",
    index: IndexOption = None,
    days: Days = 730,
    afresh: Afresh = False,
    json: AsJson = False,
) -> None:
    """停用一份 TLS 证书：被盗、遗失的证书不能再连接任何节点。停用后不能恢复；持有者换新证书。"""
    why: EndReason = one_of(get_args(EndReason), reason, option="--reason")
    if (certificate is None) == (fingerprint == ""):
        raise failure(Reason.FIELD_INVALID, field="--certificate", detail="与 --fingerprint 给出其中一个")
    found = fingerprint.lower() if certificate is None else _certificate(certificate)
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise failure(Reason.FIELD_INVALID, field="--fingerprint", detail="须为 64 位十六进制")
    chain = read(file)
    issue = _issue(chain, index, days, afresh)
    _done(file, chain, bar(chain, fingerprint=found, reason=why, issue=issue), json)


def _entry(use: str, key: Path, given: dict[str, str | int], *, from_index: int) -> Entry:
    """Errors: FIELD_INVALID, KEY_FILE_INVALID, FILE_UNREADABLE."""
    shape, needed = _USES[one_of(_USES, use, option="--use")]
    for name in needed:
        if not given[name]:
            raise failure(Reason.FIELD_INVALID, field=f"--{name}", detail=f"用途为 {use} 时必填")
    row: dict[str, object] = {field: given[field] for field in shape.__struct_fields__ if field in given}
    unused = [name for name, value in given.items() if value != "" and name not in row]
    if unused:
        raise failure(Reason.FIELD_INVALID, field=f"--{unused[0]}", detail=f"用途为 {use} 时不能给出")
    if shape is Authority:
        row["fingerprint"] = _certificate(key)
    else:
        public = files.load_public(key)
        row |= {"algorithm": public.name, "public": public.raw.hex()}
    try:
        entry: Entry = msgspec.convert({"use": use, "from_index": from_index, **row}, shape)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`")
        raise failure(Reason.FIELD_INVALID, field=f"--{field}", detail="写法不合要求") from error
    return entry


def _certificate(file: Path) -> str:
    try:
        (found,) = fingerprints(file.read_bytes())
    except (OSError, ValueError) as error:  # also when there are several
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail="不是一份 PEM 证书") from error
    return found


def _issue(chain: Chain, index: int | None, days: int, afresh: bool) -> Issue:
    draft = chain.draft
    if draft is not None and index not in (None, draft.value.index):
        raise failure(Reason.FIELD_INVALID, field="--index", detail=f"草案的序号是 {draft.value.index}")
    if draft is None and index is None:
        raise failure(Reason.FIELD_INVALID, field="--index", detail="起草新一版时必填：监督日志现有的条数")
    now = machine_now()
    return Issue(
        index=draft.value.index if draft is not None else index or 0,
        at=max(micros(now), chain.last.value.issued_at),
        expires_at=micros(now + timedelta(days=days)),
        afresh=afresh,
    )


def _done(file: Path, before: Chain, after: Chain, json: bool) -> None:
    """A settled file stays as it is; the draft on top of it goes into a file beside it."""
    target = file
    if before.draft is None:
        stem = re.sub(r"-v[0-9]+$", "", file.stem)
        target = file.with_name(f"{stem}-v{after.last.value.version}{file.suffix}")
        if target.exists():
            raise failure(Reason.FIELD_INVALID, field="文件", detail=f"{target.name} 已经存在；接着改它，或者先移开")
    write(target, after)
    if json:
        as_json({"trust": {"file": str(target), **state_json(after, now=machine_now())}})
        return
    typer.echo("\n".join(changes(after)))
    typer.echo(f"写入 {target}")


def register(app: typer.Typer) -> None:
    """Add the commands to the `trust` group, once."""
    known = {command.name for command in app.registered_commands}
    for name, command in (
        ("add", add_command),
        ("renew", renew_command),
        ("rotate", rotate_command),
        ("revoke", revoke_command),
        ("bar", bar_command),
    ):
        if name not in known:
            app.command(name)(command)

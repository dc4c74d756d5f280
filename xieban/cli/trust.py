"""`xieban trust`: keys, the trust list, and its signatures. Files only: no node is asked and none has to run.

A file that is settled is never written to: the first amendment begins the next version in a file beside it, and that draft travels from
one keeper of a root key to the next. Drafting is in `trustdraft`, words are in `trustwords`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from xieban.cli.calls import AsJson
from xieban.cli.printing import as_json, fields
from xieban.cli.trustfiles import Days, PassphraseFile, machine_now, new_passphrase, passphrase_of, read, write
from xieban.cli.trustwords import changes, print_entries, print_state, state_json
from xieban.errors import Reason, XiebanError, failure
from xieban.keys import DEFAULT, algorithm, files, fingerprint, keyid
from xieban.trust import Pins, begin, parse, pinned, sign
from xieban.trust.amend import ROOTS, THRESHOLD

trust_app = typer.Typer(help="信任清单：密钥、起草、签名、核验。", no_args_is_help=True)

NoPassphrase = Annotated[bool, typer.Option("--no-passphrase", help="私钥不加密，只靠文件权限保护")]
AlgorithmOption = Annotated[str, typer.Option("--algorithm", metavar="算法", help="ed25519+sha256 或 sm2+sm3")]


@trust_app.command("keygen")
def keygen_command(
    file: Annotated[Path, typer.Argument(metavar="文件", help="私钥文件；公钥写在旁边的 .pub 文件")],
    algorithm_name: AlgorithmOption = DEFAULT,
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    json: AsJson = False,
) -> None:
    """生成一对密钥。私钥留在本机，只把 .pub 文件交出去。"""
    found = _generate(file, algorithm_name, new_passphrase(passphrase_file, none=no_passphrase, what=file.name))
    if json:
        as_json({"key": {"file": str(file), "algorithm": algorithm_name, "keyid": found[0], "fingerprint": found[1]}})
        return
    fields([("私钥", file), ("公钥", file.with_suffix(".pub")), ("密钥编号", found[0]), ("指纹", found[1])])


@trust_app.command("init")
def init_command(
    folder: Annotated[Path, typer.Argument(metavar="目录", help="放信任清单的目录；没有则新建")],
    city: Annotated[str, typer.Option("--city", metavar="城市", help="例如 lanzhou")],
    root: Annotated[
        list[Path] | None, typer.Option("--root", metavar="公钥文件", help="各保管人交来的根公钥，每把一次")
    ] = None,
    roots: Annotated[int, typer.Option("--roots", min=1, max=16, help="没有 --root 时在本机生成几把")] = ROOTS,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="生效须有几份根签名")] = THRESHOLD,
    algorithm_name: AlgorithmOption = DEFAULT,
    days: Days = 730,
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    json: AsJson = False,
) -> None:
    """起草第 1 版信任清单。根密钥由各保管人用 keygen 生成后以 --root 给出；演练时可以全部在本机生成。"""
    file = folder / "trust.json"
    if file.exists():
        raise failure(Reason.FIELD_INVALID, field="目录", detail="已有 trust.json")
    folder.mkdir(parents=True, exist_ok=True)
    keys = [files.load_public(each) for each in root or ()]
    for number in range(1, 0 if keys else roots + 1):
        private = folder / f"root-{number}.key"
        _generate(private, algorithm_name, new_passphrase(passphrase_file, none=no_passphrase, what=private.name))
        keys.append(files.load_public(private.with_suffix(".pub")))
    now = machine_now()
    chain = begin(city=city, roots=keys, threshold=threshold, issued_at=now, expires_at=now + timedelta(days=days))
    write(file, chain)
    if json:
        as_json({"trust": {"file": str(file), **state_json(chain, now=now)}})
        return
    print_state(chain, now=now)
    typer.echo(f"\n写入 {file}；接着用 xieban trust add 列入各节点的密钥，再由 {threshold} 名保管人签名")
    typer.echo("各节点配置中要写的根密钥指纹（逐个当面核对）：")
    for pin in sorted(pinned(chain.last.value).roots):
        typer.echo(f"  {pin}")


@trust_app.command("sign")
def sign_command(
    file: Annotated[Path, typer.Argument(metavar="文件", help="草案")],
    key: Annotated[Path, typer.Option("--key", metavar="私钥文件", help="根密钥")],
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    json: AsJson = False,
) -> None:
    """用一把根密钥给草案签名。签名前列出与前一版的不同之处；签名写回同一文件。"""
    chain = read(file)
    if chain.draft is None:
        raise failure(Reason.FIELD_INVALID, field="文件", detail="没有待签名的草案")
    if not json:
        typer.echo("\n".join(changes(chain)))
    if not yes and not typer.confirm("以上内容属实，签名？", err=json):
        raise typer.Exit(1)
    signed = sign(chain, files.load_private(key, passphrase=passphrase_of(key, passphrase_file)))
    write(file, signed)
    if json:
        as_json({"trust": {"file": str(file), **state_json(signed, now=machine_now())}})
        return
    print_state(signed, now=machine_now())
    if signed.draft is None:
        typer.echo(f"签名已足；把 {file} 作为 trust.json 放到各节点，重新启动后生效")


@trust_app.command("show")
def show_command(
    file: Annotated[Path, typer.Argument(metavar="文件", help="信任清单")],
    index: Annotated[int | None, typer.Option("--index", min=0, help="只列在这一日志序号有效的密钥")] = None,
    json: AsJson = False,
) -> None:
    """列出最新一版的密钥、有效范围和签名。只核对文件自身，不核对根密钥是谁的：那是 verify。"""
    chain = read(file)
    if json:
        as_json({"trust": {"file": str(file), **state_json(chain, now=machine_now(), index=index)}})
        return
    print_state(chain, now=machine_now())
    print_entries(chain.last.value, index=index)


@trust_app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="文件", help="信任清单")],
    root: Annotated[
        list[str] | None, typer.Option("--root", metavar="指纹", help="核对过的第 1 版根密钥指纹，每把一次")
    ] = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="第 1 版须有几份根签名")] = THRESHOLD,
    json: AsJson = False,
) -> None:
    """从第 1 版起逐版核验，与节点启动时所做的相同。通过以 0 退出，不通过以 1 退出。"""
    now = machine_now()
    pins = Pins(roots=frozenset(root), threshold=threshold) if root else None
    try:
        chain = read(file, pins=pins)
        value = chain.effective(now=now)
    except XiebanError as error:
        if json and error.reason is not Reason.FILE_UNREADABLE:
            as_json({"verified": False, "pinned": pins is not None, "error": error.reason.number, "cause": error.cause})
            raise typer.Exit(1) from None
        raise
    if json:
        as_json({"verified": True, "pinned": pins is not None, "trust": state_json(chain, now=now)})
        return
    print_state(chain, now=now)
    typer.echo(f"通过：第 1 至 {value.version} 版，共 {sum(len(v.signers) for v in chain.versions)} 份签名逐一核验")
    if pins is None:
        typer.echo("没有给出 --root：以下根密钥指纹尚未与保管人核对")
        for pin in sorted(pinned(parse(file.read_bytes(), pins=None).versions[0].value).roots):
            typer.echo(f"  {pin}")


def _generate(file: Path, name: str, passphrase: str) -> tuple[str, str]:
    """Key id and fingerprint of a new pair of files."""
    key = algorithm(name).generate()
    files.save_private(file, key, passphrase=passphrase)
    files.save_public(file.with_suffix(".pub"), key.public)
    return keyid(key.public), fingerprint(key.public)

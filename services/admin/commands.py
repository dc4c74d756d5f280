"""`xieban-node`: the command line. Exit codes: 0 done and sound, 1 something was found, 2 it could not be done, 130 interrupted."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from services.admin import backup, restore
from services.admin.fsck import check
from services.admin.node import node_of
from services.admin.reach import reach
from services.admin.showing import progress, say
from services.chassis.clock import SystemClock
from xieban.errors import Reason, XiebanError, failure
from xieban.keys import files

FOUND = 1
REFUSED = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        return int(chosen.act(chosen))
    except XiebanError as error:
        print(error.explain(), file=sys.stderr, flush=True)
        return REFUSED
    except KeyboardInterrupt:
        print("已中断，没有留下半份文件", file=sys.stderr, flush=True)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xieban-node", description="节点的备份、恢复、检查和所知的监督日志")
    commands = parser.add_subparsers(required=True, metavar="命令")

    made = commands.add_parser("backup", help="备份节点；节点不必停", description="备份节点；节点不必停。默认不含密钥")
    made.add_argument("--config", type=Path, required=True, help="节点的配置文件")
    made.add_argument("--out", type=Path, required=True, help="放备份的新目录")
    made.add_argument("--with-keys", action="store_true", help="连同密钥，用口令加密")
    made.add_argument("--passphrase-file", type=Path, help="口令所在的文件（第一行），不给则在终端询问")
    made.set_defaults(act=_backup)

    back = commands.add_parser(
        "restore", help="由备份恢复节点；节点须停", description="由备份恢复节点；节点须停。已有的密钥和配置一律不动"
    )
    back.add_argument("--from", dest="source", type=Path, required=True, help="备份所在的目录")
    back.add_argument("--config", type=Path, required=True, help="节点的配置文件；没有的，由备份放回")
    back.add_argument("--force", action="store_true", help="现有数据库比备份新时也恢复；现有数据库改名留存")
    back.add_argument("--passphrase-file", type=Path, help="密钥备份的口令所在的文件，不给则在终端询问")
    back.set_defaults(act=_restore)

    checked = commands.add_parser(
        "fsck", help="检查节点所存；节点不必停", description="逐项核对节点所存与其凭据；节点不必停。有问题的以 1 退出"
    )
    checked.add_argument("--config", type=Path, required=True, help="节点的配置文件")
    checked.add_argument("--database", type=Path, help="改为检查这个数据库文件，例如备份中的 data.db")
    checked.add_argument("--json", action="store_true", help="以 JSON 输出")
    checked.set_defaults(act=_fsck)

    told = commands.add_parser(
        "log", help="节点所知的监督日志", description="监督日志到哪一条：只看本节点的文件，不问网关；节点不必停"
    )
    told.add_argument("--config", type=Path, required=True, help="节点的配置文件")
    told.add_argument("--trees", action="store_true", help="逐行列出签发或者联署过的条数和树根")
    told.add_argument("--json", action="store_true", help="以 JSON 输出")
    told.set_defaults(act=_log)
    return parser


def _backup(chosen: argparse.Namespace) -> int:
    node = node_of(chosen.config)
    passphrase = _passphrase(chosen.passphrase_file, twice=True) if chosen.with_keys else ""
    with progress() as tick:
        made = backup.take(node, chosen.out, passphrase=passphrase, now=SystemClock().now(), tick=tick)
    size = sum(file.bytes for file in made.files)
    say(f"已备份 {made.city} {made.agency} 到 {chosen.out}，{len(made.files)} 个文件，{size / 1e6:.1f} MB")
    say(f"  报文 {sum(made.statements.values())} 份，数据库版本 {made.schema}，信任清单第 {made.trust_version} 版")
    if made.log is not None:
        say(f"  监督日志 {made.log.size} 条，树根 {made.log.root[:16]}…")
    if made.has_keys:
        say("  含密钥（用口令加密）。口令丢失的，密钥备份无法打开")
    else:
        say("  不含密钥。密钥须另行保管，或者用 --with-keys 连同备份")
    say("  数据库含案卷原文，未加密；备份介质按案卷保管")
    return 0


def _restore(chosen: argparse.Namespace) -> int:
    with progress() as tick:
        done = restore.restore(
            chosen.source,
            chosen.config,
            passphrase=lambda: _passphrase(chosen.passphrase_file, twice=False),
            force=chosen.force,
            now=SystemClock().now(),
            tick=tick,
        )
    say(f"已恢复 {done.manifest.city} {done.manifest.agency}，备份于 {done.manifest.taken_at}")
    for file in done.written:
        say(f"  放回 {os.path.normpath(file)}")
    for file in done.kept:
        say(f"  保留原有的 {os.path.normpath(file)}")
    if done.aside is not None:
        say(f"  原数据库改名留存为 {done.aside}")
    for file in done.missing:
        say(f"! 缺少密钥 {file}，放回后才能启动")
    say(f"下一步：xieban-node fsck --config {chosen.config}，没有问题再启动节点")
    return 0


def _fsck(chosen: argparse.Namespace) -> int:
    node = node_of(chosen.config)
    with progress() as tick:
        report = check.node(node, database=chosen.database, tick=tick)
    if chosen.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode(), flush=True)
        return FOUND if report.findings else 0
    for finding in report.findings:
        say(str(finding))
    kinds = "、".join(f"{name} {count}" for name, count in report.checked.items())
    say(f"已核对：{kinds}")
    say(f"发现 {len(report.findings)} 处问题" if report.findings else "没有发现问题")
    return FOUND if report.findings else 0


def _log(chosen: argparse.Namespace) -> int:
    found = reach(node_of(chosen.config))
    if chosen.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode(), flush=True)
    elif chosen.trees:
        for tree in found.trees:
            say(f"{tree.size} {tree.root}")
    elif found.entries is None:
        say(f"联署到 {found.signed} 条")
    else:
        say(f"存有 {found.entries} 条，签发到 {found.signed} 条")
    return 0


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file is not None:
        return files.load_passphrase(file)
    if not sys.stdin.isatty():
        raise failure(Reason.FIELD_INVALID, field="--passphrase-file", detail="不在终端上，须用文件给出口令")
    found = getpass.getpass("密钥备份的口令：")
    if twice and getpass.getpass("再输一次：") != found:
        raise failure(Reason.FIELD_INVALID, field="passphrase", detail="两次输入不同")
    return found


def _interrupted(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt

"""The command tree, and the one place where a failure becomes words and an exit code.

Exit codes: 0 done; 1 refused or failed, with 发生/原因/办法/编号 on stderr; 2 the command line itself is wrong. Never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

import typer
from typer.exceptions import TyperException

from xieban.cli.words import speak_chinese, usage_problem
from xieban.errors import Reason, XiebanError, failure

HELP = "协办：公安、检察、法院之间的刑事案件流转。"


def build(chosen: str | None = None) -> typer.Typer:
    """The command tree. With `chosen`, only that group is filled, the others are a line of help: each costs its own imports."""
    app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    for name, (text, load) in _GROUPS.items():
        group = load() if chosen in (None, name) else typer.Typer()
        app.add_typer(group, name=name, help=text, no_args_is_help=True)
    for name, (text, command) in _COMMANDS.items():
        app.command(name, help=text if chosen not in (None, name) else None)(
            command() if chosen in (None, name) else lambda: None
        )
    return app


def _bundle() -> typer.Typer:
    from xieban.cli.bundle import bundle_app

    return bundle_app


def _case() -> typer.Typer:
    from xieban.cli.cases import cases_app

    return cases_app


def _clock() -> typer.Typer:
    from xieban.cli.clock import clock_app

    return clock_app


def _handoff() -> typer.Typer:
    from xieban.cli.handoffs import handoffs_app

    return handoffs_app


def _notice() -> typer.Typer:
    from xieban.cli.notices import notices_app

    return notices_app


def _supervise() -> typer.Typer:
    from xieban.cli.supervise import supervise_app

    return supervise_app


def _limits() -> typer.Typer:
    from xieban.cli.limits import limits_app
    from xieban.cli.running import register

    register(limits_app)
    return limits_app


def _log() -> typer.Typer:
    from xieban.cli.log import log_app

    return log_app


def _trust() -> typer.Typer:
    from xieban.cli.trust import trust_app
    from xieban.cli.trustdraft import register

    register(trust_app)
    return trust_app


def _reconcile() -> Callable[..., None]:
    from xieban.cli.reconcile import reconcile_command

    return reconcile_command


_COMMANDS: Final[dict[str, tuple[str, Callable[[], Callable[..., None]]]]] = {
    "reconcile": ("对账：逐份核对报文，指明缺失的是哪一份、缺在何处。", _reconcile),
}
_GROUPS: Final[dict[str, tuple[str, Callable[[], typer.Typer]]]] = {
    "case": ("本单位的案件，何人查看过。", _case),
    "handoff": ("流转：发送、接收、退回、答复、撤回。", _handoff),
    "limits": ("法定期限：核对算例、推算过程、全部期限、正在计算的期限。", _limits),
    "notice": ("期限通知和督办：查看、签收、说明（办案机关）。", _notice),
    "supervise": ("督办：查看、发出、审核（政法委）。", _supervise),
    "clock": ("沙箱时钟：查看、设定、推进；预演将到的预警和超期。", _clock),
    "bundle": ("证据包：导出一件案件的全部报文、回执和入册证明。", _bundle),
    "log": ("监督日志：离线核验证据包，查看检查点和联署，取得入册证明。", _log),
    "trust": ("信任清单：密钥、起草、签名、核验。", _trust),
}


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code."""
    # gRPC writes its own English lines on a failed connection; what happened is said once, by us.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    command = typer.main.get_command(build(next((word for word in arguments if not word.startswith("-")), "")))
    speak_chinese(command)
    try:
        code = command.main(list(arguments), prog_name="xieban", standalone_mode=False)
        sys.stdout.flush()
    except XiebanError as error:
        return _say(error, 1)
    except typer.Exit as ending:
        return ending.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except TyperException as error:
        return _usage(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _say(failure(Reason.DEFECT, trace=type(error).__name__), 1)
    return code if isinstance(code, int) else 0


def _usage(error: TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error, file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "xieban"
    print(
        f"发生：命令没有执行\n原因：{usage_problem(error)}\n办法：用 {path} --help 查看用法\n编号：XB-1001",
        file=sys.stderr,
    )
    return 2


def _say(error: XiebanError, code: int) -> int:
    print(error.explain(), file=sys.stderr)
    return code

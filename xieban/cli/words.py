"""Chinese for the words of the command-line library: headings, notes and usage errors. What must not go in: our own help texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import typer

_HEADINGS: Final = {"Options": "选项", "Commands": "命令", "Arguments": "参数"}
_NOTES: Final = (
    (re.compile(r"Show this message and exit\."), "显示本帮助"),
    (re.compile(r"\[required\]"), "（必填）"),
    (re.compile(r"; required\]"), "；必填]"),
    (re.compile(r"env var: "), "环境变量 "),
    (re.compile(r"default: "), "默认 "),
    (re.compile(r"\(dynamic\)"), "自动"),
)


# The library keeps the class to itself; a context only hands it out.
_Formatter: Any = typer.Context.formatter_class


class ChineseFormatter(_Formatter):  # type: ignore[misc]
    """Help with Chinese headings and notes."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        shown = args.replace("COMMAND [ARGS]...", "命令 [参数]...").replace("[OPTIONS]", "[选项]")
        shown = re.sub(r"\{([^{}|]+)\}", r"\1", shown)
        super().write_usage(prog, shown, prefix="用法：" if prefix is None else prefix)

    def section(self, name: str) -> AbstractContextManager[None]:
        section: AbstractContextManager[None] = super().section(_HEADINGS.get(name, name))
        return section

    def write_dl(self, rows: Sequence[tuple[str, str]], *args: Any, **options: Any) -> None:
        super().write_dl(
            [(re.sub(r" <(path|str|int)[^>]*>", "", first), _noted(second)) for first, second in rows], *args, **options
        )


class ChineseContext(typer.Context):
    formatter_class = ChineseFormatter


def speak_chinese(command: Any) -> None:
    """Let a command and all below it use `ChineseContext`. The library has no setting for it, only this attribute."""
    for each in _tree(command):
        each.context_class = ChineseContext


def usage_problem(error: Exception) -> str:
    """What is wrong with a command line, in Chinese."""
    name = type(error).__name__
    message = str(getattr(error, "message", "") or error)
    if name == "NoSuchOption":
        return f"没有 {getattr(error, 'option_name', '')} 这个选项"
    if name == "MissingParameter":
        param: Any = getattr(error, "param", None)
        return f"缺少{'参数' if getattr(param, 'param_type_name', '') == 'argument' else '选项'} {_param(param)}"
    if name == "BadParameter":
        return f"{_param(getattr(error, 'param', None))} 不合要求（{message}）"
    for pattern, text in (
        (r"No such command '(.*?)'", "没有 {} 这个命令"),
        (r"Missing command", "缺少命令"),
        (r"Got unexpected extra arguments? \((.*)\)", "多余的参数 {}"),
        (r"Option '?(.*?)'? (?:requires|does not take)", "选项 {} 的写法不对"),
    ):
        if found := re.search(pattern, message):
            return text.format(*found.groups())
    return message


def _param(param: Any) -> str:
    if param is None:
        return "参数"
    options = getattr(param, "opts", [])
    return str(options[0] if options and options[0].startswith("-") else (param.metavar or param.name).upper())


def _noted(text: str) -> str:
    for pattern, words in _NOTES:
        text = pattern.sub(words, text)
    return text


def _tree(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from _tree(child)

"""`xieban limits`: run worked examples, explain one due date, list the rules. Prints; computes nothing itself.

Mounted by the command's root. `limits_app` works without any node or network.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from xieban.errors import Reason, XiebanError, failure
from xieban.timelimits import RULES, Calendar, Due, compute, read_overlay, rule
from xieban.timelimits.check import CheckReport, check_lines
from xieban.timelimits.examples import read_facts
from xieban.timelimits.explain import explain
from xieban.timelimits.terms import BEARER_TEXTS

limits_app = typer.Typer(help="法定期限：核对算例、说明推算过程、列出全部期限。", no_args_is_help=True)

CalendarFile = Annotated[
    Path | None, typer.Option("--calendar", help="本单位的工作日历文件（TOML 或 JSON），覆盖并补充已公布年度")
]
AsJson = Annotated[bool, typer.Option("--json", help="以 JSON 输出")]


@limits_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="算例文件，每行一个 JSON 对象")],
    as_json: AsJson = False,
    calendar: CalendarFile = None,
) -> None:
    """按法定期限表逐行核对算例；有一行不符即以 1 退出。"""
    try:
        report = check_lines(_read(file).splitlines(), file=file.name, calendar=_calendar(calendar))
    except XiebanError as error:
        _stop(error)
    if as_json:
        typer.echo(json.dumps(_report_json(report), ensure_ascii=False, indent=2))
    else:
        _print_report(report)
    raise typer.Exit(1 if report.failed else 0)


@limits_app.command("explain")
def explain_command(
    rule_id: Annotated[str, typer.Argument(metavar="RULE", help="期限编号，例如 inv_custody")],
    start: Annotated[str | None, typer.Option(help="起算行为的日期或者带时区的时间")] = None,
    custody: Annotated[bool, typer.Option("--custody", help="人在押")] = False,
    extension: Annotated[
        list[str] | None,
        typer.Option(help="延长：add|total:数量:批准机关，例如 add:1月:上一级人民检察院（可加 @批准时间）"),
    ] = None,
    suspension: Annotated[
        list[str] | None,
        typer.Option(help="不计入期间：起日..止日:事由，例如 2024-04-01..2024-04-21:psychiatric_appraisal"),
    ] = None,
    restart: Annotated[
        str | None, typer.Option(help="重新计算：日期:事由，例如 2024-05-06:new_important_crime")
    ] = None,
    custody_change: Annotated[
        list[str] | None, typer.Option(help="羁押变化：日期:in 或者 日期:out，例如 2024-09-20:out")
    ] = None,
    travel_hours: Annotated[int, typer.Option(help="路途小时数")] = 0,
    term: Annotated[str | None, typer.Option(help="刑期，例如 3年6月10日（只用于 sentence_term_end）")] = None,
    as_json: AsJson = False,
    calendar: CalendarFile = None,
) -> None:
    """推算一项期限并逐步说明依据。"""
    try:
        row = rule(rule_id)
        fields: dict[str, object] = {
            "start": start,
            "custody": custody,
            "extensions": [_extension(item) for item in extension or ()],
            "suspensions": [_suspension(item) for item in suspension or ()],
            "restart": [_restart(item) for item in ([restart] if restart else ())],
            "custody_changes": [_custody_change(item) for item in custody_change or ()],
            "travel_hours": travel_hours,
            **_amount(term or "", "--term"),
        }
        due = compute(rule_id, read_facts(row, fields, strict=True), calendar=_calendar(calendar))
    except XiebanError as error:
        _stop(error)
    if as_json:
        typer.echo(json.dumps(_due_json(due), ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(explain(due)))


@limits_app.command("rules")
def rules_command(
    word: Annotated[str, typer.Argument(help="只列编号或者名称含有此词的期限")] = "",
    as_json: AsJson = False,
) -> None:
    """列出全部法定期限。"""
    rows = [row for row in RULES.values() if word in row.id or word in row.name]
    if as_json:
        table = [
            {
                "id": row.id,
                "name": row.name,
                "base": row.base,
                "unit": row.unit,
                "policy": row.policy,
                "month_rule": row.month_rule,
                "starts": row.starts,
                "bearer": row.bearer,
                "per": row.per,
                "consequence": row.consequence,
                "article": row.article,
            }
            for row in rows
        ]
        typer.echo(json.dumps(table, ensure_ascii=False, indent=2))
        return
    for row in rows:
        size = f"{row.base}{row.unit}" if row.base else row.unit.value
        bearers = "、".join(BEARER_TEXTS[item] for item in row.bearer)
        typer.echo(f"{row.number:>3}  {row.id}  {row.name}  {size}  {bearers}  {row.article}")
    typer.echo(f"共 {len(rows)} 项")


def _print_report(report: CheckReport) -> None:
    for failed in report.failed:
        for item in failed.mismatches:
            typer.echo(f"{failed.id}: {item.field}: got {item.got}, expected {item.expected}")
    typer.echo(f"{len(report.passed)} passed, {len(report.failed)} failed")


def _report_json(report: CheckReport) -> dict[str, object]:
    failed = [
        {
            "id": each.id,
            "mismatches": [
                {"field": item.field, "got": item.got, "expected": item.expected} for item in each.mismatches
            ],
        }
        for each in report.failed
    ]
    return {"passed": len(report.passed), "failed": len(report.failed), "failures": failed}


def _due_json(due: Due) -> dict[str, object]:
    return {
        "rule": due.rule,
        "due": due.due.isoformat(),
        "safe_due": due.safe_due.isoformat(),
        "last_day": due.last_day.isoformat(),
        "custody": due.custody,
        "stopped": due.stopped,
        "provisional": due.provisional,
        "calendar_version": due.calendar_version,
        "edition": due.edition,
        "readings": due.readings,
        "steps": [{"kind": step.kind, "value": step.value.isoformat(), "article": step.article} for step in due.steps],
        "explanation": explain(due),
    }


def _calendar(file: Path | None) -> Calendar:
    published = Calendar.published()
    return published if file is None else published.overlaid(read_overlay(_read(file), name=file.name))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=detail) from error


def _extension(text: str) -> dict[str, object]:
    text, _, granted_at = text.partition("@")
    parts = text.split(":", 2)
    if len(parts) != 3:
        raise _bad("--extension", text)
    found: dict[str, object] = {"kind": parts[0], "by": parts[2], **_amount(parts[1], "--extension")}
    return {**found, "granted_at": _moment(granted_at, "--extension")} if granted_at else found


def _suspension(text: str) -> dict[str, object]:
    span, _, reason = text.partition(":") if "T" not in text else text.rpartition(":")
    begin, dots, end = span.partition("..")
    if not dots or not reason:
        raise _bad("--suspension", text)
    return {
        "from": _moment(begin, "--suspension"),
        "to": _moment(end, "--suspension") if end else None,
        "reason": reason,
    }


def _restart(text: str) -> dict[str, object]:
    at, _, event = text.rpartition(":")
    return {"at": _moment(at, "--restart"), "event": event}


def _custody_change(text: str) -> dict[str, object]:
    at, _, state = text.rpartition(":")
    if state not in ("in", "out"):
        raise _bad("--custody-change", text)
    return {"at": _moment(at, "--custody-change"), "custody": state == "in"}


def _amount(text: str, option: str) -> dict[str, int]:
    units = {"年": "years", "个月": "months", "月": "months", "日": "days", "小时": "hours"}
    found: dict[str, int] = {}
    number = unit = ""
    for letter in [*text, "0"]:
        if letter.isdigit() and unit:
            if unit not in units or not number:
                raise _bad(option, text)
            found[units[unit]] = int(number)
            number = unit = ""
        if letter.isdigit():
            number += letter
        else:
            unit += letter
    return found


def _moment(text: str, option: str) -> str:
    try:
        return (date if len(text) == 10 else datetime).fromisoformat(text).isoformat()
    except ValueError as error:
        raise _bad(option, text) from error


def _bad(option: str, text: str) -> XiebanError:
    return failure(Reason.FIELD_INVALID, field=option, detail=f"不能识别“{text}”，写法见 --help")


def _stop(error: XiebanError) -> NoReturn:
    typer.echo(error.explain(), err=True)
    raise typer.Exit(2)

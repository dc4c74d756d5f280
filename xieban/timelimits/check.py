"""Running worked examples against the statutes: what each line expects beside what the rule's own row gives.

What a line repeats of the row is compared and reported, never used, so that a wrong row and a line wrong in the same way cannot
agree with each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from xieban.errors import Reason, XiebanError
from xieban.timelimits.calendar import Calendar
from xieban.timelimits.due import Due
from xieban.timelimits.examples import (
    Example,
    Fields,
    moment,
    read_example,
    read_facts,
    read_filing,
    total,
)
from xieban.timelimits.filing import filed_in_time, may_happen_again, request_before_expiry
from xieban.timelimits.names import RuleId
from xieban.timelimits.reckoning import reckon
from xieban.timelimits.table import Counter, Rule, Rules, rule
from xieban.timelimits.terms import Policy, Unit

_WEEKDAYS = "一二三四五六日"
# What data lines call a refusal; the catalogue's own name is always understood.
_ERROR_NAMES = {
    Reason.LIMIT_UNKNOWN: "unknown_rule",
    Reason.LIMIT_TIME_NAIVE: "naive_timestamp",
    Reason.EXTENSION_NOT_ALLOWED: "extension_not_allowed",
    Reason.EXTENSION_TOO_LONG: "extension_limit_reached",
    Reason.EXTENSION_LATE: "extension_after_expiry",
    Reason.REQUEST_AFTER_EXPIRY: "request_after_expiry",
    Reason.INTERVAL_REVERSED: "interval_reversed",
    Reason.INTERVAL_NOT_EXCLUDED: "interval_not_excluded",
    Reason.RESTART_NOT_ALLOWED: "restart_not_allowed",
    Reason.CALENDAR_OUT_OF_RANGE: "calendar_out_of_range",
}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field of one line on which line and statutes differ."""

    field: str
    got: object
    expected: object


@dataclass(frozen=True, slots=True)
class Failed:
    """A line with everything it differs in."""

    id: str
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The ids that passed and the lines that failed."""

    passed: tuple[str, ...]
    failed: tuple[Failed, ...]


@dataclass(slots=True)
class _Answers:
    """What the statutes say to a line: the due date if there is one, yes/no results, the refusal if there is one."""

    due: Due | None = None
    results: dict[str, object] = field(default_factory=dict)
    refusal: XiebanError | None = None


def check_lines(lines: Iterable[str], *, file: str, calendar: Calendar) -> CheckReport:
    """Check every non-empty line. Raises EXAMPLE_INVALID for a line that cannot be read at all."""
    passed: list[str] = []
    failed: list[Failed] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        example = read_example(line, file=file, number=number)
        mismatches = check_example(example, calendar=calendar)
        if mismatches:
            failed.append(Failed(example.id, tuple(mismatches)))
        else:
            passed.append(example.id)
    return CheckReport(tuple(passed), tuple(failed))


def check_example(example: Example, *, calendar: Calendar) -> list[Mismatch]:
    """Everything in which the line and the rule's own row differ."""
    try:
        row = rule(example.rule_id)
    except XiebanError as error:
        if _means(example.expected.get("error"), error):
            return []
        return [Mismatch("rule", f"{error.reason.number} {error.cause}", example.rule_id)]
    answers = _answer(row, example, calendar)
    return [
        *_compare_row(row, example.fields),
        *_compare_due(example, answers),
        *_compare_results(example, answers),
    ]


def _answer(row: Rule, example: Example, calendar: Calendar) -> _Answers:
    answers = _Answers()
    try:
        if any(example.fields.get(key) is not None for key in ("start", "services", "restart")):
            answers.due = reckon(row, read_facts(row, example.fields), calendar=calendar)
        _answer_questions(row, example, answers)
    except XiebanError as error:
        answers.refusal = error
        answers.results |= {"accepted": False, "allowed": False, "error": _ERROR_NAMES.get(error.reason)}
    return answers


def _answer_questions(row: Rule, example: Example, answers: _Answers) -> None:
    fields, results, due = example.fields, answers.results, answers.due
    results |= {"accepted": True, "allowed": True, "error": None, "warning": None}
    if due is not None:
        results |= {"provisional": due.provisional, "calendar_provisional": due.provisional, "stopped": due.stopped}
        if row.id is RuleId.JUDGMENT_EFFECTIVE:
            results["effective_on"] = due.due.isoformat()
        filing = read_filing(row, fields)
        if filing is not None:
            on_time = filed_in_time(filing, due=due.due)
            results |= {"on_time": on_time, "overdue": not on_time}
    _answer_request(row, fields, answers)
    for counter in _counters(row, fields):
        if not may_happen_again(counter, count=total(row, fields[counter.name], counter.name)):
            results |= {"allowed": False, "accepted": False, "error": counter.error}


def _answer_request(row: Rule, fields: Fields, answers: _Answers) -> None:
    requested = moment(row, fields, "requested_at")
    expiry = moment(row, fields, "expiry")
    if expiry is None and row.policy is Policy.LEAD:
        expiry = moment(row, fields, "start")
    if expiry is None and answers.due is not None:
        expiry = answers.due.due
    if requested is None or expiry is None:
        return
    request = request_before_expiry(row, expiry=expiry, requested=requested)
    if not request.accepted:
        answers.results |= {"accepted": False, "allowed": False, "error": "request_after_expiry"}
    elif request.late_lead:
        answers.results["warning"] = "late_lead_time"


def _counters(row: Rule, fields: Fields) -> list[Counter]:
    """The row's own counters the line gives a number for; failing those, a counter another row holds under that name."""
    own = [counter for counter in row.counters if counter.name in fields]
    if own or row.counters:
        return own
    return [counter for each in Rules().values() for counter in each.counters if counter.name in fields]


def _compare_row(row: Rule, fields: Fields) -> list[Mismatch]:
    found = []
    for name, own in (("policy", row.policy.value), ("month_rule", row.month_rule.value)):
        if fields.get(name) is not None and fields[name] != own:
            found.append(Mismatch(name, own, fields[name]))
    base, unit = fields.get("base"), fields.get("unit")
    if base is not None and unit is not None:
        if _in_months(base, unit) != _in_months(row.base, row.unit):
            found.append(Mismatch("base", f"{row.base}{row.unit}", f"{base}{unit}"))
    elif base is not None and base != row.base:
        found.append(Mismatch("base", row.base, base))
    elif unit is not None and unit != row.unit:
        found.append(Mismatch("unit", row.unit.value, unit))
    return found


def _in_months(base: object, unit: object) -> tuple[object, str]:
    if unit == Unit.YEAR and isinstance(base, int):
        return base * 12, Unit.MONTH.value
    return base, str(unit)


def _compare_due(example: Example, answers: _Answers) -> list[Mismatch]:
    if example.due is None:
        return []
    if answers.due is None:
        got = "—" if answers.refusal is None else f"{answers.refusal.reason.number} {answers.refusal.cause}"
        return [Mismatch("expected_due", got, example.due)]
    found, due = [], answers.due
    if not _same(due.due, example.due):
        found.append(Mismatch("expected_due", due.due.isoformat(), example.due))
    if example.safe_due is not None and not _same(due.safe_due, example.safe_due, day_will_do=True):
        found.append(Mismatch("safe_due", due.safe_due.isoformat(), example.safe_due))
    weekday = _WEEKDAYS[due.due.weekday()]
    if example.weekday is not None and example.weekday.removeprefix("周").removeprefix("星期") != weekday:
        found.append(Mismatch("weekday", weekday, example.weekday))
    return found


def _compare_results(example: Example, answers: _Answers) -> list[Mismatch]:
    found = []
    for name, wanted in example.expected.items():
        got = answers.results.get(name)
        if name == "error" and answers.refusal is not None and _means(wanted, answers.refusal):
            continue
        if got != wanted:
            found.append(Mismatch(f"expected.{name}", got, wanted))
    told = example.due is not None and answers.due is None  # the missing due date already carries the refusal
    if answers.refusal is not None and not told and not {"error", "allowed", "accepted"} & set(example.expected):
        found.append(Mismatch("error", answers.refusal.reason.number, None))
    return found


def _means(wanted: object, error: XiebanError) -> bool:
    names = (error.reason.number, error.reason.name.lower(), error.reason.name, _ERROR_NAMES.get(error.reason))
    return wanted is not None and wanted in names


def _same(got: date | datetime, wanted: str, *, day_will_do: bool = False) -> bool:
    try:
        if len(wanted) == 10:
            day = date.fromisoformat(wanted)
            return (got.date() if isinstance(got, datetime) and day_will_do else got) == day
        other = datetime.fromisoformat(wanted)
    except ValueError:
        return False
    return isinstance(got, datetime) and other.utcoffset() is not None and got == other

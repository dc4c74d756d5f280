"""Worked examples as JSON lines: one line read into the facts the arithmetic takes.

Only the facts are taken. What a line repeats of the rule's row (base, unit, policy, month rule) is kept apart for comparison.
Comparing and reporting is in `check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from xieban.errors import Reason, failure
from xieban.timelimits.events import events, find_event
from xieban.timelimits.facts import CustodyChange, Extension, Facts, Person, Restart, Service, Suspension, Term
from xieban.timelimits.filing import Channel, Filing
from xieban.timelimits.grants import find_office
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Effect, Policy

Fields = Mapping[str, object]

# The moment that decides for a channel, by the names data lines use, best first.
_MOMENTS = {
    Channel.POST: ("posted_at", "postmark", "at", "sent_at", "arrived_at"),
    Channel.ORAL: ("recorded_at", "at", "made_at", "received_at"),
    Channel.ELECTRONIC: ("accepted_at", "at", "delivered_at", "received_at", "arrived_at", "sent_at"),
    Channel.IN_PERSON: ("at", "received_at", "arrived_at", "accepted_at", "filed_at"),
}
_CHANNELS = (
    (("post", "mail", "邮"), Channel.POST),
    (("oral", "口头"), Channel.ORAL),
    (("electronic", "platform", "online", "电子", "平台"), Channel.ELECTRONIC),
)


@dataclass(frozen=True, slots=True)
class Example:
    """One line: identity, the input as it stands, and what the line expects."""

    id: str
    rule_id: str
    fields: Fields
    due: str | None
    safe_due: str | None
    weekday: str | None
    expected: Fields


def read_example(line: str, *, file: str, number: int) -> Example:
    """One JSON line. Raises EXAMPLE_INVALID, naming file and line."""
    try:
        content = json.loads(line)
        if not isinstance(content, dict):
            raise ValueError("不是 JSON 对象")
        return Example(
            id=_text(content, "id"),
            rule_id=_text(content, "rule"),
            fields=_table(content.get("input"), "input"),
            due=_optional(content, "expected_due"),
            safe_due=_optional(content, "safe_due"),
            weekday=_optional(content, "weekday"),
            expected=_table(content.get("expected") or {}, "expected"),
        )
    except (ValueError, RecursionError) as error:
        detail = f"{type(error).__name__}: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise failure(Reason.EXAMPLE_INVALID, file=file, line=number, detail=detail) from error


def read_facts(row: Rule, fields: Fields, *, strict: bool = False) -> Facts:
    """The facts of a line. Raises LIMIT_FACT_INVALID and what the arithmetic raises.

    `strict` keeps intervals the law does not exclude, for the arithmetic to refuse; a worked example may list them as not counting.
    """
    restarts = _tables(fields.get("restart"), "restart", row)
    dropped = [item for item in restarts if find_event(str(item.get("event", ""))) is EventId.FAST_TRACK_DROPPED]
    return Facts(
        start=moment(row, fields, "start"),
        custody=_flag(row, fields, "custody"),
        custody_changes=_custody_changes(row, fields),
        persons=tuple(
            Person(id=str(item.get("id", index)), custody=_flag(row, item, "custody"))
            for index, item in enumerate(_tables(fields.get("persons"), "persons", row))
        ),
        extensions=tuple(_extension(row, item) for item in _tables(fields.get("extensions"), "extensions", row)),
        suspensions=tuple(
            found
            for item in _tables(fields.get("suspensions"), "suspensions", row)
            if (found := _suspension(row, item, strict=strict)) is not None
        ),
        restarts=tuple(_restart(row, item) for item in restarts if item not in dropped),
        travel_hours=number(row, fields, "travel_hours") + 24 * number(row, fields, "travel_days"),
        received=moment(row, fields, "received") or moment(row, fields, "received_at"),
        fast_track_dropped=bool(dropped) or bool(fields.get("fast_track_dropped")),
        services=tuple(_service(row, item, fields) for item in _tables(fields.get("services"), "services", row)),
        term=_term(row, fields) if row.policy is Policy.SENTENCE else None,
    )


def read_filing(row: Rule, fields: Fields) -> Filing | None:
    """The act whose timeliness a line asks about."""
    value = fields.get("filed")
    if value is None:
        return None
    item: Fields = value if isinstance(value, Mapping) else {"at": value}
    mode = str(item.get("mode", "")).lower()
    channel = next((found for words, found in _CHANNELS if any(word in mode for word in words)), Channel.IN_PERSON)
    key = next((name for name in _MOMENTS[channel] if item.get(name) is not None), None)
    key = key or next((name for name in item if name.endswith("at") and item[name]), None)
    at = moment(row, item, key) if key else None
    if at is None:
        raise invalid(row, "filed", "没有时间")
    outage = bool(item.get("outage") or item.get("platform_outage") or fields.get("platform_outage"))
    return Filing(channel=channel, at=at, outage=outage)


def moment(row: Rule, fields: Fields, key: str) -> date | datetime | None:
    """A date or timestamp as written; zones are checked by the arithmetic."""
    value = fields.get(key)
    if value is None:
        return None
    try:
        text = str(value).strip()
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(row, key, f"{value} 不是日期或者时间") from error


def number(row: Rule, fields: Fields, key: str) -> int:
    """A whole number; absent is 0."""
    value = fields.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise invalid(row, key, f"{value} 不是整数")
    return int(value)


def total(row: Rule, value: object, key: str) -> int:
    """A count given as a number, or as a list whose items say how many each adds (各机关合计)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return sum(number(row, item, "n") if isinstance(item, Mapping) and "n" in item else 1 for item in value)
    return number(row, {key: value}, key)


def invalid(row: Rule, field: str, detail: str) -> Exception:
    """The refusal of one fact."""
    return failure(Reason.LIMIT_FACT_INVALID, field=field, detail=detail, article=row.article)


def _extension(row: Rule, item: Fields) -> Extension:
    by = str(item.get("by") or "")
    office = find_office(by)
    if office is None:
        raise failure(
            Reason.EXTENSION_NOT_ALLOWED,
            rule=row.id,
            by=by or "（未写明）",
            detail="不能识别批准机关",
            article=row.article,
        )
    granted_at = moment(row, item, "granted_at")
    return Extension(
        kind=str(item.get("kind", "add")),
        by=office,
        months=number(row, item, "months") + 12 * number(row, item, "years"),
        days=number(row, item, "days"),
        hours=number(row, item, "hours"),
        granted_at=_aware(row, granted_at) if granted_at is not None else None,
        article=str(item.get("article") or by.partition(" ")[2] if "刑诉" in f"{item.get('article')}{by}" else ""),
    )


def _aware(row: Rule, value: date | datetime) -> datetime:
    if not isinstance(value, datetime):
        raise invalid(row, "extensions.granted_at", "须写明时刻和时区")
    return value


def _suspension(row: Rule, item: Fields, *, strict: bool) -> Suspension | None:
    """An interval, or None when the law does not stop the clock for it, whatever the line says."""
    begin, end = moment(row, item, "from"), moment(row, item, "to")
    if begin is None:
        raise invalid(row, "suspensions.from", "没有起日")
    event = _event(row, str(item.get("reason") or item.get("event") or ""), (Effect.EXCLUDE, Effect.ANCHOR))
    if event is None and strict:
        raise invalid(row, "suspensions.reason", "不能识别不计入的事由")
    if item.get("excluded") is False or event is None:
        return None
    lawful = events()[event].touches(row.id) and events()[event].effect in (Effect.EXCLUDE, Effect.ANCHOR)
    if not lawful and not strict:
        return None
    return Suspension(begin=begin, end=end, event=event)


def _restart(row: Rule, item: Fields) -> Restart:
    at = moment(row, item, "at")
    text = str(item.get("event") or item.get("reason") or "")
    event = _event(row, text, (Effect.RESTART, Effect.ANCHOR))
    if at is None:
        raise invalid(row, "restart.at", "没有时间")
    if event is None:
        raise failure(Reason.RESTART_NOT_ALLOWED, event=text, rule=row.id, article=row.article)
    return Restart(at=at, event=event)


def _event(row: Rule, text: str, effects: tuple[Effect, ...]) -> EventId | None:
    """The event a text names; a text that names none may still mean the only event of its kind that touches the rule."""
    found = find_event(text)
    if found is not None:
        return found
    own = [each.id for each in events().values() if each.effect in effects and each.rules and each.touches(row.id)]
    return own[0] if len(own) == 1 and Effect.RESTART in effects else None


def _custody_changes(row: Rule, fields: Fields) -> tuple[CustodyChange, ...]:
    found = []
    sources: list[tuple[object, Fields]] = [(None, fields)]
    sources += [(item.get("id"), item) for item in _tables(fields.get("persons"), "persons", row)]
    for owner, source in sources:
        for item in _tables(source.get("custody_changes"), "custody_changes", row):
            at, person = moment(row, item, "at"), item.get("person", owner)
            if at is None:
                raise invalid(row, "custody_changes.at", "没有时间")
            found.append(
                CustodyChange(
                    at=at, custody=_flag(row, item, "custody"), person=None if person is None else str(person)
                )
            )
    return tuple(found)


def _service(row: Rule, item: Fields, fields: Fields) -> Service:
    document = f"{item.get('document', '')}{item.get('kind', '')}{fields.get('document', '')}{fields.get('kind', '')}"
    ruling = "裁定" in document or "ruling" in document.lower()
    return Service(party=str(item.get("party", "")), received=moment(row, item, "received"), ruling=ruling)


def _term(row: Rule, fields: Fields) -> Term:
    return Term(
        years=number(row, fields, "years"), months=number(row, fields, "months"), days=number(row, fields, "days")
    )


def _flag(row: Rule, fields: Fields, key: str) -> bool:
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        raise invalid(row, key, "应为 true 或 false")
    return bool(value)


def _tables(value: object, key: str, row: Rule) -> list[Fields]:
    if value is None:
        return []
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise invalid(row, key, "应为对象的列表")
    return items


def _table(value: object, key: str) -> Fields:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} 应为对象")
    return value


def _text(content: Fields, key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"缺少 {key}")
    return value


def _optional(content: Fields, key: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} 应为文字")
    return value

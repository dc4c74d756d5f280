"""The answer: a due date with the derivation that leads to it. Values only; the words are made in `explain`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from xieban.timelimits.names import RuleId


class StepKind(StrEnum):
    """What one step of a derivation did."""

    START = "start"
    RESTART = "restart"
    BASE = "base"
    EXTENSION = "extension"
    EARLIER_ARTICLE = "earlier_article"
    INTERVAL = "interval"
    INTERVAL_VOID = "interval_void"
    STOPPED = "stopped"
    TRAVEL = "travel"
    HOLIDAY = "holiday"
    WORKDAY = "workday"
    HELD = "held"
    UNMOVED = "unmoved"
    SERVICE = "service"
    TERM = "term"
    SAFE = "safe"


class Step(Struct, frozen=True):
    """One step: the running date or time after it, the article it rests on, and its particulars (see `explain`)."""

    kind: StepKind
    value: date | datetime
    article: str
    detail: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A computed limit.

    `due`: in time until 24:00 of that date in Asia/Shanghai, or at that timestamp. `safe_due`: the earlier date or timestamp a
    cautious reading gives; alarms fire on it, breaches are recorded on `due`. `last_day`: the day before any holiday step.
    `stopped`: an excluded interval still runs, so `due` will move. `provisional`: rests on a year whose holidays are not published.
    """

    rule: RuleId
    due: date | datetime
    safe_due: date | datetime
    last_day: date | datetime
    custody: bool
    stopped: bool
    provisional: bool
    calendar_version: str
    edition: str
    readings: tuple[str, ...]
    steps: tuple[Step, ...]

"""The one entrance to the arithmetic: a rule, the facts and a calendar give a due date with its derivation.

Pure and total: the same arguments give the same answer or the same coded refusal. The arithmetic is in the modules it names.
"""

from __future__ import annotations

from xieban.timelimits.calendar import Calendar
from xieban.timelimits.due import Due
from xieban.timelimits.facts import Facts
from xieban.timelimits.hours import due_in_hours
from xieban.timelimits.period import Reckoner
from xieban.timelimits.special import effectiveness, lead_time, sentence
from xieban.timelimits.table import Rule, rule
from xieban.timelimits.terms import Policy


def reckon(row: Rule, facts: Facts, *, calendar: Calendar) -> Due:
    """The due date of a rule's row under the facts."""
    if row.policy is Policy.HOURS:
        return due_in_hours(row, facts, calendar=calendar)
    if row.policy is Policy.LEAD:
        return lead_time(row, facts, calendar=calendar)
    if row.policy is Policy.SENTENCE:
        return sentence(row, facts, calendar=calendar)
    if facts.services:
        return effectiveness(row, facts, calendar=calendar)
    return Reckoner(row, facts, calendar=calendar).due()


def compute(rule_id: str, facts: Facts, *, calendar: Calendar) -> Due:
    """The due date of the limit called `rule_id`.

    Raises LIMIT_UNKNOWN, LIMIT_TIME_NAIVE, LIMIT_FACT_MISSING, LIMIT_FACT_INVALID, EXTENSION_NOT_ALLOWED, EXTENSION_TOO_LONG,
    EXTENSION_LATE, INTERVAL_REVERSED, INTERVAL_NOT_EXCLUDED, RESTART_NOT_ALLOWED, CALENDAR_OUT_OF_RANGE.
    """
    return reckon(rule(rule_id), facts, calendar=calendar)

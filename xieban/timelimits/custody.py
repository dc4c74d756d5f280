"""Whether somebody is in custody on a given day: the fact on which the last sentence of 刑诉105④ turns (A9–A11).

Knows persons and changes, no limits and no holidays.
"""

from __future__ import annotations

from datetime import date

from xieban.timelimits.facts import Facts
from xieban.timelimits.local_time import local_day
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Per


def in_custody(rule: Rule, facts: Facts, day: date) -> bool:
    """The state at the end of `day` (A11). A case-level limit counts as custody while anybody is held (A10)."""
    if not facts.custody_changes and not facts.persons:
        return facts.custody
    if facts.persons:
        held = [_state(facts, person.id, person.custody, day) for person in facts.persons]
        # A limit of one person follows that person's own state, unless the facts leave open whose it is.
        return any(held) if rule.per is Per.CASE or not facts.custody else _state(facts, None, facts.custody, day)
    return _state(facts, None, facts.custody, day)


def _state(facts: Facts, person: str | None, custody: bool, day: date) -> bool:
    changes = [
        (local_day(change.at, field="custody_changes.at"), change.custody)
        for change in facts.custody_changes
        if change.person is None or change.person == person
    ]
    for at, state in sorted(changes, key=lambda change: change[0]):
        if at <= day:
            custody = state
    return custody

"""The library and a second calculator that shares no code with it agree on random cases."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from tests.library.timelimits.builders import SHANGHAI, due
from tests.library.timelimits.day_walk import Walk
from tests.library.timelimits.day_walk import due as walked
from xieban.timelimits import RULES, CustodyChange, EventId, Extension, Facts, Office, Suspension
from xieban.timelimits.events import events
from xieban.timelimits.table import Rule
from xieban.timelimits.terms import Effect, Policy

FIRST = datetime(2024, 1, 1, tzinfo=SHANGHAI)
# So that the longest chain without an interval ends inside the typed years, as does every start.
SPAN_DAYS = 730


def random_case(source: random.Random) -> tuple[Rule, Facts, Walk]:
    row = source.choice([row for row in RULES.values() if row.policy is not Policy.SENTENCE])
    start = FIRST + timedelta(days=source.randrange(SPAN_DAYS), minutes=source.randrange(1440))
    custody = source.random() < 0.5
    extensions = _extensions(row, source) if source.random() < 0.5 else []
    event = next(
        (
            each.id
            for each in events().values()
            if each.effect is Effect.EXCLUDE and each.rules and row.id in each.rules and not each.cap_days
        ),
        None,
    )
    intervals = []
    if event is EventId.PSYCHIATRIC_APPRAISAL:
        for _ in range(source.choice((0, 0, 1, 1, 2, 3))):
            begin = start.date() + timedelta(days=source.randrange(-10, 90))
            intervals.append((begin, begin + timedelta(days=source.randrange(0, 30))))
    released = start.date() + timedelta(days=source.randrange(70)) if custody and source.random() < 0.3 else None
    facts = Facts(
        start=start,
        custody=custody,
        custody_changes=() if released is None else (CustodyChange(at=released, custody=False),),
        extensions=tuple(extensions),
        suspensions=tuple(
            Suspension(begin=begin, end=end, event=EventId.PSYCHIATRIC_APPRAISAL) for begin, end in intervals
        ),
    )
    amounts = [(item.kind, item.months, item.days, item.hours) for item in extensions]
    return row, facts, Walk(row.id, start, custody, released, amounts, intervals)


def _extensions(row: Rule, source: random.Random) -> list[Extension]:
    """A lawful chain: the grants of the row in order, some way down."""
    plain = [grant for grant in row.extensions if not grant.whole and Office.NPCSC not in grant.by]
    chain: list[Extension] = []
    before = ""
    for grant in plain[: source.randrange(len(plain) + 1)]:
        if grant.after and grant.after != before and not chain:
            continue
        if grant.after and grant.after not in {each.article for each in plain}:
            continue
        chain.append(
            Extension(kind=grant.kind, by=grant.by[0], months=grant.months, days=grant.days, hours=grant.hours)
        )
        before = grant.article
    return chain


def agree(count: int, *, seed: int) -> None:
    source = random.Random(seed)
    for number in range(count):
        row, facts, walk = random_case(source)
        found = due(row.id, facts)
        expected, safe = walked(walk)
        assert found.due == expected, (number, row.id, facts)
        if row.policy in (Policy.RIGHTS, Policy.LEAD, Policy.HOURS):
            assert found.safe_due == safe, (number, row.id, facts)


def test_two_calculators_agree_on_two_thousand_random_cases() -> None:
    agree(2_000, seed=105)


@pytest.mark.slow
def test_two_calculators_agree_on_a_hundred_thousand_random_cases() -> None:
    agree(100_000, seed=202)

"""Moving a date by months and years, forwards: 解释202① (js202), 公通字〔2006〕17号第四条 (ga17), sentence terms 解释202②.

Calendar arithmetic only. Holidays and excluded intervals are none of its business.
"""

from __future__ import annotations

from datetime import date, timedelta

from xieban.timelimits.terms import MonthRule

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def month_length(year: int, month: int) -> int:
    """Days in a month."""
    if month == 2 and (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        return 29
    return _LENGTHS[month - 1]


def add_months(day: date, months: int, *, rule: MonthRule) -> date:
    """The last day of a period of `months` whose starting event fell on `day`, moved in one step.

    js202: the last day of a month goes to the last day of the target month. ga17: no such jump. Both: a day the target month
    lacks becomes its last day.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if day.day < 28:  # every month has it, and it is the last of none
        return date(year, month + 1, day.day)
    length = month_length(year, month + 1)
    jumps = rule is MonthRule.JS202 and day.day == month_length(day.year, day.month)
    return date(year, month + 1, length if jumps else min(day.day, length))


def sentence_end(first: date, *, years: int, months: int, days: int) -> date:
    """The last day of a sentence term whose first day is counted.

    Whole years end the day before the same date; only a term with months knows the jump from month end to month end.
    """
    rule = MonthRule.JS202 if months else MonthRule.GA17
    end = add_months(first, years * 12 + months, rule=rule) if years or months else first
    return end + timedelta(days=days - 1)

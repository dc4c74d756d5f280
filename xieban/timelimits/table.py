"""The statutes: the strict loader of statutes.toml and the lookup of one rule.

Every number of law is in the file, which a lawyer can read; nothing here computes. Loaded on first use, never on import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from xieban.errors import Reason, failure
from xieban.timelimits.names import RuleId
from xieban.timelimits.terms import BEARER_TEXTS, Consequence, MonthRule, Office, Per, Policy, Unit
from xieban.timelimits.toml_rows import Row, parse, read_package_file, tables

_FILE = "statutes.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An extension the law knows. Amounts are the most one grant may give; all zero: as the grant says. `times` 0: repeatable.

    `total` replaces the base (`whole`: all that was granted before too), `add` lengthens. `alarm`: the base stays the alarm (A16).
    """

    kind: str
    months: int
    days: int
    hours: int
    by: tuple[Office, ...]
    times: int
    whole: bool
    alarm: bool
    after: str
    article: str
    ground: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Something that may happen only so often."""

    name: str
    max: int
    error: str
    article: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """Where the row rests on a text outside the seven laws ("outside") or on none found ("unverified")."""

    kind: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """The law a row was read from."""

    id: str
    law: str
    short: str
    in_force_from: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One statutory limit. `or_days`: also bound by so many days, whichever ends first (A23). `exact`: no starting hour dropped."""

    id: RuleId
    number: int
    section: str
    name: str
    article: str
    base: int
    unit: Unit
    policy: Policy
    month_rule: MonthRule
    exact: bool
    or_days: int
    starts: str
    receipt: bool
    bearer: tuple[str, ...]
    per: Per
    consequence: Consequence
    consequence_free: Consequence
    missed: str
    note: str
    readings: tuple[str, ...]
    uncertain: tuple[Uncertainty, ...]
    edition: str
    in_force_from: date
    extensions: tuple[Grant, ...]
    counters: tuple[Counter, ...]

    @property
    def months(self) -> int:
        """The base in months: years are twelve months each (A29)."""
        if self.unit is Unit.MONTH:
            return self.base
        return self.base * 12 if self.unit is Unit.YEAR else 0

    @property
    def span(self) -> tuple[int, int, int]:
        """The base as months, days, hours; the last day of a sentence term needs the term itself."""
        if self.unit is Unit.HOUR:
            return 0, 0, self.base
        months = self.months
        return (months, 0, 0) if months else (0, self.base, 0)


def rule(rule_id: str) -> Rule:
    """The row of a limit. Raises LIMIT_UNKNOWN."""
    found = statutes()[0].get(rule_id)
    if found is None:
        raise failure(Reason.LIMIT_UNKNOWN, rule=rule_id)
    return found


@cache
def statutes() -> tuple[Mapping[str, Rule], Mapping[str, Edition]]:
    """All rules by id, in the order of the file, and the editions they come from."""
    return read_statutes(read_package_file(_FILE))


def read_statutes(text: str) -> tuple[Mapping[str, Rule], Mapping[str, Edition]]:
    """Parse and check a statutes file. Raises STATUTES_INVALID, naming the row and its article."""
    content = parse(text, file=_FILE, keys=frozenset({"editions", "rule"}))
    editions = _read_editions(content["editions"])
    rules: dict[str, Rule] = {}
    for number, table in enumerate(tables(content["rule"], file=_FILE, row="0"), 1):
        row = Row(table, file=_FILE, name=str(table.get("id", number)))
        found = _read_rule(row, editions)
        if found.id in rules or found.number != number:
            raise row.refuse("编号重复或者次序不符")
        rules[found.id] = found
    if missing := set(RuleId) - set(rules):
        raise Row({}, file=_FILE, name="0").refuse(f"缺少 {sorted(missing)}")
    return rules, editions


class Rules(Mapping[str, Rule]):
    """All rules by id as a mapping that reads the file on first use."""

    def __getitem__(self, rule_id: str) -> Rule:
        return statutes()[0][rule_id]

    def __iter__(self) -> Iterator[str]:
        return iter(statutes()[0])

    def __len__(self) -> int:
        return len(statutes()[0])


def _read_editions(value: object) -> dict[str, Edition]:
    if not isinstance(value, dict) or not value:
        raise failure(Reason.STATUTES_INVALID, file=_FILE, row="editions", detail="缺少版本", article="—")
    editions = {}
    for name, table in value.items():
        row = Row(table, file=_FILE, name=name)
        editions[name] = Edition(
            id=name, law=row.text("law"), short=row.text("short"), in_force_from=row.day("in_force_from")
        )
        row.finish()
    return editions


def _read_rule(row: Row, editions: Mapping[str, Edition]) -> Rule:
    consequence = row.choice("consequence", Consequence)
    found = Rule(
        id=row.choice("id", RuleId),
        number=row.number("number"),
        section=row.text("section"),
        name=row.text("name"),
        article=row.text("article"),
        base=row.number("base"),
        unit=row.choice("unit", Unit),
        policy=row.choice("policy", Policy),
        month_rule=row.choice("month_rule", MonthRule, default=MonthRule.JS202),
        exact=row.flag("exact"),
        or_days=row.number("or_days", default=0),
        starts=row.text("starts"),
        receipt=row.flag("receipt"),
        bearer=row.texts("bearer"),
        per=row.choice("per", Per),
        consequence=consequence,
        consequence_free=row.choice("consequence_free", Consequence, default=consequence),
        missed=row.text("missed", default=""),
        note=row.text("note", default=""),
        readings=row.texts("readings", optional=True),
        uncertain=tuple(_read_uncertainty(part) for part in row.rows("uncertain")),
        edition=row.text("edition"),
        in_force_from=row.day("in_force_from"),
        extensions=tuple(_read_grant(part) for part in row.rows("extension")),
        counters=tuple(_read_counter(part) for part in row.rows("counter")),
    )
    row.finish()
    _check(found, row, editions)
    return found


def _check(found: Rule, row: Row, editions: Mapping[str, Edition]) -> None:
    if (found.base == 0) is not (found.unit is Unit.TERM):
        raise row.refuse("base 不合要求")
    if (found.unit is Unit.HOUR) is not (found.policy is Policy.HOURS):
        raise row.refuse("以小时计的期限应为 hours")
    if (found.unit is Unit.TERM) is not (found.policy is Policy.SENTENCE):
        raise row.refuse("刑期应为 sentence")
    if found.policy is Policy.LEAD and found.unit is not Unit.DAY:
        raise row.refuse("向前推算的期限应以日计")
    if stray := set(found.bearer) - set(BEARER_TEXTS):
        raise row.refuse(f"bearer 不能是 {sorted(stray)}")
    if found.edition not in editions:
        raise row.refuse(f"没有版本 {found.edition}")
    if found.in_force_from < editions[found.edition].in_force_from:
        raise row.refuse("施行日早于所属法律")
    articles = {grant.article for grant in found.extensions}
    if stray := {grant.after for grant in found.extensions if grant.after} - articles:
        raise row.refuse(f"after 指向不存在的延长 {sorted(stray)}")


def _read_uncertainty(row: Row) -> Uncertainty:
    kind = row.text("kind")
    if kind not in ("outside", "unverified"):
        raise row.refuse(f"uncertain 不能是 {kind}")
    found = Uncertainty(kind=kind, note=row.text("note"))
    row.finish()
    return found


def _read_grant(row: Row) -> Grant:
    kind = row.text("kind")
    if kind not in ("add", "total"):
        raise row.refuse(f"kind 不能是 {kind}")
    found = Grant(
        kind=kind,
        months=row.number("months", default=0),
        days=row.number("days", default=0),
        hours=row.number("hours", default=0),
        by=tuple(row.member(Office, item, "by") for item in row.texts("by")),
        times=row.number("times"),
        whole=row.flag("whole"),
        alarm=row.flag("alarm"),
        after=row.text("after", default=""),
        article=row.text("article"),
        ground=row.text("ground"),
    )
    row.finish()
    return found


def _read_counter(row: Row) -> Counter:
    found = Counter(
        name=row.text("name"),
        max=row.number("max"),
        error=row.text("error"),
        article=row.text("article"),
        what=row.text("what"),
    )
    row.finish()
    return found

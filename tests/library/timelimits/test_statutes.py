"""The data: complete, closed, and refused when a row has a slip in it."""

from __future__ import annotations

import re
import tomllib

import pytest

from xieban.errors import Reason, XiebanError
from xieban.timelimits import RULES, EventId, RuleId, rule
from xieban.timelimits.events import events, find_event, read_events
from xieban.timelimits.grants import find_office
from xieban.timelimits.table import read_statutes, statutes
from xieban.timelimits.terms import Effect, MonthRule, Office, Policy, Unit
from xieban.timelimits.toml_rows import read_package_file

STATUTES = read_package_file("statutes.toml")
EVENTS = read_package_file("events.toml")


def test_the_closed_set_of_rules_is_the_file_and_counts_201() -> None:
    assert [row["id"] for row in tomllib.loads(STATUTES)["rule"]] == [member.value for member in RuleId]
    assert len(RULES) == 201
    assert [member.name for member in RuleId] == [member.value.upper() for member in RuleId]


def test_the_closed_set_of_events_is_the_file() -> None:
    assert [row["id"] for row in tomllib.loads(EVENTS)["event"]] == [member.value for member in EventId]


def test_only_investigation_custody_moves_by_the_police_month_rule() -> None:
    assert [row.id for row in RULES.values() if row.month_rule is MonthRule.GA17] == [RuleId.INV_CUSTODY]


def test_only_the_summons_counts_its_hours_exactly() -> None:
    assert [row.id for row in RULES.values() if row.exact] == [RuleId.SUMMONS_DURATION]


def test_only_file_access_counts_working_days() -> None:
    assert [row.id for row in RULES.values() if row.unit is Unit.WORKDAY] == [RuleId.FILE_ACCESS]


def test_every_rule_cites_an_article_with_a_number_of_the_law_its_edition_names() -> None:
    editions = statutes()[1]
    for row in RULES.values():
        assert re.search(r"\d", row.article), row.id
        assert editions[row.edition].short in row.article, row.id


def test_every_extension_names_its_article_offices_and_ground() -> None:
    for row in RULES.values():
        for grant in row.extensions:
            assert grant.by, row.id
            assert re.search(r"\d", grant.article), row.id
            assert grant.ground, row.id


def test_events_that_exclude_time_never_touch_hours_measures_or_rights_but_for_travel() -> None:
    for event in events().values():
        if event.effect is Effect.EXCLUDE and event.rules is not None:
            assert {RULES[item].policy for item in event.rules} == {Policy.STATE}, event.id


def test_identity_unknown_touches_investigation_custody_alone() -> None:
    assert events()[EventId.IDENTITY_UNKNOWN].rules == frozenset({RuleId.INV_CUSTODY})


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("psychiatric_appraisal 精神病鉴定", EventId.PSYCHIATRIC_APPRAISAL),
        ("伤情鉴定", EventId.OTHER_APPRAISAL),
        ("补充侦查完毕移送法院", EventId.TRIAL_SUPPLEMENT_RETRANSFER),
        ("procuratorate_new_bail_decision", EventId.NEW_STAGE_BAIL),
        ("identity_established", EventId.IDENTITY_UNKNOWN),
        ("另有重要罪行", EventId.NEW_IMPORTANT_CRIME),
        ("下雨", None),
    ],
)
def test_an_event_is_found_by_its_id_or_the_longest_word(text: str, event: EventId | None) -> None:
    assert find_event(text) is event


@pytest.mark.parametrize(
    ("text", "office"),
    [
        ("法定 刑期超过三年", Office.STATUTE),
        ("省级人民检察院 刑诉158", Office.PROVINCIAL_PROCURATORATE),
        ("甘肃省人民检察院", Office.PROVINCIAL_PROCURATORATE),
        ("甘肃省兰州市城关区人民检察院", Office.PROCURATORATE),
        ("上一级人民检察院", Office.UPPER_PROCURATORATE),
        ("最高人民检察院", Office.SUPREME_PROCURATORATE),
        ("检察长", Office.CHIEF_PROCURATOR),
        ("甘肃省高级人民法院", Office.HIGH_COURT),
        ("上一级人民法院", Office.UPPER_COURT),
        ("兰州市公安局城关分局", Office.COUNTY_POLICE_HEAD),
        ("设区的市一级以上公安机关负责人", Office.CITY_POLICE_HEAD),
        ("县级以上公安机关负责人", Office.COUNTY_POLICE_HEAD),
        ("派出所所长", Office.POLICE),
        ("全国人大常委会", Office.NPCSC),
        ("物业公司", None),
    ],
)
def test_an_office_is_known_by_its_own_level_and_not_by_the_province_in_its_name(
    text: str, office: Office | None
) -> None:
    assert find_office(text) is office


def test_an_unknown_rule_is_refused_by_number() -> None:
    with pytest.raises(XiebanError) as refused:
        rule("no_such_limit")
    assert refused.value.reason is Reason.LIMIT_UNKNOWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('per = "case"', 'per = "cases"'),
        ('policy = "hours"', 'policy = "hour"'),
        ("base = 24", "base = 0"),
        ("base = 24", "base = true"),
        ("base = 24", 'base = "24"'),
        ("base = 24\n", ""),
        ('unit = "小时"', 'unit = "日"'),
        ('bearer = ["police"]', 'bearer = ["polic"]'),
        ('bearer = ["police"]', "bearer = []"),
        ('consequence = "M2"', 'consequence = "M5"'),
        ('edition = "mps-2020"', 'edition = "mps-2021"'),
        ("in_force_from = 2020-09-01\n", 'in_force_from = "2020-09-01"\n'),
        ('id = "case_referral_24h"', 'id = "case_referral_25h"'),
        ("number = 1\n", "number = 2\n"),
        ('name = "移送有管辖权机关"', 'name = "移送有管辖权机关"\nnmae = "x"'),
        ('kind = "outside"', 'kind = "hearsay"'),
        ('kind = "add"', 'kind = "ad"'),
        ('after = "刑诉156"', 'after = "刑诉155"'),
        ("times = 1\n", ""),
        ("[editions]", "[edition]"),
        (
            "[[rule]]",
            "[[rule]",
        ),
    ],
)
def test_a_slip_in_the_statutes_stops_the_loader(old: str, new: str) -> None:
    assert old in STATUTES
    with pytest.raises(XiebanError) as refused:
        read_statutes(STATUTES.replace(old, new, 1))
    assert refused.value.reason is Reason.STATUTES_INVALID


def test_a_missing_rule_stops_the_loader() -> None:
    last = STATUTES.rindex("[[rule]]")
    with pytest.raises(XiebanError, match="judgment_effective"):
        read_statutes(STATUTES[:last])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('effect = "exclude"', 'effect = "excluded"'),
        ('"inv_custody",', '"inv_custdy",'),
        ("cap_days = 14", "cap_days = -14"),
        ('name = "精神病鉴定"', 'names = "精神病鉴定"'),
        ('id = "travel"', 'id = "psychiatric_appraisal"'),
    ],
)
def test_a_slip_in_the_events_stops_the_loader(old: str, new: str) -> None:
    assert old in EVENTS
    with pytest.raises(XiebanError) as refused:
        read_events(EVENTS.replace(old, new, 1))
    assert refused.value.reason is Reason.STATUTES_INVALID

"""What happens to a limit on its way: extensions, custody, intervals, refusals, and what the answer carries with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.library.timelimits.builders import add, again, appraisal, at, day, due, released, total
from xieban.errors import InvalidInput, NotAllowed, Reason, XiebanError
from xieban.timelimits import Calendar, EventId, Extension, Facts, Office, Person, Service, StepKind, Suspension, Term
from xieban.timelimits.filing import Channel, Filing, filed_in_time, require_another, require_before_expiry
from xieban.timelimits.table import rule


def refusal(rule_id: str, facts: Facts) -> XiebanError:
    with pytest.raises(XiebanError) as refused:
        due(rule_id, facts)
    return refused.value


def test_an_answer_carries_edition_calendar_and_readings() -> None:
    found = due("inv_custody", Facts(start=at("2025-02-28"), custody=True))
    assert (found.due, found.safe_due, found.edition) == (day("2025-04-28"), day("2025-04-28"), "cpl-2018")
    assert "chinesecalendar" in found.calendar_version
    assert {"A4", "A9"} <= set(found.readings)
    assert [step.kind for step in found.steps] == [StepKind.START, StepKind.BASE, StepKind.HELD]
    assert all(step.article for step in found.steps)


def test_a_naive_start_is_refused_with_the_article() -> None:
    error = refusal("inv_custody", Facts(start=datetime(2025, 2, 28, 9)))  # noqa: DTZ001
    assert error.reason is Reason.LIMIT_TIME_NAIVE
    assert isinstance(error, InvalidInput)
    assert "刑诉105" in error.cause


@pytest.mark.parametrize("field", ["restarts", "suspensions", "custody_changes", "received"])
def test_a_naive_time_anywhere_is_refused(field: str) -> None:
    naive = datetime(2025, 3, 5, 9)  # noqa: DTZ001
    facts = {
        "restarts": Facts(start=at("2025-03-01"), restarts=(again("2025-03-05", EventId.JURISDICTION_CHANGED),)),
        "suspensions": Facts(
            start=at("2025-03-01"),
            suspensions=(Suspension(begin=naive, end=naive, event=EventId.PSYCHIATRIC_APPRAISAL),),
        ),
        "custody_changes": Facts(start=at("2025-03-01"), custody_changes=(released("2025-03-05"),)),
        "received": Facts(start=at("2025-03-01"), received=naive),
    }[field]
    if field == "restarts":
        object.__setattr__(facts.restarts[0], "at", naive)
    if field == "custody_changes":
        object.__setattr__(facts.custody_changes[0], "at", naive)
    assert refusal("first_instance", facts).reason is Reason.LIMIT_TIME_NAIVE


def test_a_limit_without_a_start_is_refused() -> None:
    assert refusal("inv_custody", Facts()).reason is Reason.LIMIT_FACT_MISSING
    assert refusal("case_referral_24h", Facts()).reason is Reason.LIMIT_FACT_MISSING
    assert refusal("hearing_notice", Facts()).reason is Reason.LIMIT_FACT_MISSING
    assert refusal("sentence_term_end", Facts(start=day("2024-01-01"))).reason is Reason.LIMIT_FACT_MISSING


def test_a_limit_in_hours_needs_an_hour() -> None:
    assert refusal("case_referral_24h", Facts(start=day("2024-01-01"))).reason is Reason.LIMIT_FACT_INVALID


def test_an_office_that_may_not_grant_is_named_with_the_article() -> None:
    facts = Facts(start=at("2024-03-01"), custody=True, extensions=(add(Office.CHIEF_PROCURATOR, months=1),))
    error = refusal("inv_custody", facts)
    assert error.reason is Reason.EXTENSION_NOT_ALLOWED
    assert isinstance(error, NotAllowed)
    assert "刑诉156" in error.cause


def test_the_second_provincial_extension_needs_the_first() -> None:
    first, second = add(Office.UPPER_PROCURATORATE, months=1), add(Office.PROVINCIAL_PROCURATORATE, months=2)
    start = at("2024-08-15")
    assert due("inv_custody", Facts(start=start, custody=True, extensions=(first, second, second))).due == day(
        "2025-03-15"
    )
    assert refusal("inv_custody", Facts(start=start, extensions=(second,))).reason is Reason.EXTENSION_TOO_LONG
    third = Facts(start=start, extensions=(first, second, second, second))
    assert refusal("inv_custody", third).reason is Reason.EXTENSION_TOO_LONG


def test_the_standing_committee_may_postpone_as_long_as_it_decides() -> None:
    facts = Facts(start=at("2024-08-15"), custody=True, extensions=(add(Office.NPCSC, months=12),))
    assert due("inv_custody", facts).due == day("2025-10-15")


def test_a_rule_without_extensions_takes_none() -> None:
    facts = Facts(start=at("2024-03-01"), extensions=(add(Office.STATUTE, days=1),))
    assert refusal("bail_max", facts).reason is Reason.EXTENSION_NOT_ALLOWED


@pytest.mark.parametrize("amount", [{}, {"days": -1}, {"months": 2}, {"days": 40}])
def test_an_extension_of_nothing_less_or_too_much_is_refused(amount: dict[str, int]) -> None:
    facts = Facts(start=at("2024-03-01"), extensions=(add(Office.CHIEF_PROCURATOR, **amount),))  # type: ignore[arg-type]
    assert refusal("prosecution_review", facts).reason is Reason.EXTENSION_TOO_LONG


def test_a_total_shorter_than_the_base_is_no_extension() -> None:
    facts = Facts(start=at("2024-03-01"), extensions=(total(Office.STATUTE, months=1),))
    assert refusal("first_instance", facts).reason is Reason.EXTENSION_TOO_LONG


def test_after_thirty_days_of_detention_there_are_no_four_more() -> None:
    head = Office.COUNTY_POLICE_HEAD
    facts = Facts(start=at("2024-04-01"), custody=True, extensions=(total(head, days=30), add(head, days=4)))
    assert refusal("detention_arrest_request", facts).reason is Reason.EXTENSION_TOO_LONG
    other_way = Facts(start=at("2024-04-01"), custody=True, extensions=(add(head, days=4), total(head, days=30)))
    assert due("detention_arrest_request", other_way).due == day("2024-05-01")


def test_an_extension_granted_the_day_after_expiry_is_refused_and_on_the_day_itself_not() -> None:
    def facts(granted: str) -> Facts:
        return Facts(
            start=at("2024-03-15"),
            custody=True,
            extensions=(add(Office.UPPER_PROCURATORATE, months=1, granted=granted),),
        )

    assert due("inv_custody", facts("2024-05-15T23:59")).due == day("2024-06-15")
    error = refusal("inv_custody", facts("2024-05-16T00:00"))
    assert error.reason is Reason.EXTENSION_LATE
    assert "检规309" in error.cause


def test_an_extension_of_hours_granted_after_expiry_is_refused() -> None:
    extension = Extension(kind="total", by=Office.COUNTY_POLICE_HEAD, hours=24, granted_at=at("2024-07-01T21:00"))
    facts = Facts(start=at("2024-07-01T08:40"), extensions=(extension,))
    assert refusal("summons_duration", facts).reason is Reason.EXTENSION_LATE


def test_an_extension_granted_before_a_restart_died_with_it() -> None:
    facts = Facts(
        start=at("2024-03-15"),
        custody=True,
        extensions=(add(Office.UPPER_PROCURATORATE, months=1, granted="2024-05-10"),),
        restarts=(again("2024-06-01", EventId.NEW_IMPORTANT_CRIME),),
    )
    assert due("inv_custody", facts).due == day("2024-08-01")


@pytest.mark.parametrize(
    ("rule_id", "event"),
    [
        ("inv_custody", EventId.OTHER_APPRAISAL),
        ("inv_custody", EventId.TRIAL_SUSPENDED),
        ("detention_arrest_request", EventId.IDENTITY_UNKNOWN),
        ("bail_max", EventId.PSYCHIATRIC_APPRAISAL),
        ("first_instance", EventId.TRIAL_ADJOURNED_OTHER),
        ("appeal_judgment", EventId.PSYCHIATRIC_APPRAISAL),
    ],
)
def test_time_the_law_does_not_exclude_is_not_excluded(rule_id: str, event: EventId) -> None:
    facts = Facts(start=at("2024-03-01"), suspensions=(appraisal("2024-03-02", "2024-03-03", event),))
    assert refusal(rule_id, facts).reason is Reason.INTERVAL_NOT_EXCLUDED


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    facts = Facts(start=at("2024-03-01"), suspensions=(appraisal("2024-03-05", "2024-03-04"),))
    error = refusal("inv_custody", facts)
    assert error.reason is Reason.INTERVAL_REVERSED
    assert "刑诉149" in error.cause


def test_an_interval_still_running_stops_the_limit() -> None:
    found = due(
        "inv_custody", Facts(start=at("2024-03-01"), custody=True, suspensions=(appraisal("2024-04-01", None),))
    )
    assert (found.due, found.stopped) == (day("2024-05-01"), True)
    late = due("inv_custody", Facts(start=at("2024-03-01"), custody=True, suspensions=(appraisal("2024-05-02", None),)))
    assert not late.stopped


def test_an_event_that_restarts_nothing_is_refused() -> None:
    facts = Facts(start=at("2024-03-01"), restarts=(again("2024-03-02", EventId.NEW_IMPORTANT_CRIME),))
    assert refusal("prosecution_review", facts).reason is Reason.RESTART_NOT_ALLOWED
    early = Facts(start=at("2024-03-01"), restarts=(again("2024-02-01", EventId.NEW_IMPORTANT_CRIME),))
    assert refusal("inv_custody", early).reason is Reason.LIMIT_FACT_INVALID


def test_the_last_of_several_restarts_counts() -> None:
    restarts = (
        again("2024-06-28", EventId.RETRANSFER_AFTER_SUPPLEMENTARY_INVESTIGATION),
        again("2024-04-28", EventId.RETRANSFER_AFTER_SUPPLEMENTARY_INVESTIGATION),
    )
    assert due("prosecution_review", Facts(start=at("2024-03-01"), custody=True, restarts=restarts)).due == day(
        "2024-07-28"
    )


def test_an_unknown_identity_moves_the_start_also_when_given_as_an_interval() -> None:
    facts = Facts(
        start=at("2025-01-10"),
        custody=True,
        suspensions=(appraisal("2025-01-10", "2025-03-05", EventId.IDENTITY_UNKNOWN),),
    )
    assert due("inv_custody", facts).due == day("2025-05-05")


def test_one_held_codefendant_holds_a_case_limit_but_not_another_persons_own() -> None:
    persons = (Person(id="A", custody=True), Person(id="B", custody=False))
    assert due("prosecution_review", Facts(start=at("2024-09-05"), persons=persons)).due == day("2024-10-05")
    freed = Facts(start=at("2024-09-05"), persons=persons, custody_changes=(released("2024-09-20", "A"),))
    assert due("prosecution_review", freed).due == day("2024-10-08")


def test_the_receipt_of_the_indictment_gives_the_safe_day_of_a_trial() -> None:
    found = due("first_instance", Facts(start=at("2024-03-11"), custody=True, received=at("2024-03-05")))
    assert (found.due, found.safe_due) == (day("2024-05-11"), day("2024-05-05"))
    assert "A14" in found.readings


def test_three_months_of_trial_keep_the_alarm_at_two() -> None:
    found = due(
        "first_instance", Facts(start=at("2024-03-11"), custody=True, extensions=(total(Office.STATUTE, months=3),))
    )
    assert (found.due, found.safe_due) == (day("2024-06-11"), day("2024-05-11"))


def test_whole_days_on_the_road_are_not_counted() -> None:
    found = due("detention_arrest_request", Facts(start=at("2024-07-01T09:30"), custody=True, travel_hours=47))
    assert found.due == day("2024-07-05")


def test_hours_exclude_whole_elapsed_hours() -> None:
    travel = Suspension(begin=at("2024-07-01T10:00"), end=at("2024-07-01T15:50"), event=EventId.TRAVEL)
    found = due("detention_to_facility", Facts(start=at("2024-07-01T09:30"), custody=True, suspensions=(travel,)))
    assert (found.due, found.safe_due) == (at("2024-07-02T15:00"), at("2024-07-02T14:30"))


def test_a_start_in_another_zone_counts_by_the_local_day() -> None:
    start = datetime(2024, 2, 29, 16, 30, tzinfo=UTC)
    assert due("appeal_judgment", Facts(start=start)).due == day("2024-03-11")


def test_a_due_date_in_a_year_not_published_is_provisional_and_only_where_holidays_matter() -> None:
    calendar = Calendar("test", first=2024, last=2025)
    facts = Facts(start=at("2025-12-30"))
    assert due("appeal_judgment", facts, calendar).provisional
    assert not due("bail_max", facts, calendar).provisional
    held = due("prosecution_review", Facts(start=at("2025-12-30"), custody=True), calendar)
    assert not held.provisional


def test_a_due_date_before_the_calendar_is_refused() -> None:
    assert refusal("appeal_judgment", Facts(start=at("1999-03-01"))).reason is Reason.CALENDAR_OUT_OF_RANGE


def test_a_judgment_not_yet_served_on_everybody_has_no_effective_day() -> None:
    services = (Service(party="甲", received=day("2024-03-01")), Service(party="检察院", received=None))
    assert refusal("judgment_effective", Facts(services=services)).reason is Reason.LIMIT_FACT_MISSING


def test_a_negative_term_is_refused() -> None:
    assert (
        refusal("sentence_term_end", Facts(start=day("2024-01-01"), term=Term(years=1, months=-1))).reason
        is Reason.LIMIT_FACT_INVALID
    )


def test_posting_decides_by_postmark_and_hours_to_the_second() -> None:
    last = day("2024-03-11")
    assert filed_in_time(Filing(channel=Channel.POST, at=at("2024-03-11T23:59:59")), due=last)
    assert not filed_in_time(Filing(channel=Channel.POST, at=at("2024-03-12T00:00")), due=last)
    moment = at("2024-03-11T16:00")
    assert filed_in_time(Filing(channel=Channel.IN_PERSON, at=moment), due=moment)
    assert not filed_in_time(Filing(channel=Channel.IN_PERSON, at=moment + timedelta(seconds=1)), due=moment)


def test_a_request_after_expiry_and_a_third_return_are_refused_with_their_articles() -> None:
    with pytest.raises(XiebanError, match="检规309") as late:
        require_before_expiry(
            rule("inv_custody_extension_request"), expiry=day("2024-05-15"), requested=at("2024-05-16")
        )
    assert late.value.reason is Reason.REQUEST_AFTER_EXPIRY
    counter = rule("supplementary_investigation").counters[0]
    require_another(counter, count=1)
    with pytest.raises(XiebanError, match="检规346") as third:
        require_another(counter, count=2)
    assert third.value.reason is Reason.LIMIT_COUNT_REACHED

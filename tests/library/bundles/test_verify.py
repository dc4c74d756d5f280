"""What a bundle's verifier says: of honest bundles, of tampered ones, and of a city in which somebody lies."""

from __future__ import annotations

import json
import random
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.library.bundles import crooked, tampering, unapproved
from tests.library.bundles.tampering import PROFILES, base, flipped
from tests.library.bundles.town import CASE, CT, PS, Members, Town, live, pins
from xieban.verify.container import pack
from xieban.verify.report import CHECKS, Report, Verdict
from xieban.verify.showing import lines
from xieban.verify.trustlist import Pins
from xieban.verify.verifier import verify

LIES = crooked.ALL | unapproved.ALL


def report_of(members: Members, given: Pins | None = None) -> Report:
    return verify(pack(members), pins=given or pins())


def failed(report: Report) -> set[str]:
    return {name for name, check in report.checks.items() if check.verdict == "fail"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(4))
def test_an_honest_bundle_passes_every_check(seed: int, profile: str) -> None:
    report = report_of(base(seed, profile))
    assert {name for name, check in report.checks.items() if check.verdict not in ("pass", "none")} == set()
    assert (report.verdict, report.exit_code) == ("pass", 0)


def test_only_what_is_not_in_a_bundle_is_not_applicable() -> None:
    kinds = {profile: report_of(base(0, profile)).checks for profile in PROFILES}
    left = {
        profile: {name for name, check in checks.items() if check.verdict == "none"}
        for profile, checks in kinds.items()
    }
    assert left == {
        "committee": {"commitments", "files"},
        "police": set(),
        "court": {"approvals", "notices", "commitments", "files"},
    }


@pytest.mark.parametrize("name", LIES)
def test_a_lie_fails_exactly_the_check_that_is_there_for_it(name: str) -> None:
    make, expected = LIES[name]
    assert failed(report_of(make())) == expected


def test_every_check_but_those_of_the_container_is_failed_by_some_lie_or_tampering() -> None:
    by_lies = set().union(*(expected for _, expected in LIES.values()))
    assert set(CHECKS) - by_lies == {"container", "manifest", "roots", "files"}


@pytest.mark.parametrize("name", tampering.ALL)
def test_tampering_is_found_and_its_place_is_named(name: str) -> None:
    rng = random.Random(name)
    found = 0
    for number in range(4):
        done = tampering.ALL[name](dict(base(number % 4, PROFILES[number % 2])), rng)
        if done is None:
            continue
        report = verify(done if isinstance(done, bytes) else pack(done), pins=pins())
        assert report.verdict == "fail" or report.unreadable, name
        assert report.unreadable or tampering.CAUGHT_BY.get(name) in {None, *failed(report)}, failed(report)
        assert all(defect.what and defect.reason for check in report.checks.values() for defect in check.defects)
        found += 1
    assert found >= 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 3), st.sampled_from(PROFILES), st.randoms(use_true_random=False))
def test_no_byte_of_any_member_can_change_unseen(seed: int, profile: str, rng: random.Random) -> None:
    members = base(seed, profile)
    name = rng.choice(sorted(members))
    report = report_of({**members, name: flipped(members[name], rng)})
    assert report.verdict == "fail", name
    assert failed(report) - {"roots"}, name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_byte_of_the_file_can_change_unseen(seed: int, rng: random.Random) -> None:
    report = verify(flipped(pack(base(seed, "court")), rng), pins=pins())
    assert report["container"].verdict == "fail"
    assert report.exit_code in (1, 2)


def tiny() -> Members:
    """The smallest case there is."""
    town = Town()
    town.send("arrest_request", PS, CT)
    town.witness()
    return town.export("police")


@pytest.mark.slow
def test_every_single_byte_of_every_member_is_watched() -> None:
    members = tiny()
    assert report_of(members).verdict == "pass"
    unseen = []
    for name, data in members.items():
        for at in range(len(data)):
            changed = {**members, name: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
            if report_of(changed).verdict != "fail":
                unseen.append((name, at))
    assert unseen == []


def test_a_statement_under_the_name_of_another_is_named() -> None:
    members = base(0, "court")
    one, other, *_ = sorted(name for name in members if name.startswith("statements/"))
    report = report_of({**members, one: members[other], other: members[one]})
    assert {defect.what for defect in report["canonical"].defects} == {one, other}


# --- roots


def test_without_pinned_roots_nothing_is_more_than_not_judged() -> None:
    report = verify(pack(base(0, "court")), pins=None)
    assert report["roots"].verdict == "open"
    assert (report.verdict, report.exit_code) == ("open", 2)
    said = "\n".join(lines(report))
    assert "未核对根密钥" in said
    assert all(pin in said for pin in pins().roots)


def test_without_pinned_roots_a_failure_is_still_a_failure() -> None:
    members = dict(base(0, "court"))
    members["checkpoint"] = members["checkpoint"].replace(b"lanzhou/log", b"lanzhou/lag")
    assert verify(pack(members), pins=None).exit_code == 1


@pytest.mark.parametrize(
    "other",
    [
        Pins(frozenset(["0" * 64]), 3),
        Pins(pins().roots, 2),
        Pins(frozenset(sorted(pins().roots)[1:]), 3),
        Pins(pins().roots | {"0" * 64}, 3),
    ],
)
def test_other_pins_fail_the_roots_and_nothing_else(other: Pins) -> None:
    assert failed(report_of(base(0, "court"), other)) == {"roots"}


# --- what cannot be judged


@pytest.mark.parametrize("data", [b"", b"PK", b"hello", pack(tiny())[:-1][:40], pack({})])
def test_what_is_no_bundle_cannot_be_judged(data: bytes) -> None:
    report = verify(data, pins=pins())
    assert (report.verdict, report.exit_code) == ("open", 2)
    assert "不能读取" in "\n".join(lines(report))


def test_a_format_to_come_cannot_be_judged() -> None:
    members = dict(base(0, "court"))
    members["bundle.json"] = members["bundle.json"].replace(b'"v":1}', b'"v":2}')
    report = report_of(members)
    assert (report["manifest"].verdict, report.verdict, report.exit_code) == ("open", "open", 2)


def test_a_bundle_without_a_manifest_fails_and_leaves_the_rest_open() -> None:
    members = {name: data for name, data in base(0, "court").items() if name != "bundle.json"}
    report = report_of(members)
    assert failed(report) == {"manifest"}
    assert {check.verdict for name, check in report.checks.items() if name not in ("container", "manifest")} == {"open"}


# --- times


def test_an_entry_may_be_a_minute_off_and_not_more() -> None:
    verdicts = []
    for seconds in (55, 75):
        town = Town()
        live(town)
        town.later(600)
        town.witness()
        town.now -= seconds * 1_000_000
        town.note("CLOCK_START", "", "inv_custody")
        town.later(600)
        verdicts.append(report_of(town.export())["times"].verdict)
    assert verdicts == ["pass", "fail"]


def test_one_witness_with_a_wrong_clock_decides_nothing() -> None:
    town = Town()
    live(town)
    for number, (size, times) in enumerate(town.marks):
        town.marks[number] = (size, {**times, PS: times[PS] + 86_400 * (-1) ** number})
    assert report_of(town.export())["times"].verdict == "pass"


# --- what is shown


def test_the_table_says_who_sent_what_and_who_vouches() -> None:
    said = "\n".join(lines(report_of(base(0, "police"))))
    for words in (
        CASE, "提请批准逮捕", "公安 620102", "检察 620102", "退回补正 2026-03-03 09:10:55", "xieban.lanzhou/court（", "结论：通过"
    ):  # fmt: skip
        assert words in said


def test_what_is_claimed_is_shown_also_when_it_fails() -> None:
    said = "\n".join(lines(report_of(crooked.ALL["accepted_and_returned"][0]())))
    assert "提请批准逮捕" in said
    assert "不通过  回执：" in said
    assert said.endswith("结论：不通过")


def test_a_sandbox_is_called_one() -> None:
    said = "\n".join(lines(report_of(crooked.ALL["a_sandbox_whose_clocks_say_anything"][0]())))
    assert said.startswith("■ 沙箱数据，不是真实案件")


def test_json_has_every_check_once_with_a_known_verdict() -> None:
    told = json.loads(json.dumps(report_of(base(0, "court")).as_json()))
    assert [check["check"] for check in told["checks"]] == list(CHECKS)
    assert {check["verdict"] for check in told["checks"]} <= set(get_args(Verdict))

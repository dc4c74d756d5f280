"""One case from detention to second instance, lived through day by day: extensions, exclusions, two returns, an overdue on the way."""

from __future__ import annotations

from services.chassis.bus import Incoming
from services.gateway.clocks import Limit
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import Script, at, clock
from xieban.agency import PARTIES
from xieban.marshal import moment

CASE = "A6201020000002026010009"
POLICE, PP, COURT = PARTIES
S20, S25 = "S20_prosecution_review", "S25_supplementary_investigation"
S30, S40, S50, S60 = "S30_court_intake", "S40_first_instance", "S50_appeal_window", "S60_second_instance"
MIDDLE = "620100"


class Story:
    """Messages with the moment at which each is published."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.told: list[tuple[str, Incoming]] = []

    def send(self, kind: str, sender: str, receiver: str, when: str, **more: object) -> str:
        """A handoff that arrives and is accepted at once."""
        eid = self.script.send(CASE, kind, sender, receiver, when, **more)  # type: ignore[arg-type]
        self.script.settle(eid, receiver, sender, when)
        self._tell(when)
        return eid

    def register(self, sender: str, when: str, *clocks: object, division: str = "620102") -> None:
        self.script.register(CASE, sender, when, *clocks, division=division)  # type: ignore[arg-type]
        self._tell(when)

    def _tell(self, when: str) -> None:
        self.told += [(when, message) for message in self.script.messages[len(self.told) :]]


def investigation(story: Story) -> None:
    def custody(effect: str, when: str, **more: object) -> object:
        return clock(effect, "inv_custody", when, person="P1", **more)  # type: ignore[arg-type]

    request = story.send(
        "arrest_request", POLICE, PP, "2026-01-08 10:00", acts=[("detained", "2026-01-02 18:00")],
        clocks=[
            clock(
                "extend", "detention_arrest_request", "2026-01-05 09:00",
                by="county_police_head", kind="add", days=4, person="P1",
            )
        ],
    )  # fmt: skip
    decision = story.send("arrest_decision", PP, POLICE, "2026-01-13 16:00", outcome="approved", re=[request])
    story.send(
        "arrest_execution_receipt", POLICE, PP, "2026-01-14 10:00", outcome="executed", re=[decision],
        acts=[("arrested", "2026-01-14 08:30")],
    )  # fmt: skip
    appraisal = {"event": "psychiatric_appraisal"}
    story.register(POLICE, "2026-02-02 17:00", custody("exclude", "2026-02-02 15:00", **appraisal))
    story.register(
        POLICE, "2026-02-12 17:00", custody("exclude", "2026-02-02 15:00", until="2026-02-12 10:00", **appraisal)
    )
    asked = story.send("custody_extension_request", POLICE, PP, "2026-03-03 09:00")
    story.send(
        "custody_extension_decision", PP, POLICE, "2026-03-10 09:00", outcome="approved", re=[asked],
        clocks=[custody("extend", "2026-03-10 08:30", by="upper_procuratorate", kind="add", months=1)],
    )  # fmt: skip
    story.send("prosecution_transfer", POLICE, PP, "2026-04-20 09:00")


def prosecution(story: Story) -> None:
    more = clock("extend", "prosecution_review", "2026-05-18 09:00", by="chief_procurator", kind="add", days=15)
    story.register(PP, "2026-05-18 09:00", more)
    first = story.send("return_supplementary_investigation", PP, POLICE, "2026-06-03 09:00", stage=S20)
    story.send("resubmission_after_supplement", POLICE, PP, "2026-07-01 09:00", stage=S25, re=[first])
    second = story.send("return_supplementary_investigation", PP, POLICE, "2026-07-30 09:00", stage=S20)
    story.send("resubmission_after_supplement", POLICE, PP, "2026-09-02 09:00", stage=S25, re=[second])


def trials(story: Story) -> None:
    indict = story.send(
        "public_prosecution", PP, COURT, "2026-09-28 09:00", stage=S20, acts=[("prosecuted", "2026-09-28 09:00")]
    )
    accepted = "2026-09-30 10:00"
    story.send(
        "court_intake_result", COURT, PP, accepted, stage=S30, outcome="accepted", re=[indict],
        acts=[("case_accepted", accepted)],
    )  # fmt: skip
    story.register(
        COURT, "2026-12-20 09:00",
        clock("extend", "first_instance", "2026-12-20 09:00", by="upper_court", kind="add", months=3),
    )  # fmt: skip
    story.register(
        COURT, "2027-01-20 09:00",
        clock("exclude", "first_instance", "2027-01-10 09:00", event="trial_suspended", until="2027-01-20 09:00"),
    )  # fmt: skip
    story.send(
        "judgment_service", COURT, PP, "2027-03-01 15:00", stage=S40, acts=[("judged", "2027-03-01 10:00")],
        clocks=[clock("start", "appeal_judgment", "2027-03-01 15:00", person="P1")],
    )  # fmt: skip
    story.send(
        "appeal_transfer", COURT, COURT, "2027-03-15 09:00", stage=S50, to_division=MIDDLE,
        clocks=[clock("stop", "appeal_judgment", "2027-03-08 10:00", person="P1")],
    )  # fmt: skip
    reading = clock(
        "exclude", "second_instance", "2027-03-20 09:00", event="procuratorate_file_review", until="2027-04-10 09:00"
    )
    story.register(COURT, "2027-04-10 17:00", reading, division=MIDDLE)
    story.send(
        "second_instance_judgment", COURT, PP, "2027-05-20 09:00", stage=S60, outcome="affirmed", division=MIDDLE,
        acts=[("second_instance_judged", "2027-05-20 09:00")],
    )  # fmt: skip


async def _live(gateway: Gateway, story: Story) -> None:
    """Deliver each message at its moment, and look at the limits as time passes."""
    for when, message in story.told:
        if at(when) > at("2026-01-05 09:00"):
            gateway.clock.advance(moment(max(at(when), int(gateway.clock.now().timestamp() * 1_000_000))))
        await gateway.watch.round()
        await gateway.take([message])
    await gateway.watch.round()


# Rule, due, safe due, and how it ended; worked out by hand from the articles.
EXPECTED = [
    ("detention_arrest_request", "2026-01-09", "2026-01-09T18:00:00+08:00", "met"),  # 3日 + 4日
    ("arrest_review_custody", "2026-01-15", "2026-01-15", "met"),  # 7日
    ("arrest_execution_receipt", "2026-01-17", "2026-01-17", "met"),  # 3日; a Saturday, he is held
    ("inv_custody", "2026-04-24", "2026-04-24", "met"),  # 2月 + 1月, 10日 excluded
    ("prosecution_review", "2026-06-04", "2026-06-04", "met"),  # 1月 + 15日
    ("supplementary_investigation", "2026-07-03", "2026-07-03", "met"),
    ("prosecution_review", "2026-08-01", "2026-08-01", "met"),  # a Saturday: nothing moves while he is held
    ("supplementary_investigation", "2026-08-30", "2026-08-30", "late"),
    ("prosecution_review", "2026-10-02", "2026-10-02", "met"),
    ("court_intake_review", "2026-10-05", "2026-10-05", "met"),
    ("first_instance", "2027-04-10", "", "met"),  # 3月 + 3月 from the last day of a month to the last, 10日 excluded
    ("judgment_service", "2027-03-06", "2027-03-06", "met"),  # 5日; a Saturday
    ("appeal_judgment", "2027-03-11", "2027-03-11", "met"),
    ("protest_judgment", "2027-03-11", "2027-03-11", "lapsed"),  # 10日 from the day after it was received
    ("second_instance", "2027-06-05", "2027-06-05", "met"),  # 2月, 21日 excluded
]  # fmt: skip


def _outcome(limit: Limit, safe: str) -> tuple[str, str, str, str]:
    return limit.rule, limit.due, limit.safe_due if safe else "", limit.state


async def test_a_case_from_detention_to_second_instance(gateway: Gateway) -> None:
    story = Story(gateway.script)
    investigation(story)
    prosecution(story)
    trials(story)
    await _live(gateway, story)
    timeline = await gateway.reading.timeline(CASE)
    found = [_outcome(limit, row[2]) for limit, row in zip(timeline.limits, EXPECTED, strict=True)]
    assert found == EXPECTED
    assert timeline.case.stage == "S70_effective"

    log = timeline.log
    assert [entry.detail for entry in log if entry.kind == "VIOLATION"] == []
    (overdue,) = [entry for entry in log if entry.kind == "OVERDUE"]
    assert overdue.detail == "supplementary_investigation"
    # Three rungs of the overdue limit, each once, before it ran out.
    told = [entry.detail for entry in log if entry.kind == "CLOCK_WARN" and entry.eid == overdue.eid]
    assert told == [f"supplementary_investigation:{rung}" for rung in ("d7", "d3", "d1")]
    told = [f"{entry.eid}{entry.detail}" for entry in log if entry.kind == "CLOCK_WARN"]
    lifted = [f"{entry.eid}{entry.detail}" for entry in log if entry.kind == "CLOCK_WARN_LIFTED"]
    assert {item: told.count(item) for item in told if told.count(item) > 1 + lifted.count(item)} == {}
    assert lifted

    custody = next(limit for limit in timeline.limits if limit.rule == "inv_custody")
    lines = [(line.touch.kind, line.touch.standing) for line in timeline.ledgers[custody.key]]
    assert lines == [
        ("start", "effective"), ("exclusion", "superseded"), ("exclusion", "effective"), ("extension", "effective"),
        ("stop", "effective"),
    ]  # fmt: skip
    derivation = "\n".join(timeline.derivations[custody.key])
    for words in ("执行逮捕之日", "精神病鉴定", "延长 1个月", "刑诉156", "期满：2026-04-24", "依据版本"):
        assert words in derivation
    assert (custody.consequence, custody.in_custody, custody.severity) == ("M1", True, 1)
    second = timeline.limits[-1]
    assert (second.bearer_agency, second.bearer_office) == (COURT, MIDDLE)

"""The dry run of limits: it says exactly what the watch then records, moment by moment, and records nothing itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from services.chassis.clock import SandboxClock
from services.gateway import reading
from services.gateway.forecast import Foreseen
from services.gateway.ladder import Ladder
from services.gateway.reading import Reading
from services.gateway.watch import Watch
from tests.e2e.city import NOW, WHOLE_ROAD, write_city
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import at, clock
from tests.services.gateway.test_clock_acts import CASE, review
from xieban.errors import InvalidInput, NotFound
from xieban.marshal import moment

END = "2027-06-10 10:00"
LOOK = "2026-06-20 00:00"


async def busy(gateway: Gateway) -> None:
    """A city in the middle of its work, with everything recorded that is due."""
    write_city(gateway.script)
    # A right that is nobody's duty to use: it lapses.
    gateway.script.register(
        "A6201020000002026040016", "court", "2026-06-08 09:00", clock("start", "appeal_judgment", "2026-06-08 09:00", person="P1")
    )  # fmt: skip
    await gateway.take()
    gateway.now_is(NOW)
    await gateway.watch.round()


async def foreseen(reading: Reading, *, until: str = END, case_id: str = "", size: int = 200) -> list[Foreseen]:
    found, token = await reading.forecast(until=at(until), case_id=case_id, size=size)
    while token:
        more, token = await reading.forecast(until=at(until), case_id=case_id, size=size, token=token)
        found += more
    return found


def said(found: list[Foreseen]) -> list[tuple[int, str, str, str, str]]:
    """As the log will have it: when, what, case, statement, rule with rung."""
    actions = [(one.due_at, one.action) for one in found]
    return [
        (due_at, a.kind, a.limit.case_id, a.limit.start_eid, f"{a.limit.rule}:{a.rung}".rstrip(":"))
        for due_at, a in actions
    ]


async def lived_through(gateway: Gateway, folder: Path, *, until: str, ladder: Ladder | None = None) -> list[object]:
    """What the log has more after the watch lived until then."""
    before = len(await gateway.log())
    clock = SandboxClock(folder / "clock", start=gateway.clock.now())
    quiet_for = gateway.ingest.quiet_for
    watch = Watch(gateway.database, clock=clock, quiet_for=quiet_for, ladder=ladder or Ladder())
    await watch.advance(clock, moment(at(until)))
    return [(e.recorded_at, e.kind, e.case_id, e.eid, e.detail) for e in (await gateway.log())[before:]]


def everything_in(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as opened:
        return list(opened.iterdump())


async def test_what_is_foreseen_is_what_the_watch_then_records_moment_by_moment(
    gateway: Gateway, tmp_path: Path
) -> None:
    await busy(gateway)
    found = said(await foreseen(gateway.reading))
    assert {kind for _, kind, *_ in found} == {"CLOCK_WARN", "OVERDUE", "CLOCK_LAPSED"}
    assert await lived_through(gateway, tmp_path, until=END) == found
    assert await foreseen(gateway.reading) == []


async def test_asking_records_nothing(gateway: Gateway, tmp_path: Path) -> None:
    await busy(gateway)
    before = everything_in(tmp_path / "gateway.db")
    assert await foreseen(gateway.reading)
    assert everything_in(tmp_path / "gateway.db") == before


async def test_pages_follow_one_another_without_gap_or_repetition(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy(gateway)
    whole = await foreseen(gateway.reading)
    monkeypatch.setattr(reading, "FORESEEN_AT_ONCE", 3)
    assert len(whole) > 20
    for size in (1, 2, 7, 200):
        assert await foreseen(gateway.reading, size=size) == whole


async def test_a_page_of_a_dry_run_is_the_same_after_some_of_it_has_come_true(gateway: Gateway) -> None:
    await busy(gateway)
    whole = await foreseen(gateway.reading)
    first, token = await gateway.reading.forecast(until=at(END), size=5)
    gateway.clock.advance(moment(first[1].due_at))
    assert await gateway.watch.round() < 5
    rest, _ = await gateway.reading.forecast(until=at(END), size=200, token=token)
    assert said([*first, *rest]) == said(whole)


async def test_a_dry_run_can_be_of_one_case_and_ends_where_it_is_told_to(gateway: Gateway) -> None:
    await busy(gateway)
    whole = await foreseen(gateway.reading)
    case = whole[0].action.limit.case_id
    assert await foreseen(gateway.reading, case_id=case) == [one for one in whole if one.action.limit.case_id == case]
    assert await foreseen(gateway.reading, until=LOOK) == [one for one in whole if one.due_at <= at(LOOK)]
    last = whole[-1].due_at
    assert (await gateway.reading.forecast(until=last, size=200))[0][-1] == whole[-1]
    assert whole[-1] not in (await gateway.reading.forecast(until=last - 1, size=200))[0]


async def test_a_case_that_is_over_has_nothing_coming_and_an_unknown_one_is_refused(gateway: Gateway) -> None:
    await busy(gateway)
    timeline = await gateway.reading.timeline(WHOLE_ROAD)
    open_rules = {limit.rule for limit in timeline.limits if limit.state == "running" and not limit.stopped}
    assert {one.action.limit.rule for one in await foreseen(gateway.reading, case_id=WHOLE_ROAD)} <= open_rules
    with pytest.raises(NotFound, match="XB-2009"):
        await gateway.reading.forecast(until=at(END), case_id="A6299")
    with pytest.raises(InvalidInput, match="XB-1001"):
        await gateway.reading.forecast(until=at(END), token="bm9uc2Vuc2U")


async def test_what_is_due_already_and_not_yet_recorded_is_foreseen_at_its_own_moment(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-10 09:00")
    kinds = [(one.due_at, one.action.kind) for one in await foreseen(gateway.reading, until="2026-04-10 09:00")]
    assert kinds[-1] == (at("2026-04-03 00:00"), "OVERDUE")
    assert [kind for _, kind in kinds] == ["CLOCK_WARN", "CLOCK_WARN", "OVERDUE"]
    assert await gateway.watch.round() == 3


@pytest.mark.parametrize("days", [(20, 1), (5,), (1,)])
async def test_other_days_the_operator_has_given_meanwhile_are_foreseen_as_they_will_be_fired(
    gateway: Gateway, tmp_path: Path, days: tuple[int, ...]
) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-03-03 09:00")
    other = Ladder({"prosecution_review": days})
    found = said(await foreseen(Reading(gateway.database, ladder=other)))
    assert len(found) == len(days) + 1
    assert await lived_through(gateway, tmp_path, until=END, ladder=other) == found


async def test_while_a_limit_stands_still_nothing_is_foreseen_of_it(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    assert len(await foreseen(gateway.reading)) == 3
    appraisal = clock("exclude", "prosecution_review", "2026-03-10 09:00", event="psychiatric_appraisal")
    gateway.script.register(CASE, "procuratorate", "2026-03-10 10:00", appraisal)
    await gateway.take(gateway.script.messages[-1:])
    assert await foreseen(gateway.reading) == []


async def test_the_log_is_read_page_by_page_to_its_end(gateway: Gateway) -> None:
    await busy(gateway)
    whole = await gateway.log()
    found = await gateway.reading.log(size=7)
    while more := await gateway.reading.log(after=found[-1].position, size=7):
        found += more
    assert found == whole

"""One node's clock goes back, or far ahead, and comes right again: what was ordered stays so, and what was told is not told twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from services.gateway import checkpoints
from tests.attacks.probes import asked_for_arrest, told_everything
from tests.system.rig import PATIENCE, PP, PS, City, whole_city
from tests.system.test_clock_commands import BROUGHT_BY_TIME, log, opened, operator
from tests.system.test_supervision import OVERDUE_AT
from tests.world import START
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason
from xieban.handoff import LATEST, State
from xieban.sandbox_client import SandboxCity

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
JUMPS = [
    pytest.param(-HOUR, id="an hour back"),
    pytest.param(-YEAR, id="a year back"),
    pytest.param(YEAR, id="a year ahead"),
]
BACK = JUMPS[:2]


@pytest.fixture(autouse=True)
def brisk() -> Iterator[None]:
    """Checkpoints come at once; nothing of their order changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "BUSY", 0.05)
        yield


@pytest_asyncio.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    async with whole_city(tmp_path, gateway=False) as running:
        yield running


async def put_clock(city: City, agency: Agency, when: datetime) -> None:
    """The node starts again and finds another time than it had."""
    file = city.home.node(agency) / "clock"
    if agency is Agency.GATEWAY:
        await city.stop_gateway()
        file.write_text(when.isoformat(), encoding="ascii")
        await city.start_gateway()
    else:
        await city.node(agency).stop()
        file.write_text(when.isoformat(), encoding="ascii")
        await city.node(agency).start()


async def handed_over(city: City, case: str) -> str:
    """A handoff from the police that the procuratorate has accepted, and everybody has heard of it."""
    sent = await city.police.send(city.draft("early_opinion_request", case=case, acts=()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.procuratorate.accept(sent.eid)
    await city.settle(city.police, sent.eid, State.ACCEPTED)
    await city.quiet()
    return str(sent.eid)


# --- witnesses


def cosignatures(city: City) -> dict[str, list[tuple[int, int]]]:
    """(size, POSIX seconds) of what each agency's witness has cosigned, in order of size."""
    found: dict[str, list[tuple[int, int]]] = {agency: [] for agency in PARTIES}
    with closing(opened(city)) as database:
        for row in database.execute("SELECT * FROM log_cosignature ORDER BY size, signed_at"):
            found[row["witness"].rpartition("/")[2]].append((row["size"], row["signed_at"]))
    return found


async def until_cosigned(city: City, *witnesses: Agency) -> None:
    """Until these have cosigned the log as it stands."""
    async with asyncio.timeout(PATIENCE):
        while True:
            size, found = len(log(city)), cosignatures(city)
            if all(found[one] and found[one][-1][0] == size for one in witnesses):
                return
            await asyncio.sleep(0.02)  # cosignatures come from other nodes


@pytest.mark.parametrize("jump", BACK)
async def test_a_witness_whose_clock_went_back_cosigns_nothing_until_it_has_caught_up(
    city: City, jump: timedelta
) -> None:
    await city.start_gateway()
    case = city.new_case()
    await handed_over(city, case)
    await until_cosigned(city, *PARTIES)
    size = cosignatures(city)[PS][-1][0]

    await put_clock(city, PS, START + jump)
    await handed_over(city, case)
    await until_cosigned(city, *(one for one in PARTIES if one is not PS))
    assert cosignatures(city)[PS][-1][0] == size

    await put_clock(city, PS, START)
    await until_cosigned(city, *PARTIES)
    for told in cosignatures(city).values():
        assert [at for _, at in told] == sorted(at for _, at in told)


# --- lanes and receipts


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("agency", [PS, PP])
async def test_a_lane_goes_on_in_its_order_and_receipts_climb_whatever_time_its_ends_think_it_is(
    city: City, agency: Agency, jump: timedelta
) -> None:
    await city.start_gateway()
    case = city.new_case()
    eids = [await handed_over(city, case)]
    await put_clock(city, agency, START + jump)
    eids.append(await handed_over(city, case))
    await put_clock(city, agency, START)
    eids.append(await handed_over(city, case))
    findings = await city.settled(case)
    assert findings.clean, str(findings)
    views, _ = await city.procuratorate.list(case_id=case)
    assert [(view.lane_seq, view.eid, view.state) for view in views] == [
        (place, eids[place - 1], State.ACCEPTED) for place in (3, 2, 1)
    ]
    told = Counter((line["kind"], line["eid"]) for line in log(city))
    for eid in eids:
        assert [told[kind, eid] for kind in ("LODGED", "DELIVERED", "COMPLETE", "ACCEPTED")] == [1, 1, 1, 1]
    assert [line["eid"] for line in log(city) if line["kind"] == "LODGED"] == eids


async def test_a_limit_runs_from_the_moment_the_receiver_states_and_not_from_a_header_from_the_future(
    city: City,
) -> None:
    await put_clock(city, PS, START + YEAR)
    case = await asked_for_arrest(city)
    with closing(opened(city)) as database:
        rows = database.execute(
            "SELECT due FROM limit_clock WHERE case_id = ? AND rule = 'arrest_review_custody'", (case,)
        )
        assert [row["due"] for row in rows] == ["2026-03-09"]


async def test_a_header_beyond_every_calendar_is_refused(city: City) -> None:
    sealed = await city.say_header(city.header(sent_at=LATEST))
    assert await city.reject_heard(PS, sealed.eid) == [Reason.PAYLOAD_NOT_CANONICAL.name]
    last = await city.say_header(city.header(sent_at=LATEST - 1))
    await city.quiet_bus()
    assert city.rows(PP, "SELECT state FROM handoff WHERE eid = ?", last.eid) == [{"state": "delivered"}]


# --- limits


def brought_by_time(city: City) -> Counter[str]:
    return Counter(f"{line['kind']} {line['detail']}" for line in log(city) if line["kind"] in BROUGHT_BY_TIME)


def lifted(city: City) -> list[str]:
    return [line["detail"] for line in log(city) if line["kind"] == "OVERDUE_LIFTED"]


def notices(city: City, case: str) -> list[str]:
    return [
        row["occasion"] for row in city.rows(PP, "SELECT occasion FROM notice WHERE case_id = ? ORDER BY seq", case)
    ]


@pytest.mark.parametrize("jump", BACK)
async def test_a_gateway_whose_clock_went_back_takes_no_breach_back_and_tells_none_twice(
    city: City, jump: timedelta
) -> None:
    case = await asked_for_arrest(city)
    async with SandboxCity.open(operator(city)) as clocks:
        await clocks.move(OVERDUE_AT)
        await told_everything(city)
        before, told = brought_by_time(city), notices(city, case)
        assert before["OVERDUE arrest_review_custody"] == 1
        assert set(before.values()) == {1}

        await put_clock(city, Agency.GATEWAY, OVERDUE_AT + jump)
        await handed_over(city, case)
        assert lifted(city) == []
        await clocks.move(OVERDUE_AT + HOUR)
        await handed_over(city, case)
    await told_everything(city)
    assert lifted(city) == []
    assert brought_by_time(city) == before
    assert notices(city, case) == told
    with closing(opened(city)) as database:
        assert [row["state"] for row in database.execute("SELECT state FROM supervision")] == ["drafted"]


async def test_a_breach_that_only_a_clock_far_ahead_has_brought_is_lifted_by_the_act_that_came_in_time(
    city: City,
) -> None:
    case = await asked_for_arrest(city)
    await put_clock(city, Agency.GATEWAY, START + YEAR)
    async with asyncio.timeout(PATIENCE):
        while not brought_by_time(city)["OVERDUE arrest_review_custody"]:
            await asyncio.sleep(0.02)  # the watch looks when it has started
    await put_clock(city, Agency.GATEWAY, START)
    asked = city.rows(PP, "SELECT eid FROM handoff WHERE case_id = ? AND box = 'in'", case)[0]["eid"]
    draft = city.draft("arrest_decision", case=case, sender=PP, receiver=PS, outcome="approved", acts=())
    decided = await city.procuratorate.answer(asked, draft)
    await city.arrive(city.police, decided.eid)
    await city.quiet_bus()
    assert lifted(city) == ["arrest_review_custody"]
    with closing(opened(city)) as database:
        rows = database.execute(
            "SELECT state FROM limit_clock WHERE case_id = ? AND rule = 'arrest_review_custody'", (case,)
        )
        assert [row["state"] for row in rows] == ["met"]

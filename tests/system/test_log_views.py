"""What each header says of the log: two histories are found out at the first handoff between those who were shown them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.admin.fsck import check
from services.admin.node import node_of
from services.agency import log_views
from services.agency.log_views import LogViews, Told
from services.gateway import checkpoints
from tests.library.test_cli import xieban
from tests.system.rig import PP, PS, City, main_road, whole_city
from tests.system.test_reconcile import harm
from tests.system.two_faced import TwoFaced, two_faced
from xieban import canonical
from xieban.agency import Agency
from xieban.handoff import Header, LogView
from xieban.proof import note
from xieban.reconcile import LogDispute
from xieban.reconcile_client import ReconcileClient
from xieban.trust import parse, policy
from xieban.views import HandoffView

PATIENCE = 30.0
REFUSED = "SELECT size, root, note, against, eid, agency FROM witness_refusal"


@pytest.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """A city without its gateway: a test puts another in its place."""
    monkeypatch.setattr(log_views, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(log_views, "LONGEST_PAUSE", 0.1)
    async with whole_city(tmp_path, gateway=False) as running:
        yield running


class Alarms(logging.Handler):
    """What the module under test has logged as critical."""

    def __init__(self) -> None:
        super().__init__(logging.CRITICAL)
        self.heard: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.__dict__)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> Alarms:
    handler = Alarms()
    monkeypatch.setattr(log_views.log, "handlers", [handler])
    return handler


async def handed_over(city: City) -> HandoffView:
    """From the police to the procuratorate, with everything that belongs to it."""
    sent: HandoffView = await city.police.send(city.draft("early_opinion_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.quiet_bus()
    return sent


async def until(holds: Callable[[], Any]) -> Any:
    """The first true answer; the node's own commit has no event outside of it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := holds()):
            await asyncio.sleep(0.02)
    return found


async def disputes(city: City, agency: Agency) -> tuple[tuple[LogDispute, ...], int]:
    """As the agency's own system is told."""
    async with ReconcileClient.open(city.home.client(str(agency))) as client:
        return await client.disputes()


async def settled(city: City, agency: Agency) -> tuple[LogDispute, ...]:
    """The disputes once no view waits any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found, waiting = await disputes(city, agency)
            if not waiting:
                return found
            await asyncio.sleep(0.02)


async def noted(city: City, agency: Agency) -> tuple[LogDispute, ...]:
    """The disputes once there are any."""
    async with asyncio.timeout(PATIENCE):
        while not (found := (await disputes(city, agency))[0]):
            await asyncio.sleep(0.02)
    return found


def view_in(city: City, agency: Agency, eid: str) -> LogView | None:
    return canonical.read(city.sealed(agency, eid).payload, Header).log


async def split(city: City, gateway: TwoFaced, *, police: int, procuratorate: int) -> None:
    """Police and procuratorate are shown so many entries each that the other is not."""
    await gateway.grow(PS, police)
    await gateway.grow(PP, procuratorate)
    assert await gateway.show(PS)
    assert await gateway.show(PP)
    assert city.rows(PS, REFUSED) == city.rows(PP, REFUSED) == [], "no witness sees anything wrong by itself"


@pytest.mark.parametrize(("police", "procuratorate"), [(3, 3), (3, 20), (1, 130)])
async def test_two_histories_are_found_out_at_the_first_handoff_between_those_who_were_shown_them(
    city: City, alarms: Alarms, police: int, procuratorate: int
) -> None:
    async with two_faced(city, common=10) as gateway:
        await split(city, gateway, police=police, procuratorate=procuratorate)
        sent = await handed_over(city)
        (row,) = await until(lambda: city.rows(PP, REFUSED))
        assert (row["eid"], row["agency"]) == (sent.eid, "police")
        assert (row["size"], row["against"]) == (10 + police, 10 + procuratorate)
        value = parse((city.home.folder / "trust.json").read_bytes(), pins=None).last.value
        key = policy(value, at=value.index).log
        held = city.rows(PP, "SELECT note FROM witness_checkpoint WHERE size = ?", row["against"])
        for signed in (row["note"], held[0]["note"]):
            assert list(note.parse(signed).verify([key])) == [key], "the log's own signature is on both histories"
        (found,) = await settled(city, PP)
        assert found.is_signed
        assert (found.eid, found.sender, found.size, found.own_size) == (
            sent.eid, "police", 10 + police, 10 + procuratorate,
        )  # fmt: skip
        assert [(one["handoff"], one["agency"]) for one in alarms.heard] == [(sent.eid, "police")]


async def test_without_the_comparison_two_histories_go_on_unnoticed(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the same story with the comparison taken away."""

    async def look_away(self: LogViews, told: list[Told]) -> None:
        return None

    monkeypatch.setattr(LogViews, "take", look_away)
    await city.node(PP).restart()
    async with two_faced(city, common=10) as gateway:
        await split(city, gateway, police=3, procuratorate=3)
        await handed_over(city)
        await gateway.grow(PS, 5)
        await gateway.grow(PP, 5)
        assert await gateway.show(PS)
        assert await gateway.show(PP)
        assert await disputes(city, PP) == ((), 0)
        assert city.rows(PP, REFUSED) == []


async def test_after_a_fork_was_proven_nothing_is_cosigned_any_more_and_cases_go_on(city: City) -> None:
    async with two_faced(city, common=10) as gateway:
        await split(city, gateway, police=3, procuratorate=3)
        first = await handed_over(city)
        await until(lambda: city.rows(PP, REFUSED))
        await gateway.grow(PP, 5)
        assert not await gateway.show(PP)
        assert await gateway.noted(PP) == ["xieban.lanzhou/procuratorate"], "the gateway has heard of the refusal"
        await city.node(PP).restart()
        await gateway.grow(PP, 1)
        assert not await gateway.show(PP)
        await handed_over(city)
        assert len(city.rows(PP, REFUSED)) == 1
        answer = city.draft("early_opinion", case=first.case_id, sender=PP, receiver=PS, acts=())
        back = await city.procuratorate.answer(first.eid, answer)
        told = view_in(city, PP, back.eid)
        assert told is not None
        assert told.size == 13, "it goes on telling what it has seen"
        await city.arrive(city.police, back.eid)
        (row,) = await until(lambda: city.rows(PS, REFUSED))
        assert (row["eid"], row["agency"]) == (back.eid, "procuratorate"), "so the other side hears of it too"


async def test_an_operator_and_fsck_are_shown_the_fork_and_fsck_finds_another_author_in_it(city: City) -> None:
    async with two_faced(city, common=10) as gateway:
        await split(city, gateway, police=3, procuratorate=3)
        sent = await handed_over(city)
        await until(lambda: city.rows(PP, REFUSED))
        shown = await xieban("log", "status", profile=city.home.client("procuratorate"))
        assert shown.code == 0, shown.err
        assert "两种历史" in shown.out
        assert sent.eid in shown.out
        told = await xieban("log", "status", "--json", profile=city.home.client("procuratorate"))
        assert [one["eid"] for one in told.json["disputes"]] == [sent.eid]
        node = node_of(city.home.node(PP) / "config.toml")
        assert check.node(node, tick=lambda *_: None).findings == []
        await city.node(PP).stop()
        assert harm(city, PP, "UPDATE witness_refusal SET agency = 'court'") == 1
        assert "witness_refusal" in {one.table for one in check.node(node, tick=lambda *_: None).findings}


async def test_fsck_lays_every_column_of_a_view_beside_the_header_that_told_of_it(city: City) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PS)
        await handed_over(city)  # ahead of the receiver: it waits
        await city.say_header(city.header(log=LogView(size=10, root="ab" * 32, sig="A" * 91 + "=")))
        await noted(city, PP)
        await city.node(PP).stop()
    node = node_of(city.home.node(PP) / "config.toml")
    assert check.node(node, tick=lambda *_: None).findings == []
    for change, back in (
        ("size = size + 1", "size = size - 1"),
        ("root = upper(root)", "root = lower(root)"),
        ("sig = 'x' || sig", "sig = substr(sig, 2)"),
        ("agency = 'x' || agency", "agency = substr(agency, 2)"),
        ("eid = upper(eid)", "eid = lower(eid)"),
        ("is_signed = 1 - is_signed", "is_signed = 1 - is_signed"),
    ):
        assert harm(city, PP, f"UPDATE log_view SET {change}") == 2
        named = [one.table for one in check.node(node, tick=lambda *_: None).findings]
        assert named.count("log_view") >= 2, change
        assert harm(city, PP, f"UPDATE log_view SET {back}") == 2
    assert check.node(node, tick=lambda *_: None).findings == []


async def test_equal_views_cost_no_call_to_the_gateway(city: City) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PS)
        assert await gateway.show(PP)
        first = await handed_over(city)
        assert view_in(city, PS, first.eid) == view_in(city, PP, first.eid) is not None
        await gateway.grow(PP, 3)
        assert await gateway.show(PP)
        await handed_over(city)  # the sender is behind, but the receiver has cosigned that very tree
        assert await settled(city, PP) == ()
        assert gateway.asked == []


async def test_a_view_ahead_of_the_receivers_own_is_settled_when_it_catches_up_even_after_a_restart(city: City) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PS)
        await handed_over(city)
        assert await disputes(city, PP) == ((), 1)
        await city.node(PP).restart()
        assert await disputes(city, PP) == ((), 1)
        assert gateway.asked == []
        await gateway.grow(PP, 7)
        assert await gateway.show(PP)
        assert await settled(city, PP) == ()
        assert gateway.asked == [PP]
        await gateway.grow(PP, 1)
        assert await gateway.show(PP)


async def test_a_view_ahead_that_is_of_another_history_is_found_when_the_receiver_catches_up(city: City) -> None:
    async with two_faced(city, common=10) as gateway:
        await gateway.grow(PS, 3)
        assert await gateway.show(PS)
        assert await gateway.show(PP)
        sent = await handed_over(city)
        assert await disputes(city, PP) == ((), 1)
        await gateway.grow(PP, 9)
        assert await gateway.show(PP)
        (found,) = await settled(city, PP)
        assert (found.eid, found.size, found.own_size, found.is_signed) == (sent.eid, 13, 19, True)
        await gateway.grow(PP, 1)
        assert not await gateway.show(PP)


async def test_a_gateway_that_withholds_the_proof_is_asked_again_and_not_convicted(city: City) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        gateway.silent = True
        assert await gateway.show(PS)
        await gateway.grow(PP, 7)
        assert await gateway.show(PP)
        await handed_over(city)
        await until(lambda: len(gateway.asked) > 2)
        assert await disputes(city, PP) == ((), 1)
        await gateway.grow(PP, 1)
        assert await gateway.show(PP)
        gateway.silent = False
        assert await settled(city, PP) == ()


@pytest.mark.parametrize("part", ["whole", "root", "size"])
async def test_an_invented_view_names_its_sender_and_does_not_stop_the_cosigning(city: City, part: str) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PS)
        assert await gateway.show(PP)
        true = view_in(city, PS, (await handed_over(city)).eid)
        assert true is not None
        made_up = {
            "whole": LogView(size=10, root="ab" * 32, sig="A" * 91 + "="),
            "root": LogView(size=10, root="ab" * 32, sig=true.sig),
            "size": LogView(size=11, root=true.root, sig=true.sig),
        }[part]
        sealed = await city.say_header(city.header(log=made_up))
        (found,) = await noted(city, PP)
        assert (found.eid, found.sender, found.is_signed) == (sealed.eid, "police", False)
        assert (found.size, found.root) == (made_up.size, made_up.root)
        await gateway.grow(PP, 1)
        assert await gateway.show(PP)
        assert city.rows(PP, REFUSED) == []
        assert gateway.asked == []
        shown = await xieban("log", "status", profile=city.home.client("procuratorate"))
        assert "没有日志签名" in shown.out


async def test_a_header_without_a_view_is_taken_as_before(city: City) -> None:
    sent = await handed_over(city)
    assert view_in(city, PP, sent.eid) is None, "the witness of its sender had cosigned nothing yet"
    assert await disputes(city, PP) == ((), 0)
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PP)
        assert view_in(city, PP, (await handed_over(city)).eid) is None
        assert await disputes(city, PP) == ((), 0)


async def test_a_header_that_is_full_goes_without_a_view_and_a_case_does_not_wait(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_faced(city, common=10, honest=True) as gateway:
        assert await gateway.show(PS)
        first = await handed_over(city)
        assert view_in(city, PS, first.eid) is not None
        monkeypatch.setattr(canonical, "MAX_PAYLOAD", len(city.sealed(PS, first.eid).payload) - 50)
        assert view_in(city, PP, (await handed_over(city)).eid) is None


async def test_in_a_sound_city_headers_tell_what_their_senders_witness_cosigned_and_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "BUSY", 0.05)
    async with whole_city(tmp_path) as city:
        for _ in range(2):
            await main_road(city, city.new_case())
        await city.quiet()
        told = 0
        for agency in (PS, PP):
            for row in city.rows(agency, "SELECT eid FROM handoff WHERE box = 'out'"):
                view = view_in(city, agency, row["eid"])
                if view is not None:
                    told += 1
                    kept = city.rows(agency, "SELECT root FROM witness_checkpoint WHERE size = ?", view.size)
                    assert kept[0]["root"].hex() == view.root
            assert await settled(city, agency) == ()
        assert told > 0

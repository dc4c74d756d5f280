"""Notices and supervisions at the gateway alone: in one transaction with what they tell, once, and none without an office to tell."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.chassis import faults
from services.chassis.config import read
from services.gateway.clocks import Action, Limit
from services.gateway.recalculate import retarget
from services.gateway.supervision.desk import Desk
from services.gateway.supervision.orders import Orders
from services.gateway.supervision.steps import Rules, checked, drafted
from services.gateway.supervision.store import Store
from services.gateway.targets import Target
from services.gateway.web.app import pages
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import at, clock, incoming
from tests.services.gateway.test_clock_acts import CASE, PP, fifteen_days, only, review
from tests.services.gateway.test_warnings import Crash, crash
from xieban import canonical, subjects
from xieban.agency import city
from xieban.errors import XiebanError
from xieban.handoff import Node, Party
from xieban.marshal import sealed_from_bytes, sealed_to_bytes
from xieban.notice import SCOPE, Notice, Reply
from xieban.statement import seal_reply
from xieban.supervision import Act, Cause, Dropped, Measure, State, Terms
from xieban.timelimits import Calendar

OFFICER = "ZF0012"


async def breached(gateway: Gateway, *, now: str = "2026-04-05 09:00") -> str:
    """A prosecution review that ran out on 3 April; the number of its draft."""
    review(gateway.script)
    await gateway.take()
    gateway.now_is(now)
    await gateway.watch.round()
    (matter,), _ = await gateway.supervisions.page()
    return matter.supervision.id


def reply(gateway: Gateway, id: str, of: str, act: str, *, number: int) -> str:
    """A reply of the procuratorate, put behind the script's messages; its eid."""
    more: dict[str, object] = {
        "cause": Cause.WORKLOAD,
        "measures": [Measure.EXPEDITE],
        "expected": "2026-04-12",
        "text": "案件较多",
    }
    bare: dict[str, object] = {"cause": None, "measures": [], "expected": "", "text": ""}
    value = Reply(
        v=1, id=f"{number:024x}", sender=Party("lanzhou", PP, "620102"), receiver=Node("lanzhou", "gateway"), inc=1,
        at=at("2026-04-07 10:00"), of=of, supervision=id, act=act, by="620102A7", scope=SCOPE, **(more if act == "explain" else bare),  # type: ignore[arg-type]
    )  # fmt: skip
    sealed = seal_reply(value, gateway.script.keys[PP])
    gateway.script.messages.append(incoming(subjects.reply("lanzhou", PP), sealed_to_bytes(sealed), number))
    return sealed.eid


async def acts(gateway: Gateway, id: str) -> list[Act]:
    return [line.step.act for line in (await gateway.supervisions.one(id)).steps]


async def recorded_and_not_told(gateway: Gateway) -> None:
    """A prosecution review that ends on 2 April: both its warnings are in the log, and the gateway dies before it tells anybody."""
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    faults.arm("G1", hits=2, action=crash)
    with pytest.raises(Crash):
        await gateway.watch.round()
    assert [row["rung"] for row in await gateway.rows("SELECT rung FROM untold ORDER BY position")] == ["yellow", "red"]
    assert await gateway.rows("SELECT 1 FROM notice") == []


async def test_a_warning_is_one_transaction_with_its_debt_and_log_entry_and_its_notice_another_with_its_own(
    gateway: Gateway,
) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    faults.arm("G1", action=crash)
    with pytest.raises(Crash):
        await gateway.watch.round()
    for table in ("limit_rung", "untold"):
        assert await gateway.rows(f"SELECT 1 FROM {table}") == []
    faults.arm("G1", hits=2, action=crash)
    with pytest.raises(Crash):
        await gateway.watch.round()
    for table in ("notice", "outbox"):
        assert await gateway.rows(f"SELECT 1 FROM {table}") == []
    assert len(await gateway.rows("SELECT 1 FROM limit_rung")) == len(await gateway.rows("SELECT 1 FROM untold")) == 2
    assert await gateway.said() == []
    await gateway.watch.round()
    assert await gateway.rows("SELECT 1 FROM untold") == []
    assert await gateway.said() == ["NOTICE prosecution_review:yellow", "NOTICE prosecution_review:red"]
    rows = await gateway.rows(
        "SELECT n.rung, n.due, o.audience, o.done, s.sealed, s.agency FROM notice n JOIN outbox o ON o.eid = n.eid "
        "JOIN statement s ON s.eid = n.eid ORDER BY o.position"
    )
    assert [(r["rung"], r["due"], r["audience"], r["done"], r["agency"]) for r in rows] == [
        ("yellow", "2026-04-02", PP, 0, "gateway"), ("red", "2026-04-02", PP, 0, "gateway"),
    ]  # fmt: skip
    said = canonical.read(sealed_from_bytes(rows[0]["sealed"]).payload, Notice)
    assert (said.scope, said.basis.article, said.receiver.office, said.case) == (
        SCOPE,
        "刑诉172; 检规351",
        "620102",
        CASE,
    )


async def test_a_notice_tells_what_stood_when_it_was_recorded_though_an_extension_came_before_it_was_sealed(
    gateway: Gateway,
) -> None:
    await recorded_and_not_told(gateway)
    gateway.script.register(CASE, PP, "2026-04-02 10:00", fifteen_days("2026-04-02 10:00"))
    await gateway.take(gateway.script.messages[-1:])
    told = await gateway.rows("SELECT rung, due FROM notice ORDER BY rung DESC")
    assert [(row["rung"], row["due"]) for row in told] == [("yellow", "2026-04-02"), ("red", "2026-04-02")]
    kinds = [entry.kind for entry in await gateway.log()]
    assert kinds.index("NOTICE") < kinds.index("CLOCK_WARN_LIFTED")
    await gateway.watch.round()
    assert len(await gateway.rows("SELECT 1 FROM notice")) == 2


async def test_what_is_heard_of_one_case_tells_nothing_of_another(gateway: Gateway) -> None:
    await recorded_and_not_told(gateway)
    other = CASE[:-1] + ("8" if CASE[-1] != "8" else "9")
    gateway.script.send(other, "prosecution_transfer", "police", PP, "2026-04-02 09:00")
    await gateway.take(gateway.script.messages[-1:])
    assert await gateway.rows("SELECT 1 FROM notice") == []


async def test_a_notice_given_twice_for_one_rung_and_date_would_break_the_transaction(gateway: Gateway) -> None:
    await breached(gateway)
    with pytest.raises(sqlite3.IntegrityError):
        await gateway.run(
            "INSERT INTO notice SELECT (SELECT eid FROM statement WHERE type = 'header' LIMIT 1), case_id, name, start_eid, "
            "person, occasion, rung, due, sent_at FROM notice LIMIT 1"
        )


async def test_notices_and_steps_once_written_cannot_be_changed_or_removed(gateway: Gateway) -> None:
    await breached(gateway)
    for sql in (
        "UPDATE notice SET due = '2027-01-01'", "DELETE FROM notice", "UPDATE supervision_step SET by = 'X9'",
        "DELETE FROM supervision_step",
    ):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError):
            await gateway.run(sql)


async def test_a_date_that_moves_is_warned_of_anew_and_each_date_once(gateway: Gateway) -> None:
    review(gateway.script)
    await gateway.take()
    gateway.now_is("2026-04-02 09:00")
    await gateway.watch.round()
    gateway.script.register(CASE, PP, "2026-04-02 10:00", fifteen_days("2026-04-02 10:00"))
    await gateway.take(gateway.script.messages[-1:])
    gateway.now_is("2026-04-17 09:00")
    await gateway.watch.round()
    told = await gateway.rows("SELECT rung, due FROM notice ORDER BY sent_at, rung DESC")
    assert [(row["rung"], row["due"]) for row in told] == [
        ("yellow", "2026-04-02"), ("red", "2026-04-02"), ("yellow", "2026-04-17"), ("red", "2026-04-17"),
    ]  # fmt: skip


async def test_a_breach_that_is_lifted_and_stands_again_goes_on_with_the_same_supervision_and_is_told_once(
    gateway: Gateway,
) -> None:
    """The stop came late, and then its statement turned out to have been withdrawn."""
    id = await breached(gateway)
    await gateway.orders.give(id, Act.ISSUE, by=OFFICER)
    stop = gateway.script.register(
        CASE, PP, "2026-04-05 09:00", clock("stop", "prosecution_review", "2026-04-01 16:00")
    )
    await gateway.take(gateway.script.messages[-1:])
    lifted = await gateway.supervisions.one(id)
    assert (lifted.supervision.lifted, lifted.limit_state, lifted.is_reply_over(at("2026-06-01 09:00"))) == (
        True,
        "met",
        False,
    )
    await gateway.run(f"DELETE FROM receipt_fact WHERE of_eid = '{stop}'")
    await gateway.run(f"DELETE FROM handoff WHERE eid = '{stop}'")
    gateway.script.send(
        CASE, "evidence_supply_request", PP, "police", "2026-04-06 09:00", stage="S20_prosecution_review"
    )
    await gateway.take(gateway.script.messages[-1:])
    await gateway.watch.round()
    assert await acts(gateway, id) == [Act.DRAFT, Act.ISSUE, Act.LIFT, Act.RESTORE]
    assert (await gateway.supervisions.one(id)).supervision.reply_by == "2026-04-09"
    assert (await gateway.said()).count("NOTICE prosecution_review:overdue") == 1
    assert await gateway.supervisions.counts() == {State.ISSUED: 1}


async def test_a_limit_that_was_over_before_it_was_heard_of_is_told_and_drafted_like_any_other(
    gateway: Gateway,
) -> None:
    sent = gateway.script.send(CASE, "prosecution_transfer", "police", PP, "2026-01-05 09:00")
    gateway.script.settle(sent, PP, "police", "2026-01-05 09:10")
    gateway.script.send(
        CASE, "nonprosecution_decision", PP, "police", "2026-02-20 17:00", stage="S20_prosecution_review"
    )
    await gateway.take()
    (matter,), _ = await gateway.supervisions.page()
    assert (matter.limit_state, matter.days_over(at("2026-06-01 00:00"))) == ("late", 15)
    assert await gateway.said() == ["NOTICE prosecution_review:overdue", f"SUPERVISION {matter.supervision.id}:drafted"]


async def test_a_limit_that_no_office_of_the_city_bears_tells_nobody(gateway: Gateway) -> None:
    id = await breached(gateway)
    (before,) = await gateway.rows("SELECT COUNT(*) AS n FROM notice")
    limit = await only(gateway, "prosecution_review")
    desk = gateway.watch._desk
    assert desk is not None

    def told(bearer: tuple[str, str]) -> bool:
        borne = replace(limit, bearer_agency=bearer[0], bearer_office=bearer[1])
        return desk._is_told(Action("CLOCK_WARN", borne, 0, "yellow"))

    assert [told(b) for b in ((PP, "620102"), ("", ""), ("gateway", "620100"), ("court", "620302"))] == [
        True,
        False,
        False,
        False,
    ]
    assert (id, before["n"]) == ("2026-1", 3)


async def test_replies_that_overtake_one_another_end_where_they_would_in_order(gateway: Gateway) -> None:
    id = await breached(gateway)
    await gateway.orders.give(id, Act.ISSUE, by=OFFICER)
    of = (await gateway.supervisions.one(id)).supervision.demanded
    signed = reply(gateway, id, of, "acknowledge", number=901)
    explained = reply(gateway, id, of, "explain", number=902)
    second, first = gateway.script.messages[-1], gateway.script.messages[-2]
    await gateway.take([second, first, second])
    matter = await gateway.supervisions.one(id)
    assert matter.supervision.state is State.EXPLAINED
    assert [line.step.eid for line in matter.steps[2:]] == [explained, signed]
    assert matter.explained is not None
    assert matter.supervision.reply_by == ""


async def test_an_explanation_that_crosses_an_escalation_by_time_is_taken(gateway: Gateway) -> None:
    id = await breached(gateway)
    await gateway.orders.give(id, Act.ISSUE, by=OFFICER)
    of = (await gateway.supervisions.one(id)).supervision.demanded
    gateway.now_is("2026-04-10 09:00")
    await gateway.watch.round()
    assert (await gateway.supervisions.one(id)).supervision.state is State.ESCALATED
    reply(gateway, id, of, "acknowledge", number=901)
    reply(gateway, id, of, "explain", number=902)
    await gateway.take(gateway.script.messages[-2:-1])
    assert (
        await gateway.supervisions.one(id)
    ).supervision.state is State.ESCALATED  # signed for what is no longer asked
    await gateway.take(gateway.script.messages[-1:])
    assert (await gateway.supervisions.one(id)).supervision.state is State.EXPLAINED


async def test_a_reply_after_the_end_is_logged_with_the_number_of_its_reason_and_moves_nothing(
    gateway: Gateway,
) -> None:
    id = await breached(gateway)
    await gateway.orders.give(id, Act.DISCARD, by=OFFICER, reason=Dropped.OTHER_WAY)
    reply(gateway, id, "ab" * 32, "acknowledge", number=901)
    await gateway.take(gateway.script.messages[-1:])
    assert (await gateway.said())[-1] == f"REPLY {id}:acknowledge:XB-7003"
    assert await acts(gateway, id) == [Act.DRAFT, Act.DISCARD]


async def test_the_page_of_supervisions_goes_on_where_it_stopped_with_those_that_wait_first(gateway: Gateway) -> None:
    await breached(gateway)
    limit = await only(gateway, "prosecution_review")

    def more(count: int, severity: int) -> Limit:
        return replace(limit, case_id=f"A62010200000020260{count:05d}", severity=severity)

    rules = Rules(Terms(), Calendar.published())
    made = [drafted(more(n, 1 + n % 3), id=f"2026-{n}", now=limit.overdue_from) for n in range(2, 8)]
    closed = [replace(one, state=State.CLOSED) if one.id in ("2026-2", "2026-3") else one for one in made]
    await gateway.database.write(lambda tx: Store(tx).put({one.id: (one, rules.next_at(one)) for one in closed}))
    whole, _ = await gateway.supervisions.page()
    assert [m.supervision.id for m in whole][-2:] == ["2026-3", "2026-2"]
    assert [m.supervision.severity for m in whole][:5] == sorted(m.supervision.severity for m in whole[:5])
    found, token = [], ""
    while True:
        page, token = await gateway.supervisions.page(size=2, token=token)
        found += [m.supervision.id for m in page]
        if not token:
            break
    assert found == [m.supervision.id for m in whole]


async def test_the_pages_show_a_supervision_its_steps_and_the_sentence(gateway: Gateway) -> None:
    id = await breached(gateway)
    await gateway.orders.give(id, Act.ISSUE, by=OFFICER, remark="请说明<b>超期</b>原因")
    app = pages(
        gateway.reading,
        gateway.supervisions,
        look=gateway.lookups.timeline,
        city=city("lanzhou"),
        clock=gateway.clock,
        sandbox=True,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://pages") as browser:
        listed, case = (
            (await browser.get("/supervisions")).text,
            (await browser.get(f"/cases/{CASE}?purpose=routine")).text,
        )
    for text in (listed, case):
        assert SCOPE in text
        assert "督办〔2026〕1号" in text
        assert "已发出" in text
    assert "超期 3 天，仍未办结" in listed
    assert "请说明&lt;b&gt;超期&lt;/b&gt;原因" in case
    assert "ZF0012" in case
    assert "待送达" in case
    assert f'id="supervision-{id}"' in case
    assert "督办〔2026〕1号 督办发出" in case


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reply_days": 0}, "reply_days"),
        ({"reply_days": 31}, "reply_days"),
        ({"remind_days": 3}, "remind_days"),
        ({"levels": []}, "levels"),
        ({"levels": [""]}, "levels"),
        ({"levels": ["经办机关 "]}, "levels"),
        ({"levels": ["级" * 25]}, "levels"),
        ({"reply_day": 5}, "reply_days"),
    ],
)
def test_the_operators_terms_are_checked_before_anything_starts(settings: dict[str, object], words: str) -> None:
    with pytest.raises(XiebanError, match=words):
        checked(read(settings, Terms, file=Path("gateway.toml")))
    assert checked(read({"reply_days": 5, "levels": ["承办单位"]}, Terms, file=Path("g"))).levels == ("承办单位",)


TARGET = Target(
    name="立即执行逮捕",
    article="刑诉90",
    after="arrest_decision",
    until=("arrest_execution_receipt",),
    hours=20,
    outcome="approved",
)


async def aimed(gateway: Gateway, *, to: str = "2026-03-02 10:00") -> str:
    """An approved arrest delivered to the police at nine, with a target of twenty hours; the eid of the decision."""
    desk = Desk(gateway.watch._desk._author if gateway.watch._desk else pytest.fail("no desk"), targets=[TARGET])
    gateway.watch._desk = gateway.ingest._desk = gateway.ingest._follower._desk = desk
    script = gateway.script
    asked = script.send(
        CASE, "arrest_request", "police", PP, "2026-03-01 09:00", acts=[("detained", "2026-02-28 09:00")]
    )
    decided = script.send(CASE, "arrest_decision", PP, "police", "2026-03-02 09:00", outcome="approved", re=[asked])
    script.receipt("police", PP, [(decided, "delivered", "2026-03-02 09:00")])
    gateway.now_is(to)
    await gateway.take()
    return decided


async def test_a_service_target_warns_and_is_told_once_when_it_is_unmet_and_is_never_a_breach(gateway: Gateway) -> None:
    decided = await aimed(gateway)
    gateway.now_is("2026-03-03 00:59")
    await gateway.watch.round()
    assert [line for line in await gateway.said() if TARGET.name in line] == []
    for when in ("2026-03-03 01:00", "2026-03-03 05:01", "2026-03-03 05:02", "2026-03-03 09:00"):
        gateway.now_is(when)
        await gateway.watch.round()
    told = await gateway.rows(f"SELECT * FROM notice n JOIN statement s ON s.eid = n.eid WHERE name = '{TARGET.name}'")
    assert [(row["occasion"], row["rung"], row["start_eid"], row["due"]) for row in told] == [
        ("warning", "yellow", decided, "2026-03-03T05:00:00+08:00"), ("unmet", "", decided, "2026-03-03T05:00:00+08:00"),
    ]  # fmt: skip
    said = canonical.read(sealed_from_bytes(told[1]["sealed"]).payload, Notice)
    assert (said.basis.kind, said.receiver.agency, said.demand) == ("target", "police", None)
    assert "OVERDUE" not in await gateway.kinds()
    assert await gateway.supervisions.counts() == {}


async def test_a_target_that_is_kept_in_time_says_nothing(gateway: Gateway) -> None:
    decided = await aimed(gateway)
    script = gateway.script
    script.send(
        CASE, "arrest_execution_receipt", "police", PP, "2026-03-02 20:00", outcome="executed", re=[decided],
        acts=[("arrested", "2026-03-02 19:00")],
    )  # fmt: skip
    await gateway.take(script.messages[-1:])
    gateway.now_is("2026-03-05 09:00")
    await gateway.watch.round()
    assert [line for line in await gateway.said() if TARGET.name in line] == []


async def test_a_target_that_had_passed_when_it_was_first_heard_of_wakes_nobody(gateway: Gateway) -> None:
    await aimed(gateway, to="2026-03-04 09:00")
    await gateway.watch.round()
    assert [line for line in await gateway.said() if TARGET.name in line] == []


async def test_targets_written_down_later_are_watched_from_the_next_start_and_taken_away_with_it(
    gateway: Gateway,
) -> None:
    await aimed(gateway)
    count = "SELECT COUNT(*) AS n FROM target_aim"
    follower = gateway.ingest._follower
    await gateway.run("DELETE FROM target_aim")
    assert await retarget(gateway.database, follower, targets=[TARGET], clock=gateway.clock) == 1
    assert (await gateway.rows(count))[0]["n"] == 1
    assert await retarget(gateway.database, follower, targets=[TARGET], clock=gateway.clock) == 0
    assert await retarget(gateway.database, follower, targets=[], clock=gateway.clock) == 0
    assert (await gateway.rows(count))[0]["n"] == 0


async def test_an_order_whose_asker_goes_away_is_sent_all_the_same(gateway: Gateway) -> None:
    """What was committed has to leave, also when the call that asked for it was cut off."""
    id = await breached(gateway)
    rung: list[str] = []
    orders = Orders(
        gateway.database, desk=gateway.orders._desk, clock=gateway.clock, committed=lambda: rung.append("now")
    )
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(orders.give(id, Act.ISSUE, by=OFFICER))
        await asyncio.sleep(0)
        asking.cancel()
    assert rung == ["now"]
    assert await acts(gateway, id) == [Act.DRAFT, Act.ISSUE]

"""Supervision 督办 from a limit that ran out to the closing of it: real nodes, real broker, and what crashes leave of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from tests.library.test_cli import Ran, xieban
from tests.system.rig import PP, PS, City, whole_city
from tests.system.test_clock_commands import log, opened, operator
from xieban.agency import Agency, office
from xieban.client import Profile
from xieban.errors import Denied, NotAllowed, NotFound, Reason, XiebanError
from xieban.notice import SCOPE, Occasion
from xieban.notice_client import NoticeClient, SupervisionClient
from xieban.notice_views import NoticeView, SupervisionView
from xieban.sandbox_client import SandboxCity
from xieban.supervision import Act, Cause, Dropped, Measure, State
from xieban.views import ClockView

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE = 60.0
T = TypeVar("T")
OVERDUE_AT = datetime(2026, 3, 9, 16, 0, tzinfo=UTC)
OFFICER, PROSECUTOR = "ZF0012", "620102A7"
SAID = ("NOTICE", "REPLY", "SUPERVISION")
SENT = (Act.ISSUE, Act.RETURN, Act.CLOSE, Act.ESCALATE, Act.REMIND, Act.MISS, Act.LIFT)


@dataclass
class Table:
    """The committee and the procuratorate at one table, with a city in which the procuratorate let a limit run out."""

    city: City
    clocks: SandboxCity
    committee: SupervisionClient
    procuratorate: NoticeClient
    case: str

    async def at(self, when: datetime) -> None:
        await self.clocks.move(when)

    async def overdue(self) -> SupervisionView:
        """Live until the limit is over; the draft that makes."""
        await self.at(OVERDUE_AT)
        (draft,), _ = await self.committee.list(case_id=self.case)
        return draft

    async def told(self, occasion: Occasion) -> NoticeView:
        """Wait until the procuratorate's node holds a notice of that occasion."""
        async with asyncio.timeout(PATIENCE), aclosing(self.procuratorate.watch()) as notices:
            async for notice in notices:
                if notice.occasion is occasion and notice.case_id == self.case:
                    return notice
        raise AssertionError("the stream ended")

    async def stands(self, id: str, state: State) -> SupervisionView:
        """Wait until the gateway has it in that state."""
        return await until(lambda: self.committee.get(id), lambda found: found.state is state)

    async def explain(self, id: str, text: str = "承办人交接，已确定新的承办人") -> None:
        await self.procuratorate.explain(
            id, by=PROSECUTOR, cause=Cause.HANDOVER, measures=[Measure.EXPEDITE], expected="2026-03-12", text=text
        )

    def said(self) -> list[str]:
        """What the log says of notices and replies in this case."""
        return [f"{e['kind']} {e['detail']}" for e in log(self.city) if e["kind"] in SAID and e["case_id"] == self.case]

    def owed(self) -> int:
        with closing(opened(self.city)) as database:
            return int(database.execute("SELECT COUNT(*) FROM outbox WHERE done = 0").fetchone()[0])

    def notices(self, agency: Agency = PP) -> list[dict[str, Any]]:
        return self.city.rows(agency, "SELECT * FROM notice WHERE case_id = ? ORDER BY seq", self.case)


async def until(read: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """Read again until it is so; the other process gives no sign."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(found := await read()):
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def table_of(folder: Path) -> AsyncIterator[Table]:
    """A city whose procuratorate has an arrest to review by 9 March."""
    async with whole_city(folder) as city, AsyncExitStack() as stack:
        case = city.new_case()
        sent = await city.police.send(city.draft("arrest_request", case=case))
        await city.arrive(city.procuratorate, sent.eid)
        await city.quiet()
        yield Table(
            city=city,
            clocks=await stack.enter_async_context(SandboxCity.open(operator(city))),
            committee=await stack.enter_async_context(SupervisionClient.open(city.home.client("committee"))),
            procuratorate=await stack.enter_async_context(NoticeClient.open(city.home.client("procuratorate"))),
            case=case,
        )


@pytest_asyncio.fixture(loop_scope="session")
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with table_of(tmp_path) as made:
        yield made


async def test_a_limit_that_runs_out_is_drafted_issued_signed_for_explained_returned_explained_again_and_closed(
    table: Table,
) -> None:
    draft = await table.overdue()
    assert (draft.state, draft.rule, draft.office.agency, draft.days_over, draft.severity) == (
        State.DRAFTED, "arrest_review_custody", PP, 1, 1,
    )  # fmt: skip
    id = draft.supervision_id
    assert (await table.told(Occasion.OVERDUE)).scope == SCOPE
    # A draft is the committee's own: the agency has heard nothing of it.
    with pytest.raises(NotFound):
        await table.procuratorate.get(id)

    issued = await table.committee.issue(id, by=OFFICER, remark="请说明超期原因并依法处理")
    assert (issued.state, issued.reply_by, issued.whom) == (State.ISSUED, "2026-03-13", "经办机关")
    notice = await table.told(Occasion.ISSUED)
    assert notice.demand is not None
    assert (notice.demand.supervision_id, notice.demand.by, notice.demand.reply_by) == (id, OFFICER, "2026-03-13")

    signed = await table.procuratorate.acknowledge(id, by=PROSECUTOR)
    assert signed.state is State.ACKNOWLEDGED
    await table.stands(id, State.ACKNOWLEDGED)
    await table.explain(id)
    await table.stands(id, State.EXPLAINED)

    await table.committee.review(id, Act.RETURN, by=OFFICER, remark="请补充预计办结的依据", days=2)
    returned = await table.told(Occasion.RETURNED)
    assert returned.demand is not None
    assert (returned.demand.reply_by, returned.demand.remark) == ("2026-03-12", "请补充预计办结的依据")
    await table.explain(id, "已作出决定，文书今日送达")
    await table.stands(id, State.EXPLAINED)
    await table.committee.review(id, Act.CLOSE, by=OFFICER)
    await table.told(Occasion.CLOSED)
    _, matter = await table.procuratorate.get(id)
    assert matter is not None
    assert matter.state is State.CLOSED

    whole = await until(
        lambda: table.committee.get(id), lambda found: all(s.held for s in found.steps if s.act in SENT)
    )
    assert [step.act for step in whole.steps] == [
        Act.DRAFT, Act.ISSUE, Act.ACKNOWLEDGE, Act.EXPLAIN, Act.RETURN, Act.EXPLAIN, Act.CLOSE,
    ]  # fmt: skip
    assert [step.reply.text for step in whole.steps if step.reply] == [
        "承办人交接，已确定新的承办人",
        "已作出决定，文书今日送达",
    ]
    assert whole.explanation
    assert table.said()[-8:] == [
        "NOTICE arrest_review_custody:overdue", f"SUPERVISION {id}:drafted", f"NOTICE {id}:issued", f"REPLY {id}:acknowledge",
        f"REPLY {id}:explain", f"NOTICE {id}:returned", f"REPLY {id}:explain", f"NOTICE {id}:closed",
    ]  # fmt: skip
    held = {row["eid"] for row in table.notices()}
    assert {step.eid for step in whole.steps if step.act in SENT} <= held
    assert table.owed() == 0


async def test_every_warning_and_the_breach_are_told_once_to_the_office_that_bears_the_limit_and_to_nobody_else(
    table: Table,
) -> None:
    await table.at(OVERDUE_AT + timedelta(days=20))
    await until(lambda: asyncio.to_thread(table.owed), lambda owed: owed == 0)
    told, _ = await table.procuratorate.list(case_id=table.case)
    mine = [(notice.occasion, notice.rung, notice.due, notice.office.division) for notice in reversed(told)]
    assert mine == [
        (Occasion.WARNING, "d7", "2026-03-09", "620102"),
        (Occasion.WARNING, "d3", "2026-03-09", "620102"),
        (Occasion.WARNING, "d1", "2026-03-09", "620102"),
        (Occasion.OVERDUE, "", "2026-03-09", "620102"),
    ]
    assert {notice.sent_at for notice in told} == {OVERDUE_AT - timedelta(days=days) for days in (7, 3, 1, 0)}
    fired = [
        e["detail"] for e in log(table.city) if e["kind"] in ("CLOCK_WARN", "OVERDUE") and e["case_id"] == table.case
    ]
    said = [line.removeprefix("NOTICE ") for line in table.said() if line.startswith("NOTICE")]
    assert [line.removesuffix(":overdue") for line in said] == fired
    assert table.notices(PS) == []


async def test_a_reply_that_does_not_come_is_reminded_of_once_and_then_goes_up_level_by_level_once_each(
    table: Table,
) -> None:
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    await table.at(OVERDUE_AT + timedelta(days=30))
    found = await table.committee.get(id)
    beijing = [(s.act, s.level, f"{s.at:%m-%d %H:%M}") for s in found.steps[1:]]
    # Three working days each (7 and 8 March are a weekend, 14 and 15 another); reminded on the morning of the day before the last.
    assert beijing == [
        (Act.ISSUE, 1, "03-10 00:00"), (Act.REMIND, 1, "03-12 09:00"), (Act.MISS, 2, "03-14 00:00"),
        (Act.REMIND, 2, "03-17 09:00"), (Act.MISS, 3, "03-19 00:00"), (Act.REMIND, 3, "03-23 09:00"),
    ]  # fmt: skip
    assert (found.state, found.whom, found.reply_over) == (State.ESCALATED, "政法委协调会", True)
    await until(lambda: asyncio.to_thread(table.owed), lambda owed: owed == 0)
    assert [row["occasion"] for row in table.notices() if row["supervision"]] == [
        "issued", "reminded", "escalated", "reminded", "escalated", "reminded",
    ]  # fmt: skip
    _, matter = await table.procuratorate.get(id)
    assert matter is not None
    assert (matter.state, matter.level, matter.whom) == (State.ESCALATED, 3, "政法委协调会")
    signed = await table.procuratorate.acknowledge(id, by=PROSECUTOR)
    assert signed.state is State.ACKNOWLEDGED
    await table.explain(id)
    await table.stands(id, State.EXPLAINED)
    with pytest.raises(NotAllowed) as top:
        await table.committee.review(id, Act.ESCALATE, by=OFFICER)
    assert top.value.reason is Reason.ESCALATION_EXHAUSTED


async def test_what_is_ordered_or_said_twice_is_one_step_and_what_is_out_of_turn_is_refused_with_a_number(
    table: Table,
) -> None:
    id = (await table.overdue()).supervision_id
    for act in (Act.CLOSE, Act.RETURN, Act.ESCALATE):
        await refused(table.committee.review(id, act, by=OFFICER, remark="补充"), Reason.SUPERVISION_STATE)
    await refused(table.committee.discard(id, by=OFFICER, reason=Dropped.MET_IN_TIME), Reason.DISCARD_UNFOUNDED)
    await refused(table.committee.issue(id, by="张三"), Reason.FIELD_INVALID)
    await refused(table.committee.issue(id, by=OFFICER, remark="机密★1年"), Reason.SECRET_MARK)
    await refused(table.committee.issue("2026-99", by=OFFICER), Reason.SUPERVISION_NOT_FOUND)
    for _ in range(2):
        await table.committee.issue(id, by=OFFICER)
    await refused(table.committee.issue(id, by="ZF0099"), Reason.SUPERVISION_STATE)
    await table.told(Occasion.ISSUED)
    await refused(table.explain(id), Reason.SUPERVISION_STATE)
    for officer in (PROSECUTOR, "620102B8"):
        await table.procuratorate.acknowledge(id, by=officer)
    kept = ("SELECT * FROM reply ORDER BY eid", "SELECT * FROM matter ORDER BY supervision")
    before = [table.city.rows(PP, sql) for sql in kept]
    for text, reason in (
        ("密级：秘密", Reason.SECRET_MARK),
        ("嫌疑人身份证号110101199003077758", Reason.FIELD_INVALID),
        ("字" * 501, Reason.FIELD_INVALID),
        ("反\u202e向", Reason.TEXT_FORBIDDEN),
        ("", Reason.FIELD_INVALID),
    ):
        await refused(table.explain(id, text), reason)
        assert not text or text.encode() not in table.city.files_of(PP)
    assert [table.city.rows(PP, sql) for sql in kept] == before
    for _ in range(2):
        await table.explain(id)
    await table.stands(id, State.EXPLAINED)
    for _ in range(2):
        await table.committee.review(id, Act.CLOSE, by=OFFICER, remark="已经办结")
    found = await table.committee.get(id)
    assert [step.act for step in found.steps] == [Act.DRAFT, Act.ISSUE, Act.ACKNOWLEDGE, Act.EXPLAIN, Act.CLOSE]


async def refused(call: Awaitable[Any], reason: Reason) -> None:
    with pytest.raises(XiebanError) as raised:
        await call
    assert raised.value.reason is reason


async def register_stop(table: Table, at: datetime) -> None:
    """The procuratorate states late that it had decided in time."""
    act = ClockView("stop", "arrest_review_custody", at, document="兰城检〔2026〕3号")
    draft = table.city.draft("limit_registration", case=table.case, sender=PP, acts=(), clocks=(act,))
    await table.city.procuratorate.send(replace(draft, receiver=office(Agency.GATEWAY, "620100")))


async def test_a_draft_whose_limit_turns_out_met_is_not_issued_and_may_be_discarded(table: Table) -> None:
    id = (await table.overdue()).supervision_id
    await register_stop(table, OVERDUE_AT - timedelta(hours=9))
    await until(lambda: table.committee.get(id), lambda found: found.lifted_at is not None)
    await refused(table.committee.issue(id, by=OFFICER), Reason.SUPERVISION_LIFTED)
    found = await table.committee.discard(id, by=OFFICER, reason=Dropped.MET_IN_TIME)
    assert (found.state, found.limit_state) == (State.DISCARDED, "met")
    assert [step.act for step in found.steps] == [Act.DRAFT, Act.LIFT, Act.DISCARD]
    assert [row for row in table.notices() if row["supervision"]] == []


async def test_a_limit_that_turns_out_met_after_the_issue_is_noted_on_the_notice_and_presses_nobody_any_more(
    table: Table,
) -> None:
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    await register_stop(table, OVERDUE_AT - timedelta(hours=9))
    await table.told(Occasion.LIFTED)
    await table.at(OVERDUE_AT + timedelta(days=30))
    found = await table.committee.review(id, Act.CLOSE, by=OFFICER)
    assert [step.act for step in found.steps] == [Act.DRAFT, Act.ISSUE, Act.LIFT, Act.CLOSE]
    await table.told(Occasion.CLOSED)
    _, matter = await table.procuratorate.get(id)
    assert matter is not None
    assert (matter.state, matter.lifted, matter.reply_by) == (State.CLOSED, True, "")


async def test_only_the_committees_certificate_supervises_and_only_the_agencys_own_reads_its_notices(
    table: Table,
) -> None:
    id = (await table.overdue()).supervision_id
    home = table.city.home
    gateway = Profile.load(home.client("committee"))
    for name in ("police", "procuratorate", "sandbox"):
        profile = replace(Profile.load(home.client(name)), target=gateway.target, server_name=gateway.server_name)
        async with SupervisionClient.open(profile) as outsider:
            for call in (outsider.list(), outsider.get(id), outsider.issue(id, by=OFFICER)):
                with pytest.raises(Denied, match="XB-5001"):
                    await call
    theirs = Profile.load(home.client("procuratorate"))
    for name in ("police", "committee", "sandbox"):
        profile = replace(Profile.load(home.client(name)), target=theirs.target, server_name=theirs.server_name)
        async with NoticeClient.open(profile) as stranger:
            for asked in (stranger.list(), stranger.get(id), stranger.acknowledge(id, by=PROSECUTOR)):
                with pytest.raises(Denied, match="XB-5001"):
                    await asked
    assert (await table.committee.get(id)).state is State.DRAFTED


async def test_the_whole_of_it_by_the_two_commands(table: Table) -> None:
    id = (await table.overdue()).supervision_id
    home = table.city.home
    committee, prosecutor = home.client("committee"), home.client("procuratorate")

    async def supervise(*words: str, code: int = 0) -> Ran:
        ran = await xieban("supervise", *words, profile=committee)
        assert ran.code == code, ran.err
        return ran

    async def notice(*words: str, code: int = 0) -> Ran:
        ran = await xieban("notice", *words, profile=prosecutor)
        assert ran.code == code, ran.err
        return ran

    listed = await supervise("list")
    assert f"{id}  拟稿" in listed.out
    assert listed.out.rstrip().endswith(SCOPE)
    assert "XB-7003" in (await supervise("close", id, "--by", OFFICER, code=1)).err
    assert "--by" in (await supervise("issue", id, code=2)).err
    issued = await supervise(
        "issue", f"督办〔2026〕{id.partition('-')[2]}号", "--by", OFFICER, "--remark", "请说明超期原因"
    )
    assert "状态        已发出" in issued.out
    assert "请说明超期原因" in issued.out
    await table.told(Occasion.ISSUED)

    told = await notice("list", "--case", table.case)
    assert [line.split()[2] for line in told.out.splitlines()[1:5]] == ["督办发出", "超期通知", "▲", "▲"]
    assert SCOPE in told.out
    assert [row["occasion"] for row in (await notice("list", "--supervisions", "--json")).json["notices"]] == ["issued"]
    assert "已签收" in (await notice("sign", id, "--by", PROSECUTOR)).out
    said = ("--cause", "handover", "--measure", "expedite", "--expected", "2026-03-12", "--text", "承办人交接")
    wrong = await notice("explain", id, "--by", PROSECUTOR, "--cause", "weather", *said[2:], code=1)
    assert "entered_late" in wrong.err
    assert "XB-1005" in (await notice("explain", id, "--by", PROSECUTOR, *said[:-1], "绝密★", code=1)).err
    explained = await notice("explain", id, "--by", PROSECUTOR, *said)
    assert "承办人员变动、交接；限期办结；2026-03-12 前完成；承办人交接" in explained.out
    await table.stands(id, State.EXPLAINED)

    assert "--remark" in (await supervise("return", id, "--by", OFFICER, code=2)).err
    await supervise("return", id, "--by", OFFICER, "--remark", "请附交接记录")
    await table.told(Occasion.RETURNED)
    await notice("explain", id, "--by", PROSECUTOR, *said[:-1], "交接记录已补录")
    await table.stands(id, State.EXPLAINED)
    closed = (await supervise("close", id, "--by", OFFICER, "--json")).json["supervision"]
    assert (closed["state"], closed["scope"]) == ("closed", SCOPE)
    await table.told(Occasion.CLOSED)
    shown = await notice("show", id)
    assert "办结" in shown.out
    assert shown.out.count("经过") == 6
    assert SCOPE in shown.out
    whole = await supervise("show", id)
    assert "推算" in whole.out
    assert whole.out.count("经过") == 7

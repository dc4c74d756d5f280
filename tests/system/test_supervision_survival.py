"""Notices and replies through crashes of either end, a wiped broker, and what somebody puts on the bus who should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.system.rig import CT, PP, PS, City
from tests.system.test_clock_commands import log
from tests.system.test_supervision import OFFICER, OVERDUE_AT, PATIENCE, PROSECUTOR, Table, table_of, until
from tests.world import Crash
from xieban import canonical, subjects
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import Node, Party
from xieban.marshal import sealed_from_bytes, sealed_to_bytes
from xieban.notice import SCOPE, Notice, Occasion, Reply
from xieban.seal import Sealed, SealKey
from xieban.supervision import Act, Cause, Measure, State

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIVES = OVERDUE_AT + timedelta(days=1)
FIRST_WARNING = OVERDUE_AT - timedelta(days=7)
TOLD = [("warning", "2026-03-09"), ("warning", "2026-03-09"), ("warning", "2026-03-09"), ("overdue", "2026-03-09")]


@pytest_asyncio.fixture(loop_scope="session")
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with table_of(tmp_path) as made:
        yield made


async def gateway_again(city: City) -> None:
    """The gateway has died; start it anew."""
    assert city.gateway is not None
    async with asyncio.timeout(PATIENCE):
        await city.gateway.stopping()
    assert isinstance(city.gateway.error, Crash)
    await city.stop_gateway()
    await city.start_gateway()


async def settled(table: Table) -> None:
    """Until every notice has been answered with a ticket, and every reply of the procuratorate."""
    owed = "SELECT COUNT(*) AS n FROM outbox WHERE done = 0"

    async def left() -> int:
        return table.owed() + int(table.city.rows(PP, owed)[0]["n"])

    await until(left, lambda n: n == 0)


def occasions(table: Table) -> list[tuple[str, str]]:
    """What the procuratorate holds of limits, with the date each is about."""
    found = []
    for row in table.notices():
        notice = canonical.read(sealed_from_bytes(row["sealed"]).payload, Notice)
        if notice.demand is None:
            found.append((str(notice.occasion), notice.basis.safe_due))
    return found


async def steps(table: Table) -> list[Act]:
    (found,), _ = await table.committee.list(case_id=table.case)
    return [step.act for step in (await table.committee.get(found.supervision_id)).steps]


@pytest.mark.parametrize("label", ["G1", "G2"])
@pytest.mark.parametrize("hit", [1, 2])
@pytest.mark.parametrize("comes", [FIRST_WARNING, OVERDUE_AT], ids=["warning", "breach"])
async def test_a_gateway_that_dies_while_it_lives_through_the_limit_tells_each_rung_once(
    table: Table, comes: datetime, label: str, hit: int
) -> None:
    """Hit 1 records the first warning, or the breach; hit 2 tells of it. Before the commit nothing has happened, after it everything."""
    await table.at(comes - timedelta(seconds=1))
    with table.city.crashing(label, hits=hit) as died, suppress(XiebanError):
        await table.at(LIVES)
    assert died.is_set()
    await gateway_again(table.city)
    await table.at(LIVES)
    await settled(table)
    assert occasions(table) == TOLD
    assert await steps(table) == [Act.DRAFT]


@pytest.mark.parametrize("label", ["G1", "G2"])
async def test_an_order_in_whose_middle_the_gateway_dies_is_all_or_nothing_and_may_be_given_again(
    table: Table, label: str
) -> None:
    id = (await table.overdue()).supervision_id
    await settled(table)
    with table.city.crashing(label), suppress(XiebanError):
        await table.committee.issue(id, by=OFFICER)
    await gateway_again(table.city)
    if label == "G1":
        assert await steps(table) == [Act.DRAFT]
        await table.committee.issue(id, by=OFFICER)
    await table.told(Occasion.ISSUED)
    await table.committee.issue(id, by=OFFICER)
    await settled(table)
    assert await steps(table) == [Act.DRAFT, Act.ISSUE]
    assert [row["occasion"] for row in table.notices() if row["supervision"]] == ["issued"]


@pytest.mark.parametrize("label", ["R1", "R2"])
async def test_an_agency_that_dies_with_a_notice_in_its_hands_holds_it_once_and_says_so(
    table: Table, label: str
) -> None:
    """R2: it is committed, and neither acknowledged to the broker nor told to the gateway."""
    id = (await table.overdue()).supervision_id
    await settled(table)
    with table.city.crashing(label) as died:
        await table.committee.issue(id, by=OFFICER)
        await died.wait()
        await table.city.dead(PP)
    assert table.owed() == 1
    await table.city.node(PP).restart()
    await settled(table)
    assert [row["occasion"] for row in table.notices() if row["supervision"]] == ["issued"]


@pytest.mark.parametrize("label", ["S1", "S2"])
async def test_a_reply_in_whose_middle_the_agency_dies_is_all_or_nothing_and_may_be_said_again(
    table: Table, label: str
) -> None:
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    await table.told(Occasion.ISSUED)
    await settled(table)
    with table.city.crashing(label), suppress(XiebanError):
        await table.procuratorate.acknowledge(id, by=PROSECUTOR)
    await table.city.dead(PP)
    await table.city.node(PP).restart()
    await table.procuratorate.acknowledge(id, by=PROSECUTOR)
    await table.stands(id, State.ACKNOWLEDGED)
    await settled(table)
    assert await steps(table) == [Act.DRAFT, Act.ISSUE, Act.ACKNOWLEDGE]


@pytest.mark.parametrize("label", ["G1", "G2"])
async def test_a_gateway_that_dies_with_a_reply_in_its_hands_takes_it_once(table: Table, label: str) -> None:
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    await table.told(Occasion.ISSUED)
    await settled(table)
    with table.city.crashing(label) as died:
        await table.procuratorate.acknowledge(id, by=PROSECUTOR)
        await died.wait()
    await gateway_again(table.city)
    await table.stands(id, State.ACKNOWLEDGED)
    await settled(table)
    assert await steps(table) == [Act.DRAFT, Act.ISSUE, Act.ACKNOWLEDGE]
    assert [line for line in table.said() if line.startswith("REPLY")] == [f"REPLY {id}:acknowledge"]


async def test_a_broker_that_loses_its_store_while_the_agency_is_away_is_filled_again_by_the_gateway(
    table: Table,
) -> None:
    id = (await table.overdue()).supervision_id
    await settled(table)
    await table.city.node(PP).stop()
    await table.committee.issue(id, by=OFFICER)
    (kept,) = [step for step in (await table.committee.get(id)).steps if step.act is Act.ISSUE]
    await table.city.in_stream(kept.eid)
    await table.city.broker.kill()
    await table.city.broker.wipe()
    await table.city.broker.start()
    await table.city.node(PP).start()
    await table.told(Occasion.ISSUED)
    await settled(table)
    assert [row["eid"] for row in table.notices() if row["supervision"]] == [kept.eid]


async def test_a_reminder_and_an_escalation_survive_the_death_of_the_gateway_and_come_once(table: Table) -> None:
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    for label in ("G2", "G1"):  # at the reminder and at the escalation, after its commit and before it
        await settled(table)
        await table.city.quiet_bus()  # the gateway reads its own notices off the stream too, past the same points
        with table.city.crashing(label) as died, suppress(XiebanError):
            await table.at(OVERDUE_AT + timedelta(days=5))
        assert died.is_set()
        await gateway_again(table.city)
    await table.at(OVERDUE_AT + timedelta(days=5))
    await settled(table)
    assert await steps(table) == [Act.DRAFT, Act.ISSUE, Act.REMIND, Act.MISS]
    assert [row["occasion"] for row in table.notices() if row["supervision"]] == ["issued", "reminded", "escalated"]


# --- hostile input


async def issued(table: Table) -> tuple[str, Notice]:
    """An issued supervision, and the notice of it as the procuratorate holds it."""
    id = (await table.overdue()).supervision_id
    await table.committee.issue(id, by=OFFICER)
    notice = await table.told(Occasion.ISSUED)
    (row,) = [row for row in table.notices() if row["eid"] == notice.eid]
    return id, canonical.read(sealed_from_bytes(row["sealed"]).payload, Notice)


async def say(table: Table, key: SealKey, value: Notice | Reply, *, subject: str) -> Sealed:
    """Seal without the checks of `seal_notice` and put it on the bus."""
    sealed = key.seal("notice" if isinstance(value, Notice) else "reply", canonical.encode(value))
    await table.city.say(subject, sealed_to_bytes(sealed))
    return sealed


def refusals(table: Table) -> list[str]:
    """Reasons for which the procuratorate refused something, in order."""
    return [row["reason"] for row in table.city.rows(PP, "SELECT reason FROM refused ORDER BY rowid")]


async def one_more(read: Callable[[], list[str]], before: int) -> str:
    """The newest row, once there are more than `before`."""

    async def look() -> list[str]:
        return read()

    return str((await until(look, lambda found: len(found) > before))[-1])


NOTICES: list[tuple[str, dict[str, Any], str, str]] = [
    ("another agency's seal", {}, "police", "KEY_UNKNOWN"),
    ("for another agency", {"receiver": Party("lanzhou", "court", "620102")}, "gateway", "FIELD_INVALID"),
    (
        "for an office of another city",
        {"receiver": Party("lanzhou", "procuratorate", "620302")},
        "gateway",
        "OFFICE_UNKNOWN",
    ),
    ("without the sentence", {"scope": "另有实体处理意见"}, "gateway", "FIELD_INVALID"),
    ("a draft", {"state": State.DRAFTED}, "gateway", "FIELD_INVALID"),
    ("with a secret mark", {"remark": "（机密）"}, "gateway", "SECRET_MARK"),
    ("with too long a text", {"remark": "字" * 501}, "gateway", "PAYLOAD_NOT_CANONICAL"),
    ("with a direction override", {"remark": "a\u202eb"}, "gateway", "PAYLOAD_NOT_CANONICAL"),
    ("of another version", {"v": 2}, "gateway", "FIELD_INVALID"),
    ("the same number with another content", {"rung": ""}, "gateway", "EQUIVOCATION"),
]


async def test_a_notice_that_must_not_be_is_refused_with_its_reason_and_nothing_of_it_is_kept(table: Table) -> None:
    _, true = await issued(table)
    subject = subjects.notice("lanzhou", PP)
    held = [row["eid"] for row in table.notices()]
    for name, changes, signer, reason in NOTICES:
        inner = {key: changes[key] for key in ("state", "remark") if key in changes}
        outer = {key: value for key, value in changes.items() if key not in inner}
        assert true.demand is not None
        value = msgspec.structs.replace(
            true, id="ab" * 12, demand=msgspec.structs.replace(true.demand, **inner), **outer
        )
        if reason == "EQUIVOCATION":
            value = msgspec.structs.replace(value, id=true.id, at=true.at + 1)
        before = len(refusals(table))
        await say(table, table.city.key(Agency(signer)), value, subject=subject)
        assert await one_more(lambda: refusals(table), before) == reason, name
    assert [row["eid"] for row in table.notices()] == held
    _, matter = await table.procuratorate.get(true.demand.id if true.demand else "")
    assert matter is not None
    assert matter.state is State.ISSUED


async def test_the_same_notice_again_changes_nothing(table: Table) -> None:
    _, true = await issued(table)
    held = table.notices()
    await say(table, table.city.key(Agency.GATEWAY), true, subject=subjects.notice("lanzhou", PP))
    await table.city.quiet_bus()
    assert table.notices() == held


def reply(supervision: str, of: str, **changes: Any) -> Reply:
    """A signature such as the procuratorate would seal, but for `changes`."""
    values: dict[str, Any] = {
        "v": 1, "id": "cd" * 12, "sender": Party("lanzhou", "procuratorate", "620102"), "receiver": Node("lanzhou", "gateway"),
        "inc": 1, "at": 1_773_100_000_000_000, "of": of, "supervision": supervision, "act": "acknowledge", "by": PROSECUTOR, "cause": None,
        "measures": [], "expected": "", "text": "", "scope": SCOPE,
    }  # fmt: skip
    return Reply(**{**values, **changes})


EXPLAINED = {"act": "explain", "cause": Cause.OTHER, "measures": [Measure.DONE], "expected": "2026-03-12", "text": "好"}
REPLIES: list[tuple[str, dict[str, Any], Agency, str]] = [
    ("another agency's seal", {}, CT, "XB-3002"),
    ("in another's name", {"sender": Party("lanzhou", "court", "620102")}, PP, "XB-1001"),
    ("with a secret mark", {**EXPLAINED, "text": "绝密★"}, PP, "XB-1005"),
    ("with the number of an identity card", {**EXPLAINED, "text": "证件110101199003077758"}, PP, "XB-1001"),
    ("an explanation without a cause", {**EXPLAINED, "cause": None}, PP, "XB-1001"),
    ("a signature with a text", {"text": "顺便说明"}, PP, "XB-1001"),
    ("by a name", {"by": "张三"}, PP, "XB-1002"),
]


async def test_a_reply_that_must_not_be_is_refused_by_the_gateway_and_moves_nothing(table: Table) -> None:
    id, _ = await issued(table)
    of = (await table.committee.get(id)).steps[-1].eid
    subject = subjects.reply("lanzhou", PP)
    for name, changes, signer, number in REPLIES:
        before = len(logged(table, "REFUSED"))
        await say(table, table.city.key(signer), reply(id, of, **changes), subject=subject)
        assert await one_more(lambda: logged(table, "REFUSED"), before) == number, name
    assert await steps(table) == [Act.DRAFT, Act.ISSUE]


async def test_a_true_reply_of_somebody_else_or_to_nothing_is_kept_and_logged_without_effect(table: Table) -> None:
    id, _ = await issued(table)
    of = (await table.committee.get(id)).steps[-1].eid
    strangers: list[tuple[Agency, dict[str, Any]]] = [
        (PS, {"sender": Party("lanzhou", "police", "620102")}),
        (PP, {"sender": Party("lanzhou", "procuratorate", "620103")}),
        (PP, {"supervision": "2026-77", "id": "ef" * 12}),
    ]
    for count, (agency, changes) in enumerate(strangers):
        value = reply(**{"supervision": id, "of": of, **changes})
        await say(table, table.city.key(agency), value, subject=subjects.reply("lanzhou", agency))
        named = changes.get("supervision", id)
        assert await one_more(lambda: logged(table, "REPLY"), count) == f"{named}:acknowledge:XB-7002"
    # The same number with another content: both kept, the second without effect.
    await say(table, table.city.key(PP), reply(id, of, by="OTHER1"), subject=subjects.reply("lanzhou", PP))
    assert await one_more(lambda: logged(table, "EQUIVOCATION"), 0) == "XB-3003"
    assert await steps(table) == [Act.DRAFT, Act.ISSUE]


def logged(table: Table, kind: str) -> list[str]:
    """Details of the log's entries of a kind, in order."""
    return [entry["detail"] for entry in log(table.city) if entry["kind"] == kind]

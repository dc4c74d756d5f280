"""What the gateway's tickets say of its log: the place and the leaf of each entry on a handoff's way, to both who have part in it."""

from __future__ import annotations

from collections import defaultdict

import pytest

from services.chassis import faults
from services.tickets import portions
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import again, road
from tests.services.gateway.test_ingest import CASE, COURT, POLICE, PP, Crash, crash
from xieban.handoff import MAX_LOGGED, Logged
from xieban.subjects import parse

WAY = ("LODGED", "DELIVERED", "COMPLETE", "ACCEPTED")


def promised(gateway: Gateway, since: int = 0) -> dict[str, list[Logged]]:
    """By agency, in the order of the tickets."""
    found: dict[str, list[Logged]] = defaultdict(list)
    for ticket in gateway.tickets()[since:]:
        found[ticket.receiver.agency] += ticket.logged
    return dict(found)


async def test_sender_and_receiver_are_promised_every_entry_of_their_handoffs_at_its_place(gateway: Gateway) -> None:
    road(gateway.script, CASE)
    await gateway.take(batch=3)
    ends = {row["eid"]: {row["from_agency"], row["to_agency"]} for row in await gateway.rows("SELECT * FROM handoff")}
    due: dict[str, list[Logged]] = defaultdict(list)
    for row in await gateway.rows("SELECT * FROM log_entry ORDER BY position"):
        for agency in ends.get(row["eid"], set()) - {"gateway"}:
            if row["kind"] in (*WAY, "RETURNED", "ANSWERED", "REJECTED", "WITHDRAWN"):
                due[agency].append(Logged(row["kind"], row["eid"], row["position"] - 1, row["leaf"].hex()))
    assert promised(gateway) == due
    assert sum(one.kind == "LODGED" for one in due[POLICE]) > 2
    assert set(due) == {POLICE, PP, COURT}


async def test_who_repeats_a_statement_is_promised_its_entry_again_and_the_other_side_is_not(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    gateway.script.receipt(PP, POLICE, [(sent, "delivered", "2026-01-05 09:05")])
    await gateway.take()
    before, told = promised(gateway), len(gateway.tickets())
    header, receipt = gateway.script.messages
    await gateway.take([again(header)])
    assert promised(gateway, told) == {POLICE: before[POLICE]}
    told = len(gateway.tickets())
    await gateway.take([again(receipt)])
    assert promised(gateway, told) == {PP: before[PP]}


async def test_a_fact_that_came_before_its_header_is_promised_when_it_is_logged(gateway: Gateway) -> None:
    sent = gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    gateway.script.receipt(PP, POLICE, [(sent, "delivered", "2026-01-05 09:05")])
    header, receipt = gateway.script.messages
    await gateway.take([receipt])
    assert promised(gateway) == {PP: []}
    await gateway.take([header])
    assert [one.kind for one in promised(gateway)[PP]] == [one.kind for one in promised(gateway)[POLICE]]
    assert [one.kind for one in promised(gateway)[POLICE]] == ["LODGED", "DELIVERED"]


@pytest.mark.parametrize(("label", "logged"), [("G1", 0), ("G2", 1)])
async def test_nothing_is_promised_by_a_gateway_that_dies_before_it_could_say_so(
    gateway: Gateway, label: str, logged: int
) -> None:
    gateway.script.send(CASE, "arrest_request", POLICE, PP, "2026-01-05 09:00")
    faults.arm(label, action=crash)
    with pytest.raises(Crash):
        await gateway.take()
    await gateway.issuer.flush()
    assert gateway.tickets() == []
    assert (await gateway.kinds()).count("LODGED") == logged
    await gateway.take([again(gateway.script.messages[0])])
    assert [one.kind for one in promised(gateway)[POLICE]] == ["LODGED"]


async def test_a_busy_moment_is_told_in_as_many_tickets_as_it_needs_and_each_can_be_read(gateway: Gateway) -> None:
    for number in range(205):
        gateway.script.send(f"A62{number:05}", "arrest_request", POLICE, PP, "2026-01-05 09:00")
    await gateway.take()
    assert len(gateway.tickets()) == len(gateway.wire.sent)
    assert {parse(subject).receiver for subject, _ in gateway.wire.sent} == {POLICE, PP}  # type: ignore[union-attr]
    for agency in (POLICE, PP):
        words = promised(gateway)[agency]
        assert len({one.eid for one in words}) == len(words) == 205
    assert max(len(ticket.logged) for ticket in gateway.tickets()) == MAX_LOGGED


def test_tickets_are_filled_by_number_and_by_size() -> None:
    eids = [f"{number:064x}" for number in range(405)]
    words = [Logged(kind="LODGED", eid=eid, index=2**53 - 1, leaf=eid) for eid in eids[:70]]
    assert [(len(held), len(told)) for held, told in portions(eids, [])] == [(200, 0), (200, 0), (5, 0)]
    parts = list(portions(eids, words))
    assert [len(told) for _, told in parts] == [64, 6, 0]
    assert [eid for held, _ in parts for eid in held] == eids
    assert [one for _, told in parts for one in told] == words
    assert len(parts[0][0]) < len(parts[1][0]) < 405 - len(parts[0][0])

"""What an agency's own key has signed, whatever it is, is taken, refused or named a violation, and never holds anybody up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.bus import Incoming, Verdict
from services.gateway.log import first_changed
from tests.attacks.fuzzing import QUICK, effort
from tests.services.gateway.conftest import gateway_at
from tests.services.gateway.script import CITY, DIVISION, Script, at, incoming
from tests.system.rig import whole_city
from xieban import canonical, subjects
from xieban.agency import PARTIES
from xieban.calling import everything
from xieban.client import OversightClient
from xieban.errors import Reason
from xieban.handoff import (
    LADDER,
    LATEST,
    Act,
    CaseRef,
    ClockAct,
    Commitment,
    Fact,
    Header,
    Lane,
    Node,
    Party,
    Receipt,
    StatedDue,
)
from xieban.lookup import Purpose
from xieban.marshal import moment, sealed_from_bytes, sealed_to_bytes
from xieban.procedure import table
from xieban.timelimits import RULES

HONEST = "A6201020000002026030001"
HUGE = 2**53 - 1
WHEN = st.sampled_from([0, 1, at("1999-01-01 00:00"), at("2026-01-05 09:00"), at("2026-02-28 23:59"), LATEST - 1])
COUNTS = st.sampled_from([0, 0, 0, 1, 2, 6, 99, 10_000, HUGE])
PEOPLE = st.sampled_from(["", "P1", "P2"])
EIDS = st.sampled_from(["ab" * 32, "cd" * 32])
OFFICES = st.sampled_from(
    ["", "police", "upper_police", "procuratorate", "upper_procuratorate", "court", "upper_court", "nobody"]
)
EVENTS = st.sampled_from(["", "supplement", "appraisal", "jurisdiction_change", "flying", *sorted(table().acts)[:12]])
ACTS = st.builds(
    Act, what=st.sampled_from([*sorted(table().acts), "flying"]), at=WHEN, person=PEOPLE,
    custody=st.sampled_from([None, True, False]), derived=st.booleans(),
)  # fmt: skip
CLOCKS = st.builds(
    ClockAct, effect=st.sampled_from(["start", "stop", "extend", "exclude", "restart"]),
    rule=st.sampled_from([*sorted(str(one) for one in RULES), "no_such_limit"]), event=EVENTS, at=WHEN, until=WHEN, by=OFFICES,
    kind=st.sampled_from(["", "add", "total"]), months=COUNTS, days=COUNTS, hours=COUNTS, person=PEOPLE, document=st.just(""),
)  # fmt: skip
DUES = st.builds(
    StatedDue, rule=st.sampled_from(sorted(str(one) for one in RULES)), person=PEOPLE,
    due=st.sampled_from(["2026-03-09", "0000-00-00", "9999-99-99", "2026-03-09T24:61+08:00"]),
)  # fmt: skip
IDS = st.integers(0, 2**96 - 1).map(lambda number: f"{number:024x}")


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Of the form that its reader demands, and of any content."""
    sender, receiver = draw(st.sampled_from([(one, other) for one in PARTIES for other in PARTIES]))
    seq = draw(st.sampled_from([1, 1, 2, 3, HUGE]))
    return Header(
        v=1, id=draw(IDS), client_ref_hash="ab" * 32, sender=Party(CITY, sender, DIVISION),
        receiver=Party(CITY, receiver, draw(st.sampled_from([DIVISION, "620103", "620100"]))), inc=draw(COUNTS),
        case=CaseRef(id="CASE", stage=draw(st.sampled_from([*sorted(table().stages), "S99"]))),
        kind=draw(st.sampled_from([*sorted(table().kinds), "space_travel"])),
        outcome=draw(st.sampled_from(["", "approved", "not_approved", "accepted", "supplement", "refused", "perhaps"])),
        lane=Lane(seq=seq, prev="" if seq == 1 else draw(EIDS)), re=draw(st.lists(EIDS, max_size=3)), secrecy="none",
        acts=draw(st.lists(ACTS, max_size=6)), sent_at=draw(WHEN),
        dossier=Commitment(commit="ab" * 32, files=draw(COUNTS), bytes=draw(COUNTS), pages=draw(COUNTS)), rules="x",
        clocks=draw(st.lists(CLOCKS, max_size=6)), dues=draw(st.lists(DUES, max_size=3)),
    )  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> list[tuple[Header, list[tuple[str, int]]]]:
    """A few headers of one case, each with what its receiver states of it."""
    facts = st.lists(st.tuples(st.sampled_from(sorted(LADDER)), WHEN), max_size=4)
    return draw(st.lists(st.tuples(headers(), facts), min_size=1, max_size=4))


def said(script: Script, case: str, told: Sequence[tuple[Header, list[tuple[str, int]]]]) -> list[Incoming]:
    """All of it under true seals, as the broker would give it."""
    found: list[Incoming] = []
    for header, facts in told:
        sender, receiver = header.sender.agency, header.receiver.agency
        spoken = canonical.encode(header).replace(b'"CASE"', f'"{case}"'.encode())
        sealed = script.keys[sender].seal("header", spoken)
        found.append(incoming(subjects.handoff(CITY, sender, receiver), sealed_to_bytes(sealed), len(found)))
        stated = [Fact(of=sealed.eid, kind=kind, at=when, defects=[], answer="") for kind, when in facts]  # type: ignore[arg-type]
        if stated:
            ends = {"sender": Node(CITY, receiver), "receiver": Node(CITY, sender)}
            receipt = Receipt(v=1, id=header.id[::-1], inc=1, at=facts[0][1], facts=stated, **ends)
            answer = script.keys[receiver].seal("receipt", canonical.encode(receipt))
            found.append(incoming(subjects.receipt(CITY, receiver, sender), sealed_to_bytes(answer), len(found)))
    return found


MOST = 120
"""Cases that go through a whole city."""
AMOUNTS = [pytest.param(QUICK, id="quick"), pytest.param(600, id="thorough", marks=pytest.mark.slow)]


def drawn_cases(amount: int) -> list[list[tuple[Header, list[tuple[str, int]]]]]:
    """So many cases."""
    drawn: list[list[tuple[Header, list[tuple[str, int]]]]] = []

    @effort(amount)
    @given(cases())
    def take(told: list[tuple[Header, list[tuple[str, int]]]]) -> None:
        drawn.append(told)

    take()
    return drawn


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_nothing_that_is_truly_signed_holds_up_the_gateway_or_its_watch(tmp_path: Path, amount: int) -> None:
    drawn = drawn_cases(amount)
    gateway, database = await gateway_at(tmp_path / "gateway.db", Script())
    verdicts: list[Verdict] = []
    async with database:
        for number, told in enumerate(drawn):
            messages = said(gateway.script, f"A{number:05}", told)
            for batch in (messages, messages[::-1]):  # again, and the other way round
                verdicts += await gateway.ingest.batch(batch)
            await gateway.watch.round()
        sent = gateway.script.send(HONEST, "prosecution_transfer", "police", "procuratorate", "2026-01-05 09:00")
        gateway.script.settle(sent, "procuratorate", "police", "2026-01-05 09:10")
        await gateway.take()
        gateway.clock.advance(moment(at("2099-01-01 00:00")))
        await gateway.watch.round()
        assert first_changed(await gateway.rows("SELECT * FROM log_entry ORDER BY position")) is None
        honest = await gateway.rows(f"SELECT rule, state FROM limit_clock WHERE case_id = '{HONEST}'")
        assert [(row["rule"], row["state"]) for row in honest] == [("prosecution_review", "overdue")]
        # What is drawn varies with what else was imported: a few may come no further than a refusal, hundreds do.
        for kept in ("limit_clock", "limit_event", "violation", "notice") if amount > QUICK else ():
            assert await gateway.rows(f"SELECT 1 FROM {kept} LIMIT 1"), f"nothing came as far as {kept}"
    assert verdicts.count(Verdict.ACK) > len(drawn)


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_nothing_that_is_truly_signed_holds_up_an_agency_or_cannot_be_shown(tmp_path: Path, amount: int) -> None:
    async with whole_city(tmp_path) as city:
        script = Script({agency: city.key(agency) for agency in PARTIES})
        for number, told in enumerate(drawn_cases(min(amount, MOST))):
            for message in said(script, f"A{number:05}", told):
                city.invented.add(sealed_from_bytes(message.data).eid)
                await city.say(message.subject, message.data)
        sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, sent.eid)
        await city.quiet_bus()
        for client in (city.police, city.procuratorate, city.court):
            assert await everything(client.list), "all of it can be shown"
        async with OversightClient.open(city.home.client("committee")) as committee:
            for case in await everything(committee.cases):
                shown = await committee.timeline(case.case_id, purpose=Purpose.ROUTINE)
                assert len(shown.handoffs) == case.handoffs
        for agency in PARTIES:
            assert city.rows(agency, "SELECT * FROM refused WHERE reason = ?", Reason.DEFECT.name) == []
            assert city.rows(agency, "SELECT 1 FROM handoff WHERE box = 'in'")

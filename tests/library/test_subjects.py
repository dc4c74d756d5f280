"""Names on the bus: what is built can be taken apart, and a node reads what is for it and nothing else."""

from __future__ import annotations

import pytest

from services.chassis.publisher import matches
from xieban import subjects
from xieban.agency import PARTIES, Agency


@pytest.mark.parametrize("make", [subjects.handoff, subjects.receipt, subjects.ticket])
def test_a_subject_is_taken_apart_as_it_was_built(make: object) -> None:
    subject = make("lanzhou", "police", "court")  # type: ignore[operator]
    address = subjects.parse(subject)
    assert address is not None
    assert (address.city, address.sender, address.receiver) == ("lanzhou", "police", "court")
    assert subject.isascii()


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "xieban",
        "xieban.v1.lanzhou.handoff.police",
        "xieban.v2.lanzhou.handoff.police.court",
        "a.b.c.d.e.f",
        "xieban.v1.lanzhou.handoff.police.court.more",
    ],
)
def test_a_foreign_subject_is_none_of_ours(subject: str) -> None:
    assert subjects.parse(subject) is None


def test_an_agency_reads_what_is_addressed_to_it_and_the_gateway_everything() -> None:
    sent = [make("lanzhou", a, b) for make in (subjects.handoff, subjects.receipt) for a in PARTIES for b in PARTIES]
    for agency in (*PARTIES, Agency.GATEWAY):
        spec = subjects.consumer("lanzhou", agency)
        read = [subject for subject in sent if matches(subject, spec.pattern)]
        expected = sent if agency is Agency.GATEWAY else [subject for subject in sent if subject.endswith(f".{agency}")]
        assert read == expected


def test_tickets_stay_outside_the_stream_and_other_cities_too() -> None:
    patterns = subjects.stream("lanzhou").subjects
    for subject in (subjects.ticket("lanzhou", "police", "court"), subjects.handoff("jiuquan", "police", "court")):
        assert not any(matches(subject, pattern) for pattern in patterns)


def test_only_the_gateway_gives_notice_and_only_the_gateway_is_replied_to() -> None:
    notice, reply = subjects.notice("lanzhou", "police"), subjects.reply("lanzhou", "police")
    assert subjects.parse(notice) == subjects.Address("lanzhou", "notice", "gateway", "police")
    assert subjects.parse(reply) == subjects.Address("lanzhou", "reply", "police", "gateway")
    stream = subjects.stream("lanzhou").subjects
    for subject in (notice, reply):
        assert any(matches(subject, pattern) for pattern in stream)
    readers = {a for a in (*PARTIES, Agency.GATEWAY) if matches(notice, subjects.consumer("lanzhou", a).pattern)}
    assert readers == {Agency.POLICE, Agency.GATEWAY}
    may = {a: subjects.permissions("lanzhou", a).publish for a in (*PARTIES, Agency.GATEWAY)}
    assert [a for a in may if any(matches(notice, pattern) for pattern in may[a])] == [Agency.GATEWAY]
    assert [a for a in may if any(matches(reply, pattern) for pattern in may[a])] == [Agency.POLICE]

"""The gateway writes the log, so it knows at which index a statement is taken: a key ends there to the entry, with no new list needed."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.bus import Verdict
from services.gateway.ingest import Ingest
from tests.services.gateway.conftest import Gateway
from xieban.agency import Agency
from xieban.errors import Reason
from xieban.seal import Directory, entry

POLICE, PP = "police", "procuratorate"


async def test_a_key_is_taken_until_the_log_has_reached_its_end_and_refused_from_then_on(gateway: Gateway) -> None:
    rows = [
        replace(entry(key, city="lanzhou", agency=Agency(agency)), until_index=1 if agency == Agency.POLICE else None)
        for agency, key in gateway.script.keys.items()
    ]
    directory = Directory(rows)
    owed: list[str] = []
    gateway.ingest = Ingest(
        gateway.database,
        directory=directory,
        clock=gateway.clock,
        owe=lambda audience, eids, logged=(): owed.extend(eids),
        officers=gateway.script.officers,
    )
    for case in ("A6201", "A6202"):
        gateway.script.send(
            case, "arrest_request", POLICE, PP, "2026-01-05 09:00", acts=[("detained", "2026-01-04 09:00")]
        )
    first, second = gateway.script.messages
    assert await gateway.take([first]) == [Verdict.ACK]
    assert len(await gateway.log()) >= 1
    assert await gateway.take([second]) == [Verdict.DEAD]
    refused = [row["number"] for row in await gateway.rows("SELECT number FROM refused")]
    assert refused == [Reason.KEY_OUT_OF_SPAN.number]
    assert [line.kind for line in await gateway.log()].count("LODGED") == 1
    # What was taken while the key counted is acknowledged again: its author may have missed the ticket.
    owed.clear()
    before = len(await gateway.log())
    await gateway.take([first])
    assert len(owed) == 1
    assert len(await gateway.log()) == before
    assert len(await gateway.rows("SELECT number FROM refused")) == 1

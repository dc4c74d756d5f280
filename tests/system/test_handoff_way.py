"""The way of a handoff through real nodes, broker, gRPC and databases."""

from pathlib import Path

from tests.world import world
from xieban.handoff import State


async def test_a_handoff_climbs_from_sent_to_complete_at_its_receiver_and_its_sender_learns_of_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as city:
        sent = await city.police.send(city.draft("prosecution_transfer"))
        assert sent.state is State.SENT

        arrived = await city.arrive(city.procuratorate, sent.eid)
        assert [fact.kind for fact in arrived.receipts][:2] == ["delivered", "complete"]

        await city.procuratorate.accept(sent.eid)
        known = await city.settle(city.police, sent.eid, State.ACCEPTED)
        assert {fact.kind for fact in known.receipts} >= {"delivered", "complete", "accepted"}

        case = await city.police.case_get(sent.case_id)
        assert case.stage == "S20_prosecution_review"

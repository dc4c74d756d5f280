"""The supervision log of a running city, asked over the wire: signed, witnessed by all three agencies, provable to whoever is entitled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import msgspec
import pytest
import pytest_asyncio

from services.gateway import checkpoints
from services.gateway.log import Entry
from tests.system.rig import CT, PP, PS, City, channel
from xieban.agency import Agency
from xieban.errors import Reason
from xieban.proof import tlogproof
from xieban.proof.checkpoint import Policy
from xieban.proof.merkle import verify_consistency
from xieban.rpcstatus import error_from_rpc
from xieban.trust import parse, policy
from xieban.views import HandoffView
from xieban.wire.v1 import log_pb2, log_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE = 60.0


@pytest.fixture(scope="session", autouse=True)
def brisk() -> Iterator[None]:
    """Checkpoints come at once; nothing of their order changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "BUSY", 0.05)
        yield


def believed(city: City) -> Policy:
    """What the city's trust list says about its log."""
    value = parse((city.home.folder / "trust.json").read_bytes(), pins=None).last.value
    return policy(value, at=value.index)


@asynccontextmanager
async def log_of(city: City, caller: Path) -> AsyncIterator[log_pb2_grpc.LogServiceAsyncStub]:
    async with channel(city, caller, to=Agency.GATEWAY) as wire:
        yield log_pb2_grpc.LogServiceStub(wire)


@pytest_asyncio.fixture(loop_scope="session")
async def settled(city: City) -> HandoffView:
    sent: HandoffView = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, sent.eid)
    await city.procuratorate.accept(sent.eid)
    await city.settled(sent.case_id)
    return sent


async def proven(city: City, caller: Path, eid: str, kinds: set[str]) -> dict[str, tuple[Entry, bytes]]:
    """Entries about a statement by kind, once all of `kinds` are in a witnessed tree."""
    async with asyncio.timeout(PATIENCE), log_of(city, caller) as log:
        while True:
            try:
                answer = await log.ProveStatement(log_pb2.ProveStatementRequest(eid=eid), timeout=10)
            except grpc.aio.AioRpcError as error:
                if error_from_rpc(error).reason is not Reason.QUORUM_NOT_MET:
                    raise
                answer = log_pb2.ProveStatementResponse()
            found = {
                entry.kind: (entry, row.proof)
                for row in answer.entries
                for entry in [msgspec.json.decode(row.entry, type=Entry)]
            }
            if kinds <= found.keys():
                return found
            await asyncio.sleep(0.05)


async def test_every_step_of_a_handoff_is_proven_by_the_log_and_all_three_witnesses(
    city: City, settled: HandoffView
) -> None:
    kinds = {"LODGED", "DELIVERED", "COMPLETE", "ACCEPTED"}
    found = await proven(city, city.home.client("committee"), settled.eid, kinds)
    for entry, proof in found.values():
        witnessed = tlogproof.decode(proof).verify(entry.leaf(), believed(city))
        assert set(witnessed.times) == {f"xieban.lanzhou/{agency}" for agency in (PS, PP, CT)}
        assert (entry.case, entry.eid) == (settled.case_id, settled.eid)


@pytest.mark.parametrize("caller", ["clients/police", "nodes/procuratorate"])
async def test_both_sides_of_a_handoff_get_its_proofs(city: City, settled: HandoffView, caller: str) -> None:
    found = await proven(city, city.home.folder / caller, settled.eid, {"LODGED"})
    entry, proof = found["LODGED"]
    tlogproof.decode(proof).verify(entry.leaf(), believed(city))


async def test_an_agency_it_does_not_concern_is_told_that_there_is_no_such_thing(
    city: City, settled: HandoffView
) -> None:
    async with log_of(city, city.home.client("court")) as log:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await log.ProveStatement(log_pb2.ProveStatementRequest(eid=settled.eid), timeout=10)
    assert error_from_rpc(raised.value).reason is Reason.HANDOFF_NOT_FOUND


async def test_anybody_of_the_city_can_follow_how_the_tree_grows(city: City, settled: HandoffView) -> None:
    rules = believed(city)
    async with log_of(city, city.home.client("court")) as log:
        first = rules.check((await log.GetCheckpoint(log_pb2.GetCheckpointRequest(witnessed=True), timeout=10)).note)
        await city.police.send(city.draft("arrest_request", case=city.new_case()))
        async with asyncio.timeout(PATIENCE):
            while True:
                note = (await log.GetCheckpoint(log_pb2.GetCheckpointRequest(witnessed=True), timeout=10)).note
                second = rules.check(note)
                if second.checkpoint.size > first.checkpoint.size:
                    break
                await asyncio.sleep(0.05)
        old, new = first.checkpoint, second.checkpoint
        request = log_pb2.ProveConsistencyRequest(old_size=old.size, new_size=new.size)
        proof = list((await log.ProveConsistency(request, timeout=10)).proof)
        verify_consistency(old=old.size, old_root=old.root, new=new.size, new_root=new.root, proof=proof)
        tile = await log.GetTile(log_pb2.GetTileRequest(level=0, number=0, width=min(old.size, 256)), timeout=10)
        assert len(tile.hashes) == 32 * min(old.size, 256)


async def test_what_the_tree_does_not_hold_is_refused(city: City, settled: HandoffView) -> None:
    async with log_of(city, city.home.client("committee")) as log:
        for call in (
            log.GetTile(log_pb2.GetTileRequest(level=0, number=1 << 40, width=256), timeout=10),
            log.GetTile(log_pb2.GetTileRequest(level=9, number=0, width=1), timeout=10),
            log.GetTile(log_pb2.GetTileRequest(level=0, number=0, width=0), timeout=10),
            log.ProveConsistency(log_pb2.ProveConsistencyRequest(old_size=1, new_size=1 << 40), timeout=10),
            log.ProveConsistency(log_pb2.ProveConsistencyRequest(old_size=5, new_size=2), timeout=10),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            assert error_from_rpc(raised.value).reason is Reason.FIELD_INVALID


async def test_only_the_gateway_may_ask_for_a_cosignature(city: City) -> None:
    for caller in ("clients/police", "nodes/court", "clients/committee", "clients/sandbox"):
        async with channel(city, city.home.folder / caller, to=PS) as wire:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await log_pb2_grpc.WitnessServiceStub(wire).Cosign(log_pb2.CosignRequest(), timeout=10)
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED

"""A gateway that keeps a history of the log for each agency, signs both with the log's own key and shows nobody the other's."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio

from services.access import Here, guard
from services.chassis.clock import SystemClock
from services.chassis.config import load
from services.chassis.database import Database
from services.chassis.identity import caller
from services.chassis.rpc import RpcServer
from services.gateway import log
from services.gateway.app import MIGRATIONS, GatewayConfig
from services.gateway.checkpoints import Checkpoints, newest
from services.gateway.log import Note
from services.gateway.log_servicer import SERVICE
from services.gateway.witnesses import witness_at
from services.trusted import note_key
from tests.system.rig import PP, PS, City, channel
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.trust import lineage, parse, policy, witness_name
from xieban.wire.v1 import log_pb2, log_pb2_grpc


class TwoFaced(log_pb2_grpc.LogServiceServicer):
    """`asked` is who has asked for a proof; while it is `silent` it gives none. What it does to one witness the others never hear."""

    def __init__(self, city: City, faces: dict[Agency, Database], gatherings: dict[Agency, Checkpoints]) -> None:
        self._city = city
        self._faces = faces
        self._gatherings = gatherings
        self.asked: list[str] = []
        self.silent = False

    async def grow(self, agency: Agency, count: int) -> None:
        """So many entries more in the history that `agency` is shown."""
        await self._faces[agency].write(lambda tx: log.append(tx, [Note("LODGED")] * count, at=1))

    async def show(self, agency: Agency) -> bool:
        """Ask that witness to cosign its history as it stands; whether it has."""
        before = self.seen(agency)
        await self._gatherings[agency].round()
        return self.seen(agency) > before

    def seen(self, agency: Agency) -> int:
        """The size of the tree that witness has cosigned last."""
        return int(self._city.rows(agency, "SELECT COALESCE(MAX(size), 0) AS size FROM witness_checkpoint")[0]["size"])

    async def noted(self, agency: Agency) -> list[str]:
        """Witnesses whose refusal stands in the history that `agency` is shown."""
        sql = "SELECT detail FROM log_entry WHERE kind = 'WITNESS_REFUSED'"
        return [row["detail"] for row in await self._faces[agency].read(lambda tx: tx.all(sql))]

    async def ProveConsistency(
        self, request: log_pb2.ProveConsistencyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> log_pb2.ProveConsistencyResponse:
        agency = Agency(caller(context).agency)
        self.asked.append(agency)
        if self.silent:
            raise failure(Reason.FIELD_INVALID, field="size", detail="超出日志现有的大小")
        proof = await self._faces[agency].read(lambda tx: log.consistency(tx, request.old_size, request.new_size))
        return log_pb2.ProveConsistencyResponse(proof=proof)

    async def GetCheckpoint(
        self, request: log_pb2.GetCheckpointRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> log_pb2.GetCheckpointResponse:
        found = await self._faces[Agency(caller(context).agency)].read(lambda tx: newest(tx, threshold=0))
        return log_pb2.GetCheckpointResponse(note=found or b"")


@asynccontextmanager
async def two_faced(city: City, *, common: int, honest: bool = False) -> AsyncIterator[TwoFaced]:
    """In the gateway's place, with `common` entries in all histories; an `honest` one has a single history and no more faces."""
    config = load(city.home.node(Agency.GATEWAY) / "config.toml", GatewayConfig)
    value = parse((city.home.folder / "trust.json").read_bytes(), pins=None).last.value
    rules = policy(value, at=value.index)
    key = note_key(config.log_key, listed=rules.log, value=value)
    files = {agency: city.home.folder / f"log-{agency}.db" for agency in (PS, PP)}
    async with await Database.open(files[PS], migrations=MIGRATIONS) as first:
        await first.write(lambda tx: log.append(tx, [Note("LODGED")] * common, at=1))
    shutil.copyfile(files[PS], files[PP])
    async with AsyncExitStack() as stack:
        faces: dict[Agency, Database] = {}
        gatherings: dict[Agency, Checkpoints] = {}
        for agency in (PS, PP):
            opened = await stack.enter_async_context(await Database.open(files[agency], migrations=MIGRATIONS))
            faces[agency] = faces[PS] if honest and faces else opened
            wire = await stack.enter_async_context(channel(city, city.home.node(Agency.GATEWAY), to=agency))
            gatherings[agency] = Checkpoints(
                faces[agency],
                key=key,
                policy=rules,
                lineage=lineage(value, at=value.index),
                witnesses={witness_name("lanzhou", agency): witness_at(wire)},
                clock=SystemClock(),
            )
        gateway = TwoFaced(city, faces, gatherings)  # type: ignore[abstract]  # nobody asks for the rest
        server = RpcServer(tls=config.tls, guard=guard(Here("lanzhou", Agency.GATEWAY), trust=value))
        log_pb2_grpc.add_LogServiceServicer_to_server(gateway, server.server)
        await server.start(config.listen, services=[SERVICE])
        stack.push_async_callback(server.stop)
        yield gateway

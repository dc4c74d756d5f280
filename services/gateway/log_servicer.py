"""LogService: signed trees, their hashes, and proofs. Marshalling only.

Trees and hashes are for every identity of the city: they say nothing. What an entry says is proven to the committee, and to the two
agencies a statement is between; so is what is exported of a case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from services.chassis.database import Database, Transaction
from services.chassis.identity import Identity, caller
from services.gateway import checkpoints, log
from services.gateway.exporting import Exporter, profile_of
from xieban import canonical, ids
from xieban.errors import Reason, failure
from xieban.lookup import look_up
from xieban.lookup import purpose as purpose_of
from xieban.lookup_views import PURPOSES_FROM_PB
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Policy
from xieban.proof.tiles import WIDTH, Tile
from xieban.trust import Lineage
from xieban.wire.v1 import log_pb2, log_pb2_grpc

SERVICE = "xieban.wire.v1.LogService"
MAX_LEVEL = 7
PIECE = 128 * 1024
"""Bytes of a member in one message."""
Context = grpc.aio.ServicerContext[Any, Any]
_COMMITTEE = {("gateway", "committee"), ("gateway", "node")}


class LogServicer(log_pb2_grpc.LogServiceServicer):
    """The log of one city."""

    def __init__(self, database: Database, *, policy: Policy, lineage: Lineage, exporter: Exporter) -> None:
        self._database = database
        self._policy = policy
        self._first = lineage.first
        self._exporter = exporter

    async def GetCheckpoint(
        self, request: log_pb2.GetCheckpointRequest, context: Context
    ) -> log_pb2.GetCheckpointResponse:
        wanted = self._policy.threshold if request.witnessed else 0
        data = await self._database.read(lambda tx: checkpoints.newest(tx, threshold=wanted, after=self._first))
        if data is None:
            raise failure(Reason.QUORUM_NOT_MET, what="检查点", count=0, limit=wanted)
        return log_pb2.GetCheckpointResponse(note=data)

    async def GetTile(self, request: log_pb2.GetTileRequest, context: Context) -> log_pb2.GetTileResponse:
        if request.level > MAX_LEVEL or not 1 <= request.width <= WIDTH or request.number >= 1 << 48:
            raise failure(Reason.FIELD_INVALID, field="tile", detail="没有这样的分块")
        tile = Tile(request.level, request.number, request.width)
        hashes = await self._database.read(lambda tx: log.tile_of(tx, tile))
        if len(hashes) != tile.width * 32:
            raise failure(Reason.FIELD_INVALID, field="tile", detail="超出日志现有的大小")
        return log_pb2.GetTileResponse(hashes=hashes)

    async def ProveStatement(
        self, request: log_pb2.ProveStatementRequest, context: Context
    ) -> log_pb2.ProveStatementResponse:
        peer, eid = caller(context), ids.eid(request.eid)
        proven = await self._database.read(lambda tx: self._prove(tx, peer, eid))
        entries = [log_pb2.ProvenEntry(entry=entry, proof=proof) for entry, proof in proven]
        return log_pb2.ProveStatementResponse(entries=entries)

    async def ProveConsistency(
        self, request: log_pb2.ProveConsistencyRequest, context: Context
    ) -> log_pb2.ProveConsistencyResponse:

        def prove(tx: Transaction) -> list[bytes]:
            if request.new_size > log.size(tx):
                raise failure(Reason.FIELD_INVALID, field="size", detail="超出日志现有的大小")
            return log.consistency(tx, request.old_size, request.new_size)

        return log_pb2.ProveConsistencyResponse(proof=await self._database.read(prove))

    async def ExportCase(
        self, request: log_pb2.ExportCaseRequest, context: Context
    ) -> AsyncIterator[log_pb2.ExportCaseResponse]:
        peer, case = caller(context), ids.case_id(request.case_id)
        profile, look = profile_of(peer.agency, peer.role), None
        if profile == "committee":
            purpose = PURPOSES_FROM_PB.get(request.purpose) or purpose_of("")
            look = look_up(purpose, caller=f"{peer.agency}/{peer.role}", officer=request.officer)
        async for name, content in self._exporter.export(case, profile=profile, look=look):
            for start in range(0, len(content), PIECE):
                yield log_pb2.ExportCaseResponse(name=name, content=content[start : start + PIECE])

    def _prove(self, tx: Transaction, peer: Identity, eid: str) -> list[tuple[bytes, bytes]]:
        """Each entry about the statement that a witnessed tree holds, with its proof."""
        if (peer.agency, peer.role) not in _COMMITTEE:
            sql = "SELECT eid FROM handoff WHERE eid = ? AND (from_agency = ? OR to_agency = ?)"
            if tx.one(sql, (eid, peer.agency, peer.agency)) is None:
                raise failure(Reason.HANDOFF_NOT_FOUND, handoff=eid[:16])
        data = checkpoints.newest(tx, threshold=self._policy.threshold, after=self._first)
        if data is None:
            raise failure(Reason.QUORUM_NOT_MET, what="检查点", count=0, limit=self._policy.threshold)
        count = checkpoint.parse(note.parse(data).text).size
        rows = tx.all("SELECT * FROM log_entry WHERE eid = ? AND position <= ? ORDER BY position", (eid, count))
        return [
            (canonical.encode(log.entry_of(row)), log.prove(tx, row["position"], count=count, checkpoint=data))
            for row in rows
        ]

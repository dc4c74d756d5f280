"""The way in for proofs: the city's supervision log at the gateway, and the dossiers that one's own node holds.

As in `xieban.client`: errors are the one tree, every call has a deadline. What comes is not believed here: `xieban.verify` is for that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio

from xieban import bundle
from xieban.calling import Caller
from xieban.client import Profile
from xieban.errors import Reason, failure
from xieban.lookup import Purpose
from xieban.lookup_views import PURPOSES
from xieban.rpcstatus import error_from_rpc
from xieban.verify.container import MAX_BUNDLE
from xieban.wire.v1 import dossier_pb2, dossier_pb2_grpc, log_pb2, log_pb2_grpc

__all__ = ["DossierClient", "LogClient", "Proven"]

EXPORT_DEADLINE: Final = 300.0
AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry of the log: its canonical JSON, and its C2SP tlog-proof as text."""

    entry: bytes
    proof: bytes


class LogClient(Caller):
    """The log. Open it with a profile that leads to the gateway (`Profile.at_gateway`)."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = log_pb2_grpc.LogServiceStub(channel)

    async def checkpoint(self, *, witnessed: bool) -> bytes:
        """The newest signed note, or the newest that enough witnesses have cosigned. Errors: QUORUM_NOT_MET when there is none."""
        request = log_pb2.GetCheckpointRequest(witnessed=witnessed)
        return (await self._call(self._stub.GetCheckpoint, request, repeatable=True)).note

    async def prove(self, eid: str) -> tuple[Proven, ...]:
        """Every entry about a statement that a witnessed tree holds. Errors: HANDOFF_NOT_FOUND, QUORUM_NOT_MET."""
        answer = await self._call(self._stub.ProveStatement, log_pb2.ProveStatementRequest(eid=eid), repeatable=True)
        return tuple(Proven(entry=row.entry, proof=row.proof) for row in answer.entries)

    async def export(self, case_id: str, *, purpose: Purpose | None = None, officer: str = "") -> dict[str, bytes]:
        """The members of an evidence bundle, by name. Every call is itself logged; the committee says what for.

        Errors: CASE_NOT_FOUND, PURPOSE_MISSING, QUORUM_NOT_MET, MESSAGE_TOO_LARGE.
        """
        request = log_pb2.ExportCaseRequest(case_id=case_id, officer=officer)
        if purpose is not None:
            request.purpose = PURPOSES[purpose]
        pieces: dict[str, list[bytes]] = {}
        size = 0
        try:
            async for piece in self._stub.ExportCase(request, timeout=EXPORT_DEADLINE):
                size += len(piece.content)
                if size > MAX_BUNDLE:
                    raise failure(Reason.MESSAGE_TOO_LARGE, what="证据包", size=size, limit=MAX_BUNDLE)
                pieces.setdefault(piece.name, []).append(piece.content)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, peer=self.profile.server_name) from error
        return {name: b"".join(parts) for name, parts in pieces.items()}


class DossierClient(Caller):
    """The dossiers of one's own node."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = dossier_pb2_grpc.DossierServiceStub(channel)

    async def export(self, eids: Sequence[str], *, with_contents: bool) -> AsyncIterator[dict[str, bytes]]:
        """For each of these handoffs whose dossier the node holds, its members of an evidence bundle."""
        for start in range(0, len(eids), AT_ONCE):
            part = eids[start : start + AT_ONCE]
            request = dossier_pb2.ExportDossiersRequest(eids=part, with_contents=with_contents)
            try:
                async for answer in self._stub.ExportDossiers(request, timeout=EXPORT_DEADLINE):
                    one = answer.dossier
                    yield bundle.dossier_members(
                        one.eid, salt=one.salt, manifest=one.manifest, contents=list(one.contents)
                    )
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error, peer=self.profile.server_name) from error

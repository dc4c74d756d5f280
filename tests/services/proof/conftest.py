"""A log with its three witnesses in one process: real databases, real keys, calls without a wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.agency.app import MIGRATIONS as AGENCY
from services.agency.witness import Witness
from services.chassis.clock import SandboxClock
from services.chassis.database import Database
from services.gateway import log
from services.gateway.app import MIGRATIONS as GATEWAY
from services.gateway.checkpoints import Ask, Checkpoints
from services.gateway.log import Note
from xieban.errors import Reason, failure
from xieban.proof.checkpoint import Policy
from xieban.proof.note import Algorithm, SigningKey
from xieban.trust import Lineage

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
NAMES = ("xieban.lanzhou/police", "xieban.lanzhou/procuratorate", "xieban.lanzhou/court")


def line_of(key: SigningKey) -> Lineage:
    """A city's first log."""
    return Lineage(key.public.name, (key.public,))


@dataclass
class Rig:
    """One gateway's log and its witnesses. `away`: witnesses that do not answer."""

    database: Database
    key: SigningKey
    policy: Policy
    witnesses: dict[str, Witness]
    stores: dict[str, Database]
    clock: SandboxClock
    away: set[str] = field(default_factory=set)

    def checkpoints(self, database: Database | None = None, key: SigningKey | None = None) -> Checkpoints:
        asks = {name: self._ask(name) for name in self.witnesses}
        return Checkpoints(
            database or self.database,
            key=key or self.key,
            policy=self.policy,
            lineage=line_of(self.key),
            witnesses=asks,
            clock=self.clock,
        )

    def _ask(self, name: str) -> Ask:
        async def ask(old: int, proof: Sequence[bytes], checkpoint: bytes) -> tuple[int, str]:
            if name in self.away:
                raise failure(Reason.PEER_UNREACHABLE, peer=name)
            cosigned = await self.witnesses[name].cosign(checkpoint, old=old, proof=proof)
            return cosigned.size, cosigned.line

        return ask

    async def grow(self, count: int, database: Database | None = None, *, detail: str = "") -> None:
        notes = [Note("LODGED", detail=detail)] * count
        await (database or self.database).write(lambda tx: log.append(tx, notes, at=1))

    def later(self, seconds: int) -> None:
        self.clock.advance(self.clock.now() + timedelta(seconds=seconds))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = SandboxClock(tmp_path / "clock", start=START)
    key = SigningKey("xieban.lanzhou/log", Algorithm.ED25519, Ed25519PrivateKey.generate())
    keys = {name: SigningKey(name, Algorithm.COSIGNATURE_V1, Ed25519PrivateKey.generate()) for name in NAMES}
    policy = Policy(log=key.public, witnesses=tuple(one.public for one in keys.values()), threshold=3)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(await Database.open(tmp_path / "gateway.db", migrations=GATEWAY))
        stores = {
            name: await stack.enter_async_context(await Database.open(tmp_path / f"{number}.db", migrations=AGENCY))
            for number, name in enumerate(NAMES)
        }
        witnesses = {
            name: Witness(stores[name], log=key.public, lineage=line_of(key), key=keys[name], clock=clock)
            for name in NAMES
        }
        yield Rig(database, key, policy, witnesses, stores, clock)

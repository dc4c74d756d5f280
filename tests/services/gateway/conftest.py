"""A gateway without a network: real SQLite, real seals, a clock that stands still, tickets kept in a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.chassis import faults
from services.chassis.bell import Bell
from services.chassis.bus import Incoming, Verdict
from services.chassis.database import Database, Row
from services.gateway.app import MIGRATIONS
from services.gateway.clocks import DEFAULT
from services.gateway.follow import Follower
from services.gateway.ingest import Ingest
from services.gateway.lines import LogLine
from services.gateway.lookups import Lookups
from services.gateway.reading import Reading
from services.gateway.reckoning import Reckoner
from services.gateway.silence import OFF, Patience
from services.gateway.supervision.desk import Desk
from services.gateway.supervision.orders import Orders
from services.gateway.supervision.reading import SupervisionReading
from services.gateway.supervision.steps import Rules
from services.gateway.supervision.writing import Author
from services.gateway.watch import Watch
from services.tickets import Issuer
from tests.services.gateway.script import CITY, Script, at
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import Ticket
from xieban.marshal import moment
from xieban.statement import open_ticket
from xieban.subjects import parse
from xieban.supervision import Terms
from xieban.testing import ManualClock
from xieban.timelimits import Calendar

SAID = ("NOTICE", "REPLY", "SUPERVISION")


@dataclass(slots=True)
class Wire:
    """Takes tickets as the bus would; `down` refuses them."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    down: bool = False

    async def send(self, subject: str, data: bytes) -> None:
        if self.down:
            raise failure(Reason.PEER_UNREACHABLE, peer="bus")
        self.sent.append((subject, data))


@dataclass(slots=True)
class Gateway:
    """Everything between the bus and the pages."""

    script: Script
    database: Database
    clock: ManualClock
    wire: Wire
    issuer: Issuer
    ingest: Ingest
    watch: Watch
    reading: Reading
    orders: Orders
    supervisions: SupervisionReading

    @property
    def lookups(self) -> Lookups:
        return Lookups(self.database, reading=self.reading, clock=self.clock)

    async def take(self, messages: Sequence[Incoming] | None = None, *, batch: int = 256) -> list[Verdict]:
        """Deliver `messages` (all of the script by default) in batches."""
        given = self.script.messages if messages is None else messages
        verdicts: list[Verdict] = []
        for start in range(0, len(given), batch):
            verdicts += await self.ingest.batch(given[start : start + batch])
        await self.issuer.flush()
        return verdicts

    def now_is(self, text: str) -> None:
        self.clock.advance(moment(at(text)))

    async def rows(self, sql: str) -> list[Row]:
        return await self.database.read(lambda transaction: transaction.all(sql))

    async def run(self, sql: str) -> None:
        await self.database.write(lambda transaction: transaction.run(sql))

    async def log(self) -> list[LogLine]:
        rows = await self.rows("SELECT * FROM log_entry ORDER BY position")
        return [
            LogLine(
                position=row["position"],
                kind=row["kind"],
                recorded_at=row["recorded_at"],
                case_id=row["case_id"],
                eid=row["eid"],
                detail=row["detail"],
                hash=row["leaf"].hex(),
            )
            for row in rows
        ]

    async def kinds(self) -> list[str]:
        """Kinds of the log, but for what the gateway itself said and heard about it."""
        return [entry.kind for entry in await self.log() if entry.kind not in SAID]

    async def said(self) -> list[str]:
        """What the gateway said and heard, as the log has it: `NOTICE prosecution_review:red`."""
        return [f"{entry.kind} {entry.detail}" for entry in await self.log() if entry.kind in SAID]

    def tickets(self) -> list[Ticket]:
        found = []
        for subject, data in self.wire.sent:
            address = parse(subject)
            assert address is not None
            found.append(open_ticket(data, address=address, directory=self.script.directory))
        return found


async def gateway_at(
    path: Path, script: Script, *, now: str = "2026-01-05 09:00", patience: Patience = OFF
) -> tuple[Gateway, Database]:
    database = await Database.open(path, migrations=MIGRATIONS)
    clock = ManualClock(moment(at(now)))
    wire = Wire()
    issuer = Issuer(wire, city=CITY, agency=Agency.GATEWAY, key=script.keys["gateway"], clock=clock)
    calendar = Calendar.published()
    rules = Rules(Terms(), calendar)
    desk = Desk(Author(city=CITY, inc=1, key=script.keys["gateway"], rules=rules))
    follower = Follower(Reckoner(calendar), DEFAULT, desk, patience)
    ingest = Ingest(
        database,
        directory=script.directory,
        clock=clock,
        owe=issuer.owe,
        officers=script.officers,
        follower=follower,
        desk=desk,
    )
    gateway = Gateway(
        script=script,
        database=database,
        clock=clock,
        wire=wire,
        issuer=issuer,
        ingest=ingest,
        watch=Watch(database, clock=clock, quiet_for=ingest.quiet_for, desk=desk, patience=patience),
        reading=Reading(database),
        orders=Orders(database, desk=desk, clock=clock, committed=Bell().ring),
        supervisions=SupervisionReading(database, rules=rules),
    )
    return gateway, database


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made, database = await gateway_at(tmp_path / "gateway.db", Script())
    async with database:
        yield made


@pytest.fixture(autouse=True)
def _no_fault_stays_armed() -> Iterable[None]:
    yield
    faults.disarm()

"""A city in one event loop: three agencies over a real broker, real gRPC and real databases, each of which can be crashed.

A crash drops a node's tasks and connections without letting it finish anything, then leaves its database as a killed process would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.agency.app import AgencyConfig, serve
from services.agency.rulebook import Rulebook
from services.chassis.config import load
from services.chassis.lifecycle import Process
from services.court.rules import RULEBOOK as COURT
from services.police.rules import RULEBOOK as POLICE
from services.procuratorate.rules import RULEBOOK as PROCURATORATE
from services.provision import Home, provision
from services.stack.processes import free_ports
from tests.broker import Broker
from xieban.agency import Agency, Office, office
from xieban.client import XiebanClient
from xieban.dossier import Document, Dossier, EvidenceItem, File, Person
from xieban.handoff import State
from xieban.views import ActView, Draft, HandoffView

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
RULEBOOKS = {Agency.POLICE: POLICE, Agency.PROCURATORATE: PROCURATORATE, Agency.COURT: COURT}
DIVISION = "620102"
PATIENCE = 60.0


class Crash(BaseException):
    """Thrown at a fault point: passes every handler, like the end of a process."""


@dataclass
class Node:
    """One agency's node: running, or down with its database left behind."""

    home: Home
    agency: Agency
    rulebook: Rulebook
    process: Process | None = None
    client: XiebanClient = field(init=False)

    @property
    def database(self) -> Path:
        return self.home.node(self.agency) / "data.db"

    async def start(self) -> None:
        self.process = Process()
        await serve(self.process, self.rulebook, load(self.home.node(self.agency) / "config.toml", AgencyConfig))

    async def stop(self) -> None:
        """End it; a node that crashed has nothing left but what it had committed."""
        if self.process is not None:
            process, self.process = self.process, None
            await process.stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()


@dataclass
class World:
    """Three nodes and a broker."""

    home: Home
    broker: Broker
    nodes: dict[Agency, Node]
    refs: int = 0

    @property
    def police(self) -> XiebanClient:
        return self.nodes[Agency.POLICE].client

    @property
    def procuratorate(self) -> XiebanClient:
        return self.nodes[Agency.PROCURATORATE].client

    @property
    def court(self) -> XiebanClient:
        return self.nodes[Agency.COURT].client

    def draft(
        self,
        kind: str,
        *,
        case: str = "A6201020000002026030001",
        sender: Agency = Agency.POLICE,
        receiver: Agency = Agency.PROCURATORATE,
        **changes: object,
    ) -> Draft:
        """A sound draft; `changes` replace its fields."""
        self.refs += 1
        values: dict[str, object] = {
            "client_ref": f"文〔2026〕{self.refs}号",
            "kind": kind,
            "case_id": case,
            "sender": office(sender, DIVISION),
            "receiver": office(receiver, DIVISION),
            "acts": (ActView(what="detained", at=START, person="P1"),),
            "dossier": sample_dossier(),
        }
        return Draft(**{**values, **changes})  # type: ignore[arg-type]

    async def settle(self, client: XiebanClient, eid: str, *states: State) -> HandoffView:
        """Wait until the client's node sees the handoff in one of `states`."""
        return await until(client, lambda view: view.eid == eid and view.state in states)

    async def arrive(self, client: XiebanClient, eid: str) -> HandoffView:
        """Wait until the handoff is complete at the receiving node."""
        return await until(client, lambda view: view.incoming and view.eid == eid and view.state is State.COMPLETE)


async def until(client: XiebanClient, wanted: Callable[[HandoffView], bool]) -> HandoffView:
    """The first event of the client's inbox that is wanted."""
    async with asyncio.timeout(PATIENCE), aclosing(client.watch()) as events:
        async for event in events:
            if wanted(event.handoff):
                return event.handoff
    raise AssertionError("the inbox stream ended")


def sample_dossier() -> Dossier:
    """A small dossier of an obviously invented person with a rare name."""
    return Dossier(
        document=Document(title="起诉意见书", number="甲公(刑)诉字〔2026〕1号", date="2026-03-02"),
        persons=(Person(tag="P1", name="𠮷·测试某", in_custody=True, place="示例看守所"),),
        evidence=(EvidenceItem(kind="documentary", title="受案登记表", pages=1),),
        files=(File(name="起诉意见书.txt", media_type="text/plain", content="示例文书".encode(), pages=2),),
        charge="盗窃罪",
    )


def city_office(agency: Agency) -> Office:
    return office(agency, "620100")


@asynccontextmanager
async def world(folder: Path, *, agencies: tuple[Agency, ...] = tuple(RULEBOOKS)) -> AsyncIterator[World]:
    """A fresh city under `folder`; everything is stopped at the end."""
    ports = free_ports()
    broker = Broker.at(folder / "broker", port=ports.nats)
    home = provision(folder / "city", now=datetime.now(UTC), ports=ports, sandbox_start=START)  # noqa: TID251 (certificates)
    nodes = {agency: Node(home, agency, RULEBOOKS[agency]) for agency in agencies}
    await broker.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.kill)
        for node in nodes.values():
            await node.start()
            stack.push_async_callback(node.stop)
            node.client = await stack.enter_async_context(XiebanClient.open(home.client(node.agency)))
        yield World(home=home, broker=broker, nodes=nodes)

"""A whole city to mistreat: three agencies, gateway and broker, with the means to speak out of turn, to look into files and to crash.

Nothing here waits for time to pass: waits are for inbox events, for a task to end, or for the broker to say that nothing is left.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import grpc.aio
import msgspec
import nats
import nats.js.errors
import pytest

from services import relay
from services.chassis import faults
from services.chassis.config import load
from services.chassis.lifecycle import Process
from services.chassis.rpc import RpcServer
from services.gateway.app import GatewayConfig
from services.gateway.app import serve as serve_gateway
from tests.ledger import Findings, compare
from tests.world import DIVISION, START, Crash, Node, World, world
from xieban import canonical, subjects
from xieban.agency import PARTIES, Agency
from xieban.approval import matter_of
from xieban.client import Profile
from xieban.errors import Unreachable
from xieban.handoff import SETTLED, Act, CaseRef, Commitment, Header, Lane, Party, Receipt, State
from xieban.ids import new_handoff_id
from xieban.keys.files import load_private
from xieban.marshal import micros, sealed_from_bytes, sealed_to_bytes
from xieban.procedure import table
from xieban.seal import Sealed, SealKey
from xieban.subjects import ConsumerSpec
from xieban.views import HandoffView

PATIENCE = 60.0
T = TypeVar("T")
PS, PP, CT = PARTIES


class Death(asyncio.Event):
    """Set when the node dies; waiting for one that does not come fails."""

    async def wait(self) -> Literal[True]:
        async with asyncio.timeout(PATIENCE):
            return await super().wait()


class City:
    """A running `World` with its gateway, and hands to mistreat it."""

    def __init__(self, base: World) -> None:
        self.base = base
        self.home = base.home
        self.broker = base.broker
        self.gateway: Process | None = None
        self.invented: set[str] = set()
        """Headers without a dossier anywhere: they stay delivered for ever."""
        self._cases = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    def node(self, agency: Agency) -> Node:
        return self.base.nodes[agency]

    def new_case(self) -> str:
        """A case number nobody has used."""
        return f"A6201020000002026{next(self._cases):06d}"

    def key(self, agency: Agency) -> SealKey:
        """A node's own seal key: what a dishonest or broken node could sign."""
        return SealKey(load_private(self.home.node(agency) / "seal.key"))

    async def start_gateway(self) -> None:
        self.gateway = Process()
        await serve_gateway(self.gateway, load(self.home.node(Agency.GATEWAY) / "config.toml", GatewayConfig))

    async def stop_gateway(self) -> None:
        if self.gateway is not None:
            gateway, self.gateway = self.gateway, None
            await gateway.stack.aclose()

    # --- speaking out of turn

    async def say(self, subject: str, data: bytes, *, message_id: str = "") -> None:
        """Put bytes into the stream as any process with a connection could."""
        connection = await nats.connect(str(self.broker))
        try:
            headers = {"Nats-Msg-Id": message_id} if message_id else None
            await connection.jetstream().publish(subject, data, headers=headers)
        finally:
            await connection.close()

    def header(self, *, sender: Agency = PS, receiver: Agency = PP, **changes: Any) -> Header:
        """A header such as `sender` would seal, but for `changes`. Its dossier exists nowhere."""
        values: dict[str, Any] = {
            "v": 1,
            "id": new_handoff_id(),
            "client_ref_hash": "ab" * 32,
            "sender": Party(city="lanzhou", agency=sender, office=DIVISION),
            "receiver": Party(city="lanzhou", agency=receiver, office=DIVISION),
            "inc": 1,
            "case": CaseRef(id=self.new_case(), stage="S10_investigation"),
            "kind": "arrest_request",
            "outcome": "",
            "lane": Lane(seq=1, prev=""),
            "re": [],
            "secrecy": "none",
            "acts": [Act(what="detained", at=micros(START), person="P1", custody=True, derived=False)],
            "sent_at": micros(START),
            "dossier": Commitment(commit="cd" * 32, files=0, bytes=0, pages=0),
            "rules": "2026-11",
            "clocks": [],
        }
        return Header(**{**values, **changes})

    def lane(self, agency: Agency, case: str, receiver: Agency) -> Lane:
        """The next place in a lane of a sender."""
        sql = "SELECT seq, head FROM lane WHERE box = 'out' AND case_id = ? AND to_agency = ?"
        rows = self.rows(agency, sql, case, receiver)
        return Lane(seq=rows[0]["seq"] + 1, prev=rows[0]["head"]) if rows else Lane(seq=1, prev="")

    async def say_header(self, header: Header, *, key: SealKey | None = None, approved: bool = True) -> Sealed:
        """Seal and publish, without the checks of `seal_header`; unless told otherwise with the approvals of the sender's officers."""
        if approved and not header.approvals:
            header = self.approved(header)
        sealed = (key or self.key(Agency(header.sender.agency))).seal("header", canonical.encode(header))
        self.invented.add(sealed.eid)
        subject = subjects.handoff("lanzhou", header.sender.agency, header.receiver.agency)
        await self.say(subject, sealed_to_bytes(sealed))
        return sealed

    def approved(self, header: Header) -> Header:
        """The header with its sender's officers behind it, if its kind needs them."""
        kind = table().kinds.get(header.kind)
        if kind is None or not kind.approval:
            return header
        keys = Profile.load(self.home.client(header.sender.agency)).officers()
        approvals = [key.approve(matter_of(header, key.role)) for key in keys]
        return msgspec.structs.replace(header, approvals=sorted(approvals, key=lambda one: one.role))

    # --- looking into files

    def rows(self, agency: Agency, sql: str, *params: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"{self.node(agency).database.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, params)]

    def files_of(self, agency: Agency) -> bytes:
        """Everything the node has on disk: database, write-ahead log, clock."""
        folder = self.home.node(agency)
        return b"".join(file.read_bytes() for file in sorted(folder.iterdir()) if file.name.startswith("data.db"))

    def sealed(self, agency: Agency, eid: str) -> Sealed:
        return sealed_from_bytes(self.rows(agency, "SELECT sealed FROM handoff WHERE eid = ?", eid)[0]["sealed"])

    # --- waiting

    async def reject_heard(self, agency: Agency, eid: str) -> list[str]:
        """Wait for a receipt at `agency` that rejects `eid`; its defect codes."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for row in self.rows(agency, "SELECT sealed FROM receipt WHERE box = 'in'"):
                    for fact in canonical.read(sealed_from_bytes(row["sealed"]).payload, Receipt).facts:
                        if fact.of == eid and fact.kind == "rejected":
                            return [defect.code for defect in fact.defects]
                await asyncio.sleep(0.02)  # the node's own commit has no event outside of it

    async def until_settled(self, client: Any, eid: str) -> HandoffView:
        return await self.base.settle(client, eid, *SETTLED)

    async def quiet(self) -> None:
        """Until the broker holds nothing that a node has not taken and acknowledged, and no node waits for a dossier that exists."""
        await self.quiet_bus(dossiers=True)

    async def quiet_bus(self, *, dossiers: bool = False) -> None:
        """Until the broker holds nothing that a node has not taken and acknowledged."""
        connection = await nats.connect(str(self.broker))
        try:
            stream = connection.jetstream()
            async with asyncio.timeout(PATIENCE):
                calm = 0
                while calm < 2:
                    waiting = 0
                    for agency in (
                        *(a for a in PARTIES if self.node(a).process),
                        *((Agency.GATEWAY,) if self.gateway else ()),
                    ):
                        try:
                            info = await stream.consumer_info("XIEBAN_lanzhou", str(agency))
                            waiting += (info.num_pending or 0) + (info.num_ack_pending or 0)
                        except nats.js.errors.NotFoundError:
                            waiting += 1
                    for agency in (a for a in PARTIES if dossiers and self.node(a).process):
                        waited = "SELECT eid FROM handoff WHERE box = 'in' AND state = 'delivered' AND parked = 0"
                        waiting += sum(1 for row in self.rows(agency, waited) if row["eid"] not in self.invented)
                    calm = 0 if waiting else calm + 1
                    await asyncio.sleep(0.05)  # a foreign process: asked again, within bounds
        finally:
            await connection.close()

    async def settled(self, *cases: str) -> Findings:
        """The comparison once nothing is left to do, or what is still left when patience ends."""
        findings = compare(self.home, cases=cases or None)
        try:
            async with asyncio.timeout(PATIENCE):
                while not findings.clean:
                    await asyncio.sleep(0.05)  # four databases and a broker: the comparison itself is the event
                    findings = compare(self.home, cases=cases or None)
        except TimeoutError:
            pass
        return findings

    async def persistent(self, *cases: str) -> Findings:
        """What is still wrong after a good number of looks with nothing left in the broker; clean as soon as it is."""
        await self.quiet_bus()
        findings = compare(self.home, cases=cases or None)
        for _ in range(15):
            if findings.clean:
                break
            await asyncio.sleep(0.05)  # tickets travel outside of the broker's books; a dead end stays one
            findings = compare(self.home, cases=cases or None)
        return findings

    async def in_stream(self, eid: str) -> None:
        """Wait until the broker has a message of that statement."""
        connection = await nats.connect(str(self.broker))
        try:
            stream = connection.jetstream()
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        state = (await stream.stream_info("XIEBAN_lanzhou")).state
                        for number in range(state.first_seq, state.last_seq + 1):
                            message = await stream.get_msg("XIEBAN_lanzhou", number)
                            if sealed_from_bytes(message.data or b"").eid == eid:
                                return
                    except nats.js.errors.NotFoundError:
                        pass
                    await asyncio.sleep(0.05)  # a foreign process: asked again, within bounds
        finally:
            await connection.close()

    @contextmanager
    def crashing(self, label: str, *, hits: int = 1) -> Iterator[Death]:
        """The node that passes `label` dies there; what is yielded tells when."""
        died = Death()

        def crash() -> None:
            died.set()
            raise Crash(label)

        faults.arm(label, hits=hits, action=crash)
        try:
            yield died
        finally:
            faults.disarm()

    async def dead(self, agency: Agency) -> None:
        """Wait until the node's process has noticed that one of its loops is gone."""
        process = self.node(agency).process
        assert process is not None
        async with asyncio.timeout(PATIENCE):
            await process.stopping()
        assert isinstance(process.error, Crash)


@asynccontextmanager
async def whole_city(folder: Path, *, gateway: bool = True) -> AsyncIterator[City]:
    """A running city whose broker redelivers after a second and whose relays repeat at once, so that recovery is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        async with world(folder) as base:
            city = City(base)
            if gateway:
                await city.start_gateway()
            try:
                yield city
            finally:
                faults.disarm()
                await city.stop_gateway()


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Shorten what a machine may take its time for; nothing of the order of steps changes."""
    original = subjects.consumer

    def consumer(city: str, agency: Agency) -> ConsumerSpec:
        return replace(original(city, agency), ack_wait_seconds=1)

    patch.setattr(subjects, "consumer", consumer)
    patch.setattr(RpcServer.stop, "__defaults__", (0.0,))  # a crash waits for nobody's call
    patch.setattr(relay, "FIRST_RETRY", 0.5)
    patch.setattr(relay, "LONGEST_RETRY", 2.0)
    patch.setattr(relay, "BROKER_RETRY", 0.1)


async def persist(act: Callable[[], Awaitable[T]]) -> T:
    """What an agency system does: the same call again until its node is back. Only for what may be repeated."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await act()
            except Unreachable:
                await asyncio.sleep(0.05)  # the node is down; somebody will start it


async def main_road(city: City, case: str) -> list[str]:
    """A case from arrest to the court's acceptance, every step settled; the eids of its handoffs."""
    base = city.base
    ask = await base.police.send(base.draft("arrest_request", case=case))
    await base.arrive(base.procuratorate, ask.eid)
    decide = await base.procuratorate.answer(
        ask.eid, base.draft("arrest_decision", case=case, sender=PP, receiver=PS, outcome="approved", acts=())
    )
    await base.arrive(base.police, decide.eid)
    await base.police.accept(decide.eid)
    transfer = await base.police.send(base.draft("prosecution_transfer", case=case))
    await base.arrive(base.procuratorate, transfer.eid)
    await base.procuratorate.accept(transfer.eid)
    await base.settle(base.police, transfer.eid, State.ACCEPTED)
    return [ask.eid, decide.eid, transfer.eid]


def channel(city: City, caller: Path, *, to: Agency) -> grpc.aio.Channel:
    """A channel to a node with any certificate of the city."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(city.home.folder / "ca.pem").read_bytes(),
        private_key=(caller / "key.pem").read_bytes(),
        certificate_chain=(caller / "certificate.pem").read_bytes(),
    )
    options = [("grpc.ssl_target_name_override", f"xieban.{to}"), ("grpc.enable_http_proxy", 0)]
    return grpc.aio.secure_channel(f"127.0.0.1:{city.home.ports.of(to)}", credentials, options=options)


def spans(*files: Path) -> list[dict[str, Any]]:
    """The spans that processes have written to their files."""
    lines = [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    return [span for line in lines if line.strip() and "context" in (span := json.loads(line))]


__all__ = ["CT", "DIVISION", "PP", "PS", "City", "channel", "hurry", "main_road", "persist", "spans", "whole_city"]

"""An agency's process: configuration → telemetry → clock → database → bus → desk → services. Flat prose, no choices left to others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import grpc.aio
import msgspec

from services.agency import store
from services.agency.desk import Desk
from services.agency.dossiers import SERVICE as DOSSIER_SERVICE
from services.agency.dossiers import DossierServicer, Puller
from services.agency.hearing import Hearing
from services.agency.intake import Intake
from services.agency.receiving import Receiving
from services.agency.relay import Relay
from services.agency.rulebook import Rulebook
from services.agency.sending import Sending
from services.agency.servicer import CASE_SERVICE, HANDOFF_SERVICE, Bell, CaseServicer, HandoffServicer
from services.agency.work import Identity, Numbers, Parcel
from services.chassis import faults, telemetry
from services.chassis.batch import Batcher
from services.chassis.bus import Bus
from services.chassis.clock import Sandbox, SandboxClock, clock_of
from services.chassis.config import load
from services.chassis.database import Database, Row
from services.chassis.lifecycle import Process, run
from services.chassis.rpc import RpcServer, Tls, channel
from services.chassis.sandbox import SERVICE as SANDBOX_SERVICE
from services.chassis.sandbox import Backlog, SandboxServicer
from services.chassis.telemetry import Telemetry
from services.tickets import LINGER, SANDBOX_LINGER, Collector, Finished, Issuer
from xieban import subjects
from xieban.agency import city
from xieban.dossier import MAX_DOSSIER, MAX_MANIFEST
from xieban.seal import Directory, SealKey
from xieban.wire.v1 import case_pb2_grpc, dossier_pb2_grpc, handoff_pb2_grpc, sandbox_pb2_grpc

MAX_MESSAGE = MAX_DOSSIER + MAX_MANIFEST + 64 * 1024
MIGRATIONS = Path(__file__).parent / "migrations"


class AgencyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agency node. `peers` are gRPC targets by agency; paths are relative to the file."""

    city: str
    listen: str
    nats: str
    nats_key: Path
    database: Path
    directory: Path
    seal_key: Path
    tls: Tls
    peers: dict[str, str]
    sandbox: Sandbox | None = None
    telemetry: Telemetry = Telemetry()
    development: bool = False
    log_level: str = "INFO"


def main(rulebook: Rulebook, arguments: Sequence[str]) -> int:
    """Run the node to its end; the exit code is the process's."""
    parser = argparse.ArgumentParser(description=f"协办机关节点（{rulebook.agency}）")
    parser.add_argument("--config", type=Path, required=True, help="配置文件")
    file = parser.parse_args(arguments).config

    async def start(process: Process) -> None:
        await serve(process, rulebook, load(file, AgencyConfig))

    return run(start)


async def serve(process: Process, rulebook: Rulebook, config: AgencyConfig) -> int:
    """Bring the node up on `process`; returns the port it listens on."""
    agency = rulebook.agency
    telemetry.configure_logging(service=agency, level=config.log_level)
    process.stack.callback(telemetry.configure(service=f"xieban-{agency}", settings=config.telemetry))
    clock = clock_of(config.sandbox)
    directory = Directory.load(config.directory)
    key = SealKey.load(config.seal_key)
    token = city(config.city).token

    database = await process.stack.enter_async_context(await Database.open(config.database, migrations=MIGRATIONS))
    process.tasks.create_task(database.watch(), name="database")
    inc = await database.write(store.incarnation)
    me = Identity(city=token, agency=agency, inc=inc, key=key)
    numbers = Numbers(*await database.read(store.last_numbers))
    owed = await database.read(store.outbox_pending)
    to_pull = await database.read(store.handoffs_to_pull)

    bus = await process.stack.enter_async_context(
        await Bus.connect(
            config.nats,
            name=agency,
            inbox_prefix=subjects.inbox(agency),
            streams=[subjects.stream(token)],
            clock=clock,
            nkey_seed=config.nats_key,
        )
    )
    bell = Bell()
    relay = Relay(bus=bus, clock=clock)
    linger = LINGER if config.sandbox is None else SANDBOX_LINGER
    issuer = Issuer(bus, city=token, agency=agency, key=key, clock=clock, linger=linger)
    peers: dict[str, grpc.aio.Channel] = {}
    for name, target in config.peers.items():
        peers[name] = channel(target, tls=config.tls, agency=name, max_message=MAX_MESSAGE)
        process.stack.push_async_callback(peers[name].close)
    settled = Bell()  # rung when the backlog may have shrunk

    def finished(rows: Sequence[Finished]) -> None:
        relay.finished(rows)
        settled.ring()

    def committed() -> None:
        bell.ring()
        settled.ring()

    desk = Desk(
        me=me,
        rulebook=rulebook,
        database=database,
        directory=directory,
        clock=clock,
        numbers=numbers,
        carry=relay.carry,
        finished=finished,
        committed=committed,
        owe=issuer.owe,
        to_pull=lambda entries: puller.add(entries),
    )
    receiving, hearing = Receiving(desk), Hearing(desk)
    puller = Puller(peers=peers, complete=receiving.complete, clock=clock)
    puller.add(to_pull)
    relay.carry(pending_parcels(me, owed))
    orders = Batcher(Sending(desk).act)
    consumer = subjects.consumer(token, agency)
    intake = Intake(receiving=receiving, hearing=hearing, max_deliver=consumer.max_deliver)
    collector = Collector(directory=directory, clock=clock, finish=hearing.finish, linger=linger)

    await bus.subscribe([subjects.ticket(token, "*", agency)], collector.take)
    for name in peers:
        process.tasks.create_task(puller.run(name), name=f"pull-{name}")
    process.tasks.create_task(relay.run(), name="relay")
    process.tasks.create_task(issuer.run(), name="issue-tickets")
    process.tasks.create_task(collector.run(), name="collect-tickets")
    process.tasks.create_task(orders.run(), name="orders")
    process.tasks.create_task(bus.consume(consumer, intake.batch), name="consume")

    server = RpcServer(tls=config.tls, max_message=MAX_MESSAGE, development=config.development, on_fatal=process.fail)
    names = [HANDOFF_SERVICE, CASE_SERVICE, DOSSIER_SERVICE]
    handoff_pb2_grpc.add_HandoffServiceServicer_to_server(
        HandoffServicer(city=token, agency=agency, database=database, orders=orders, bell=bell), server.server
    )
    case_pb2_grpc.add_CaseServiceServicer_to_server(
        CaseServicer(city=token, agency=agency, database=database), server.server
    )
    dossier_pb2_grpc.add_DossierServiceServicer_to_server(DossierServicer(database=database, city=token), server.server)
    if isinstance(clock, SandboxClock):
        faults.enable_from_environment()

        async def backlog() -> Backlog:
            return await database.read(lambda tx: Backlog(store.outbox_unfinished(tx), len(store.handoffs_to_pull(tx))))

        sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(
            SandboxServicer(city=token, clock=clock, backlog=backlog, changed=lambda: settled.next), server.server
        )
        names.append(SANDBOX_SERVICE)
    process.stack.push_async_callback(server.stop)
    return await server.start(config.listen, services=names)


def pending_parcels(me: Identity, rows: Sequence[Row]) -> list[Parcel]:
    """What a fresh process owes, from its outbox rows; one parcel a statement."""
    make = {"handoff": subjects.handoff, "receipt": subjects.receipt}
    parcels: dict[str, Parcel] = {}
    for row in rows:
        known = parcels.get(row["eid"])
        audiences = frozenset({row["audience"]}) | (known.audiences if known else frozenset())
        parcels[row["eid"]] = Parcel(
            eid=row["eid"],
            subject=make[row["what"]](me.city, me.agency, row["receiver"]),
            data=row["sealed"],
            audiences=audiences,
            trace=row["trace"],
        )
    return list(parcels.values())

"""An agency's process: configuration → telemetry → clock → database → bus → desk → services. Flat prose, no choices left to others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc.aio
import msgspec

from services.access import Here, guard
from services.agency import notice_servicer, outbox, reconciling, store
from services.agency.auditing import Auditor
from services.agency.cosigning import SERVICE as WITNESS_SERVICE
from services.agency.cosigning import LogAt, WitnessServicer, unproven
from services.agency.desk import Desk
from services.agency.dossiers import SERVICE as DOSSIER_SERVICE
from services.agency.dossiers import DossierServicer, Puller
from services.agency.hearing import Hearing
from services.agency.intake import Intake
from services.agency.log_views import LogViews
from services.agency.noticing import Noticing
from services.agency.receiving import Receiving
from services.agency.rulebook import Rulebook
from services.agency.sending import Sending
from services.agency.servicer import CASE_SERVICE, HANDOFF_SERVICE, CaseServicer, HandoffServicer
from services.agency.witness import Witness
from services.agency.work import Identity, Numbers
from services.chassis import faults, telemetry
from services.chassis.batch import Batcher
from services.chassis.bell import Bell
from services.chassis.bus import Bus
from services.chassis.clock import Sandbox, SandboxClock, SystemClock, clock_of
from services.chassis.config import load
from services.chassis.database import Database
from services.chassis.lifecycle import Process, run
from services.chassis.lock import alone
from services.chassis.rpc import RpcServer, Tls, channel
from services.chassis.sandbox import SERVICE as SANDBOX_SERVICE
from services.chassis.sandbox import Backlog, SandboxServicer
from services.chassis.telemetry import Telemetry
from services.reconcile.mark import Mark
from services.reconcile.nightly import Settings
from services.relay import Relay
from services.tickets import LINGER, SANDBOX_LINGER, Collector, Finished, Issuer
from services.trusted import Own, Trust, note_key
from services.trusted import load as load_trust
from xieban import subjects
from xieban.agency import Agency, city
from xieban.dossier import MAX_DOSSIER, MAX_MANIFEST
from xieban.trust import lineage, log_keys, witness_name
from xieban.trust import policy as trust_policy
from xieban.wire.v1 import case_pb2_grpc, dossier_pb2_grpc, handoff_pb2_grpc, log_pb2_grpc, sandbox_pb2_grpc

MAX_MESSAGE = MAX_DOSSIER + MAX_MANIFEST + 64 * 1024
MIGRATIONS = Path(__file__).parent / "migrations"
MARK = "data.mark"
"""Beside the database: how far it had come, and what a backup must not bring back."""


class AgencyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agency node. `peers` are gRPC targets by agency, `gateway` the gateway's; paths are relative to the file."""

    city: str
    listen: str
    nats: str
    nats_key: Path
    database: Path
    trust: Trust
    seal_key: Path
    tls: Tls
    peers: dict[str, str]
    witness_key: Path
    gateway: str = ""
    seal_key_passphrase: Path | None = None
    sandbox: Sandbox | None = None
    telemetry: Telemetry = Telemetry()
    reconcile: Settings = Settings()
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
    token = city(config.city).token
    tls = config.tls
    own = Own(config.seal_key, config.seal_key_passphrase, ca=tls.ca, certificate=tls.certificate, tls_key=tls.key)
    seen = config.database.with_name("trust.seen")
    trusted = load_trust(config.trust, city=token, agency=agency, own=own, seen=seen, now=SystemClock().now())
    directory, key = trusted.directory, trusted.key

    process.stack.enter_context(alone(config.database))
    database = await process.stack.enter_async_context(await Database.open(config.database, migrations=MIGRATIONS))
    process.tasks.create_task(database.watch(), name="database")
    inc = await database.write(store.incarnation)
    me = Identity(city=token, agency=agency, inc=inc, key=key)
    owed = partial(outbox.parcels, city=token, agency=agency)
    numbers = Numbers(*await database.read(store.last_numbers))

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
    server = RpcServer(
        tls=config.tls,
        guard=guard(Here(token, agency), trust=trusted.value, development=config.development),
        max_message=MAX_MESSAGE,
        development=config.development,
        on_fatal=process.fail,
    )
    policy = trust_policy(trusted.value, at=trusted.value.index)
    listed = next((one for one in policy.witnesses if one.name == witness_name(token, agency)), None)
    cosigner = note_key(config.witness_key, listed=listed, value=trusted.value)
    line = lineage(trusted.value, at=trusted.value.index)
    left_behind = [(low - 1, high - 1) for low, high in line.gaps]  # from sizes to places
    witness = Witness(
        database,
        log=policy.log,
        lineage=line,
        key=cosigner,
        clock=clock,
        fence=lambda: fence.check(),
        kept=lambda: log_views.wake(),
    )
    await witness.begin()
    counterparts = dict(peers)
    if config.gateway:
        counterparts[Agency.GATEWAY] = channel(config.gateway, tls=config.tls, agency=Agency.GATEWAY)
        process.stack.push_async_callback(counterparts[Agency.GATEWAY].close)
    log_at = LogAt(counterparts[Agency.GATEWAY]) if config.gateway else None
    log_views = LogViews(
        database,
        key=policy.log,
        former={key.key_id for key in log_keys(trusted.value)} - {policy.log.key_id},
        witness=witness,
        prove=log_at.prove if log_at is not None else unproven,
    )
    grace = timedelta(minutes=config.reconcile.checked().grace)
    auditor = Auditor(database, log=log_at, policy=policy, clock=clock, grace=grace)
    await auditor.begin(left_behind)
    service, reconciled = reconciling.add(
        server.server,
        me=me,
        database=database,
        directory=directory,
        clock=clock,
        settings=config.reconcile,
        channels=counterparts,
        parcels=owed,
        carry=relay.carry,
        fetch=lambda entries: puller.add(entries),
        witnessed=witness.held,
        log_views=log_views.standing,
        auditor=auditor,
        fence=lambda: fence.text,
    )
    mark = Mark(config.database.with_name(MARK))
    process.stack.callback(mark.close)

    async def opened() -> None:
        """What a fresh process owes and waits for, once it may speak."""
        puller.add(await database.read(store.handoffs_to_pull))
        if me.inc > 1:
            puller.add(await database.read(store.handoffs_without_dossier))
        relay.carry(owed(await database.read(outbox.pending)))

    fence = reconciled.fence(
        me=me, numbers=numbers, mark=mark, archive=trusted.value.archive(), clock=clock, opened=opened
    )
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
        officers=trusted.value.officers(),
        clock=clock,
        numbers=numbers,
        carry=relay.carry,
        finished=finished,
        committed=committed,
        owe=issuer.owe,
        to_pull=lambda entries: puller.add(entries),
        noted=fence.noted,
    )
    receiving, noticing = Receiving(desk, told=log_views.take), Noticing(desk)
    hearing = Hearing(desk, contradicted=auditor.contradicted, gaps=left_behind)
    puller = Puller(peers=peers, complete=receiving.complete, clock=clock)
    orders = Batcher(fence.guarded(Sending(desk, log_view=lambda: witness.view).act))
    words = Batcher(fence.guarded(noticing.act))
    consumer = subjects.consumer(token, agency)
    intake = Intake(receiving=receiving, hearing=hearing, noticing=noticing, max_deliver=consumer.max_deliver)
    collector = Collector(directory=directory, clock=clock, finish=hearing.take, linger=linger)

    await bus.subscribe([subjects.ticket(token, "*", agency)], collector.take)
    for name in peers:
        process.tasks.create_task(fence.then(partial(puller.run, name)), name=f"pull-{name}")
    process.tasks.create_task(fence.then(relay.run), name="relay")
    process.tasks.create_task(fence.then(issuer.run), name="issue-tickets")
    process.tasks.create_task(fence.then(collector.run), name="collect-tickets")
    process.tasks.create_task(orders.run(), name="orders")
    process.tasks.create_task(words.run(), name="words")
    process.tasks.create_task(log_views.run(), name="log-views")
    process.tasks.create_task(fence.then(partial(bus.consume, consumer, intake.batch)), name="consume")

    names = [HANDOFF_SERVICE, CASE_SERVICE, DOSSIER_SERVICE]
    handoff_pb2_grpc.add_HandoffServiceServicer_to_server(
        HandoffServicer(database=database, orders=orders, bell=bell), server.server
    )
    case_pb2_grpc.add_CaseServiceServicer_to_server(CaseServicer(database=database), server.server)
    dossier_pb2_grpc.add_DossierServiceServicer_to_server(DossierServicer(database=database), server.server)
    names.append(notice_servicer.add(server.server, database=database, words=words, bell=bell))
    if isinstance(clock, SandboxClock):
        faults.enable_from_environment()

        async def backlog() -> Backlog:
            return await database.read(lambda tx: Backlog(outbox.unfinished(tx), len(store.handoffs_to_pull(tx))))

        sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(
            SandboxServicer(clock=clock, backlog=backlog, changed=lambda: settled.next), server.server
        )
        names.append(SANDBOX_SERVICE)
    log_pb2_grpc.add_WitnessServiceServicer_to_server(WitnessServicer(witness), server.server)
    names.append(WITNESS_SERVICE)
    names.append(service)
    process.tasks.create_task(fence.then(reconciled.nightly.run), name="reconcile")
    process.stack.push_async_callback(server.stop)
    process.stack.callback(bell.end)  # streams of waiting readers end first, or the server would wait for them
    await fence.begin()
    port = await server.start(config.listen, services=names)
    process.tasks.create_task(fence.run(), name="fence")
    return port

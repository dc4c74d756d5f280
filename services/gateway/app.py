"""The gateway's process: configuration → law → database → bus → recalculation → ingest → watch → gRPC → pages. Flat prose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc.aio
import msgspec

from services.access import Here, guard
from services.chassis import faults, telemetry
from services.chassis.bell import Bell
from services.chassis.bus import Bus
from services.chassis.clock import Sandbox, SandboxClock, SystemClock, clock_of
from services.chassis.config import load
from services.chassis.database import Database
from services.chassis.lifecycle import Process, run
from services.chassis.lock import alone
from services.chassis.rpc import RpcServer, Tls, channel
from services.chassis.telemetry import Telemetry
from services.gateway import reconciling, servicer, silence
from services.gateway.checkpoints import Ask, Checkpoints, Remind
from services.gateway.exporting import City, Exporter
from services.gateway.fence import LogFence
from services.gateway.follow import Follower
from services.gateway.ingest import Ingest
from services.gateway.ladder import Ladder
from services.gateway.log import Note, append_once
from services.gateway.log_servicer import SERVICE as LOG_SERVICE
from services.gateway.log_servicer import LogServicer
from services.gateway.lookups import Lookups
from services.gateway.outbox import Post, incarnation
from services.gateway.reading import Reading
from services.gateway.recalculate import recalculate, retarget
from services.gateway.reckoning import Reckoner
from services.gateway.silence import Patience
from services.gateway.supervision import servicer as supervision_servicer
from services.gateway.supervision.desk import Desk
from services.gateway.supervision.orders import Orders
from services.gateway.supervision.reading import SupervisionReading
from services.gateway.supervision.steps import Rules, checked
from services.gateway.supervision.writing import Author
from services.gateway.targets import LONGEST_NAME, Target
from services.gateway.watch import Watch
from services.gateway.web.app import pages
from services.gateway.web.server import serve_pages
from services.gateway.witnesses import reminder_at, witness_at
from services.reconcile.asking import Counterpart
from services.reconcile.mark import Mark
from services.reconcile.nightly import Settings
from services.relay import Relay
from services.tickets import LINGER, SANDBOX_LINGER, Collector, Issuer
from services.trusted import Own, Trust, note_key
from services.trusted import load as load_trust
from services.trusted import read as read_trust
from xieban import subjects
from xieban.agency import Agency, city
from xieban.errors import Reason, XiebanError, failure
from xieban.marshal import micros
from xieban.procedure import table
from xieban.supervision import Terms
from xieban.timelimits import RULES, Calendar, read_overlay
from xieban.trust import lineage, witness_name
from xieban.trust import policy as trust_policy
from xieban.wire.v1 import log_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"
MARK = "data.mark"
"""Beside the database: how far the log was signed, and what a backup must not bring back."""


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway of one city. `listen` is for gRPC, `page` for the pages (host:port); paths are relative to the file.

    `calendar`: the operator's working-day file over the published years. `warnings`: days before the end by limit id, in place of the
    default rungs; a limit takes them when it is next worked out. `targets`: service targets, not 法定期限; none by default.
    `supervision`: how long a reply may take and who answers next. `silence`: how long a receipt may take before its absence is logged.
    """

    city: str
    listen: str
    page: str
    nats: str
    nats_key: Path
    database: Path
    trust: Trust
    seal_key: Path
    log_key: Path
    tls: Tls
    witnesses: dict[str, str]
    seal_key_passphrase: Path | None = None
    home: Path | None = None
    calendar: Path | None = None
    warnings: dict[str, tuple[int, ...]] = {}
    targets: tuple[Target, ...] = ()
    supervision: Terms = Terms()
    silence: Patience = Patience()
    sandbox: Sandbox | None = None
    reconcile: Settings = Settings()
    telemetry: Telemetry = Telemetry()
    development: bool = False
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Ports:
    """What the process listens on."""

    rpc: int
    page: int


def main(arguments: Sequence[str]) -> int:
    """Run the gateway to its end; the exit code is the process's."""
    parser = argparse.ArgumentParser(description="协办监督网关")
    parser.add_argument("--config", type=Path, required=True, help="配置文件")
    file = parser.parse_args(arguments).config

    async def start(process: Process) -> None:
        await serve(process, load(file, GatewayConfig))

    return run(start)


async def serve(process: Process, config: GatewayConfig) -> Ports:
    """Bring the gateway up on `process`."""
    telemetry.configure_logging(service="gateway", level=config.log_level)
    process.stack.callback(telemetry.configure(service="xieban-gateway", settings=config.telemetry))
    clock = clock_of(config.sandbox)
    if isinstance(clock, SandboxClock):
        faults.enable_from_environment()
    place = city(config.city)
    calendar = calendar_of(config.calendar)
    reckoner = Reckoner(calendar)
    ladder = _ladder(config)
    rules = Rules(checked(config.supervision), calendar)
    patience = silence.checked(config.silence)
    tls = config.tls
    own = Own(config.seal_key, config.seal_key_passphrase, ca=tls.ca, certificate=tls.certificate, tls_key=tls.key)
    seen = config.database.with_name("trust.seen")
    trusted = load_trust(
        config.trust, city=place.token, agency=Agency.GATEWAY, own=own, seen=seen, now=SystemClock().now()
    )
    directory, key = trusted.directory, trusted.key

    process.stack.enter_context(alone(config.database))
    database = await process.stack.enter_async_context(await Database.open(config.database, migrations=MIGRATIONS))
    process.tasks.create_task(database.watch(), name="database")
    policy = trust_policy(trusted.value, at=trusted.value.index)
    line = lineage(trusted.value, at=trusted.value.index)
    asks: dict[str, Ask] = {}
    reminders: dict[str, Remind] = {}
    ways: dict[str, grpc.aio.Channel] = {}
    for name, target in config.witnesses.items():
        way = ways[name] = channel(target, tls=config.tls, agency=name)
        process.stack.push_async_callback(way.close)
        asks[witness_name(place.token, name)] = witness_at(way)
        reminders[witness_name(place.token, name)] = reminder_at(way)
    mark = Mark(config.database.with_name(MARK))
    process.stack.callback(mark.close)
    seen_by = {name: Counterpart(name, way) for name, way in ways.items()}
    fence = LogFence(database, policy=policy, lineage=line, counterparts=seen_by, mark=mark, clock=clock)
    await fence.begin()
    inc = await database.write(incarnation)
    # What is logged from here on was judged by this list.
    goes_by = Note("TRUSTLIST", eid=trusted.eid, detail=f"{trusted.value.version}:{trusted.eid[:16]}")
    await database.write(partial(append_once, note=goes_by, at=micros(clock.now())))

    targets = _targets(config)
    desk = Desk(Author(city=place.token, inc=inc, key=key, rules=rules), targets=targets)
    follower = Follower(reckoner, ladder, desk, patience)
    bus = await process.stack.enter_async_context(
        await Bus.connect(
            config.nats,
            name="gateway",
            inbox_prefix=subjects.inbox(Agency.GATEWAY),
            nkey_seed=config.nats_key,
            streams=[subjects.stream(place.token)],
            clock=clock,
        )
    )
    linger = LINGER if config.sandbox is None else SANDBOX_LINGER
    issuer = Issuer(bus, city=place.token, agency=Agency.GATEWAY, key=key, clock=clock, linger=linger)
    await recalculate(database, follower, clock=clock)
    await retarget(database, follower, targets=targets, clock=clock)
    await silence.renew(database, patience=patience, now=micros(clock.now()))
    committed = Bell()
    relay = Relay(bus=bus, clock=clock)
    post = Post(database, relay=relay, city=place.token, committed=committed)
    collector = Collector(directory=directory, clock=clock, finish=post.heard, linger=linger)
    ingest = Ingest(
        database,
        directory=directory,
        clock=clock,
        owe=issuer.owe,
        officers=trusted.value.officers(),
        follower=follower,
        desk=desk,
        committed=committed.ring,
    )
    watch = Watch(
        database,
        clock=clock,
        quiet_for=ingest.quiet_for,
        ladder=ladder,
        desk=desk,
        patience=patience,
        committed=committed.ring,
    )
    await bus.subscribe([subjects.ticket(place.token, "*", Agency.GATEWAY)], collector.take)
    consumer = subjects.consumer(place.token, Agency.GATEWAY)
    process.tasks.create_task(watch.run(), name="watch")
    process.tasks.create_task(issuer.run(), name="issue-tickets")
    process.tasks.create_task(collector.run(), name="collect-tickets")
    process.tasks.create_task(relay.run(), name="relay")
    process.tasks.create_task(post.run(), name="post")
    process.tasks.create_task(
        bus.consume(consumer, ingest.batch, linger=linger if config.sandbox is None else 0.0), name="consume"
    )

    reading = Reading(database, reckoner=reckoner, ladder=ladder)
    lookups = Lookups(database, reading=reading, clock=clock)
    server = RpcServer(
        tls=config.tls,
        guard=guard(Here(place.token, Agency.GATEWAY), trust=trusted.value, development=config.development),
        development=config.development,
        on_fatal=process.fail,
    )
    supervisions = SupervisionReading(database, rules=rules)
    names = servicer.add(
        server.server,
        reading=reading,
        lookups=lookups,
        clock=clock,
        live_through=watch.advance,
        unfinished=supervisions.unfinished,
    )
    orders = Orders(database, desk=desk, clock=clock, committed=committed.ring)
    names += supervision_servicer.add(
        server.server, reading=supervisions, cases=reading, lookups=lookups, orders=orders, clock=clock
    )
    log_key = note_key(config.log_key, listed=policy.log, value=trusted.value)

    async def behind(name: str) -> None:
        """A witness says it has seen more: if the log's own signature is on it, this is not that log any more."""
        try:
            await fence.ask(name.rpartition("/")[2])
        except XiebanError as error:
            process.fail(error)

    gathering = Checkpoints(
        database,
        key=log_key,
        policy=policy,
        lineage=line,
        witnesses=asks,
        clock=clock,
        remind=reminders,
        cleared=fence.cleared,
        signed=fence.signed,
        behind=behind,
    )
    process.tasks.create_task(gathering.run(), name="checkpoints")
    trust = read_trust(config.trust)
    held = City(
        token=place.token, trust=trust.encode(), newest=trust.last.sealed.eid, sandbox=isinstance(clock, SandboxClock)
    )
    exporter = Exporter(database, city=held, gathering=gathering, policy=policy, lineage=line, clock=clock)
    log_pb2_grpc.add_LogServiceServicer_to_server(
        LogServicer(database, policy=policy, lineage=line, exporter=exporter), server.server
    )
    names.append(LOG_SERVICE)
    service, nightly = reconciling.add(
        server.server,
        city=place.token,
        key=key,
        inc=inc,
        database=database,
        directory=directory,
        officers=trusted.value.officers(),
        clock=clock,
        settings=config.reconcile,
        channels=ways,
        follower=follower,
        post=post,
    )
    names.append(service)
    process.tasks.create_task(nightly.run(), name="reconcile")
    process.stack.push_async_callback(server.stop)
    rpc_port = await server.start(config.listen, services=names)

    site = pages(
        reading,
        supervisions,
        look=lookups.timeline,
        silent=partial(silence.silent, database),
        city=place,
        clock=clock,
        sandbox=isinstance(clock, SandboxClock),
        targets=targets,
    )
    return Ports(rpc=rpc_port, page=await serve_pages(process, site, address=config.page))


def calendar_of(file: Path | None) -> Calendar:
    """The published working days, under the operator's file if there is one. Errors: CONFIG_INVALID and those of `read_overlay`."""
    published = Calendar.published()
    if file is None:
        return published
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise failure(Reason.CONFIG_INVALID, file=file.name, detail="工作日历文件无法读取") from error
    return published.overlaid(read_overlay(text, name=file.name))


def _ladder(config: GatewayConfig) -> Ladder:
    for rule, days in config.warnings.items():
        if rule not in RULES or not days or min(days) < 1:
            raise failure(Reason.CONFIG_INVALID, file="warnings", detail=f"{rule}：应为法定期限编号和提前的天数")
    return Ladder(config.warnings)


def _targets(config: GatewayConfig) -> tuple[Target, ...]:
    kinds = table().kinds
    for target in config.targets:
        if target.after not in kinds or not set(target.until) <= kinds.keys() or not target.until or target.hours < 1:
            raise failure(Reason.CONFIG_INVALID, file="targets", detail=f"{target.name}：环节或者小时数不合要求")
    names = [target.name for target in config.targets]
    if len(set(names)) != len(names) or not all(0 < len(name) <= LONGEST_NAME for name in names):
        raise failure(Reason.CONFIG_INVALID, file="targets", detail=f"名称不得重复，且为 1 至 {LONGEST_NAME} 个字符")
    return config.targets

"""The gateway's process: configuration → law → database → bus → recalculation → ingest → watch → gRPC → pages. Flat prose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.chassis import faults, telemetry
from services.chassis.bus import Bus
from services.chassis.clock import Sandbox, SandboxClock, clock_of
from services.chassis.config import load
from services.chassis.database import Database
from services.chassis.lifecycle import Process, run
from services.chassis.rpc import RpcServer, Tls
from services.chassis.telemetry import Telemetry
from services.gateway import servicer
from services.gateway.follow import Follower
from services.gateway.ingest import Ingest
from services.gateway.ladder import Ladder
from services.gateway.reading import Reading
from services.gateway.recalculate import recalculate
from services.gateway.reckoning import Reckoner
from services.gateway.targets import Target
from services.gateway.watch import Watch
from services.gateway.web.app import pages
from services.gateway.web.server import serve_pages
from services.tickets import LINGER, SANDBOX_LINGER, Issuer
from xieban import subjects
from xieban.agency import Agency, city
from xieban.errors import Reason, failure
from xieban.procedure import table
from xieban.seal import Directory, SealKey
from xieban.timelimits import RULES, Calendar, read_overlay

MIGRATIONS = Path(__file__).parent / "migrations"


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway of one city. `listen` is for gRPC, `page` for the pages (host:port); paths are relative to the file.

    `calendar`: the operator's working-day file over the published years. `warnings`: days before the end by limit id, in place of the
    default rungs; a limit takes them when it is next worked out. `targets`: service targets, not 法定期限; none by default.
    """

    city: str
    listen: str
    page: str
    nats: str
    nats_key: Path
    database: Path
    directory: Path
    seal_key: Path
    tls: Tls
    home: Path | None = None
    calendar: Path | None = None
    warnings: dict[str, tuple[int, ...]] = {}
    targets: tuple[Target, ...] = ()
    sandbox: Sandbox | None = None
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
    reckoner = Reckoner(_calendar(config.calendar))
    ladder = _ladder(config)
    follower = Follower(reckoner, ladder)
    directory = Directory.load(config.directory)
    key = SealKey.load(config.seal_key)

    database = await process.stack.enter_async_context(await Database.open(config.database, migrations=MIGRATIONS))
    process.tasks.create_task(database.watch(), name="database")
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
    ingest = Ingest(database, directory=directory, clock=clock, owe=issuer.owe, follower=follower)
    watch = Watch(database, clock=clock, quiet_for=ingest.quiet_for, ladder=ladder)
    consumer = subjects.consumer(place.token, Agency.GATEWAY)
    process.tasks.create_task(watch.run(), name="watch")
    process.tasks.create_task(issuer.run(), name="issue-tickets")
    process.tasks.create_task(
        bus.consume(consumer, ingest.batch, linger=linger if config.sandbox is None else 0.0), name="consume"
    )

    reading = Reading(database, reckoner=reckoner, ladder=ladder)
    server = RpcServer(tls=config.tls, development=config.development, on_fatal=process.fail)
    names = servicer.add(server.server, city=place.token, reading=reading, clock=clock, live_through=watch.advance)
    process.stack.push_async_callback(server.stop)
    rpc_port = await server.start(config.listen, services=names)

    site = pages(reading, city=place, clock=clock, sandbox=isinstance(clock, SandboxClock), targets=_targets(config))
    return Ports(rpc=rpc_port, page=await serve_pages(process, site, address=config.page))


def _calendar(file: Path | None) -> Calendar:
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
    return config.targets

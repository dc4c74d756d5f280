"""Reconciliation at the gateway: its holdings, the agencies as counterparts, its repairs, its night, put together and served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio

from services.chassis.clock import Clock, SystemClock
from services.chassis.database import Database
from services.gateway.follow import Follower
from services.gateway.holdings import GatewayHoldings
from services.gateway.mending import Mending
from services.gateway.outbox import Post
from services.reconcile.asking import Counterpart
from services.reconcile.comparing import Comparer, Run
from services.reconcile.nightly import Nightly, Settings
from services.reconcile.servicer import SERVICE, ReconcileServicer
from services.reconcile.shelf import Inventory
from xieban.agency import Agency
from xieban.approval import Officers
from xieban.seal import Directory, SealKey
from xieban.wire.v1 import reconcile_pb2_grpc


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who speaks."""

    inc: int


def add(
    server: grpc.aio.Server,
    *,
    city: str,
    key: SealKey,
    inc: int,
    database: Database,
    directory: Directory,
    officers: Officers,
    clock: Clock,
    settings: Settings,
    channels: Mapping[str, grpc.aio.Channel],
    follower: Follower,
    post: Post,
) -> tuple[str, Nightly]:
    """Serve ReconcileService; its name, and the loop of the night."""
    counterparts = {name: Counterpart(name, way) for name, way in channels.items()}
    inventory = Inventory(database, GatewayHoldings(), clock, Agency.GATEWAY)
    comparer = Comparer(
        city=city,
        agency=Agency.GATEWAY,
        counterparts=counterparts,
        inventory=inventory,
        directory=directory,
        grace=timedelta(minutes=settings.checked().grace),
    )
    mending = Mending(
        database, counterparts=counterparts, officers=officers, follower=follower, carry=post.carry, clock=clock
    )
    run = Run(comparer, mend=mending.mend)
    servicer = ReconcileServicer(
        city=city,
        agency=Agency.GATEWAY,
        key=key,
        speaker=Gateway(inc),
        inventory=inventory,
        comparer=comparer,
        run=run,
        send_again=mending.send_again,
    )
    reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server(servicer, server)
    return SERVICE, Nightly(run, settings=settings, clock=clock, machine=SystemClock(), told=mending.told)

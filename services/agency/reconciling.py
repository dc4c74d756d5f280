"""Reconciliation at an agency's node: its holdings, its counterparts, its repairs, its night, put together and served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio

from services.agency.auditing import Auditor
from services.agency.fence import Fence
from services.agency.holdings import AgencyHoldings
from services.agency.mending import Mending
from services.agency.recovery import Recovery
from services.agency.store import Entry
from services.agency.work import Identity, Numbers
from services.chassis.clock import Clock, SystemClock
from services.chassis.database import Database, Row
from services.reconcile.asking import Counterpart
from services.reconcile.comparing import Comparer, Run
from services.reconcile.mark import Mark
from services.reconcile.nightly import Nightly, Settings
from services.reconcile.servicer import SERVICE, ReconcileServicer
from services.reconcile.shelf import Inventory
from services.relay import Parcel
from xieban.reconcile import LogDispute
from xieban.seal import Directory
from xieban.wire.v1 import reconcile_pb2_grpc


@dataclass(frozen=True, slots=True)
class Reconciling:
    """What the rest of the node needs of it."""

    comparer: Comparer
    nightly: Nightly
    inventory: Inventory
    counterparts: Mapping[str, Counterpart]

    def fence(
        self,
        *,
        me: Identity,
        numbers: Numbers,
        mark: Mark,
        archive: Directory,
        clock: Clock,
        opened: Callable[[], Awaitable[None]],
    ) -> Fence:
        """The restore fence of this node. `archive` also knows keys that do not count any more."""
        database = self.inventory.database
        recovery = Recovery(
            database, me, numbers, clock, archive, self.inventory, self.comparer, self.counterparts
        )  # fmt: skip
        return Fence(
            database, me, numbers, mark, clock, self.inventory, self.comparer, self.counterparts, recovery, opened
        )  # fmt: skip


def add(
    server: grpc.aio.Server,
    *,
    me: Identity,
    database: Database,
    directory: Directory,
    clock: Clock,
    settings: Settings,
    channels: Mapping[str, grpc.aio.Channel],
    parcels: Callable[[Sequence[Row]], list[Parcel]],
    carry: Callable[[Sequence[Parcel]], None],
    fetch: Callable[[Sequence[Entry]], None],
    witnessed: Callable[[], Awaitable[bytes]],
    log_views: Callable[[], Awaitable[tuple[list[LogDispute], int]]],
    auditor: Auditor,
    fence: Callable[[], str] = lambda: "",
) -> tuple[str, Reconciling]:
    """Serve ReconcileService; its name, and the parts."""
    counterparts = {name: Counterpart(name, way) for name, way in channels.items()}
    inventory = Inventory(database, AgencyHoldings(me.agency), clock, me.agency)
    comparer = Comparer(
        city=me.city,
        agency=me.agency,
        counterparts=counterparts,
        inventory=inventory,
        directory=directory,
        grace=timedelta(minutes=settings.checked().grace),
        audit=auditor.run,
    )
    mending = Mending(database, agency=me.agency, counterparts=counterparts, parcels=parcels, carry=carry, fetch=fetch)
    run = Run(comparer, mend=mending.mend)
    servicer = ReconcileServicer(
        city=me.city,
        agency=me.agency,
        key=me.key,
        speaker=me,
        inventory=inventory,
        comparer=comparer,
        run=run,
        send_again=mending.send_again,
        witnessed=witnessed,
        log_views=log_views,
        broken_promises=auditor.standing,
        fence=fence,
    )
    reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server(servicer, server)
    nightly = Nightly(run, settings=settings, clock=clock, machine=SystemClock(), told=mending.told)
    return SERVICE, Reconciling(comparer, nightly, inventory, counterparts)

"""Carries plans out over the public API: the clerks of three agencies and one sandbox clock.

All cases' steps are merged into one order of legal time. The steps of one instant run side by side, each case's own in their order;
when every one of them is settled at its sender and no node has anything left to send or to fetch, the four clocks move on together.
So a receipt never carries a later time than the law gives it, and a limit is overdue only if the case made it so.
A node that goes away is waited for: everything is repeated under the same number until it answers.
What must not go in: what the steps are (`plan`), what came of them (`report`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from services.chassis.clock import SystemClock
from services.provision import Home, Ports
from services.replay.dossiers import client_ref, dossier
from services.replay.inbox import Inbox, at_least_complete, settled
from services.replay.plan import PERSON, CasePlan, Step
from services.stack.processes import first_of
from xieban.agency import PARTIES, Agency
from xieban.client import Profile, XiebanClient
from xieban.errors import Reason, Unreachable, XiebanError, failure
from xieban.handoff import State
from xieban.sandbox_client import SandboxCity
from xieban.views import ActView, ClockView, DefectView, Draft

AT_ONCE: Final = 64
STALLED_AFTER: Final = 180.0
LOOK_EVERY: Final = 5.0
# What the clerk writes when a reply to the court's needs came without its enclosure.
INCOMPLETE: Final = (DefectView(code="pp.supply_complete", article="检规340", item="files"),)

_T = TypeVar("_T")
Tick = Callable[[int, datetime], None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step that was refused or came to an unplanned end; the rest of its case was not driven."""

    timeline: str
    case_id: str
    step: int
    kind: str
    reason: str
    text: str


@dataclass(slots=True)
class Outcome:
    """What driving brought: sent handoffs by case in order of steps, and troubles."""

    sent: dict[str, list[str]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    last: datetime | None = None


class City:
    """The clerks' and the operator's ways into one running city."""

    def __init__(self, clients: dict[Agency, XiebanClient], inboxes: dict[Agency, Inbox], sandbox: SandboxCity) -> None:
        self.clients = clients
        self.inboxes = inboxes
        self.sandbox = sandbox


class Driver:
    """Drives the plans of one file through one city."""

    def __init__(self, city: City, *, tick: Tick) -> None:
        self._city = city
        self._tick = tick
        self._clock = SystemClock()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._outcome = Outcome()
        self._stopped: set[str] = set()
        self._done = 0
        self._alive = 0.0

    async def drive(self, plans: Sequence[CasePlan]) -> Outcome:
        """Every step of every case. Errors: PEER_UNREACHABLE when nothing moves any more."""
        merged = sorted(
            ((step.at, plan, step) for plan in plans for step in plan.steps),
            key=lambda item: (item[0], item[1].timeline.line, item[2].number),
        )
        self._alive = self._clock.ticks()
        for at, group in itertools.groupby(merged, key=lambda item: item[0]):
            await self._patiently(partial(self._city.sandbox.move, at))
            cases: dict[str, list[tuple[CasePlan, Step]]] = {}
            for _, plan, step in group:
                cases.setdefault(plan.case_id, []).append((plan, step))
            async with asyncio.TaskGroup() as tasks:
                for steps in cases.values():
                    tasks.create_task(self._case(steps))
            await self._quiet()
            self._outcome.last = at
            self._tick(self._done, at)
        return self._outcome

    async def _case(self, steps: Sequence[tuple[CasePlan, Step]]) -> None:
        async with self._room:
            for number, (plan, step) in enumerate(steps, start=1):
                if plan.case_id in self._stopped:
                    return
                try:
                    await self._step(plan, step, last=number == len(steps))
                except XiebanError as error:
                    self._trouble(plan, step, error.reason.name, error.cause)
                self._done += 1
                self._alive = self._clock.ticks()

    async def _step(self, plan: CasePlan, step: Step, *, last: bool) -> None:
        """Send, let the receiver's clerk answer; unless it is the `last` of its instant, wait until the sender knows of it."""
        eid = await self._patiently(lambda: self._send(plan, step))
        self._outcome.sent.setdefault(plan.case_id, []).append(eid)
        receiver = self._city.inboxes[step.receiver.agency]
        arrived = await self._watched(lambda: receiver.until(eid, at_least_complete, incoming=True))
        if arrived.state in (State.REJECTED, State.RETURNED):
            defects = "、".join(defect.code for fact in arrived.receipts for defect in fact.defects)
            self._trouble(plan, step, arrived.state.name, defects)
            return
        client = self._city.clients[step.receiver.agency]
        if step.reception == "accept" and arrived.state is State.COMPLETE:
            await self._patiently(lambda: client.accept(eid))
        elif step.reception == "return":
            await self._patiently(lambda: client.return_(eid, INCOMPLETE))
        if last or (step.reception == "leave" and step.kind != "withdrawal"):
            return
        sender = self._city.inboxes[step.sender.agency]
        await self._watched(lambda: sender.until(eid, settled, incoming=False))

    async def _send(self, plan: CasePlan, step: Step) -> str:
        client = self._city.clients[step.sender.agency]
        sent = self._outcome.sent.get(plan.case_id, [])
        if step.kind == "withdrawal":
            return (await client.withdraw(sent[step.refers[0]], client_ref(plan, step))).eid
        draft = Draft(
            client_ref=client_ref(plan, step),
            kind=step.kind,
            case_id=plan.case_id,
            sender=step.sender,
            receiver=step.receiver,
            outcome=step.outcome,
            acts=tuple(ActView(what=act.what, at=act.at, person=act.person, derived=act.derived) for act in step.acts),
            clocks=tuple(
                ClockView(
                    effect="extend",
                    rule=one.rule,
                    at=one.at,
                    by=one.by,
                    kind=one.kind,
                    months=one.months,
                    days=one.days,
                    person=PERSON,
                )
                for one in step.extensions
            ),
            dossier=dossier(plan, step),
            re=tuple(sent[number] for number in step.refers),
        )
        if step.answers is not None:
            return (await client.answer(sent[step.answers], draft)).eid
        return (await client.send(draft)).eid

    async def _quiet(self) -> None:
        """Until every statement is held by everyone it is for: the gateway learns of an instant before the next one begins."""
        while await self._patiently(partial(self._city.sandbox.settle, patience=LOOK_EVERY)):
            self._check_alive()
        self._alive = self._clock.ticks()

    async def _patiently(self, act: Callable[[], Awaitable[_T]]) -> _T:
        """`act`, again and again while its node is away. Only for what may be repeated."""
        while True:
            try:
                return await act()
            except Unreachable:
                self._check_alive()
                await self._clock.sleep(0.2)

    async def _watched(self, wait: Callable[[], Awaitable[_T]]) -> _T:
        """A wait that does not outlive all hope. `wait` may be given up and begun again."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    return await wait()
            except TimeoutError:
                self._check_alive()

    def _check_alive(self) -> None:
        if self._clock.ticks() - self._alive > STALLED_AFTER:
            raise failure(Reason.PEER_UNREACHABLE, peer=f"城市节点（{STALLED_AFTER:g} 秒没有任何进展）")

    def _trouble(self, plan: CasePlan, step: Step, reason: str, text: str) -> None:
        self._stopped.add(plan.case_id)
        self._outcome.troubles.append(
            Trouble(plan.timeline.id, plan.case_id, step.number, step.kind, reason=reason, text=text)
        )


async def drive(home: Home, plans: Sequence[CasePlan], *, tick: Tick) -> Outcome:
    """Drive `plans` through the running city of `home`. Errors: CLIENT_UNCONFIGURED, PEER_UNREACHABLE."""
    async with AsyncExitStack() as stack:
        clients = {
            agency: await stack.enter_async_context(XiebanClient.open(Profile.load(home.client(agency))))
            for agency in PARTIES
        }
        sandbox = await stack.enter_async_context(SandboxCity.open(home.client("sandbox")))
        inboxes = {agency: Inbox(client) for agency, client in clients.items()}
        try:
            async with asyncio.TaskGroup() as tasks:
                followers = [tasks.create_task(inbox.follow()) for inbox in inboxes.values()]
                try:
                    return await Driver(City(clients, inboxes, sandbox), tick=tick).drive(plans)
                finally:
                    for follower in followers:
                        follower.cancel()
        except BaseExceptionGroup as problems:
            raise first_of(problems) from None


def recognise(folder: Path) -> Home:
    """The home in `folder` as its client profiles describe it. Errors: CLIENT_UNCONFIGURED."""
    home = Home(folder=folder.resolve(), city=Profile.load(folder / "clients" / "sandbox").city)
    ports = {agency.value: int(Profile.load(home.client(agency)).target.rpartition(":")[2]) for agency in PARTIES}
    gateway = int(Profile.load(home.client("committee")).target.rpartition(":")[2])
    return Home(folder=home.folder, city=home.city, ports=Ports(gateway=gateway, **ports))

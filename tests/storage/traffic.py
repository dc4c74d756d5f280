"""Traffic between police and procuratorate, and everything anybody was told meanwhile, which nothing may take back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from services.provision import Home
from tests.system.rig import persist
from tests.world import DIVISION, START, sample_dossier
from xieban.agency import Agency, office
from xieban.client import Profile, XiebanClient
from xieban.errors import Reason, XiebanError
from xieban.handoff import State
from xieban.log_client import LogClient
from xieban.proof import checkpoint, note
from xieban.views import ActView, Draft, HandoffView

POLICE, PROCURATORATE = Agency.POLICE, Agency.PROCURATORATE
CASES = ("A6201020000002026000001", "A6201020000002026000002", "A6201020000002026000003")
PATIENCE = 90.0
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Told:
    """What callers were told. A later answer that contradicts an earlier one is noted in `contradicted`."""

    sent: dict[tuple[Agency, str], tuple[str, int]] = field(default_factory=dict)
    """(node, client_ref) -> (eid, number in its lane)"""
    drafts: dict[tuple[Agency, str], tuple[Draft, str]] = field(default_factory=dict)
    """(node, client_ref) -> the draft and what it answers"""
    accepted: set[str] = field(default_factory=set)
    events: dict[tuple[Agency, int], tuple[str, State]] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    contradicted: list[str] = field(default_factory=list)

    def note(self, table: dict[K, V], key: K, value: V) -> None:
        """Remember it; whoever was told something else before has been lied to."""
        known = table.setdefault(key, value)
        if known != value:
            self.contradicted.append(f"{key}: first {known}, then {value}")


class Traffic:
    """The police ask, the procuratorate answers, the police accept; somebody reads the log. Everybody repeats what may be repeated."""

    def __init__(self, home: Home) -> None:
        self.told = Told()
        self._home = home
        self._refs = itertools.count(1)
        self._changed = asyncio.Event()

    async def flow(self) -> None:
        """Until cancelled; a node that is away is asked again."""
        async with (
            XiebanClient.open(self._home.client(POLICE)) as police,
            XiebanClient.open(self._home.client(PROCURATORATE)) as procuratorate,
            LogClient.open(Profile.load(self._home.client("committee"))) as log,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._ask(police))
            group.create_task(self._serve(procuratorate, PROCURATORATE, self._answer))
            group.create_task(self._serve(police, POLICE, self._accept))
            group.create_task(self._read(log))

    async def progress(self, answers: int) -> None:
        """Wait until so many more answers were accepted, and a larger tree of the log was seen than ever before."""
        wanted, seen = len(self.told.accepted) + answers, max(self.told.roots, default=0)
        async with asyncio.timeout(PATIENCE):
            while len(self.told.accepted) < wanted or max(self.told.roots, default=0) <= seen:
                self._changed.clear()
                await self._changed.wait()

    async def sends(self, more: int) -> None:
        """Wait until so many more sendings were acknowledged."""
        wanted = len(self.told.sent) + more
        async with asyncio.timeout(PATIENCE):
            while len(self.told.sent) < wanted:
                self._changed.clear()
                await self._changed.wait()

    async def say_again(self) -> None:
        """Everything that was sent is sent once more, as a case system does that lost its own notes; everything heard is heard again."""
        for agency in (POLICE, PROCURATORATE):
            async with XiebanClient.open(self._home.client(agency)) as client:
                for (node, _), (draft, answering) in self.told.drafts.items():
                    if node is agency:
                        await persist(partial(self._send, client, agency, draft, answering))
                await self._hear(client, agency)

    async def ask(self, police: XiebanClient) -> HandoffView:
        """One new request of the police, said once; what comes of it is noted, and `say_again` will say it again."""
        return await self._send(police, POLICE, self._request(), "")

    async def _ask(self, police: XiebanClient) -> None:
        while True:
            await persist(partial(self._send, police, POLICE, self._request(), ""))
            await asyncio.sleep(0.05)  # the pace of the experiment: a cut is to fall between and into commits

    def _request(self) -> Draft:
        number = next(self._refs)
        case = CASES[number % len(CASES)]
        return _draft(POLICE, PROCURATORATE, "early_opinion_request", f"商〔2026〕{number}号", case)

    async def _send(self, client: XiebanClient, agency: Agency, draft: Draft, answering: str) -> HandoffView:
        self.told.drafts[agency, draft.client_ref] = (draft, answering)
        view = await (client.answer(answering, draft) if answering else client.send(draft))
        self.told.note(self.told.sent, (agency, draft.client_ref), (view.eid, view.lane_seq))
        self._changed.set()
        return view

    async def _serve(
        self, client: XiebanClient, agency: Agency, act: Callable[[XiebanClient, HandoffView], Awaitable[None]]
    ) -> None:
        async with aclosing(client.watch()) as events:
            async for event in events:
                view = event.handoff
                self.told.note(self.told.events, (agency, event.cursor), (view.eid, view.state))
                if view.incoming and view.state is State.COMPLETE:
                    await act(client, view)

    async def _answer(self, client: XiebanClient, asked: HandoffView) -> None:
        draft = _draft(PROCURATORATE, POLICE, "early_opinion", f"介〔2026〕{asked.eid[:12]}号", asked.case_id)
        await persist(partial(self._send, client, PROCURATORATE, draft, asked.eid))

    async def _accept(self, client: XiebanClient, answer: HandoffView) -> None:
        await persist(partial(client.accept, answer.eid))
        self.told.accepted.add(answer.eid)
        self._changed.set()

    async def _hear(self, client: XiebanClient, agency: Agency) -> None:
        """Every event that was heard before comes again as it was."""
        last = max((cursor for node, cursor in self.told.events if node is agency), default=0)
        async with asyncio.timeout(PATIENCE), aclosing(client.watch()) as events:
            async for event in events:
                self.told.note(self.told.events, (agency, event.cursor), (event.handoff.eid, event.handoff.state))
                if event.cursor >= last:
                    return

    async def _read(self, log: LogClient) -> None:
        while True:
            try:
                data = await log.checkpoint(witnessed=False)
            except XiebanError as error:
                if error.reason not in (Reason.QUORUM_NOT_MET, Reason.PEER_UNREACHABLE):
                    raise
            else:
                tree = checkpoint.parse(note.parse(data).text)
                self.told.note(self.told.roots, tree.size, tree.root)
                self._changed.set()
            await asyncio.sleep(0.1)  # a log has no event for its readers


def _draft(sender: Agency, receiver: Agency, kind: str, reference: str, case: str) -> Draft:
    return Draft(
        client_ref=reference,
        kind=kind,
        case_id=case,
        sender=office(sender, DIVISION),
        receiver=office(receiver, DIVISION),
        acts=(ActView(what="detained", at=START, person="P1"),) if sender is POLICE else (),
        dossier=sample_dossier(),
    )

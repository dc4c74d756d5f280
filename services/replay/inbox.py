"""What an agency's inbox stream has told so far, and waiting for it to tell more. One watch an agency, shared by all cases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xieban.client import XiebanClient
from xieban.handoff import SETTLED, State
from xieban.views import HandoffView


def at_least_complete(state: State) -> bool:
    """Whether the receiver has the whole dossier, or has answered already."""
    return state is State.COMPLETE or state in SETTLED


def settled(state: State) -> bool:
    return state in SETTLED


class Inbox:
    """The newest state of every handoff of one agency, for both boxes. Run `follow` as a task."""

    def __init__(self, client: XiebanClient) -> None:
        self._client = client
        self._newest: dict[tuple[str, bool], HandoffView] = {}
        self._waiting: dict[tuple[str, bool], list[asyncio.Future[None]]] = {}
        self.events = 0

    async def follow(self) -> None:
        """For ever; survives the node's absence."""
        async for event in self._client.watch():
            self.events += 1
            key = (event.handoff.eid, event.handoff.incoming)
            self._newest[key] = event.handoff
            for waiter in self._waiting.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def until(self, eid: str, reached: Callable[[State], bool], *, incoming: bool) -> HandoffView:
        """The handoff as soon as its state satisfies `reached`."""
        key = (eid, incoming)
        while True:
            known = self._newest.get(key)
            if known is not None and reached(known.state):
                return known
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(key, []).append(waiter)
            await waiter

    def open_handoffs(self) -> int:
        """How many handoffs this agency knows of that are not settled."""
        return sum(1 for view in self._newest.values() if view.state not in SETTLED)

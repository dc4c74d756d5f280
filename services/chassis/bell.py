"""A bell: rung when something has happened, heard by whoever waits for the next time. What must not go in: what it was."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung after every commit; those who read what was committed wait for it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.over = False

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def end(self) -> None:
        """The last ring: whoever waits is woken, and finds it over."""
        self.over = True
        self.ring()

    @property
    def next(self) -> asyncio.Event:
        """The event that the next ring sets; take it before looking, so that no ring is missed."""
        return self._event

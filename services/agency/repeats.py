"""What is told again under a key that has ended meanwhile: a repetition is a success, whatever became of the key since.

Only what is held here already is taken so, and only under a signature that holds; anything new needs a key that counts now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from services.agency.desk import Arrival, Desk
from services.chassis.database import Transaction
from xieban.errors import Reason, XiebanError
from xieban.marshal import sealed_from_bytes
from xieban.seal import Directory

T = TypeVar("T")
Refused = tuple[Arrival, XiebanError]


async def reopened(
    desk: Desk,
    refused: Sequence[Refused],
    *,
    open: Callable[[Arrival, Directory], T],
    known: Callable[[Transaction, list[str]], Collection[str]],
) -> tuple[list[tuple[Arrival, T]], list[Refused]]:
    """Of `refused`, what was taken while its key still counted, opened again; and the rest. `known`: which of some eids are held."""
    ended = [
        (arrival, sealed_from_bytes(arrival.data).eid)
        for arrival, error in refused
        if error.reason is Reason.KEY_OUT_OF_SPAN
    ]
    if not ended:
        return [], list(refused)
    held = await desk.database.read(lambda tx: frozenset(known(tx, [eid for _, eid in ended])))
    again = [arrival for arrival, eid in ended if eid in held]
    archive = desk.directory.archive()
    rest = [(arrival, error) for arrival, error in refused if not any(arrival is one for one in again)]
    return [(arrival, open(arrival, archive)) for arrival in again], rest

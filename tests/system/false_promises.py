"""A gateway that breaks its word on the log, in each way that an agency has to find out; or that gives none. Used like `seeds`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.chassis.database import Transaction
from services.gateway import ingest, log, promises
from services.gateway.ingest import Ingest
from services.gateway.log import Note
from tests.system.rig import City
from tests.system.seeds import Patch
from xieban.handoff import Logged


class _Victim:
    """The first handoff that the gateway takes, and what is said of it."""

    def __init__(self) -> None:
        self.eid = ""

    def is_lodged(self, note: Note) -> bool:
        if note.kind == "LODGED" and not self.eid:
            self.eid = note.eid
        return note.kind == "LODGED" and note.eid == self.eid


def _unlogged(patch: Patch) -> _Victim:
    """The first handoff's entry LODGED is left out of the log."""
    victim, append = _Victim(), log.append

    def without(transaction: Transaction, notes: Sequence[Note], *, at: int) -> None:
        append(transaction, [note for note in notes if not victim.is_lodged(note)], at=at)

    patch.setattr(ingest, "append", without)
    return victim


def _say(patch: Patch, victim: _Victim, change: Callable[[Transaction, dict[str, list[Logged]]], None]) -> None:
    """Change once what the tickets promise, when the victim has been taken."""
    made, told = promises.made, list[str]()

    def changed(transaction: Transaction, *, after: int, again: Any) -> dict[str, list[Logged]]:
        found = made(transaction, after=after, again=again)
        if victim.eid and not told:
            told.append(victim.eid)
            change(transaction, found)
        return found

    patch.setattr(promises, "made", changed)


def promised_and_not_logged(patch: Patch, city: City) -> None:
    """A handoff is taken, a place is promised, and the next entry is put there."""
    victim = _unlogged(patch)

    def say(transaction: Transaction, found: dict[str, list[Logged]]) -> None:
        for agency in ("police", "procuratorate"):
            found[agency].append(Logged("LODGED", victim.eid, log.size(transaction), "ab" * 32))

    _say(patch, victim, say)


def promised_beyond_the_log(patch: Patch, city: City) -> None:
    """A handoff is taken and a place is promised that the log does not reach."""
    victim = _unlogged(patch)

    def say(transaction: Transaction, found: dict[str, list[Logged]]) -> None:
        for agency in ("police", "procuratorate"):
            found[agency].append(Logged("LODGED", victim.eid, 100_000, "ab" * 32))

    _say(patch, victim, say)


def another_leaf_than_promised(patch: Patch, city: City) -> None:
    """What is logged is not the entry that was promised."""
    victim, append = _Victim(), log.append

    def watched(transaction: Transaction, notes: Sequence[Note], *, at: int) -> None:
        any(victim.is_lodged(note) for note in notes)
        append(transaction, notes, at=at)

    def say(transaction: Transaction, found: dict[str, list[Logged]]) -> None:
        for agency, words in found.items():
            found[agency] = [
                Logged(word.kind, word.eid, word.index, "cd" * 32)
                if word.kind == "LODGED" and word.eid == victim.eid
                else word
                for word in words
            ]

    patch.setattr(ingest, "append", watched)
    _say(patch, victim, say)


def not_logged(patch: Patch, city: City) -> None:
    """A handoff is taken and kept, and the log never hears of it."""
    _unlogged(patch)


def not_taken(patch: Patch, city: City) -> None:
    """The first handoff is acknowledged, and nothing of it is kept."""
    original, dropped = Ingest._read, list[str]()

    def read(self: Ingest, messages: Sequence[Any], *, index: int) -> Any:
        batch = original(self, messages, index=index)
        for eid in list(batch.handoffs):
            if not dropped or eid == dropped[0]:
                dropped[:] = [eid]
                del batch.handoffs[eid], batch.statements[eid]
        return batch

    patch.setattr(Ingest, "_read", read)


def no_word_on_the_log(patch: Patch, city: City) -> None:
    """Tickets tell what is held and nothing of the log."""
    patch.setattr(promises, "made", lambda transaction, **_: {})

"""This agency as a witness of the supervision log: it cosigns only what grows out of what it cosigned before.

What it saw is kept before it is signed, so that after a crash it signs the same again or nothing. What does not fit is kept as
evidence and never signed. Nothing of what entries say is known here: a witness sees sizes and roots.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from xieban.errors import Reason, XiebanError, failure
from xieban.marshal import micros
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint, Policy, Witnessed
from xieban.proof.note import SigningKey, VerifierKey
from xieban.proof.witness import extends

log = logging.getLogger(__name__)

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The size cosigned last, and the cosignature line if one was given."""

    size: int
    line: str


class Witness:
    """One node's witness of its city's log. `at` never goes back: a clock that did is no witness of time."""

    def __init__(
        self,
        database: Database,
        *,
        log: VerifierKey,
        key: SigningKey,
        clock: Clock,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """`fence` raises while the node may sign nothing."""
        self._fence = fence
        self._database = database
        self._policy = Policy(log=log, witnesses=(), threshold=0)
        self._key = key
        self._clock = clock

    async def cosign(self, data: bytes, *, old: int, proof: Sequence[bytes]) -> Cosigned:
        """Cosign a signed checkpoint, or say from which size on it must be proven.

        Errors: those of `Policy.check`, LOG_FORKED, CLOCK_SUSPECT.
        """
        self._fence()
        offered = self._policy.check(data).checkpoint
        at = micros(self._clock.now()) // SECOND
        size, fork = await self._database.write(lambda tx: self._keep(tx, offered, data, old=old, proof=proof, at=at))
        if fork is not None:
            log.error("the supervision log does not grow out of what was seen before", extra={"size": offered.size})
            raise fork
        if size != old or await self._database.read(_is_restored):
            return Cosigned(size=size, line="")
        faults.point("W1")
        return Cosigned(size=offered.size, line=checkpoint.cosign(offered, self._key, at=at).line)

    async def remember(self, data: bytes, *, proof: Sequence[bytes]) -> int:
        """Take back a cosignature of our own that a restore has lost; the size held afterwards. Nothing is signed.

        `data` is the newest checkpoint the log has of us, with our cosignature; empty when it has none. Our own signature is believed,
        and that what it covers grew out of what is held. Errors: those of `Policy.check`, LOG_FORKED.
        """
        self._fence()
        shown = Policy(log=self._policy.log, witnesses=(self._key.public,), threshold=1).check(data) if data else None
        return await self._database.write(lambda tx: self._recall(tx, shown, data, proof=proof))

    def _recall(self, tx: Transaction, shown: Witnessed | None, data: bytes, *, proof: Sequence[bytes]) -> int:
        row = tx.one("SELECT size, note FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
        held = checkpoint.parse(note.parse(row["note"]).text) if row is not None else None
        size = held.size if held is not None else 0
        if shown is not None and shown.checkpoint.size > size:
            extends(held, shown.checkpoint, proof=proof)
            whole = note.parse(data)
            ours = self._policy.log
            signed = note.Note(whole.text, tuple(one for one in whole.signatures if one.name == ours.name)).encode()
            tx.run(
                "INSERT INTO witness_checkpoint (size, root, note, cosigned_at) VALUES (?,?,?,?)",
                (shown.checkpoint.size, shown.checkpoint.root, signed, shown.times[self._key.public.name]),
            )
            size = shown.checkpoint.size
            log.warning("took back a cosignature of our own", extra={"size": size})
        tx.run("DELETE FROM node WHERE name = 'witness'")
        return size

    async def held(self) -> bytes:
        """The newest checkpoint this witness has kept, as the log signed it; empty when there is none."""
        sql = "SELECT note FROM witness_checkpoint ORDER BY size DESC LIMIT 1"
        row = await self._database.read(lambda tx: tx.one(sql))
        return bytes(row["note"]) if row is not None else b""

    def _keep(
        self, tx: Transaction, offered: Checkpoint, data: bytes, *, old: int, proof: Sequence[bytes], at: int
    ) -> tuple[int, XiebanError | None]:
        """The size held until now. A fork is returned and not raised, because its evidence is to be committed."""
        row = tx.one("SELECT size, note, cosigned_at FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
        held = checkpoint.parse(note.parse(row["note"]).text) if row is not None else None
        size = held.size if held is not None else 0
        if size != old or _is_restored(tx):
            return size, None
        if row is not None and at < row["cosigned_at"]:
            raise failure(Reason.CLOCK_SUSPECT)
        try:
            extends(held, offered, proof=proof)
        except XiebanError as error:
            if error.reason is not Reason.LOG_FORKED:
                raise
            tx.run(
                "INSERT INTO witness_refusal (size, root, note, against, refused_at) VALUES (?,?,?,?,?)"
                " ON CONFLICT DO NOTHING",
                (offered.size, offered.root, data, size, at),
            )
            return size, error
        tx.run(
            "INSERT INTO witness_checkpoint (size, root, note, cosigned_at) VALUES (?,?,?,?)"
            " ON CONFLICT (size) DO UPDATE SET cosigned_at = excluded.cosigned_at",
            (offered.size, offered.root, data, at),
        )
        return size, None


def _is_restored(tx: Transaction) -> bool:
    """Whether the log has not yet shown this witness, after a restore, what it cosigned last."""
    return tx.one("SELECT value FROM node WHERE name = 'witness'") is not None

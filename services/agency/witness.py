"""This agency as a witness of the supervision log: it cosigns only what grows out of what it cosigned before.

What it saw is kept before it is signed, so that after a crash it signs the same again or nothing. What does not fit is kept as
evidence and never signed. A log that signed two histories gets nothing more from here; one that the trust list founds after it has to
prove that it begins with what was cosigned here of what is kept. Nothing of what entries say is known here: a witness sees sizes and roots.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Row, Transaction
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import LogView
from xieban.marshal import micros
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint, Policy, Witnessed
from xieban.proof.note import SigningKey, VerifierKey
from xieban.proof.spelling import octets, spell
from xieban.proof.witness import extends
from xieban.trust import Lineage

log = logging.getLogger(__name__)

SECOND = 1_000_000
LARGEST = 2**53 - 1
"""The largest size that a header can say."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The size cosigned last, and the cosignature line if one was given."""

    size: int
    line: str


@dataclass(frozen=True, slots=True)
class Fork:
    """A tree that the log signed for somebody else and that is not of the history cosigned here: its size, and the size held."""

    size: int
    against: int


class Witness:
    """One node's witness of its city's log. `at` never goes back: a clock that did is no witness of time.

    `view` is what it has cosigned last, as this node's headers tell it; None before the first time.
    """

    def __init__(
        self,
        database: Database,
        *,
        log: VerifierKey,
        lineage: Lineage,
        key: SigningKey,
        clock: Clock,
        fence: Callable[[], None] = lambda: None,
        kept: Callable[[], None] = lambda: None,
    ) -> None:
        """`fence` raises while the node may sign nothing; `kept` is called when another tree has been cosigned."""
        self.view: LogView | None = None
        self._fork: Fork | None = None
        self._kept = kept
        self._fence = fence
        self._database = database
        self._policy = Policy(log=log, witnesses=(), threshold=0)
        self._lineage = lineage
        self._key = key
        self._clock = clock

    async def begin(self) -> None:
        """Know again, in a fresh process, what was cosigned last and whether the log has been convicted."""
        row, shown = await self._database.read(_standing)
        self.view = view_of(row["note"], log=self._policy.log) if row is not None else None
        # Evidence counts against the key that signed it: a log with another key is another log.
        signed = (one for one in shown if note.parse(one["note"]).verify([self._policy.log]))
        self._fork = next((Fork(one["size"], one["against"]) for one in signed), None)

    async def cosign(self, data: bytes, *, old: int, proof: Sequence[bytes]) -> Cosigned:
        """Cosign a signed checkpoint, or say from which size on it must be proven.

        Errors: those of `Policy.check`, PROOF_MALFORMED (no header could say it), LOG_FORKED, CLOCK_SUSPECT; of a log that was founded
        anew, KEY_OUT_OF_SPAN (a tree no larger than what may be of the log before), LOG_BEGINS_EARLY (more was cosigned of that).
        """
        self._fence()
        offered = self._policy.check(data).checkpoint
        if 0 < offered.size <= self._lineage.first:
            id, detail = self._policy.log.key_id.hex(), "日志另行设立，这一大小属于原日志"
            raise failure(Reason.KEY_OUT_OF_SPAN, keyid=id, index=offered.size - 1, detail=detail)
        if self._fork is not None:
            raise failure(Reason.LOG_FORKED, size=self._fork.size, limit=self._fork.against)
        view = view_of(data, log=self._policy.log)
        if view is None:
            raise failure(Reason.PROOF_MALFORMED, what="检查点", detail="含有本平台不用的附加行，或者过大")
        at = micros(self._clock.now()) // SECOND
        size, fork = await self._database.write(lambda tx: self._keep(tx, offered, data, old=old, proof=proof, at=at))
        if fork is not None:
            log.error("the supervision log does not grow out of what was seen before", extra={"size": offered.size})
            raise fork
        if size != old or await self._database.read(_is_restored):
            return Cosigned(size=size, line="")
        if self.view is None or view.size > self.view.size:
            self.view = view
            self._kept()
        faults.point("W1")
        return Cosigned(size=offered.size, line=checkpoint.cosign(offered, self._key, at=at).line)

    async def remember(self, data: bytes, *, proof: Sequence[bytes]) -> int:
        """Take back a cosignature of our own that a restore has lost; the size held afterwards. Nothing is signed.

        `data` is the newest checkpoint the log has of us, with our cosignature; empty when it has none. Our own signature is believed,
        and that what it covers grew out of what is held. Errors: those of `Policy.check`, LOG_FORKED.
        """
        self._fence()
        signer = self._lineage.signer(data) if data else self._policy.log
        shown = Policy(log=signer, witnesses=(self._key.public,), threshold=1).check(data) if data else None
        size = await self._database.write(lambda tx: self._recall(tx, shown, data, proof=proof))
        await self.begin()
        self._kept()
        return size

    def _recall(self, tx: Transaction, shown: Witnessed | None, data: bytes, *, proof: Sequence[bytes]) -> int:
        held = self._held(tx)
        size = held.size if held is not None else 0
        if shown is not None and shown.checkpoint.size > size and self._lineage.keeps(shown.checkpoint.size):
            extends(held, replace(shown.checkpoint, origin=self._lineage.name), proof=proof)
            whole, name = note.parse(data), shown.checkpoint.origin
            signed = note.Note(whole.text, tuple(one for one in whole.signatures if one.name == name)).encode()
            tx.run(
                "INSERT INTO witness_checkpoint (size, root, note, cosigned_at) VALUES (?,?,?,?)",
                (shown.checkpoint.size, shown.checkpoint.root, signed, shown.times[self._key.public.name]),
            )
            size = shown.checkpoint.size
            log.warning("took back a cosignature of our own", extra={"size": size})
        tx.run("DELETE FROM node WHERE name = 'witness'")
        return size

    async def convict(self, other: bytes, *, against: int, eid: str, agency: str) -> None:
        """Keep that the log signed another history too, and cosign nothing of it any more.

        `other` is a checkpoint signed by the log that cannot be of the history cosigned here, as the tree of size `against` shows. The
        header `eid` of `agency` told of it. Errors: those of `Policy.check`.
        """
        tree = self._policy.check(other).checkpoint
        row = (tree.size, tree.root, other, against, micros(self._clock.now()) // SECOND, eid, agency)
        await self._database.write(
            lambda tx: tx.run(
                "INSERT INTO witness_refusal (size, root, note, against, refused_at, eid, agency) VALUES (?,?,?,?,?,?,?)"
                " ON CONFLICT DO NOTHING",
                row,
            )
        )
        self._fork = self._fork or Fork(tree.size, against)

    async def held(self) -> bytes:
        """The newest checkpoint this witness has kept, as the log signed it; empty when there is none."""
        sql = "SELECT note FROM witness_checkpoint ORDER BY size DESC LIMIT 1"
        row = await self._database.read(lambda tx: tx.one(sql))
        return bytes(row["note"]) if row is not None else b""

    def _held(self, tx: Transaction) -> Checkpoint | None:
        """The newest tree kept here that begins the log as it is now, by the name it has now, whatever it was cosigned under."""
        gaps = self._lineage.gaps
        kept = " AND NOT size BETWEEN ? AND ?" * len(gaps)
        sql = f"SELECT size, note FROM witness_checkpoint WHERE size > 0{kept} ORDER BY size DESC LIMIT 1"
        row = tx.one(sql, [bound for gap in gaps for bound in gap])
        return replace(_tree(row), origin=self._lineage.name) if row is not None else None

    def _keep(
        self, tx: Transaction, offered: Checkpoint, data: bytes, *, old: int, proof: Sequence[bytes], at: int
    ) -> tuple[int, XiebanError | None]:
        """The size held until now. A fork is returned and not raised, because its evidence is to be committed."""
        row = tx.one("SELECT size, note, cosigned_at FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
        held = self._held(tx)
        size = held.size if held is not None else 0
        name, first = self._lineage.name, self._lineage.first
        if row is not None and row["size"] > first and _tree(row).origin != name:
            me = self._key.public.name
            raise failure(Reason.LOG_BEGINS_EARLY, log=name, first=first, witness=me, held=row["size"])
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


def _tree(row: Row) -> Checkpoint:
    return checkpoint.parse(note.parse(row["note"]).text)


def view_of(data: bytes, *, log: VerifierKey) -> LogView | None:
    """What a header says of a checkpoint that the log signed; None of one that a header cannot say."""
    whole = note.parse(data)
    tree = checkpoint.parse(whole.text)
    values = [one.key_id + one.value for one in whole.signatures if (one.name, one.key_id) == (log.name, log.key_id)]
    if tree.extensions or not 1 <= tree.size <= LARGEST or not values:
        return None
    return LogView(size=tree.size, root=tree.root.hex(), sig=spell(values[0]))


def note_of(view: LogView, *, origin: str) -> bytes:
    """The signed checkpoint of the log named `origin` that a header's view is taken from; nothing is verified. Errors: PROOF_MALFORMED."""
    tree = Checkpoint(origin=origin, size=view.size, root=bytes.fromhex(view.root))
    value = octets(view.sig, what="检查点", size=68)
    return note.Note(tree.text, (note.Signature(origin, value[:4], value[4:]),)).encode()


def _standing(tx: Transaction) -> tuple[Row | None, list[Row]]:
    """The newest checkpoint kept, and what headers have shown of other histories."""
    newest = tx.one("SELECT note FROM witness_checkpoint ORDER BY size DESC LIMIT 1")
    return newest, tx.all("SELECT size, against, note FROM witness_refusal WHERE eid <> ''")


def _is_restored(tx: Transaction) -> bool:
    """Whether the log has not yet shown this witness, after a restore, what it cosigned last."""
    return tx.one("SELECT value FROM node WHERE name = 'witness'") is not None

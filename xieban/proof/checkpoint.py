"""C2SP tlog-checkpoint and tlog-cosignature: what a log says its tree is, who has seen it, and whom a reader believes.

The log signs checkpoints; witnesses cosign what extends all they saw before; a policy names the log and says how many of which
witnesses are enough. No single signature makes a checkpoint believed. Whether a tree extends another is in `merkle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xieban.errors import Reason, failure
from xieban.proof import note
from xieban.proof.merkle import EMPTY_ROOT, HASH_SIZE
from xieban.proof.note import Algorithm, Signature, SigningKey, VerifierKey
from xieban.proof.spelling import MAX_NUMBER, number, octets, spell

_WHAT = "检查点"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree: the log's name, the number of leaves, the 32-byte root, further lines that mean nothing here.

    Errors: PROOF_MALFORMED (a line empty or broken, a size beyond 2^63 - 1, no root of that size).
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        sound = all(line and "\n" not in line for line in lines) and 0 <= self.size <= MAX_NUMBER
        if not sound or len(self.root) != HASH_SIZE or (self.size == 0 and self.root != EMPTY_ROOT):
            raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="名称、大小或者树根不合要求")

    @property
    def text(self) -> str:
        """The note text that is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, spell(self.root), *self.extensions))


def parse(text: str) -> Checkpoint:
    """Read a note's text as a checkpoint. Errors: PROOF_MALFORMED."""
    *lines, end = text.split("\n")
    if end or len(lines) < 3:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="不足三行或者缺少结尾换行")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin=origin,
        size=number(size, what=_WHAT),
        root=octets(root, what=_WHAT, size=HASH_SIZE),
        extensions=tuple(extensions),
    )


def sign(checkpoint: Checkpoint, key: SigningKey) -> Signature:
    """The log's own signature. Its caller must never sign two roots for one size.

    Errors: FIELD_INVALID (the key is a cosigner's, or is not named as the log).
    """
    if key.public.name != checkpoint.origin:
        raise failure(Reason.FIELD_INVALID, field="key", detail="不是该日志的签名密钥")
    return key.sign(checkpoint.text)


def cosign(checkpoint: Checkpoint, key: SigningKey, *, at: int) -> Signature:
    """A witness's cosignature/v1 as of `at`, POSIX seconds. Its caller must have checked, and kept, that the tree only grew.

    Errors: FIELD_INVALID (the key is no cosigner's, or the time is out of range).
    """
    return key.sign(checkpoint.text, at=at)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that satisfied a policy, and when each witness saw it: name to POSIX seconds."""

    checkpoint: Checkpoint
    times: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to believe: the log, named as its checkpoints' origin, and `threshold` of `witnesses`.

    Every name and every public key may stand here once, so that nobody counts twice and no log signature passes for a
    cosignature. Errors: FIELD_INVALID.
    """

    log: VerifierKey
    witnesses: tuple[VerifierKey, ...]
    threshold: int

    def __post_init__(self) -> None:
        keys = (self.log, *self.witnesses)
        kinds = [Algorithm.ED25519] + [Algorithm.COSIGNATURE_V1] * len(self.witnesses)
        distinct = len({key.name for key in keys}) == len({key.public for key in keys}) == len(keys)
        if not distinct or [key.algorithm for key in keys] != kinds or not 0 <= self.threshold <= len(self.witnesses):
            raise failure(Reason.FIELD_INVALID, field="policy", detail="密钥重复、种类有误，或者门槛超出见证方数目")

    def check(self, data: bytes) -> Witnessed:
        """Believe a signed checkpoint, or refuse it.

        Signatures of unknown keys are ignored; one that does not hold, of a known key, condemns the checkpoint. Times are not
        compared with any clock. Errors: those of `note.parse`, of `Note.verify` and of `parse`; QUORUM_NOT_MET.
        """
        signed_note = note.parse(data)
        signed = signed_note.verify((self.log, *self.witnesses))
        found = parse(signed_note.text)
        if self.log not in signed or found.origin != self.log.name:
            raise failure(Reason.QUORUM_NOT_MET, what="日志签名", count=0, limit=1)
        times = {key.name: at for key, at in signed.items() if at is not None}
        if len(times) < self.threshold:
            raise failure(Reason.QUORUM_NOT_MET, what="见证方联署", count=len(times), limit=self.threshold)
        return Witnessed(found, times)

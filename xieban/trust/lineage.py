"""The city's log from founding to founding: which trees that were signed under former names begin the log as it is now.

A log that cannot go on (its entries are lost, or two histories bear its signature) is ended in the trust list, and another is founded under
a name of its own: it begins with the first `keeps` entries of the one before, and what is its own begins behind `first`. All sizes up to
`first` are those of former names, all beyond are its own, so a size alone says what a tree is. What must not go in: proofs, storage.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from xieban.errors import Reason, XiebanError, failure
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.note import VerifierKey
from xieban.trust.lists import Log, TrustList
from xieban.trust.witnessing import log_keys, policy


@dataclass(frozen=True, slots=True)
class Founding:
    """How a log came after another. `forked`: the key before was ended as compromised, so that not all it signed is kept."""

    name: str
    keeps: int
    first: int
    forked: bool


@dataclass(frozen=True, slots=True)
class Lineage:
    """The log of a city by the name it has now, every key it ever had under any name, and its foundings, the newest last."""

    name: str
    keys: tuple[VerifierKey, ...]
    foundings: tuple[Founding, ...] = ()

    @property
    def founding(self) -> Founding | None:
        """How the log as it is now began; None for a city's first."""
        return self.foundings[-1] if self.foundings else None

    @property
    def first(self) -> int:
        """Trees of its own name are larger than this."""
        return self.foundings[-1].first if self.foundings else 0

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """First and last size, founding by founding, of trees that foundings have left behind."""
        return tuple((one.keeps + 1, one.first) for one in self.foundings)

    def keeps(self, size: int) -> bool:
        """Whether a tree of that size that was signed under any of the names begins the log as it is now."""
        return not any(low <= size <= high for low, high in self.gaps)

    def signer(self, data: bytes) -> VerifierKey:
        """The key of the log, under this name or a former one, that signed a checkpoint.

        Errors: those of `Policy.check`, of which QUORUM_NOT_MET is that none has.
        """
        for key in self.keys:
            try:
                Policy(log=key, witnesses=(), threshold=0).check(data)
            except XiebanError as error:
                if error.reason is not Reason.QUORUM_NOT_MET:
                    raise
            else:
                return key
        raise failure(Reason.QUORUM_NOT_MET, what="日志签名", count=0, limit=1)

    def signed(self, data: bytes) -> Checkpoint:
        """A checkpoint that the log signed, under this name or a former one. Errors: as `signer`."""
        return Policy(log=self.signer(data), witnesses=(), threshold=0).check(data).checkpoint


def lineage(value: TrustList, *, at: int) -> Lineage:
    """Of the log that counts at an index. Errors: TRUST_LACKS (no log key, or several)."""
    logs = sorted((one for one in value.entries if isinstance(one, Log)), key=lambda one: one.from_index)
    # A founding whose name never counted for an entry did not take place: the list took it back.
    counted = {one.name for one in logs if one.end is None or one.end > one.from_index}
    found: list[Founding] = []
    before = next((one.name for one in logs if one.keeps is UNSET and one.name in counted), "")
    for one in logs:
        if one.keeps is UNSET or one.name not in counted or one.from_index > at:
            continue
        last = [key for key in logs if key.name == before][-1:]
        forked = any(key.revoked is not None and key.revoked.reason == "compromised" for key in last)
        found.append(Founding(name=one.name, keeps=one.keeps, first=one.from_index, forked=forked))
        before = one.name
    return Lineage(name=policy(value, at=at).log.name, keys=log_keys(value), foundings=tuple(found))

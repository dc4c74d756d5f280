"""C2SP tlog-proof: one text that shows, without any server, that an entry is in the log and that witnesses have seen it there.

It holds the entry's index, the inclusion proof and the signed checkpoint as it was published. It does not hold the entry: the
reader brings the entry's bytes, and a policy. Extra data is carried along and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from xieban.errors import Reason, failure
from xieban.proof import merkle
from xieban.proof.checkpoint import Policy, Witnessed
from xieban.proof.note import MAX_NOTE
from xieban.proof.spelling import number, octets, spell

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF = 2 * MAX_NOTE
MAX_HASHES = 63

_WHAT = "入册证明"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """`index` counts from 0; `hashes` (32 bytes each) start at the leaf's sibling; `checkpoint` is a signed note, verbatim."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """The proof as a text. Errors: those of `decode`, which must be able to read it."""
        lines = [HEADER, *([f"extra {spell(self.extra)}"] if self.extra else []), f"index {self.index}"]
        data = "".join(f"{line}\n" for line in (*lines, *map(spell, self.hashes), "")).encode() + self.checkpoint
        decode(data)
        return data

    def verify(self, leaf: bytes, policy: Policy) -> Witnessed:
        """Check that the entry with this leaf hash is number `index` of a tree that satisfies `policy`.

        Returns the checkpoint and when witnesses saw it. Errors: those of `Policy.check`; PROOF_INVALID.
        """
        witnessed = policy.check(self.checkpoint)
        tree = witnessed.checkpoint
        merkle.verify_inclusion(leaf, index=self.index, size=tree.size, root=tree.root, proof=self.hashes)
        return witnessed


def decode(data: bytes) -> TlogProof:
    """Read a proof; nothing is verified yet, the checkpoint not even parsed. Errors: MESSAGE_TOO_LARGE (256 KiB), PROOF_MALFORMED."""
    if len(data) > MAX_PROOF:
        raise failure(Reason.MESSAGE_TOO_LARGE, what=_WHAT, size=len(data), limit=MAX_PROOF)
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="证明部分只能是 ASCII") from error
    extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
    if header != HEADER or not blank or extra == "" or not lines or not lines[0].startswith("index "):
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail="缺少首行、序号或者检查点")
    index, *hashes = lines
    if len(hashes) > MAX_HASHES:
        raise failure(Reason.PROOF_MALFORMED, what=_WHAT, detail=f"超过 {MAX_HASHES} 个摘要")
    return TlogProof(
        index=number(index.removeprefix("index "), what=_WHAT),
        hashes=tuple(octets(line, what=_WHAT, size=merkle.HASH_SIZE) for line in hashes),
        checkpoint=checkpoint,
        extra=octets(extra or "", what=_WHAT),
    )

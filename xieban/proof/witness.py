"""A witness's one rule: cosign only what extends the tree it cosigned last. Pure; keeping and signing are the caller's."""

from __future__ import annotations

from collections.abc import Sequence

from xieban.errors import Reason, XiebanError, failure
from xieban.proof import merkle
from xieban.proof.checkpoint import Checkpoint


def extends(held: Checkpoint | None, offered: Checkpoint, *, proof: Sequence[bytes]) -> None:
    """Check that `offered` (whose log signature has been verified) grows out of `held`, the last tree this witness cosigned.

    `proof` is the consistency proof between their sizes. Nothing held is the empty tree. Errors: LOG_FORKED: what is offered cannot be
    the history that was seen before; the caller keeps both as evidence.
    """
    size, root = (held.size, held.root) if held is not None else (0, merkle.EMPTY_ROOT)
    if held is not None and held.origin != offered.origin:
        raise failure(Reason.FIELD_INVALID, field="origin", detail="不是所见证的日志")
    try:
        merkle.verify_consistency(old=size, old_root=root, new=offered.size, new_root=offered.root, proof=proof)
    except XiebanError as error:
        raise failure(Reason.LOG_FORKED, size=offered.size, limit=size) from error

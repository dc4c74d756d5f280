"""An option that takes one word of a closed set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from xieban.errors import Reason, failure

_Word = TypeVar("_Word", bound=str)


def one_of(words: Iterable[_Word], given: str, *, option: str) -> _Word:
    """The word that was given. Errors: FIELD_INVALID, which lists them all."""
    known = {str(word): word for word in words}
    if given not in known:
        raise failure(Reason.FIELD_INVALID, field=option, detail="应为 " + "、".join(known))
    return known[given]

"""The statutory windows that derived dates are put into, and the arithmetic that keeps them inside. Pure.

A month is counted as 28 days and two months as 59, the least the calendar can give, so that a derived date is inside its window
whatever month it falls into and whether or not a holiday would move the last day. The windows serve the replay alone; limits are
reckoned by `xieban.timelimits`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

DETENTION_TO_REQUEST: Final = (3, 7, 30)
"""刑诉91: request for arrest after detention, ordinary, special, 流窜、多次、结伙."""
ARREST_REVIEW_CUSTODY: Final = 7
"""刑诉91."""
ARREST_REVIEW_FREE: Final = 15
"""检规282."""
EXECUTION_RECEIPT: Final = 3
"""检规286."""
RECONSIDERATION_REQUEST: Final = 5
"""公规141."""
RECONSIDERATION_DECISION: Final = 7
"""检规290."""
INVESTIGATION_CUSTODY: Final = (59, 89, 150, 212)
"""刑诉156, 158, 159: two months; with one, with two more, with two more again."""
CUSTODY_EXTENSIONS: Final = (
    ("upper_procuratorate", 1),
    ("provincial_procuratorate", 2),
    ("provincial_procuratorate", 2),
)
"""Who grants each of them, and how many months."""
EXTENSION_BEFORE: Final = 7
"""公规148: an extension is asked for seven days before the limit ends."""
REVIEW: Final = 28
"""刑诉172."""
REVIEW_FAST: Final = 10
"""刑诉172."""
SUPPLEMENT: Final = 28
"""刑诉175: one month, at most twice."""
COURT_INTAKE: Final = 7
"""解释219."""
NOTICE_BEFORE_HEARING: Final = 3
"""刑诉187."""
SERVICE: Final = 5
"""刑诉202."""
APPEAL: Final = 10
"""刑诉230."""
FILE_TRANSFER: Final = 3
"""刑诉231, 解释381."""
SECOND_INSTANCE: Final = 59
"""刑诉243."""


def draw(identity: str, purpose: str, sides: int) -> int:
    """A number from 0 to `sides` − 1 that depends on the case and the purpose only: the same in every run, on every machine."""
    digest = hashlib.sha256(f"{purpose}\n{identity}".encode()).digest()
    return int.from_bytes(digest[:8]) % sides


def between(day: date, first: date, last: date) -> date:
    """`day`, moved into [first, last]; `first` where the window is empty."""
    return max(first, min(day, last))


def days(count: int) -> timedelta:
    return timedelta(days=count)


def shares(total: int, *, wanted: Sequence[int], longest: Sequence[int], open_longest: int | None) -> list[int]:
    """Divide `total` days into an open phase and the phases `wanted` after it; the open phase comes first in the answer.

    Where there is too little time the wanted phases shrink together to two thirds of it; where the open phase would exceed
    `open_longest`, they grow up to their `longest`. What then still does not fit stays with the open phase: a real overrun.
    """
    asked = sum(wanted)
    room = total * 2 // 3
    given = list(wanted) if asked <= room else [one * room // asked for one in wanted]
    rest = total - sum(given)
    for index, limit in enumerate(longest):
        if open_longest is None or rest <= open_longest:
            break
        more = min(limit - given[index], rest - open_longest)
        given[index] += more
        rest -= more
    return [rest, *given]

"""Another calendar than the one limits were computed with: those that still run are worked out anew at start, visibly.

A year whose holidays were not published was counted with plain weekends (A40). When its notice arrives, the operator gives the file and
restarts; every date that moves is logged with the version of the calendar. Done before anything is consumed, in batches of cases.
"""

from __future__ import annotations

import logging
from functools import partial

from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway.follow import Follower
from services.gateway.log import append
from services.gateway.store import Store
from xieban.marshal import micros

logger = logging.getLogger(__name__)
AT_ONCE = 200


async def recalculate(database: Database, follower: Follower, *, clock: Clock) -> int:
    """How many cases were worked out anew. A crash between batches is caught up by the next start."""
    done, last = 0, ""
    while True:
        body = partial(_next_batch, follower=follower, after=last, now=micros(clock.now()))
        cases = await database.write(body)
        if not cases:
            break
        done, last = done + len(cases), cases[-1]
    if done:
        logger.info("limits recalculated with another calendar", extra={"cases": done})
    return done


def _next_batch(transaction: Transaction, *, follower: Follower, after: str, now: int) -> list[str]:
    store = Store(transaction)
    cases = store.cases_of_other_calendar(follower.calendar, after=after, at_most=AT_ONCE)
    if cases:
        append(transaction, follower.follow(store, cases, now=now), at=now)
    return cases

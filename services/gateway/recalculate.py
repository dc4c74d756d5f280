"""Another calendar than the one limits were computed with: those that still run are worked out anew at start, visibly.

A year whose holidays were not published was counted with plain weekends (A40). When its notice arrives, the operator gives the file and
restarts; every date that moves is logged with the version of the calendar. Done before anything is consumed, in batches of cases.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import partial

import msgspec

from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway.follow import Follower
from services.gateway.log import append
from services.gateway.store import Store
from services.gateway.targets import Target
from xieban.marshal import micros

logger = logging.getLogger(__name__)
AT_ONCE = 200


async def recalculate(database: Database, follower: Follower, *, clock: Clock) -> int:
    """How many cases were worked out anew. A crash between batches is caught up by the next start.

    The version for which all was done is noted, and taken back before anything is begun: a restart need not look at every limit.
    """
    row = await database.read(lambda transaction: transaction.one("SELECT value FROM node WHERE name = 'calendar'"))
    if row is not None and row["value"] == follower.calendar:
        return 0
    await database.write(partial(_calendar_noted, version=""))
    done, last = 0, ""
    while True:
        body = partial(_next_batch, follower=follower, after=last, now=micros(clock.now()))
        cases = await database.write(body)
        if not cases:
            break
        done, last = done + len(cases), cases[-1]
    await database.write(partial(_calendar_noted, version=follower.calendar))
    if done:
        logger.info("limits recalculated with another calendar", extra={"cases": done})
    return done


def _calendar_noted(transaction: Transaction, *, version: str) -> None:
    sql = (
        "INSERT INTO node (name, value) VALUES ('calendar', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    transaction.run(sql, (version,))


async def retarget(database: Database, follower: Follower, *, targets: Sequence[Target], clock: Clock) -> int:
    """Work every case out anew when the operator has changed the service targets; how many cases that were."""
    digest = hashlib.sha256(msgspec.json.encode(targets)).hexdigest()
    row = await database.read(lambda transaction: transaction.one("SELECT value FROM node WHERE name = 'targets'"))
    if row is not None and row["value"] == digest:
        return 0
    done, last = 0, ""
    body = partial(_next_cases, follower=follower)
    while targets and (cases := await database.write(partial(body, after=last, now=micros(clock.now())))):
        done, last = done + len(cases), cases[-1]
    await database.write(partial(_targets_noted, digest=digest, none=not targets))
    return done


def _targets_noted(transaction: Transaction, *, digest: str, none: bool) -> None:
    sql = "INSERT INTO node (name, value) VALUES ('targets', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    transaction.run(sql, (digest,))
    if none:
        transaction.run("DELETE FROM target_aim")


def _next_cases(transaction: Transaction, *, follower: Follower, after: str, now: int) -> list[str]:
    sql = "SELECT case_id FROM case_file WHERE case_id > ? ORDER BY case_id LIMIT ?"
    cases = [row["case_id"] for row in transaction.all(sql, (after, AT_ONCE))]
    if cases:
        append(transaction, follower.follow(Store(transaction), cases, now=now), at=now)
    return cases


def _next_batch(transaction: Transaction, *, follower: Follower, after: str, now: int) -> list[str]:
    store = Store(transaction)
    cases = store.cases_of_other_calendar(follower.calendar, after=after, at_most=AT_ONCE)
    if cases:
        append(transaction, follower.follow(store, cases, now=now), at=now)
    return cases

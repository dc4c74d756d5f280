"""A log that the trust list founds anew begins here: every lost entry leaves an entry in its place, then the log says how it began.

Places stay what they were, so that keys, which count by place, and everything proven before keep their meaning, and nobody can look past
what is gone. Written in transactions of their own; whoever dies in between goes on at the next start. What must not go in: asking
witnesses what they have seen, which comes first and is the fence's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway import log
from services.gateway.log import Note
from xieban.errors import Reason, failure
from xieban.marshal import micros
from xieban.trust import Founding

logger = logging.getLogger(__name__)

LOST: Final = "LOST"
"""Kind of the entry in the place of one that is lost; its detail is the name of the log that was founded."""
REFOUNDED: Final = "REFOUNDED"
"""Kind of a founded log's first own entry; detail: entries kept, entries that were here, its name, with a colon between."""
AT_ONCE: Final = 1_000


def is_owed(tx: Transaction, *, founding: Founding) -> bool:
    """Whether the log here has still to be founded.

    Errors: LOG_KEEPS_OTHER: it is not the one that the list keeps. LOG_BEGINS_EARLY: it has more entries than were to come before.
    """
    size = log.size(tx)
    if size > founding.first:
        row = tx.one("SELECT kind, detail FROM log_entry WHERE position = ?", (founding.first + 1,))
        if row is not None and row["kind"] == REFOUNDED and row["detail"].endswith(f":{founding.name}"):
            return False
        raise failure(Reason.LOG_BEGINS_EARLY, log=founding.name, first=founding.first, witness="监督网关", held=size)
    here = _here(tx, founding)
    # Of a log that signed two histories its database holds one, beyond what both have in common.
    if here < founding.keeps or (here > founding.keeps and not founding.forked):
        raise failure(Reason.LOG_KEEPS_OTHER, log=founding.name, keeps=founding.keeps, size=here)
    return True


async def found(database: Database, *, founding: Founding, clock: Clock, finish: Callable[[Transaction], None]) -> None:
    """Write what `is_owed`; `finish` is part of the last transaction."""
    logger.warning("a new log begins", extra={"count": founding.keeps, "limit": founding.first})
    while not await database.write(partial(_go_on, founding=founding, clock=clock, finish=finish)):
        faults.point("G4")


def _go_on(tx: Transaction, *, founding: Founding, clock: Clock, finish: Callable[[Transaction], None]) -> bool:
    """One transaction of it; whether it was the last."""
    at, missing = micros(clock.now()), founding.first - log.size(tx)
    if missing:
        log.append(tx, [Note(LOST, detail=founding.name)] * min(missing, AT_ONCE), at=at)
        return False
    log.append(tx, [Note(REFOUNDED, detail=f"{founding.keeps}:{_here(tx, founding)}:{founding.name}")], at=at)
    finish(tx)
    return True


def _here(tx: Transaction, founding: Founding) -> int:
    """How many entries were here before the first was written in the place of a lost one."""
    row = tx.one("SELECT MIN(position) AS n FROM log_entry WHERE kind = ? AND detail = ?", (LOST, founding.name))
    return log.size(tx) if row is None or row["n"] is None else int(row["n"]) - 1

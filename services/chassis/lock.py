"""One process at a time for one database: a lock that the kernel takes back when the process ends, however it ends.

SQLite lets several processes open one file; a second writer of ours would give numbers twice, and a file replaced under a running node
would be written to after it is gone. What must not go in: who may take it for what.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xieban.errors import Reason, failure


def lock_file(database: Path) -> Path:
    """Lies beside the database and stays there, empty."""
    return database.with_name(database.name + ".lock")


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Nobody else has `database` while this lasts. Errors: DATABASE_IN_USE."""
    database.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file(database), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise failure(Reason.DATABASE_IN_USE, file=database) from error
        yield
    finally:
        os.close(descriptor)

"""One database per process: a single writer with group commit in mind, readers beside it, and migrations on opening.

The face is engine-neutral. Callers write SQL in the portable subset (SQLite and PostgreSQL both take it): `?` parameters, no engine's
own functions or pragmas; `ON CONFLICT DO NOTHING`, `RETURNING` and `IN (…)` through `placeholders` are fine. Times are integers of
microseconds. A transaction is a plain function that runs in the thread of its connection, from BEGIN to COMMIT in one go: it cannot
wait for the network or for anything else, and it costs one change of threads however many statements it has.
What must not go in: any table's name.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, cast

import aiosqlite

from services.chassis import migrate
from xieban.errors import Reason, XiebanError, failure

log = logging.getLogger(__name__)

T = TypeVar("T")
Value = str | int | float | bytes | None
Statement = tuple[str, Sequence[tuple[Value, ...]]]
"""SQL and the rows to run it with; no rows means there is nothing to do."""
READERS: Final = 2
BUSY_TIMEOUT_MS: Final = 5_000
# After these SQLite result codes nothing the file says may be trusted, and an fsync that failed once must not be tried again.
FATAL_CODES: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Row(Protocol):
    """One row, by column name (or position)."""

    def __getitem__(self, key: str | int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> Iterable[str]: ...


class FatalStorage(BaseException):
    """The disk failed under the database. Passes every `except Exception` on purpose: the process must end, not retry."""


def placeholders(count: int) -> str:
    """`?,?,?` for an IN list of `count` values (at least one)."""
    if count < 1:
        raise ValueError("an IN list needs at least one value")
    return ",".join("?" * count)


class Transaction:
    """What a body works with between BEGIN and COMMIT. Valid only inside it, in its thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ended: str | None = None

    def all(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Every row of a SELECT, or of a RETURNING clause."""
        return cast(list[Row], self._execute(self._connection.execute, sql, params).fetchall())

    def one(self, sql: str, params: Sequence[Value] = ()) -> Row | None:
        """The first row, or None. Callers who may meet many rows say LIMIT 1."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def run(self, sql: str, params: Sequence[Value] = ()) -> None:
        """A statement whose rows nobody wants. To learn whether it did anything, use RETURNING and `all`."""
        self._execute(self._connection.execute, sql, params)

    def many(self, sql: str, rows: Sequence[tuple[Value, ...]]) -> None:
        """The same statement for every tuple of `rows`; none is a no-op."""
        if rows:
            self._execute(self._connection.executemany, sql, rows)

    def end(self, why: str) -> None:
        """No statement may run through this object any more."""
        self._ended = self._ended or why

    @property
    def rolled_back(self) -> bool:
        """True when the engine itself has given the transaction up."""
        return self._ended is not None

    def _execute(self, how: Callable[..., sqlite3.Cursor], sql: str, params: Sequence[Any]) -> sqlite3.Cursor:
        if self._ended is not None:
            raise RuntimeError(f"transaction is over: {self._ended}")
        try:
            return how(sql, params)
        except sqlite3.Error:
            if not self._connection.in_transaction:
                # SQLite has rolled back by itself (disk full, for one). A body that swallowed this error would otherwise
                # go on in autocommit and leave half a transaction behind.
                self._ended = "the engine rolled it back"
            raise


class Database:
    """SQLite behind the neutral face: WAL, synchronous=FULL, one write connection, a few read connections, a thread each."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, readers: Sequence[aiosqlite.Connection]) -> None:
        self._path = path
        self._writer = writer
        self._readers = list(readers)
        self._turns = itertools.cycle(self._readers)
        self._fatal: FatalStorage | None = None
        self._failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, path: Path, *, migrations: Path) -> Database:
        """Open or create `path`, bringing its schema to the newest of `migrations`; DATABASE_NEWER if it is ahead of the program."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(migrate.bring_up_to_date, path, migrations=migrations)
        opened: list[aiosqlite.Connection] = []
        try:
            for number in range(1 + READERS):
                opened.append(await _connect(path, read_only=number > 0))
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return cls(path, opened[0], opened[1:])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection after what was asked of it before (their threads would keep the process alive)."""
        for connection in (*self._readers, self._writer):
            await _finished(connection.close())

    async def write(self, body: Callable[[Transaction], T]) -> T:
        """Run `body` reading and writing, one at a time in the whole process: committed when it returns, rolled back when it raises.

        A caller cancelled meanwhile waits for the end all the same; the outcome is then like a crash after the commit: done, though
        nobody was told. `body` runs in another thread than the loop, with the caller's context variables.
        """
        return cast(T, await _finished(self._run(self._writer, "BEGIN IMMEDIATE", body)))

    async def read(self, body: Callable[[Transaction], T]) -> T:
        """Run `body` beside the writer, reading only: one snapshot of the last commit for all of it."""
        return await self._run(next(self._turns), "BEGIN DEFERRED", body)

    async def watch(self) -> None:
        """Run this among the process's tasks: returns never, raises FatalStorage once the disk has failed anywhere."""
        await self._failed.wait()
        self._raise_if_fatal()

    async def _run(self, connection: aiosqlite.Connection, begin: str, body: Callable[[Transaction], T]) -> T:
        self._raise_if_fatal()
        context = contextvars.copy_context()

        def work() -> T:
            self._raise_if_fatal()  # the disk may have failed while this waited for its turn
            try:
                return context.run(_carry_out, connection._conn, begin, body)
            except sqlite3.Error as error:
                told = self._translate(error)
                if told is error:
                    raise
                raise told from error

        # aiosqlite has no public call for more than a statement at a time, and changing threads costs more than a statement.
        return cast(T, await connection._execute(work))  # type: ignore[no-untyped-call]

    def _translate(self, error: sqlite3.Error) -> BaseException:
        """The error to raise instead of the engine's own."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code == sqlite3.SQLITE_FULL:
            log.error("storage is full: writes fail until there is room, reads go on")
            return _storage_full()
        if code in FATAL_CODES or isinstance(error, _RollbackFailed):
            self._fatal = FatalStorage(f"{self._path.name}: {getattr(error, 'sqlite_errorname', 'SQLITE_IOERR')}")
            self._loop.call_soon_threadsafe(self._failed.set)
            return self._fatal
        return error

    def _raise_if_fatal(self) -> None:
        if self._fatal is not None:
            raise FatalStorage(*self._fatal.args)


class _RollbackFailed(sqlite3.Error):
    """A connection that cannot roll back would carry this transaction's rows into the next commit."""


def _carry_out(connection: sqlite3.Connection, begin: str, body: Callable[[Transaction], T]) -> T:
    connection.execute(begin)
    transaction = Transaction(connection)
    try:
        result = body(transaction)
        if transaction.rolled_back:
            raise RuntimeError("the body went on after its transaction had failed")
        connection.execute("COMMIT")
    except BaseException:
        try:
            connection.rollback()  # a no-op when the engine has rolled back already
        except sqlite3.Error as error:
            raise _RollbackFailed(*error.args) from error
        raise
    finally:
        transaction.end("its body has ended")
    return result


async def _connect(path: Path, *, read_only: bool) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, cached_statements=512)
    try:
        connection.row_factory = sqlite3.Row
        await connection.execute_fetchall("PRAGMA journal_mode=WAL")
        # FULL: with NORMAL a power cut loses commits that were already acknowledged to the counterparty.
        await connection.execute_fetchall("PRAGMA synchronous=FULL")
        await connection.execute_fetchall("PRAGMA foreign_keys=ON")
        # A page changed by many transactions is copied into the file once, not every 4 MB of log; recovery reads at most 32 MB.
        await connection.execute_fetchall("PRAGMA wal_autocheckpoint=8000")
        await connection.execute_fetchall("PRAGMA cache_size=-32768")
        await connection.execute_fetchall(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        if read_only:
            await connection.execute_fetchall("PRAGMA query_only=ON")
    except BaseException:
        await connection.close()
        raise
    return connection


async def _finished(step: Awaitable[T]) -> T:
    """Wait for `step` to end whatever happens to the caller meanwhile; a cancellation is passed on only afterwards."""
    running = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and running.exception() is None:
        raise cancelled
    return running.result()


def _storage_full() -> XiebanError:
    return failure(Reason.STORAGE_FULL)

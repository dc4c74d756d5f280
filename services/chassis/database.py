"""One database per process: a single writer with group commit in mind, readers beside it, and migrations on opening.

The face is engine-neutral. Callers write SQL in the portable subset (SQLite and PostgreSQL both take it): `?` parameters, no engine's
own functions or pragmas; `ON CONFLICT DO NOTHING`, `RETURNING` and `IN (…)` through `placeholders` are fine. Times are integers of
microseconds. Each call is one hop to the engine, so work in batches: read with IN, write with `many`.
What must not go in: any table's name, any network call; a transaction never waits for the network.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
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
Query = tuple[str, Sequence[Value]]
"""SELECT and its parameters."""
READERS: Final = 2
BUSY_TIMEOUT_MS: Final = 5_000
# After these SQLite result codes nothing the file says may be trusted, and an fsync that failed once must not be tried again.
FATAL_CODES: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Row(Protocol):
    """One row, by column name (or position)."""

    def __getitem__(self, key: str | int, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


class FatalStorage(BaseException):
    """The disk failed under the database. Passes every `except Exception` on purpose: the process must end, not retry."""


def placeholders(count: int) -> str:
    """`?,?,?` for an IN list of `count` values (at least one)."""
    if count < 1:
        raise ValueError("an IN list needs at least one value")
    return ",".join("?" * count)


class Transaction:
    """What runs between BEGIN and COMMIT. Valid only inside its `async with`; each method is one hop."""

    def __init__(self, database: Database, connection: aiosqlite.Connection, *, begin: str) -> None:
        self._database = database
        self._connection = connection
        self._begin = begin  # runs with the first statement, in its hop
        self._ended: str | None = None

    async def all(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Every row of a SELECT, or of a RETURNING clause."""
        return (await self.query([(sql, params)]))[0]

    async def one(self, sql: str, params: Sequence[Value] = ()) -> Row | None:
        """The first row, or None. Callers who may meet many rows say LIMIT 1."""
        rows = await self.all(sql, params)
        return rows[0] if rows else None

    async def run(self, sql: str, params: Sequence[Value] = ()) -> None:
        """A statement whose rows nobody wants. To learn whether it did anything, use RETURNING and `all`."""
        await self.query([(sql, params)])

    async def many(self, sql: str, rows: Sequence[tuple[Value, ...]]) -> None:
        """The same statement for every tuple of `rows`; none is a no-op."""
        await self.write([(sql, rows)])

    async def write(self, statements: Sequence[Statement]) -> None:
        """Several statements, each for every tuple of its rows, in order and in one hop."""
        wanted = [(sql, rows) for sql, rows in statements if rows]
        if wanted:
            await self._hop(_write, wanted)

    async def query(self, queries: Sequence[Query]) -> list[list[Row]]:
        """The rows of several SELECTs, in order and in one hop."""
        return cast(list[list[Row]], await self._hop(_query, queries)) if queries else []

    async def _hop(self, work: Callable[[sqlite3.Connection, Any], Any], argument: Any) -> Any:
        if self._ended is not None:
            raise RuntimeError(f"transaction is over: {self._ended}")
        begin, self._begin = self._begin, ""

        def run() -> Any:
            connection = self._connection._conn
            if begin:
                connection.execute(begin)
            return work(connection, argument)

        try:
            # aiosqlite has no public call for several statements in one hop, and a hop costs more than a statement.
            return await self._connection._execute(run)  # type: ignore[no-untyped-call]
        except sqlite3.Error as error:
            if not self._connection.in_transaction:
                # SQLite has rolled back by itself (disk full, for one). A caller that swallowed this error would otherwise
                # go on in autocommit and leave half a transaction behind.
                self._ended = "the engine rolled it back"
            raise self._database.translate(error) from error

    def end(self, why: str) -> None:
        """No statement may run through this object any more."""
        self._ended = self._ended or why

    @property
    def begun(self) -> bool:
        """False while nothing has been asked of it."""
        return not self._begin

    @property
    def rolled_back(self) -> bool:
        """True when the engine itself has given the transaction up."""
        return self._ended is not None


class Database:
    """SQLite behind the neutral face: WAL, synchronous=FULL, one write connection, a few read connections."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, readers: Sequence[aiosqlite.Connection]) -> None:
        self._path = path
        self._writer = writer
        self._readers = list(readers)
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._idle.put_nowait(reader)
        self._turn = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None
        self._fatal: FatalStorage | None = None
        self._failed = asyncio.Event()

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
        """Wait for the running write transaction, then close every connection (their threads would keep the process alive)."""
        async with self._turn:
            for connection in (*self._readers, self._writer):
                await _finished(connection.close())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Read and write, one at a time in the whole process: committed when the block ends, rolled back when it raises.

        A cancelled block is rolled back; a cancellation that arrives during COMMIT waits for it, so that the connection is clean
        for the next writer (the outcome is then like a crash after commit: done, though the caller was not told).
        """
        task = asyncio.current_task()
        if self._owner is not None and self._owner is task:
            raise RuntimeError("a transaction inside a transaction would wait for itself")
        async with self._turn:
            self._raise_if_fatal()
            self._owner = task
            try:
                async with self._begun(self._writer, "BEGIN IMMEDIATE") as transaction:
                    yield transaction
            finally:
                self._owner = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Read only, beside the writer: one snapshot of the last commit for the whole block."""
        self._raise_if_fatal()
        reader = await self._idle.get()
        try:
            async with self._begun(reader, "BEGIN DEFERRED") as transaction:
                yield transaction
        finally:
            self._idle.put_nowait(reader)

    async def watch(self) -> None:
        """Run this among the process's tasks: returns never, raises FatalStorage once the disk has failed anywhere."""
        await self._failed.wait()
        self._raise_if_fatal()

    def translate(self, error: sqlite3.Error) -> BaseException:
        """The error to raise instead of the engine's own."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code == sqlite3.SQLITE_FULL:
            log.error("storage is full: writes fail until there is room, reads go on")
            return _storage_full()
        if code in FATAL_CODES:
            self._fatal = FatalStorage(f"{self._path.name}: {getattr(error, 'sqlite_errorname', 'SQLITE_IOERR')}")
            self._failed.set()
            return self._fatal
        return error

    @asynccontextmanager
    async def _begun(self, connection: aiosqlite.Connection, begin: str) -> AsyncIterator[Transaction]:
        transaction = Transaction(self, connection, begin=begin)
        try:
            yield transaction
            if transaction.rolled_back:
                raise RuntimeError("the block went on after its transaction had failed")
            if transaction.begun:
                await self._commit(connection)
        except BaseException:
            # Runs after whatever statement is still under way: the connection's thread takes its calls in order.
            await _finished(self._rollback(connection))
            raise
        finally:
            transaction.end("its block has ended")

    async def _commit(self, connection: aiosqlite.Connection) -> None:
        try:
            await _finished(connection.execute_fetchall("COMMIT"))
        except sqlite3.Error as error:
            raise self.translate(error) from error

    async def _rollback(self, connection: aiosqlite.Connection) -> None:
        try:
            await connection.rollback()  # a no-op when the engine has rolled back already
        except sqlite3.Error as error:
            # A connection that cannot roll back would carry this transaction's rows into the next commit.
            translated = self.translate(error)
            if not isinstance(translated, FatalStorage):
                self._fatal = FatalStorage(f"{self._path.name}: rollback failed")
                self._failed.set()
            self._raise_if_fatal()

    def _raise_if_fatal(self) -> None:
        if self._fatal is not None:
            raise FatalStorage(*self._fatal.args)


def _write(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    for sql, rows in statements:
        connection.executemany(sql, rows)


def _query(connection: sqlite3.Connection, queries: Sequence[Query]) -> list[list[Any]]:
    return [connection.execute(sql, params).fetchall() for sql, params in queries]


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

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from services.chassis.database import Database, FatalStorage, Transaction, placeholders
from tests.chassis.conftest import write_revision
from xieban.errors import NotAllowed, Unreachable


@pytest.fixture
async def database(tmp_path: Path, migrations: Path) -> AsyncIterator[Database]:
    async with await Database.open(tmp_path / "node.db", migrations=migrations) as opened:
        yield opened


def insert(transaction: Transaction, *names: str) -> None:
    transaction.many("INSERT INTO thing (id, size) VALUES (?, ?)", [(name, len(name)) for name in names])


def found(transaction: Transaction) -> list[str]:
    return [row["id"] for row in transaction.all("SELECT id FROM thing ORDER BY id")]


async def names(database: Database) -> list[str]:
    return await database.read(found)


async def test_what_a_body_wrote_is_there_after_it(database: Database) -> None:
    def body(transaction: Transaction) -> str:
        insert(transaction, "a", "bb", "ccc")
        row = transaction.one("SELECT size FROM thing WHERE id = ?", ("bb",))
        assert row is not None
        assert row["size"] == 2
        kept = transaction.all(
            "INSERT INTO thing (id, size) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id", ("a", 9)
        )
        assert kept == []
        return "its result"

    assert await database.write(body) == "its result"
    sql = f"SELECT id FROM thing WHERE id IN ({placeholders(2)}) ORDER BY id"
    rows = await database.read(lambda view: view.all(sql, ("a", "ccc")))
    assert [row["id"] for row in rows] == ["a", "ccc"]


async def test_a_body_that_raises_leaves_nothing(database: Database) -> None:
    def body(transaction: Transaction) -> None:
        insert(transaction, "a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(body)
    assert await names(database) == []


async def test_a_body_sees_the_context_of_its_caller_and_not_the_thread_of_the_loop(database: Database) -> None:
    context: ContextVar[str] = ContextVar("context")
    context.set("the caller's")
    seen = await database.write(lambda _: (context.get(), threading.current_thread()))
    assert seen[0] == "the caller's"
    assert seen[1] is not threading.current_thread()


async def test_a_writer_cancelled_at_any_moment_has_done_all_or_nothing_when_it_returns(database: Database) -> None:
    async def writer(name: str) -> None:
        await database.write(lambda transaction: insert(transaction, f"{name}-1", f"{name}-2"))

    for turns in range(40):
        name = f"{turns:03}"
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(writer(name))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        there = [each for each in await names(database) if each.startswith(name)]
        assert there in ([], [f"{name}-1", f"{name}-2"])
        assert there or task.cancelled()
    await writer("last")
    assert "last-2" in await names(database)


async def test_writers_take_turns(database: Database) -> None:
    def increment(transaction: Transaction) -> None:
        row = transaction.one("SELECT size FROM thing WHERE id = 'n'")
        assert row is not None
        transaction.run("UPDATE thing SET size = ? WHERE id = 'n'", (row["size"] + 1,))

    await database.write(lambda transaction: transaction.run("INSERT INTO thing VALUES ('n', 0)"))
    await asyncio.gather(*(database.write(increment) for _ in range(50)))
    row = await database.read(lambda view: view.one("SELECT size FROM thing"))
    assert row is not None
    assert row["size"] == 50


async def test_a_reader_sees_one_snapshot_while_others_write(database: Database) -> None:
    await database.write(lambda transaction: insert(transaction, "a"))
    looked, written = threading.Event(), threading.Event()

    def look_twice(view: Transaction) -> tuple[list[str], list[str]]:
        first = found(view)
        looked.set()
        assert written.wait(10)
        return first, found(view)

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(database.read(look_twice))
        assert await asyncio.to_thread(looked.wait, 10)
        await database.write(lambda transaction: insert(transaction, "b"))
        written.set()
    assert reading.result() == (["a"], ["a"])
    assert await names(database) == ["a", "b"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(lambda view: insert(view, "a"))
    assert await names(database) == []


async def test_a_transaction_kept_past_its_body_is_dead(database: Database) -> None:
    kept = await database.write(lambda transaction: transaction)
    with pytest.raises(RuntimeError, match="over"):
        insert(kept, "late")


async def test_a_constraint_error_swallowed_by_the_body_keeps_the_rest(database: Database) -> None:
    def body(transaction: Transaction) -> None:
        insert(transaction, "a")
        with pytest.raises(sqlite3.IntegrityError):
            insert(transaction, "a")
        insert(transaction, "b")

    await database.write(body)
    assert await names(database) == ["a", "b"]


async def test_an_open_database_is_durable_and_guarded(database: Database) -> None:
    def settings(transaction: Transaction) -> list[Any]:
        return [transaction.all(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    assert await database.write(settings) == ["wal", 2, 1]


async def test_a_full_disk_fails_the_write_and_leaves_reading_possible(database: Database) -> None:
    def fill(transaction: Transaction) -> None:
        insert(transaction, "before")
        (pages,) = transaction.all("PRAGMA page_count")
        transaction.run(f"PRAGMA max_page_count = {pages['page_count']}")

    def make_room(transaction: Transaction) -> None:
        transaction.run("PRAGMA max_page_count = 100000")
        insert(transaction, "after")

    await database.write(fill)
    rows = [("x" * 900 + str(n),) for n in range(200)]
    with pytest.raises(Unreachable):
        await database.write(lambda transaction: transaction.many("INSERT INTO thing VALUES (?, 1)", rows))
    assert await names(database) == ["before"]
    await database.write(make_room)
    assert await names(database) == ["after", "before"]


async def test_going_on_after_the_engine_rolled_back_never_writes_outside_a_transaction(database: Database) -> None:
    def body(transaction: Transaction) -> None:
        insert(transaction, "a")
        transaction.run("ROLLBACK")
        with pytest.raises(sqlite3.OperationalError):
            transaction.run("SELECT nonsense")
        insert(transaction, "outside")

    with pytest.raises(RuntimeError):
        await database.write(body)
    assert await names(database) == []


async def test_a_broken_disk_ends_the_process_and_is_never_retried(database: Database) -> None:
    def dying(transaction: Transaction) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    with pytest.raises(FatalStorage):
        await database.write(dying)
    with pytest.raises(FatalStorage):
        await database.write(lambda _: None)
    with pytest.raises(FatalStorage):
        await database.watch()


async def test_an_error_that_is_passed_on_as_it_is_is_not_its_own_cause(database: Database) -> None:
    """Whoever follows causes to their end, as the log does, would never get there."""
    with pytest.raises(sqlite3.OperationalError) as raised:
        await database.write(lambda transaction: transaction.run("SELECT * FROM nothing"))
    assert raised.value.__cause__ is None


async def test_migrations_bring_an_old_file_up_and_keep_its_rows(tmp_path: Path, migrations: Path) -> None:
    async with await Database.open(tmp_path / "node.db", migrations=migrations) as database:
        await database.write(lambda transaction: insert(transaction, "old"))
    write_revision(migrations, "0002", parent="0001", sql="ALTER TABLE thing ADD COLUMN note TEXT")
    async with await Database.open(tmp_path / "node.db", migrations=migrations) as database:
        row = await database.read(lambda view: view.one("SELECT id, note FROM thing"))
    assert row is not None
    assert (row["id"], row["note"]) == ("old", None)


async def test_a_failing_migration_leaves_the_old_schema_whole(tmp_path: Path, migrations: Path) -> None:
    async with await Database.open(tmp_path / "node.db", migrations=migrations):
        pass
    write_revision(migrations, "0002", parent="0001", sql="ALTER TABLE thing ADD COLUMN note TEXT")
    write_revision(migrations, "0003", parent="0002", sql="ALTER TABLE nothing ADD COLUMN note TEXT")
    with pytest.raises(Exception, match="nothing"):
        await Database.open(tmp_path / "node.db", migrations=migrations)
    with closing(sqlite3.connect(tmp_path / "node.db")) as plain:
        assert [row[1] for row in plain.execute("PRAGMA table_info(thing)")] == ["id", "size"]
        assert plain.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


async def test_a_database_newer_than_the_program_is_refused_untouched(tmp_path: Path, migrations: Path) -> None:
    file = tmp_path / "node.db"
    async with await Database.open(file, migrations=migrations):
        pass
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("UPDATE alembic_version SET version_num = '0099'")
        plain.commit()
    with pytest.raises(NotAllowed, match="XB-5004") as refused:
        await Database.open(file, migrations=migrations)
    assert refused.value.metadata["version"] == "0099"


async def test_opening_a_current_database_does_not_import_alembic(tmp_path: Path, migrations: Path) -> None:
    file = tmp_path / "node.db"
    async with await Database.open(file, migrations=migrations):
        pass
    script = (
        "import asyncio, pathlib, sys\n"
        "from services.chassis.database import Database\n"
        "async def main():\n"
        "    async with await Database.open(pathlib.Path(sys.argv[1]), migrations=pathlib.Path(sys.argv[2])): pass\n"
        "asyncio.run(main())\n"
        "assert 'alembic' not in sys.modules and 'sqlalchemy' not in sys.modules\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(file), str(migrations))
    assert await process.wait() == 0

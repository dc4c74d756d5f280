from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
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


async def insert(transaction: Transaction, *names: str) -> None:
    await transaction.many("INSERT INTO thing (id, size) VALUES (?, ?)", [(name, len(name)) for name in names])


async def names(database: Database) -> list[str]:
    async with database.read() as view:
        return [row["id"] for row in await view.all("SELECT id FROM thing ORDER BY id")]


async def test_what_a_block_wrote_is_there_after_it(database: Database) -> None:
    async with database.transaction() as transaction:
        await insert(transaction, "a", "bb", "ccc")
        row = await transaction.one("SELECT size FROM thing WHERE id = ?", ("bb",))
        assert row is not None
        assert row["size"] == 2
        kept = await transaction.all(
            "INSERT INTO thing (id, size) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id", ("a", 9)
        )
        assert kept == []
    async with database.read() as view:
        rows = await view.all(f"SELECT id FROM thing WHERE id IN ({placeholders(2)}) ORDER BY id", ("a", "ccc"))
    assert [row["id"] for row in rows] == ["a", "ccc"]


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as transaction:
            await insert(transaction, "a")
            raise ZeroDivisionError
    assert await names(database) == []


async def test_a_cancelled_block_leaves_nothing_and_the_next_writer_goes_on(database: Database) -> None:
    inside = asyncio.Event()

    async def writer() -> None:
        async with database.transaction() as transaction:
            await insert(transaction, "cancelled")
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer())
        await inside.wait()
        task.cancel()
    async with database.transaction() as transaction:
        await insert(transaction, "next")
    assert await names(database) == ["next"]


async def test_a_writer_cancelled_at_any_await_leaves_all_or_nothing(database: Database) -> None:
    async def writer(name: str) -> None:
        async with database.transaction() as transaction:
            await insert(transaction, f"{name}-1")
            await insert(transaction, f"{name}-2")

    for turns in range(60):
        name = f"{turns:03}"
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(writer(name))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        there = [found for found in await names(database) if found.startswith(name)]
        assert there in ([], [f"{name}-1", f"{name}-2"])
    await writer("last")
    assert "last-2" in await names(database)


async def test_writers_take_turns(database: Database) -> None:
    async def increment() -> None:
        async with database.transaction() as transaction:
            row = await transaction.one("SELECT size FROM thing WHERE id = 'n'")
            assert row is not None
            await transaction.run("UPDATE thing SET size = ? WHERE id = 'n'", (row["size"] + 1,))

    async with database.transaction() as transaction:
        await transaction.run("INSERT INTO thing VALUES ('n', 0)")
    await asyncio.gather(*(increment() for _ in range(50)))
    async with database.read() as view:
        row = await view.one("SELECT size FROM thing")
    assert row is not None
    assert row["size"] == 50


async def test_a_reader_sees_one_snapshot_while_others_write(database: Database) -> None:
    async with database.transaction() as transaction:
        await insert(transaction, "a")
    async with database.read() as view:
        assert len(await view.all("SELECT id FROM thing")) == 1
        async with database.transaction() as transaction:
            await insert(transaction, "b")
        assert len(await view.all("SELECT id FROM thing")) == 1
    assert await names(database) == ["a", "b"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        async with database.read() as view:
            await insert(view, "a")
    assert await names(database) == []


async def test_a_transaction_inside_a_transaction_is_refused_and_not_waited_for(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="wait for itself"):
            async with database.transaction():
                pass


async def test_a_transaction_kept_past_its_block_is_dead(database: Database) -> None:
    async with database.transaction() as transaction:
        pass
    with pytest.raises(RuntimeError, match="over"):
        await insert(transaction, "late")


async def test_a_constraint_error_swallowed_by_the_caller_keeps_the_rest(database: Database) -> None:
    async with database.transaction() as transaction:
        await insert(transaction, "a")
        with pytest.raises(sqlite3.IntegrityError):
            await insert(transaction, "a")
        await insert(transaction, "b")
    assert await names(database) == ["a", "b"]


async def test_an_open_database_is_durable_and_guarded(database: Database) -> None:
    async with database.transaction() as transaction:
        assert [row["journal_mode"] for row in await transaction.all("PRAGMA journal_mode")] == ["wal"]
        assert [row["synchronous"] for row in await transaction.all("PRAGMA synchronous")] == [2]
        assert [row["foreign_keys"] for row in await transaction.all("PRAGMA foreign_keys")] == [1]


async def test_a_full_disk_fails_the_write_and_leaves_reading_possible(database: Database) -> None:
    async with database.transaction() as transaction:
        await insert(transaction, "before")
        pages = await transaction.one("PRAGMA page_count")
        assert pages is not None
        await transaction.run(f"PRAGMA max_page_count = {pages['page_count']}")
    with pytest.raises(Unreachable):
        async with database.transaction() as transaction:
            await transaction.many("INSERT INTO thing VALUES (?, 1)", [("x" * 900 + str(n),) for n in range(200)])
    assert await names(database) == ["before"]
    async with database.transaction() as transaction:
        await transaction.run("PRAGMA max_page_count = 100000")
        await insert(transaction, "after")
    assert await names(database) == ["after", "before"]


async def test_going_on_after_the_engine_rolled_back_never_writes_outside_a_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as transaction:
            await insert(transaction, "a")
            await transaction.run("ROLLBACK")
            with pytest.raises(sqlite3.OperationalError):
                await transaction.run("SELECT nonsense")
            await insert(transaction, "outside")
    assert await names(database) == []


async def test_a_broken_disk_ends_the_process_and_is_never_retried(database: Database) -> None:
    class Dying:
        in_transaction = False

        async def _execute(self, work: Any) -> list[Any]:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error

    broken: Any = Dying()
    with pytest.raises(FatalStorage):
        await Transaction(database, broken, begin="").run("UPDATE thing SET size = 1")
    with pytest.raises(FatalStorage):
        async with database.transaction():
            pass
    with pytest.raises(FatalStorage):
        await database.watch()


async def test_migrations_bring_an_old_file_up_and_keep_its_rows(tmp_path: Path, migrations: Path) -> None:
    async with await Database.open(tmp_path / "node.db", migrations=migrations) as database:
        async with database.transaction() as transaction:
            await insert(transaction, "old")
    write_revision(migrations, "0002", parent="0001", sql="ALTER TABLE thing ADD COLUMN note TEXT")
    async with await Database.open(tmp_path / "node.db", migrations=migrations) as database:
        async with database.read() as view:
            row = await view.one("SELECT id, note FROM thing")
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

"""The log as a tree: what is appended in transactions is the tree of all its entries, and proofs come out of what is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from services.chassis import migrate
from services.chassis.database import Database, Transaction
from services.gateway import log
from services.gateway.app import MIGRATIONS
from services.gateway.log import Note
from xieban.proof import merkle
from xieban.proof.tiles import Tile


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(tmp_path / "gateway.db", migrations=MIGRATIONS) as opened:
        yield opened


async def grow(database: Database, *batches: int) -> None:
    for count in batches:
        notes = [Note("LODGED", "A1", f"{number:064x}", "arrest_request") for number in range(count)]
        await database.write(lambda tx, notes=notes: log.append(tx, notes, at=1))  # type: ignore[misc]


def leaves(tx: Transaction) -> list[bytes]:
    return [log.entry_of(row).leaf() for row in tx.all("SELECT * FROM log_entry ORDER BY position")]


async def test_whatever_the_batches_the_tree_is_that_of_all_entries(database: Database) -> None:
    await grow(database, 1, 254, 1, 3, 300, 0, 70)

    def check(tx: Transaction) -> None:
        stored = leaves(tx)
        assert len(stored) == log.size(tx) == 629
        assert log.frontier(tx).root() == merkle.root(stored)
        assert [row["level"] for row in tx.all("SELECT level FROM log_node")] == [1, 1]

    await database.read(check)


async def test_proofs_of_any_size_come_out_of_what_is_stored(database: Database) -> None:
    await grow(database, 300, 233)

    def check(tx: Transaction) -> None:
        stored = leaves(tx)
        for count in (1, 2, 255, 256, 257, 300, 533):
            root = merkle.root(stored[:count])
            for position in {1, count // 2 + 1, count}:
                proof = log.inclusion(tx, position, count=count)
                merkle.verify_inclusion(stored[position - 1], index=position - 1, size=count, root=root, proof=proof)
            merkle.verify_consistency(
                old=count, old_root=root, new=533, new_root=merkle.root(stored), proof=log.consistency(tx, count, 533)
            )

    await database.read(check)


async def test_a_tile_is_its_hashes_side_by_side(database: Database) -> None:
    await grow(database, 258)

    def check(tx: Transaction) -> None:
        stored = leaves(tx)
        assert log.tile_of(tx, Tile(0, 0)) == b"".join(stored[:256])
        assert log.tile_of(tx, Tile(0, 1, 2)) == b"".join(stored[256:])
        assert log.tile_of(tx, Tile(1, 0, 1)) == merkle.root(stored[:256])

    await database.read(check)


async def test_two_entries_with_the_same_content_have_different_leaves(database: Database) -> None:
    await database.write(lambda tx: log.append(tx, [Note("LODGED"), Note("LODGED")], at=1))
    first, second = await database.read(lambda tx: tx.all("SELECT nonce FROM log_entry"))
    assert first["nonce"] != second["nonce"]
    assert len(first["nonce"]) == log.NONCE_BYTES


async def test_a_transaction_that_fails_leaves_the_tree_as_it_was(database: Database) -> None:
    await grow(database, 255)

    def broken(tx: Transaction) -> None:
        log.append(tx, [Note("LODGED")] * 10, at=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(broken)
    await grow(database, 2)
    assert await database.read(lambda tx: log.frontier(tx).root() == merkle.root(leaves(tx)))
    assert await database.read(log.size) == 257


@pytest.mark.parametrize("table", ["log_entry", "log_node"])
async def test_nothing_of_it_can_be_changed_or_taken_away(database: Database, table: str) -> None:
    await grow(database, 256)
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET rowid = rowid + 1000"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await database.write(lambda tx, statement=statement: tx.run(statement))  # type: ignore[misc]


async def test_entries_from_before_the_tree_become_its_first_leaves(tmp_path: Path) -> None:
    before = tmp_path / "before"
    (before / "versions").mkdir(parents=True)
    for file in (MIGRATIONS / "versions").glob("*.py"):
        if file.name < "0003":
            (before / "versions" / file.name).write_bytes(file.read_bytes())
    for file in MIGRATIONS.glob("*.py"):
        (before / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "gateway.db"
    migrate.bring_up_to_date(path, migrations=before)
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.executemany(
            "INSERT INTO log_entry VALUES (?, 'LODGED', 1, 'A1', '', '测试', '', ?)",
            [(n, str(n)) for n in range(1, 301)],
        )
    async with await Database.open(path, migrations=MIGRATIONS) as database:
        rows = await database.read(lambda tx: tx.all("SELECT * FROM log_entry ORDER BY position"))
        assert log.first_changed(rows) is None
        await grow(database, 20)
        assert await database.read(lambda tx: log.frontier(tx).root() == merkle.root(leaves(tx)))
        assert await database.read(log.size) == 320

"""`xieban-node fsck` on the stores of a city that was lived in: sound ones pass, and every changed content is found and named."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.admin import backup
from services.admin.commands import main
from services.admin.fsck import check
from services.admin.fsck.basis import Basis, basis_of
from services.admin.fsck.report import Report
from services.admin.node import Node, node_of
from services.chassis.clock import SystemClock
from tests.system.flips import flip
from tests.system.rich import lived_in
from xieban.agency import Agency

STORES = (Agency.PROCURATORATE, Agency.GATEWAY)
ORDINARY, THOROUGH = 40, 400
TWO_VALUED = {("outbox", "done")}
"""Whether a row stands in its table's partial index is a second copy of these."""
CONSTRAINED = {("limit_event", "standing"): "'superseded'"}
"""Another value that the table's constraint lets pass."""


def quietly(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass
class Store:
    """A node's database as it was backed up, and what vouches for it."""

    node: Node
    basis: Basis
    database: Path
    scratch: Path

    def check(self, database: Path) -> Report:
        return check.file(database, self.basis, migrations=self.node.migrations, tick=quietly)

    def changed(self, *statements: str) -> Report:
        """The report on a copy in which somebody with the right to write has carried these out; guards are put back."""
        shutil.copy(self.database, self.scratch)
        with closing(sqlite3.connect(self.scratch)) as database, database:
            guards = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in guards:
                database.execute(f"DROP TRIGGER {name}")
            for sql in statements:
                assert database.execute(sql).rowcount != 0, sql
            for _, sql in guards:
                database.execute(sql)
        return self.check(self.scratch)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[Agency, Store]:
    """Backed up and checked while the city runs."""
    folder = tmp_path_factory.mktemp("lived")

    async def live() -> dict[Agency, Store]:
        async with lived_in(folder) as city:
            found = {}
            for agency in Agency:
                node = node_of(city.home.node(agency) / "config.toml")
                assert check.node(node, tick=quietly).findings == [], agency
                out = folder / f"saved-{agency}"
                backup.take(node, out, now=SystemClock().now(), tick=quietly)
                found[agency] = Store(node, basis_of(node), out / "data.db", folder / f"scratch-{agency}.db")
            return found

    return asyncio.run(live())


@pytest.mark.parametrize("agency", list(Agency))
def test_a_sound_store_has_nothing_to_find_and_hardly_a_table_is_empty(
    stores: dict[Agency, Store], agency: Agency
) -> None:
    report = stores[agency].check(stores[agency].database)
    assert report.findings == []
    if agency in STORES:
        with closing(sqlite3.connect(stores[agency].database)) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            empty = {name for name in names if not database.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()}
        assert empty <= {
            "log_node",
            "log_view",
            "stated_due",
            "target_aim",
            "unlogged",
            "untold",
            "violation",
            "witness_refusal",
        } | _of_others(names)


def _of_others(names: list[str]) -> set[str]:
    """Tables of later migrations that nothing in this city fills."""
    return {name for name in names if name.startswith(("reconcile", "fence"))}


@pytest.mark.parametrize("agency", STORES)
def test_every_flipped_bit_that_changes_content_is_found(stores: dict[Agency, Store], agency: Agency) -> None:
    _flip(stores[agency], ORDINARY, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("agency", STORES)
@pytest.mark.parametrize("seed", [11, 23])
def test_every_one_of_many_flipped_bits_that_change_content_is_found(
    stores: dict[Agency, Store], agency: Agency, seed: int
) -> None:
    _flip(stores[agency], THOROUGH, seed=seed)


def _flip(store: Store, count: int, *, seed: int) -> None:
    figures = flip(store.database, store.scratch, count=count, seed=seed, check=store.check)
    print(f"{store.basis.agency}, seed {seed}: {figures}")
    assert figures.missed == []
    assert figures.changed > count // 10


CHANGES = {
    Agency.PROCURATORATE: [
        ("handoff", "UPDATE handoff SET outcome = 'approved' WHERE outcome = ''"),
        ("handoff", "UPDATE handoff SET state = 'complete' WHERE box = 'in' AND state = 'accepted'"),
        ("handoff", "UPDATE handoff SET parked = 1 WHERE lane_seq = 1 AND box = 'in'"),
        ("handoff", "UPDATE handoff SET client_ref = client_ref || '之一' WHERE box = 'out'"),
        ("lane", "DELETE FROM handoff WHERE box = 'out'"),
        ("receipt_fact", "DELETE FROM receipt_fact WHERE kind = 'accepted'"),
        ("receipt_fact", "UPDATE receipt_fact SET at = at - 1 WHERE kind = 'delivered'"),
        ("receipt_fact", "DELETE FROM receipt WHERE box = 'out'"),
        ("dossier", "DELETE FROM dossier"),
        ("dossier", "UPDATE dossier_file SET content = content || X'00'"),
        ("lane", "UPDATE lane SET seq = seq + 1"),
        ("client_ref", "DELETE FROM client_ref"),
        ("inbox_event", "UPDATE inbox_event SET at = at + 1 WHERE box = 'out'"),
        ("inbox_event", "DELETE FROM inbox_event WHERE state = 'accepted'"),
        ("outbox", "DELETE FROM outbox WHERE what = 'receipt'"),
        ("outbox", "UPDATE outbox SET done = 0 WHERE what = 'handoff'"),
        ("case_file", "UPDATE case_file SET court_no = '（2026）甘01刑初1号'"),
        ("notice", "UPDATE notice SET office = '620100'"),
        ("reply", "UPDATE reply SET sealed = (SELECT sealed FROM notice LIMIT 1)"),
        ("matter", "UPDATE matter SET step = step - 1"),
        ("witness_checkpoint", "UPDATE witness_checkpoint SET root = zeroblob(32)"),
        ("promise", "DELETE FROM promise WHERE kind = 'LODGED'"),
        ("promise", "UPDATE promise SET leaf_index = leaf_index + 1"),
        ("promise", "UPDATE promise SET leaf = zeroblob(32) WHERE kind = 'DELIVERED'"),
        ("ticket", "UPDATE ticket SET promised_at = promised_at - 1"),
        ("ticket", "UPDATE ticket SET sealed = zeroblob(length(sealed))"),
        ("promise", "DELETE FROM ticket"),
        ("（结构）", "DROP INDEX handoff_case"),
    ],
    Agency.GATEWAY: [
        ("statement", "UPDATE statement SET standing = 'equivocal' WHERE type = 'receipt'"),
        ("statement", "UPDATE statement SET standing = 'held' WHERE standing = 'equivocal'"),
        ("handoff", "UPDATE handoff SET sent_at = sent_at + 1"),
        ("handoff", "UPDATE handoff SET state = 'sent', settled = 0"),
        ("receipt_fact", "DELETE FROM receipt_fact WHERE kind = 'delivered'"),
        ("case_file", "UPDATE case_file SET stage = 'S10_investigation' WHERE stage <> 'S10_investigation'"),
        (
            "limit_clock",
            "UPDATE limit_clock SET due = '2030-01-01', overdue_from = overdue_from * 2 WHERE ended_at IS NULL",
        ),
        ("limit_clock", "DELETE FROM limit_clock WHERE state = 'overdue'"),
        ("limit_clock", "UPDATE limit_clock SET overdue_logged = 0 WHERE overdue_logged = 1"),
        ("limit_event", "DELETE FROM limit_event WHERE kind = 'start'"),
        ("violation", "INSERT INTO violation SELECT case_id, eid, 'XB-2002' FROM handoff LIMIT 1"),
        ("log_entry", "UPDATE log_entry SET detail = 'prosecution_transfer' WHERE detail = 'arrest_request'"),
        ("log_entry", "DELETE FROM log_entry WHERE position = (SELECT MAX(position) / 2 FROM log_entry)"),
        ("log_checkpoint", "UPDATE log_entry SET leaf = zeroblob(32) WHERE position = 1"),
        ("log_cosignature", "UPDATE log_cosignature SET signed_at = signed_at - 60"),
        ("notice", "DELETE FROM notice WHERE occasion = 'overdue'"),
        ("supervision", "UPDATE supervision SET office = '620100'"),
        ("supervision", "UPDATE supervision SET state = 'closed' WHERE state = 'explained'"),
        ("supervision_step", "DELETE FROM supervision_step WHERE act = 'acknowledge'"),
        ("outbox", "DELETE FROM outbox"),
        ("refused", "UPDATE refused SET number = 'XB-3001'"),
        ("（结构）", "DROP INDEX limit_clock_check"),
    ],
}


@pytest.mark.parametrize(
    ("agency", "table", "sql"), [(agency, *change) for agency, changes in CHANGES.items() for change in changes]
)
def test_what_somebody_with_the_right_to_write_has_changed_is_found_and_named(
    stores: dict[Agency, Store], agency: Agency, table: str, sql: str
) -> None:
    named = {finding.table for finding in stores[agency].changed(sql).findings}
    assert table in named


@pytest.mark.parametrize("agency", STORES)
def test_every_column_is_vouched_for_by_another_row_or_stands_in_an_index(
    stores: dict[Agency, Store], agency: Agency
) -> None:
    store = stores[agency]
    unseen = [
        f"{table}.{column}"
        for table, column, values in list(_columns(store.database))
        if not store.changed(
            f"UPDATE {table} SET {column} = {values} WHERE rowid = (SELECT MIN(rowid) FROM {table})"
        ).findings
    ]
    assert unseen == [], "give it a check, or an index whose name ends in _check"


def _columns(database: Path) -> Iterator[tuple[str, str, str]]:
    """Columns of tables with rows that stand in no index, each with an expression that gives another value."""
    other = {"TEXT": "'x' || {0}", "BLOB": "{0} || X'00'", "BIGINT": "{0} + 1", "INTEGER": "1 - {0}"}
    with closing(sqlite3.connect(database)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if not connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
                continue
            indexes = [row[1] for row in connection.execute(f"PRAGMA index_list({table})").fetchall()]
            indexed = set(
                itertools.chain.from_iterable(
                    [row[2] for row in connection.execute(f"PRAGMA index_info({index})").fetchall()]
                    for index in indexes
                )
            )
            for _, name, declared, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if name not in indexed and (table, name) not in TWO_VALUED:
                    taken = f"SELECT o.{name} FROM {table} o WHERE o.{name} <> {table}.{name} LIMIT 1"
                    fallback = CONSTRAINED.get((table, name), other[declared].format(name))
                    yield table, name, f"COALESCE(({taken}), {fallback})"


def test_findings_are_told_by_table_and_key_and_by_the_exit_code(
    stores: dict[Agency, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    store = stores[Agency.GATEWAY]
    config = str(store.node.file)
    store.changed("UPDATE log_entry SET detail = 'x' WHERE position = 7")
    assert main(["fsck", "--config", config, "--database", str(store.scratch)]) == 1
    told = capsys.readouterr()
    assert "log_entry [7] 条目与树叶不符" in told.out
    assert "发现" in told.out
    assert "核对监督日志 100%" in told.err
    assert main(["fsck", "--config", config, "--database", str(store.scratch), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"table": "log_entry", "key": "7", "what": "条目与树叶不符"} in findings
    store.scratch.write_bytes(b"not a database" * 512)
    assert main(["fsck", "--config", config, "--database", str(store.scratch)]) == 1
    assert "（文件）" in capsys.readouterr().out
    assert main(["fsck", "--config", config, "--database", str(store.scratch) + ".none"]) == 2

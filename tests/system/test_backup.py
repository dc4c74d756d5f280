"""`xieban-node backup` and `restore`: of a node that runs, whole or not at all; nothing is overwritten that the backup does not have."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from services.admin import backup, keybox, manifest
from services.admin.commands import main
from services.admin.fsck import check
from services.admin.manifest import Manifest
from services.admin.node import node_of
from services.admin.reach import Reach
from services.admin.restore import Mark, Restored, restore
from services.chassis.clock import SystemClock
from services.chassis.lock import alone
from services.reconcile.mark import Mark as Reaching
from services.reconcile.mark import Reached
from tests.system.rig import PS, City, main_road, whole_city
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError

pytestmark = pytest.mark.asyncio(loop_scope="session")
PASSPHRASE = "a long enough passphrase"


def quietly(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass
class Shelf:
    """A running city that has done something, and a place for backups of it."""

    city: City
    folder: Path

    def config(self, agency: Agency) -> Path:
        return self.city.home.node(agency) / "config.toml"

    def save(self, agency: Agency, *, passphrase: str = "", name: str = "saved") -> Path:
        out = self.folder / name
        backup.take(node_of(self.config(agency)), out, passphrase=passphrase, now=SystemClock().now(), tick=quietly)
        return out

    def put_back(self, source: Path, config: Path, *, passphrase: str = PASSPHRASE, force: bool = False) -> Restored:
        return restore(
            source, config, passphrase=lambda: passphrase, force=force, now=SystemClock().now(), tick=quietly
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    """A city of its own: its databases are opened from outside while it runs."""
    async with whole_city(tmp_path_factory.mktemp("backed-up")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def shelf(own: City, tmp_path: Path) -> Shelf:
    city = own
    await main_road(city, city.new_case())
    await city.quiet()
    return Shelf(city, tmp_path)


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


async def refused(reason: Reason, act: Callable[[], object]) -> None:
    with pytest.raises(XiebanError) as caught:
        act()
    assert caught.value.reason is reason


@pytest.mark.parametrize("agency", [PS, Agency.GATEWAY])
async def test_a_running_node_is_backed_up_as_of_one_moment_and_the_copy_proves_itself(
    shelf: Shelf, agency: Agency
) -> None:
    out = shelf.save(agency)
    found = manifest.verified(out)
    node = node_of(shelf.config(agency))
    assert (found.city, found.agency, found.has_keys) == ("lanzhou", agency, False)
    assert {file.role for file in found.files} >= {"database", "config", "trust", "seen", "ca", "certificate", "clock"}
    assert [file.name for file in out.iterdir() if file.stat().st_mode & 0o077] == []
    report = check.node(node, tick=quietly, database=out / "data.db")
    assert report.findings == []
    assert sum(found.statements.values()) > 5
    if agency is Agency.GATEWAY:
        assert found.log is not None
        assert report.checked["log_entry"] == found.log.size
        (checkpoints,) = rows(out / "data.db", f"SELECT COUNT(*) FROM log_checkpoint WHERE size > {found.log.size}")[0]
        assert checkpoints == 0
    assert not list(out.glob("data.db-*"))


async def test_a_backup_does_not_change_with_what_the_node_does_afterwards(shelf: Shelf) -> None:
    out = shelf.save(PS)
    before = everything(out)
    await main_road(shelf.city, shelf.city.new_case())
    assert everything(out) == before
    assert manifest.verified(out).agency == PS


async def test_an_interrupted_backup_leaves_nothing_behind(shelf: Shelf) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    shelf.folder.joinpath("shelf").mkdir()
    with pytest.raises(KeyboardInterrupt):
        backup.take(node_of(shelf.config(PS)), shelf.folder / "shelf" / "one", now=SystemClock().now(), tick=interrupt)
    assert list(shelf.folder.joinpath("shelf").iterdir()) == []


async def test_a_backup_is_never_written_over_another(shelf: Shelf) -> None:
    shelf.save(PS)
    await refused(Reason.FIELD_INVALID, lambda: shelf.save(PS))


async def test_keys_are_only_there_when_asked_for_and_only_under_the_passphrase(shelf: Shelf) -> None:
    secrets = {role: file.read_bytes() for role, file in node_of(shelf.config(PS)).secret().items()}
    bare = everything(shelf.save(PS))
    assert [name for name, content in bare.items() for key in secrets.values() if key.strip() in content] == []
    out = shelf.save(PS, passphrase=PASSPHRASE, name="with keys")
    box = (out / keybox.FILE).read_bytes()
    assert [role for role, key in secrets.items() if key.strip() in box] == []
    assert keybox.unlocked(box, passphrase=PASSPHRASE) == secrets
    await refused(Reason.KEY_FILE_INVALID, lambda: keybox.unlocked(box, passphrase=PASSPHRASE + "!"))
    await refused(Reason.FIELD_INVALID, lambda: shelf.save(PS, passphrase="short", name="weak"))


async def test_a_node_is_restored_into_an_empty_folder_with_all_it_needs_and_knows_that_it_was(shelf: Shelf) -> None:
    out = shelf.save(PS, passphrase=PASSPHRASE)
    config = shelf.folder / "home" / "nodes" / "police" / "config.toml"
    done = shelf.put_back(out, config)
    assert (done.aside, done.missing, done.kept) == (None, (), ())
    original = shelf.city.home.node(PS)
    for name in (
        "config.toml",
        "seal.key",
        "key.pem",
        "nats.seed",
        "witness.key",
        "certificate.pem",
        "../../trust.json",
    ):
        assert (config.parent / name).read_bytes() == (original / name).read_bytes(), name
    assert (config.parent / "seal.key").stat().st_mode & 0o777 == 0o600
    ((value,),) = rows(config.parent / "data.db", "SELECT value FROM node WHERE name = 'restored_from'")
    mark = msgspec.json.decode(str(value), type=Mark)
    assert (mark.backup, mark.incarnation) == (manifest.verified(out).digest, 1)
    assert check.node(node_of(config), tick=quietly).findings == []


async def test_without_keys_in_the_backup_the_operator_is_told_which_to_bring(shelf: Shelf) -> None:
    config = shelf.folder / "home" / "nodes" / "police" / "config.toml"
    done = shelf.put_back(shelf.save(PS), config)
    assert {file.name for file in done.missing} == {"seal.key", "key.pem", "nats.seed", "witness.key"}


async def test_a_running_node_is_not_restored_and_no_second_one_starts_on_its_database(shelf: Shelf) -> None:
    out = shelf.save(PS)
    before = rows(shelf.city.node(PS).database, "SELECT COUNT(*) FROM handoff")
    await refused(Reason.DATABASE_IN_USE, lambda: shelf.put_back(out, shelf.config(PS), force=True))
    assert rows(shelf.city.node(PS).database, "SELECT COUNT(*) FROM handoff") == before
    with pytest.raises(XiebanError) as caught:
        with alone(shelf.city.node(PS).database):
            pass
    assert caught.value.reason is Reason.DATABASE_IN_USE


async def test_a_newer_database_is_kept_unless_forced_and_then_set_aside(shelf: Shelf) -> None:
    config = shelf.folder / "home" / "nodes" / "police" / "config.toml"
    older = shelf.save(PS, passphrase=PASSPHRASE)
    await main_road(shelf.city, shelf.city.new_case())
    newer = shelf.save(PS, passphrase=PASSPHRASE, name="newer")
    shelf.put_back(newer, config)
    before = everything(config.parent)
    with pytest.raises(XiebanError, match="handoff 多 3 份") as caught:
        shelf.put_back(older, config)
    assert caught.value.reason is Reason.DATABASE_AHEAD
    assert everything(config.parent) == before
    done = shelf.put_back(older, config, force=True)
    assert done.aside is not None
    count = "SELECT COUNT(*) FROM handoff"
    assert rows(done.aside, count)[0][0] == rows(config.parent / "data.db", count)[0][0] + 3  # type: ignore[operator]


@pytest.mark.parametrize("harm", ["data.db", "trust.json", "manifest.json", "gone"])
async def test_a_damaged_backup_is_refused_before_anything_is_touched(shelf: Shelf, harm: str) -> None:
    out = shelf.save(PS, passphrase=PASSPHRASE)
    config = shelf.folder / "home" / "nodes" / "police" / "config.toml"
    shelf.put_back(out, config)
    before = everything(config.parent)
    if harm == "gone":
        (out / "config.toml").unlink()
    else:
        content = bytearray((out / harm).read_bytes())
        content[len(content) // 2] ^= 1
        (out / harm).write_bytes(content)
    await refused(Reason.BACKUP_INVALID, lambda: shelf.put_back(out, config, force=True))
    assert everything(config.parent) == before


async def test_another_nodes_backup_is_refused(shelf: Shelf) -> None:
    await refused(Reason.BACKUP_INVALID, lambda: shelf.put_back(shelf.save(Agency.COURT), shelf.config(PS)))
    await refused(Reason.BACKUP_INVALID, lambda: shelf.put_back(shelf.save(Agency.GATEWAY, name="g"), shelf.config(PS)))


async def test_an_unreadable_database_is_replaced_only_by_force(shelf: Shelf) -> None:
    out = shelf.save(PS, passphrase=PASSPHRASE)
    config = shelf.folder / "home" / "nodes" / "police" / "config.toml"
    shelf.put_back(out, config)
    (config.parent / "data.db").write_bytes(b"not a database at all" * 400)
    await refused(Reason.DATABASE_AHEAD, lambda: shelf.put_back(out, config))
    assert shelf.put_back(out, config, force=True).aside is not None
    assert check.node(node_of(config), tick=quietly).findings == []


async def test_the_commands_say_in_chinese_what_they_did_and_what_is_not_in_it(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    out, config = str(shelf.folder / "saved"), str(shelf.config(PS))
    assert main(["backup", "--config", config, "--out", out]) == 0
    told = capsys.readouterr()
    assert "不含密钥" in told.out
    assert "未加密" in told.out
    assert "复制数据库 100%" in told.err
    assert main(["backup", "--config", config, "--out", out]) == 2
    assert "编号：XB-1001" in capsys.readouterr().err
    assert main(["restore", "--from", out, "--config", config]) == 2
    assert "XB-5011" in capsys.readouterr().err
    assert main(["fsck", "--config", config, "--json"]) == 0
    told_json = json.loads(capsys.readouterr().out)
    assert (told_json["agency"], told_json["findings"]) == ("police", [])
    assert main(["fsck", "--config", config + ".none"]) == 2


async def test_a_node_tells_how_far_the_log_went_by_its_files_alone(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    told: dict[Agency, Reach] = {}
    for agency in (Agency.GATEWAY, PS):
        config = str(shelf.config(agency))
        assert main(["log", "--config", config, "--json"]) == 0
        told[agency] = msgspec.json.decode(capsys.readouterr().out, type=Reach)
        assert main(["log", "--config", config, "--trees"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[: len(told[agency].trees)] == [f"{tree.size} {tree.root}" for tree in told[agency].trees]
        assert main(["log", "--config", config]) == 0
        assert f"到 {told[agency].signed} 条" in capsys.readouterr().out
    gateway, police = told[Agency.GATEWAY], told[PS]
    assert police.entries is None
    assert gateway.entries is not None
    assert 0 < police.signed <= gateway.signed <= gateway.entries
    assert set(police.trees) <= set(gateway.trees), "both name the same trees by size and root"
    out = shelf.save(Agency.GATEWAY)
    copy = shelf.folder / "elsewhere" / "config.toml"
    shelf.put_back(out, copy)
    Reaching(copy.with_name("data.mark")).write(Reached(log=gateway.signed + 7))
    assert main(["log", "--config", str(copy)]) == 0
    assert f"签发到 {gateway.signed + 7} 条" in capsys.readouterr().out, (
        "what was signed is known though the database is older"
    )
    assert main(["log", "--config", str(copy) + ".none"]) == 2


async def test_a_manifest_is_read_only_as_it_was_written(shelf: Shelf) -> None:
    out = shelf.save(PS)
    content = (out / manifest.FILE).read_bytes()
    assert msgspec.json.decode(content, type=Manifest).encode() == content
    (out / manifest.FILE).write_bytes(content.replace(b'"v": 1', b'"v": 1, "x": 0'))
    await refused(Reason.BACKUP_INVALID, lambda: manifest.verified(out))
    shutil.rmtree(out)

"""The log is signed, witnessed and never anything else: what a gateway can do, and what it is caught at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis import faults
from services.chassis.database import Database, Transaction
from services.gateway import log
from services.gateway.app import MIGRATIONS
from services.gateway.checkpoints import newest
from tests.services.proof.conftest import NAMES, Rig
from xieban.errors import Reason, XiebanError
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.tlogproof import TlogProof


class Crash(BaseException):
    """Ends a step as the end of its process would."""


def crash() -> None:
    raise Crash


async def witnessed(rig: Rig, database: Database | None = None, *, threshold: int = 3) -> bytes | None:
    return await (database or rig.database).read(lambda tx: newest(tx, threshold=threshold))


async def refused(rig: Rig, name: str) -> int:
    rows = await rig.stores[name].read(lambda tx: tx.all("SELECT * FROM witness_refusal"))
    return len(rows)


async def test_an_empty_log_is_not_signed(rig: Rig) -> None:
    await rig.checkpoints().round()
    assert await witnessed(rig, threshold=0) is None


async def test_a_grown_log_is_signed_and_all_three_cosign_it(rig: Rig) -> None:
    gathering = rig.checkpoints()
    for count in (1, 2, 300):
        await rig.grow(count)
        rig.later(5)
        await gathering.round()
        data = await witnessed(rig)
        assert data is not None
        found = rig.policy.check(data)
        assert found.checkpoint.size == await rig.database.read(log.size)
        assert found.times == dict.fromkeys(NAMES, int(rig.clock.now().timestamp()))


async def test_any_entry_can_be_proven_to_whoever_has_the_policy(rig: Rig) -> None:
    await rig.grow(40)
    await rig.checkpoints().round()
    data = await witnessed(rig)
    assert data is not None

    def prove(tx: Transaction) -> None:
        for row in tx.all("SELECT * FROM log_entry"):
            hashes = tuple(log.inclusion(tx, row["position"], count=40))
            TlogProof(row["position"] - 1, hashes, data).verify(log.entry_of(row).leaf(), rig.policy)

    await rig.database.read(prove)


async def test_one_witness_away_means_no_quorum_until_it_is_back(rig: Rig) -> None:
    gathering = rig.checkpoints()
    rig.away = {NAMES[2]}
    await rig.grow(5)
    await gathering.round()
    assert await witnessed(rig) is None
    assert await witnessed(rig, threshold=2) is not None
    rig.away = set()
    await gathering.round()
    assert await witnessed(rig) is not None


async def test_a_witness_that_missed_some_is_asked_from_where_it_stands(rig: Rig) -> None:
    gathering = rig.checkpoints()
    for away in ({NAMES[0]}, {NAMES[0]}, set[str]()):
        rig.away = away
        await rig.grow(7)
        await gathering.round()
    data = await witnessed(rig)
    assert data is not None
    assert rig.policy.check(data).checkpoint.size == 21


async def test_a_new_process_learns_from_the_witnesses_where_they_stand(rig: Rig) -> None:
    await rig.grow(9)
    await rig.checkpoints().round()
    await rig.grow(9)
    await rig.checkpoints().round()
    data = await witnessed(rig)
    assert data is not None
    assert rig.policy.check(data).checkpoint.size == 18


async def test_an_idle_log_is_cosigned_again_after_a_minute_and_not_before(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr(type(rig.clock), "ticks", lambda _: passed[-1])
    gathering = rig.checkpoints()
    await rig.grow(1)
    await gathering.round()
    counts = []
    for seconds in (30.0, 59.0, 61.0):
        passed.append(seconds)
        rig.later(30)
        await gathering.round()
        rows = await rig.database.read(lambda tx: tx.all("SELECT * FROM log_cosignature"))
        counts.append(len(rows))
    assert counts == [3, 3, 6]
    data = await witnessed(rig)
    assert data is not None
    assert set(rig.policy.check(data).times.values()) == {int(rig.clock.now().timestamp()) - 90}


async def forked(rig: Rig, tmp_path: Path, *, common: int, own: int) -> Database:
    """Another database of the same gateway's, whose history differs."""
    other = await Database.open(tmp_path / "fork.db", migrations=MIGRATIONS)
    await rig.grow(common + own, other, detail="another history")
    return other


@pytest.mark.parametrize("own", [0, 1, 20])
async def test_a_forked_log_is_refused_by_every_witness_which_keeps_the_evidence(
    rig: Rig, tmp_path: Path, own: int
) -> None:
    await rig.grow(10)
    await rig.checkpoints().round()
    async with await forked(rig, tmp_path, common=10, own=own) as other:
        await rig.checkpoints(other).round()
        assert await witnessed(rig, other, threshold=1) is None
        entries = await other.read(lambda tx: tx.all("SELECT detail FROM log_entry WHERE kind = 'WITNESS_REFUSED'"))
        assert sorted(row["detail"] for row in entries) == sorted(NAMES)
        for name in NAMES:
            assert await refused(rig, name) == 1
            rows = await rig.stores[name].read(lambda tx: tx.all("SELECT note FROM witness_refusal"))
            signed = note.parse(rows[0]["note"]).verify([rig.key.public])
            assert list(signed) == [rig.key.public]  # the log's own signature convicts it


async def test_the_honest_history_goes_on_after_a_fork_was_refused(rig: Rig, tmp_path: Path) -> None:
    await rig.grow(10)
    gathering = rig.checkpoints()
    await gathering.round()
    async with await forked(rig, tmp_path, common=10, own=3) as other:
        await rig.checkpoints(other).round()
    await rig.grow(1)
    await gathering.round()
    data = await witnessed(rig)
    assert data is not None
    assert rig.policy.check(data).checkpoint.size == 11


async def test_a_log_restored_from_an_older_backup_gets_no_cosignature(rig: Rig, tmp_path: Path) -> None:
    await rig.grow(30)
    await rig.checkpoints().round()
    async with await Database.open(tmp_path / "old.db", migrations=MIGRATIONS) as old:
        await rig.grow(12, old)
        await rig.checkpoints(old).round()
        assert await witnessed(rig, old, threshold=1) is None
    assert [await refused(rig, name) for name in NAMES] == [0, 0, 0]  # it is not a fork yet


async def test_a_checkpoint_of_another_key_or_altered_by_a_byte_is_not_cosigned(rig: Rig) -> None:
    await rig.grow(3)
    await rig.checkpoints().round()
    data = await witnessed(rig, threshold=0)
    assert data is not None
    signed = note.parse(data)
    tree = checkpoint.parse(signed.text)
    unsigned = note.Note(Checkpoint(tree.origin, 4, tree.root).text, signed.signatures[:1]).encode()
    with pytest.raises(XiebanError) as raised:
        await rig.witnesses[NAMES[0]].cosign(unsigned, old=3, proof=[])
    assert raised.value.reason is Reason.SEAL_INVALID


async def test_a_witness_whose_clock_went_back_signs_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.grow(3)
    gathering = rig.checkpoints()
    rig.later(3600)
    await gathering.round()
    before = rig.clock.now()
    await rig.grow(3)
    rig.later(10)
    monkeypatch.setattr(type(rig.clock), "now", lambda _: before.replace(year=before.year - 1))
    await gathering.round()
    data = await witnessed(rig)
    assert data is not None
    assert rig.policy.check(data).checkpoint.size == 3


@pytest.mark.parametrize("label", ["G3", "W1"])
async def test_a_crash_between_keeping_and_signing_never_makes_a_second_root(
    rig: Rig, label: str, arm: Callable[[str, Callable[[], None]], None]
) -> None:
    await rig.grow(4)
    arm(label, crash)
    with pytest.raises((Crash, BaseExceptionGroup)):
        await rig.checkpoints().round()
    await rig.grow(2)
    await rig.checkpoints().round()
    data = await witnessed(rig)
    assert data is not None
    assert rig.policy.check(data).checkpoint.size == 6
    roots = await rig.database.read(lambda tx: tx.all("SELECT size FROM log_checkpoint ORDER BY size"))
    assert [row["size"] for row in roots] == [4, 6]
    assert [await refused(rig, name) for name in NAMES] == [0, 0, 0]


@pytest.fixture
def arm() -> Callable[[str, Callable[[], None]], None]:
    faults.disarm()
    return lambda label, action: faults.arm(label, action=action)

"""One witness before and after a founding: what it demands, what it refuses, and what it lets itself be reminded of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.agency.witness import Cosigned, Witness
from services.chassis.database import Transaction
from services.gateway import log
from services.gateway.checkpoints import Checkpoints, Remind, around, newest, newest_of
from services.gateway.founding import found
from tests.services.proof.conftest import NAMES, Rig, line_of
from xieban.errors import Reason, XiebanError
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.note import Algorithm, SigningKey
from xieban.trust import Founding, Lineage

POLICE, PROCURATORATE, COURT = NAMES
NEW = "xieban.lanzhou/log-2"


class Refounded:
    """The log of a rig, founded anew: its witnesses with the new list, and its gateway's loop."""

    def __init__(self, rig: Rig, *, keeps: int, first: int) -> None:
        self.rig = rig
        self.key = SigningKey(NEW, Algorithm.ED25519, Ed25519PrivateKey.generate())
        self.founding = Founding(name=NEW, keeps=keeps, first=first, forked=False)
        self.lineage = Lineage(NEW, (rig.key.public, self.key.public), (self.founding,))
        self.witnesses = {name: self.witness(name) for name in NAMES}
        rig.witnesses = self.witnesses
        self.policy = Policy(log=self.key.public, witnesses=rig.policy.witnesses, threshold=3)

    def witness(self, name: str) -> Witness:
        return Witness(
            self.rig.stores[name],
            log=self.key.public,
            lineage=self.lineage,
            key=self.rig.witnesses[name]._key,
            clock=self.rig.clock,
        )

    async def begin(self) -> None:
        for witness in self.witnesses.values():
            await witness.begin()
        await found(self.rig.database, founding=self.founding, clock=self.rig.clock, finish=lambda tx: None)

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(
            self.rig.database,
            key=self.key,
            policy=self.policy,
            lineage=self.lineage,
            witnesses={name: self.rig._ask(name) for name in NAMES},
            remind={name: self.reminder(name) for name in NAMES},
            clock=self.rig.clock,
        )

    def reminder(self, name: str) -> Remind:
        async def remind(data: bytes, proof: Sequence[bytes]) -> int:
            return await self.witnesses[name].remember(data, proof=proof)

        return remind

    async def offer(self, name: str, size: int, *, old: int) -> Cosigned:
        """Have one witness asked for a tree of that size, by hand."""

        def made(tx: Transaction) -> tuple[bytes, list[bytes]]:
            tree = Checkpoint(NEW, size, log.frontier_at(tx, size).root())
            signed = note.Note(tree.text, (checkpoint.sign(tree, self.key),)).encode()
            return signed, log.consistency(tx, old, size)

        data, proof = await self.rig.database.read(made)
        return await self.witnesses[name].cosign(data, old=old, proof=proof)


async def cosigned_twice(rig: Rig) -> None:
    """Five entries and then five more, each time cosigned by all."""
    gathering = rig.checkpoints()
    for _ in range(2):
        await rig.grow(5)
        rig.later(5)
        await gathering.round()


async def sizes(rig: Rig, name: str) -> list[int]:
    rows = await rig.stores[name].read(lambda tx: tx.all("SELECT size FROM witness_checkpoint ORDER BY size"))
    return [row["size"] for row in rows]


async def test_the_first_tree_of_a_founded_log_is_proven_from_what_was_cosigned_of_what_is_kept(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=7, first=12)  # the gateway holds ten, of which all have cosigned five and ten
    await city.begin()
    told = await city.offer(POLICE, 13, old=0)
    assert told == Cosigned(size=5, line=""), "it says from which of its trees on"
    assert (await city.offer(POLICE, 13, old=10)).line == ""
    assert (await city.offer(POLICE, 13, old=5)).line
    assert await sizes(rig, POLICE) == [5, 10, 13]


async def test_all_witnesses_sign_again_and_the_former_names_trees_are_the_newest_no_more(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=10, first=12)
    await city.begin()
    after = partial(newest, threshold=3, after=city.lineage.first)
    assert await rig.database.read(after) is None
    assert await rig.database.read(partial(newest, threshold=3)) is not None
    with pytest.raises(XiebanError) as raised:
        rig.away = {COURT}
        await city.checkpoints().covering(5)
    assert raised.value.reason is Reason.QUORUM_NOT_MET
    rig.away = set()
    data = await city.checkpoints().covering(5)
    assert city.policy.check(data).checkpoint.size == 13


async def test_before_it_is_founded_nothing_is_signed_under_the_new_name(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=10, first=12)
    await rig.grow(1)
    await city.checkpoints().round()
    rows = await rig.database.read(lambda tx: tx.all("SELECT size FROM log_checkpoint ORDER BY size"))
    assert [row["size"] for row in rows] == [5, 10]


@pytest.mark.parametrize("size", [11, 12])
async def test_a_tree_no_larger_than_what_may_be_the_former_logs_is_refused(rig: Rig, size: int) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=10, first=12)
    await city.begin()
    with pytest.raises(XiebanError) as raised:
        await city.offer(POLICE, size, old=10)
    assert raised.value.reason is Reason.KEY_OUT_OF_SPAN
    assert await sizes(rig, POLICE) == [5, 10]


async def test_a_log_that_begins_before_what_was_cosigned_of_the_former_one_is_refused(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=5, first=9)
    await rig.grow(3)
    with pytest.raises(XiebanError) as raised:
        await city.offer(POLICE, 13, old=5)
    assert raised.value.reason is Reason.LOG_BEGINS_EARLY
    assert raised.value.metadata == {"log": NEW, "first": "9", "witness": POLICE, "held": "10"}
    assert await sizes(rig, POLICE) == [5, 10]


async def test_a_witness_put_back_is_reminded_of_what_it_cosigned_under_the_former_name(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=10, first=12)
    await city.begin()

    def put_back(tx: Transaction) -> None:
        tx.run("DELETE FROM witness_checkpoint WHERE size > 5")
        tx.run("INSERT INTO node (name, value) VALUES ('witness', '1')")

    await rig.stores[POLICE].write(put_back)
    await city.checkpoints().round()
    assert await sizes(rig, POLICE) == [5, 10, 13]
    (row,) = await rig.stores[POLICE].read(lambda tx: tx.all("SELECT note FROM witness_checkpoint WHERE size = 10"))
    assert line_of(rig.key).signed(row["note"]).size == 10, "kept as the former key signed it"


async def test_a_witness_put_back_is_not_reminded_of_what_is_not_kept(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=7, first=12)
    await city.begin()

    def put_back(tx: Transaction) -> None:
        tx.run("DELETE FROM witness_checkpoint WHERE size > 5")
        tx.run("INSERT INTO node (name, value) VALUES ('witness', '1')")

    await rig.stores[POLICE].write(put_back)
    await city.checkpoints().round()
    assert await sizes(rig, POLICE) == [5, 13]


async def test_a_witness_does_not_take_back_what_is_not_kept_though_it_is_shown_it(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=7, first=12)
    await city.begin()
    shown = await rig.database.read(partial(newest_of, witness=POLICE, after=5, lineage=line_of(rig.key)))
    assert shown is not None
    size, data = shown
    assert size == 10
    proof = await rig.database.read(partial(log.consistency, old=5, new=10))
    await rig.stores[POLICE].write(lambda tx: tx.run("DELETE FROM witness_checkpoint WHERE size > 5"))
    assert await city.witnesses[POLICE].remember(data, proof=proof) == 5
    assert await sizes(rig, POLICE) == [5]


async def test_what_shows_when_an_entry_was_made_is_no_tree_that_was_left_behind(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=7, first=12)
    await city.begin()
    await city.checkpoints().round()
    shown = {
        position: await rig.database.read(partial(around, position=position, threshold=3, lineage=city.lineage))
        for position in (3, 6, 11)
    }
    assert shown == {3: (0, 5), 6: (5, 13), 11: (5, 13)}


async def test_time_does_not_go_back_from_one_name_to_the_next(rig: Rig) -> None:
    await cosigned_twice(rig)
    city = Refounded(rig, keeps=5, first=12)
    await city.begin()
    ahead = "UPDATE witness_checkpoint SET cosigned_at = cosigned_at + 60 WHERE size = 10"
    await rig.stores[POLICE].write(lambda tx: tx.run(ahead))
    with pytest.raises(XiebanError) as raised:
        await city.offer(POLICE, 13, old=5)
    assert raised.value.reason is Reason.CLOCK_SUSPECT


async def test_a_refusal_under_the_new_name_is_logged_though_the_former_one_was_refused_too(rig: Rig) -> None:
    await cosigned_twice(rig)
    notes = [log.Note("WITNESS_REFUSED", detail=name) for name in NAMES]
    await rig.database.write(lambda tx: log.append(tx, notes, at=1))
    city = Refounded(rig, keeps=13, first=13)
    await city.begin()
    other = Checkpoint(rig.key.public.name, 10, b"\2" * 32)
    row = (other.root, note.Note(other.text, (checkpoint.sign(other, rig.key),)).encode())
    sql = "UPDATE witness_checkpoint SET root = ?, note = ? WHERE size = 10"
    await rig.stores[COURT].write(lambda tx: tx.run(sql, row))
    for _ in range(2):
        await city.checkpoints().round()
    told = await rig.database.read(
        lambda tx: tx.all("SELECT detail FROM log_entry WHERE kind = 'WITNESS_REFUSED' AND position > 13")
    )
    assert [row["detail"] for row in told] == [COURT]

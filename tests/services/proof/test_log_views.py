"""One witness and what it is told of the log by headers: what it keeps, what it knows again, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.agency import log_views
from services.agency.cosigning import unproven
from services.agency.log_views import LogViews, Told
from services.agency.witness import Witness, note_of, view_of
from services.chassis.database import Transaction
from tests.services.proof.conftest import NAMES, Rig, line_of
from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import LogView
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, SigningKey

POLICE = NAMES[0]
EID = "ef" * 32
T = TypeVar("T")


def signed(rig: Rig, size: int, root: str = "ab", *, key: SigningKey | None = None) -> LogView:
    """A view of a tree that the log, or another key of its name, has signed."""
    tree = Checkpoint(rig.key.public.name, size, bytes.fromhex(root * 32))
    signature = checkpoint.sign(tree, key or rig.key)
    view = view_of(note.Note(tree.text, (signature,)).encode(), log=(key or rig.key).public)
    assert view is not None
    return view


def views(rig: Rig, *, former: Sequence[bytes] = ()) -> LogViews:
    witness = rig.witnesses[POLICE]
    return LogViews(rig.stores[POLICE], key=rig.key.public, former=former, witness=witness, prove=unproven)


async def kept(rig: Rig) -> list[tuple[str, int, int]]:
    sql = "SELECT agency, size, is_signed FROM log_view ORDER BY agency, size"
    rows = await rig.stores[POLICE].read(lambda tx: tx.all(sql))
    return [(row["agency"], row["size"], row["is_signed"]) for row in rows]


async def test_a_view_says_of_a_checkpoint_what_makes_it_the_logs_own_again(rig: Rig) -> None:
    await rig.grow(5)
    await rig.checkpoints().round()
    witness = rig.witnesses[POLICE]
    assert witness.view is not None
    assert note_of(witness.view, origin=rig.key.public.name) == await witness.held()


async def test_of_each_sender_only_the_largest_views_are_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_views, "MOST", 3)
    waiting = views(rig)
    sizes = (40, 10, 50, 20, 30)
    await waiting.take([Told(f"{size:064x}", "court", signed(rig, size)) for size in sizes])
    await waiting.take([Told(f"{size + 1:064x}", "procuratorate", signed(rig, size)) for size in (1, 2)])
    assert await kept(rig) == [
        ("court", 30, 1), ("court", 40, 1), ("court", 50, 1), ("procuratorate", 1, 1), ("procuratorate", 2, 1),
    ]  # fmt: skip


async def test_many_headers_of_one_sender_with_the_same_view_are_one_row_also_after_a_restart(rig: Rig) -> None:
    for _ in range(2):
        await views(rig).take([Told(f"{number:064x}", "court", signed(rig, 7)) for number in range(5)])
    assert await kept(rig) == [("court", 7, 1)]


async def test_a_view_that_only_looks_like_one_cannot_take_the_place_of_a_signed_one(rig: Rig) -> None:
    true = signed(rig, 7)
    false = LogView(size=7, root=true.root, sig=signed(rig, 8).sig)
    await views(rig).take([Told("01" * 32, "court", false), Told("02" * 32, "court", true)])
    assert await kept(rig) == [("court", 7, 0), ("court", 7, 1)]


async def test_what_another_key_of_the_log_signed_is_neither_compared_nor_held_against_its_sender(rig: Rig) -> None:
    old = SigningKey(rig.key.public.name, rig.key.public.algorithm, Ed25519PrivateKey.generate())
    view = signed(rig, 7, key=old)
    await views(rig, former=[old.public.key_id]).take([Told(EID, "court", view)])
    assert await kept(rig) == []
    await views(rig).take([Told(EID, "court", view)])
    assert await kept(rig) == [("court", 7, 0)], "a key that was never listed is no key of the log"


async def test_a_conviction_counts_for_the_key_that_signed_both_histories_and_for_no_other(rig: Rig) -> None:
    await rig.grow(5)
    await rig.checkpoints().round()
    told = views(rig)
    await told.take([Told(EID, "court", signed(rig, 5))])
    assert await told.settle()
    other = SigningKey(rig.key.public.name, rig.key.public.algorithm, Ed25519PrivateKey.generate())
    own = SigningKey(POLICE, Algorithm.COSIGNATURE_V1, Ed25519PrivateKey.generate())
    for key, is_halted in ((rig.key, True), (other, False)):
        again = Witness(rig.stores[POLICE], log=key.public, lineage=line_of(key), key=own, clock=rig.clock)
        await again.begin()
        tree = Checkpoint(key.public.name, 9, bytes(32))
        data = note.Note(tree.text, (checkpoint.sign(tree, key),)).encode()
        if is_halted:
            with pytest.raises(XiebanError) as raised:
                await again.cosign(data, old=4, proof=[])
            assert raised.value.reason is Reason.LOG_FORKED
        else:
            assert (await again.cosign(data, old=4, proof=[])).size == 5, "asked for a proof from where it stands"


async def test_a_disk_that_is_full_for_a_while_ends_no_node_and_the_fork_is_found_all_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_views, "FIRST_PAUSE", 0.01)
    await rig.grow(5)
    await rig.checkpoints().round()
    full = asyncio.Event()
    write = rig.stores[POLICE].write

    async def refuse(body: Callable[[Transaction], T]) -> T:
        if full.is_set():
            return await write(body)
        full.set()
        raise failure(Reason.STORAGE_FULL)

    told = views(rig)
    await told.take([Told(EID, "court", signed(rig, 5))])
    monkeypatch.setattr(rig.stores[POLICE], "write", refuse)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(told.run())
        while not (await told.standing())[0]:
            await asyncio.sleep(0.02)  # the loop tells nobody what it has found
        running.cancel()
    assert full.is_set()


async def test_a_checkpoint_that_no_header_could_say_is_not_cosigned(rig: Rig) -> None:
    await rig.grow(1)
    for tree in (
        Checkpoint(rig.key.public.name, 1, bytes(32), ("a line more",)),
        Checkpoint(rig.key.public.name, 2**53, bytes(32)),
    ):
        data = note.Note(tree.text, (checkpoint.sign(tree, rig.key),)).encode()
        with pytest.raises(XiebanError) as raised:
            await rig.witnesses[POLICE].cosign(data, old=0, proof=[])
        assert raised.value.reason is Reason.PROOF_MALFORMED
    assert await rig.witnesses[POLICE].held() == b""

"""One agency's audit of the log beside a gateway's log and its witnesses: what it believes, what it costs, and where it goes on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import msgspec
import pytest

from services.agency import auditing, promises
from services.agency.auditing import Auditor
from services.chassis.database import Transaction
from services.gateway import checkpoints, log
from services.gateway.log import Note
from services.tickets import Heard
from tests.library.samples import header, promise
from tests.services.proof.conftest import NAMES, Rig
from xieban import canonical
from xieban.errors import Reason, failure
from xieban.handoff import MAX_LOGGED, Logged
from xieban.marshal import micros
from xieban.proof import checkpoint, note
from xieban.proof.tiles import Tile
from xieban.reconcile import Problem

POLICE = NAMES[0]
MINUTE = 60


@dataclass
class Source:
    """The log of the rig as its gateway would tell it, and what was asked of it. `forged`: bytes in place of a tile."""

    rig: Rig
    tiles: list[Tile] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    forged: dict[Tile, bytes] = field(default_factory=dict)
    down: bool = False
    forgotten: bool = False

    def _reached(self) -> None:
        if self.down:
            raise failure(Reason.PEER_UNREACHABLE, peer="gateway")

    async def tile(self, tile: Tile) -> bytes:
        self._reached()
        self.tiles.append(tile)
        true = await self.rig.database.read(lambda tx: log.tile_of(tx, tile))
        return self.forged.get(tile, true)

    async def witnessed(self) -> bytes:
        self._reached()
        data = await self.rig.database.read(lambda tx: checkpoints.newest(tx, threshold=self.rig.policy.threshold))
        if data is None:
            raise failure(Reason.QUORUM_NOT_MET, what="检查点", count=0, limit=3)
        return data

    async def entries(self, eid: str) -> list[tuple[bytes, bytes]]:
        self._reached()
        self.asked.append(eid)
        if self.forgotten:
            raise failure(Reason.HANDOFF_NOT_FOUND, handoff=eid)
        data = await self.witnessed()
        count = checkpoint.parse(note.parse(data).text).size

        def prove(tx: Transaction) -> list[tuple[bytes, bytes]]:
            rows = tx.all("SELECT * FROM log_entry WHERE eid = ? AND position <= ?", (eid, count))
            return [
                (canonical.encode(log.entry_of(row)), log.prove(tx, row["position"], count=count, checkpoint=data))
                for row in rows
            ]

        return await self.rig.database.read(prove)


@dataclass
class Audited:
    """The police's node with its auditor, on the rig's log."""

    rig: Rig
    source: Source
    auditor: Auditor
    gaps: promises.Gaps = ()

    async def logged(self, *eids: str) -> list[Logged]:
        """Entries LODGED for these in the log, and what a ticket would say of them."""

        def append(tx: Transaction) -> list[Logged]:
            before = log.size(tx)
            log.append(tx, [Note("LODGED", eid=eid) for eid in eids], at=1)
            rows = tx.all("SELECT * FROM log_entry WHERE position > ? ORDER BY position", (before,))
            return [Logged("LODGED", row["eid"], row["position"] - 1, row["leaf"].hex()) for row in rows]

        return await self.rig.database.write(append)

    async def told(self, words: Sequence[Logged]) -> None:
        """The gateway's tickets have come."""
        at = micros(self.rig.clock.now())
        parts = [list(words[start : start + MAX_LOGGED]) for start in range(0, len(words), MAX_LOGGED)]
        tickets = [promise(logged=part) for part in parts]
        heard = [Heard(ticket, canonical.encode(ticket)) for ticket in tickets]
        found = await self.rig.stores[POLICE].write(lambda tx: promises.keep(tx, heard, at=at, gaps=self.gaps))
        if found:
            self.auditor.contradicted(found)

    async def sent(self, *eids: str) -> None:
        """Handoffs of the police's, sent now."""
        at, one = micros(self.rig.clock.now()), header()

        def insert(tx: Transaction) -> None:
            tx.run(
                "INSERT INTO case_file VALUES (?, 'S10_investigation', 0, '', '', '', 0, 0) ON CONFLICT DO NOTHING",
                (one.case.id,),
            )
            for eid in eids:
                tx.run(
                    "INSERT INTO handoff VALUES (?, 'out', (SELECT COALESCE(MAX(seq), 0) + 1 FROM handoff), ?, '', ?, ?, '',"
                    " 'police', '', 'procuratorate', '', '', 'sent', 1, 1, 0, ?, '', X'00')",
                    (eid, eid, one.kind, one.case.id, at),
                )

        await self.rig.stores[POLICE].write(insert)

    async def witnessed(self, *, after: int = 0) -> None:
        """All three have cosigned the log as it stands, so many seconds later."""
        if after:
            self.rig.later(after)
        await self.rig.checkpoints().round()

    async def found(self) -> list[tuple[Problem, str, int | None]]:
        differences, trouble = await self.auditor.run()
        assert trouble == ""
        return [(one.problem, one.eid, one.index) for one in differences]

    async def standings(self) -> dict[str, str]:
        rows = await self.rig.stores[POLICE].read(lambda tx: tx.all("SELECT eid, standing FROM promise"))
        return {row["eid"]: row["standing"] for row in rows}


@pytest.fixture
def police(rig: Rig) -> Audited:
    source = Source(rig)
    return Audited(rig, source, Auditor(rig.stores[POLICE], log=source, policy=rig.policy, clock=rig.clock))


def eids(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [draw.randbytes(32).hex() for _ in range(count)]


async def test_promises_that_the_log_keeps_are_settled_once_and_each_part_of_it_is_read_once(police: Audited) -> None:
    words = await police.logged(*eids(600))
    await police.told(words)
    await police.witnessed()
    assert await police.found() == []
    assert set((await police.standings()).values()) == {"kept"}
    assert sorted(police.source.tiles) == [Tile(0, 0), Tile(0, 1), Tile(0, 2, 88), Tile(1, 0, 2)]
    police.source.tiles.clear()
    assert await police.found() == []
    assert police.source.tiles == []
    more = await police.logged(*eids(10, seed=2))
    await police.told(more)
    assert await police.found() == [], "not in any tree cosigned here yet"
    assert police.source.tiles == []
    await police.witnessed()
    assert await police.found() == []
    assert sorted(police.source.tiles) == [Tile(0, 2, 98), Tile(1, 0, 2)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 513, 700])
async def test_the_first_and_the_last_leaf_are_found_in_trees_of_every_shape(police: Audited, size: int) -> None:
    words = await police.logged(*eids(size))
    await police.told([words[0], words[-1]])
    await police.witnessed()
    assert await police.found() == []
    assert set((await police.standings()).values()) == {"kept"}


async def test_another_leaf_at_the_promised_place_is_named_with_its_place(police: Audited) -> None:
    words = await police.logged(*eids(300))
    swapped = [msgspec.structs.replace(words[7], leaf=words[8].leaf), words[8], words[299]]
    await police.told(swapped)
    await police.witnessed()
    assert await police.found() == [(Problem.UNKEPT, words[7].eid, 7)]
    assert (await police.standings())[words[8].eid] == "kept"
    assert await police.found() == [(Problem.UNKEPT, words[7].eid, 7)], "until the end"


async def test_a_place_that_no_tree_reaches_in_time_is_named_until_one_does(police: Audited) -> None:
    await police.logged(*eids(3))
    await police.witnessed()
    (word,) = await police.logged(*eids(1, seed=2))
    await police.told([word])
    later = "UPDATE witness_checkpoint SET cosigned_at = cosigned_at + ?"  # the same tree was shown again
    await police.rig.stores[POLICE].write(lambda tx: tx.run(later, (14 * MINUTE,)))
    assert await police.found() == []
    await police.rig.stores[POLICE].write(lambda tx: tx.run(later, (2 * MINUTE,)))
    assert await police.found() == [(Problem.UNKEPT, word.eid, 3)]
    await police.witnessed(after=20 * MINUTE)
    assert await police.found() == []
    assert (await police.standings())[word.eid] == "kept"


async def test_hashes_that_do_not_lead_to_the_cosigned_root_keep_nothing_and_are_asked_for_again(
    police: Audited,
) -> None:
    words = await police.logged(*eids(600))
    false = msgspec.structs.replace(words[5], leaf="77" * 32)
    await police.told([false, words[300]])
    await police.witnessed()
    whole = await police.rig.database.read(lambda tx: log.tile_of(tx, Tile(0, 0)))
    police.source.forged[Tile(0, 0)] = whole[: 5 * 32] + bytes.fromhex("77" * 32) + whole[6 * 32 :]
    assert await police.found() == [(Problem.UNKEPT, words[5].eid, 5)]
    whole = await police.rig.database.read(lambda tx: log.tile_of(tx, Tile(0, 1)))
    police.source.forged = {Tile(0, 1): whole[::-1]}
    await police.rig.stores[POLICE].write(lambda tx: tx.run("UPDATE promise SET standing = 'open'"))
    assert {one[1] for one in await police.found()} == {words[5].eid, words[300].eid}
    police.source.forged = {}
    assert await police.found() == [(Problem.UNKEPT, words[5].eid, 5)], "what was shown at last is kept"


async def test_promises_that_contradict_one_another_are_kept_with_both_tickets(police: Audited) -> None:
    words = await police.logged(*eids(4))
    await police.told(words[:3])
    await police.told(words[:3])  # the same again is none
    count = "SELECT (SELECT COUNT(*) FROM ticket) AS tickets, (SELECT COUNT(*) FROM promise) AS promises"
    row = await police.rig.stores[POLICE].read(lambda tx: tx.one(count))
    assert row is not None
    assert tuple(row) == (1, 3)
    moved = msgspec.structs.replace(words[0], index=3, leaf=words[3].leaf)
    other = msgspec.structs.replace(words[1], eid=eids(1, seed=2)[0])
    await police.told([moved])
    await police.told([other])
    standing = {(one.eid, one.index) for one in await police.auditor.standing() if one.problem is Problem.CONTRADICTED}
    assert standing == {(words[0].eid, 0), (words[0].eid, 3), (words[1].eid, 1), (other.eid, 1)}
    row = await police.rig.stores[POLICE].read(lambda tx: tx.one(count))
    assert row is not None
    assert tuple(row) == (3, 5)


@pytest.mark.parametrize("late", [False, True], ids=["told before", "told late"])
async def test_what_was_promised_of_places_that_a_founding_left_behind_counts_no_more(
    police: Audited, late: bool
) -> None:
    words = await police.logged(*eids(4))
    await police.told(words[:2] if late else words)
    await police.witnessed(after=20 * MINUTE)
    assert await police.found() == []
    police.gaps = [(2, 3)]
    await police.auditor.begin(police.gaps)
    if late:
        await police.told(words[2:])
    assert [await police.standings()] == [{word.eid: "kept" if word.index < 2 else "left" for word in words}]
    # The authors publish again what was lost, and it is logged in other places.
    again = [msgspec.structs.replace(word, index=word.index + 4, leaf=words[0].leaf) for word in words[2:]]
    await police.told(again)
    assert await police.auditor.standing() == [], "neither broken nor contradicted"
    police.gaps = ()
    await police.told([msgspec.structs.replace(words[0], index=9)])
    assert [one.problem for one in await police.auditor.standing()] == [Problem.CONTRADICTED] * 2, "elsewhere as before"


async def test_handoffs_whose_entry_a_founding_left_behind_are_looked_for_anew(
    police: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "SAMPLE", 0)
    words = await police.logged(*eids(3))
    await police.sent(*(word.eid for word in words))
    await police.told(words)
    await police.witnessed(after=20 * MINUTE)
    assert await police.found() == []
    assert police.source.asked == []
    await police.auditor.begin([(2, 2)])
    assert await police.found() == []
    assert police.source.asked == [words[2].eid]
    await police.auditor.begin([(2, 2)])
    assert await police.found() == []
    assert police.source.asked == [words[2].eid], "at every start, and asked once"


async def test_a_handoff_without_a_promise_is_asked_about_once_when_the_log_has_it(police: Audited) -> None:
    here, there, young = eids(3)
    words = await police.logged(here, there)
    await police.sent(here, there)
    await police.told(words[:1])
    await police.witnessed(after=16 * MINUTE)
    await police.sent(young)
    assert await police.found() == []
    assert sorted(police.source.asked) == sorted([here, there]), "of what is promised a sample is asked about"
    assert (await police.standings())[there] == "kept"
    assert await police.found() == []
    assert len(police.source.asked) == 2, "and the young one's time has not come"


async def test_a_promise_that_points_at_another_headers_entry_is_found_out_by_asking_what_it_says(
    police: Audited,
) -> None:
    gone, other = eids(2)
    (word,) = await police.logged(other)
    await police.told([msgspec.structs.replace(word, eid=gone)])
    await police.witnessed()
    assert await police.found() == [(Problem.UNLOGGED, gone, None)]
    assert (await police.standings())[gone] == "kept", "the leaf is where it was promised"
    await police.logged(gone)
    await police.witnessed()
    found = await police.found()
    assert sorted((problem, index) for problem, _, index in found) == [
        (Problem.CONTRADICTED, 0),
        (Problem.CONTRADICTED, 1),
    ]


async def test_of_many_promises_a_sample_is_asked_about(police: Audited) -> None:
    words = await police.logged(*eids(300))
    await police.told(words)
    await police.witnessed()
    assert await police.found() == []
    assert len(set(police.source.asked)) == len(police.source.asked) == auditing.SAMPLE
    assert set(police.source.asked) <= {one.eid for one in words}


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_handoff_that_the_log_does_not_have_is_named_until_it_has(police: Audited, forgotten: bool) -> None:
    gone, fine = eids(2)
    await police.sent(gone, fine)
    await police.told(await police.logged(fine))
    await police.witnessed()
    assert await police.found() == [], "it may be on its way"
    await police.logged("ab" * 32)
    await police.witnessed(after=16 * MINUTE)
    police.source.forgotten = forgotten
    assert await police.found() == [(Problem.UNLOGGED, gone, None)]
    assert await police.found() == [(Problem.UNLOGGED, gone, None)]
    police.source.forgotten = False
    await police.logged(gone)
    await police.witnessed()
    assert await police.found() == []


async def test_nobody_is_named_while_the_log_can_prove_nothing_or_cannot_be_asked(police: Audited) -> None:
    gone = eids(1)[0]
    await police.sent(gone)
    await police.logged("ab" * 32)
    await police.witnessed()
    police.rig.away = set(NAMES[1:])
    await police.logged("cd" * 32)
    await police.witnessed(after=16 * MINUTE)
    assert await police.found() == [], "the quorum's newest tree is from before"
    police.source.down = True
    differences, trouble = await police.auditor.run()
    assert (differences, trouble) == ([], Reason.PEER_UNREACHABLE.number)
    police.source.down = False
    police.rig.away = set()
    await police.witnessed()
    assert await police.found() == [(Problem.UNLOGGED, gone, None)]


async def test_an_entry_or_a_proof_that_is_made_up_proves_nothing(
    police: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, other = eids(2)
    await police.sent(gone)
    await police.logged(other)
    await police.witnessed(after=16 * MINUTE)
    sound = await police.source.entries(other)
    made_up = sound[0][0].replace(other.encode(), gone.encode())
    deep = b'{"deep":' + b"[" * 100_000
    answers = (made_up, b"{}", b"\xff", deep)
    for answer in (sound, [(sound[0][0], b"")], *([(entry, sound[0][1])] for entry in answers)):

        async def entries(eid: str, answer: list[tuple[bytes, bytes]] = answer) -> list[tuple[bytes, bytes]]:
            return answer

        monkeypatch.setattr(police.source, "entries", entries)
        assert await police.found() == [(Problem.UNLOGGED, gone, None)]


async def test_the_search_for_handoffs_goes_on_where_it_stopped(
    police: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "PAGE", 10)
    monkeypatch.setattr(auditing, "MOST", 25)
    many = eids(60)
    await police.sent(*many)
    await police.logged(*many)
    await police.witnessed(after=16 * MINUTE)
    for turn in range(3):
        assert await police.found() == []
        assert set(police.source.asked) == set(many[: 25 * (turn + 1)])
    looked: list[int] = []
    original = promises.handoffs

    def handoffs(tx: Transaction, *, after: int, limit: int) -> list[promises.Sent]:
        looked.append(after)
        return original(tx, after=after, limit=limit)

    monkeypatch.setattr(promises, "handoffs", handoffs)
    assert await police.found() == []
    assert looked == [60]
    assert len(police.source.asked) == 60


@pytest.mark.slow
@pytest.mark.parametrize("count", [10_000, 100_000])
async def test_an_audit_reads_each_tile_once_and_the_next_none(police: Audited, count: int) -> None:
    names = eids(count)
    words: list[Logged] = []
    for start in range(0, count, 5_000):
        words += await police.logged(*names[start : start + 5_000])
    begin = perf_counter()
    for start in range(0, count, 10 * MAX_LOGGED):
        await police.told(words[start : start + 10 * MAX_LOGGED])
    kept = perf_counter()
    await police.witnessed()
    audited = perf_counter()
    assert await police.found() == []
    done = perf_counter()
    assert len([tile for tile in police.source.tiles if tile.level == 0]) == -(-count // 256)
    assert len(police.source.tiles) == len(set(police.source.tiles))
    read = len(police.source.tiles)
    police.source.tiles.clear()
    await police.told(await police.logged(*eids(100, seed=2)))
    await police.witnessed()
    again = perf_counter()
    assert await police.found() == []
    size = "SELECT SUM(pgsize) AS n FROM dbstat WHERE name LIKE '%promise%' OR name LIKE '%ticket%'"
    row = await police.rig.stores[POLICE].read(lambda tx: tx.one(size))
    assert row is not None
    print(
        f"{count} promises: kept in {kept - begin:.2f} s, audited in {done - audited:.2f} s reading {read} tiles; 100 more:"
        f" {perf_counter() - again:.3f} s, {len(police.source.tiles)} tiles; {row['n'] / count:.0f} bytes each"
    )
    assert len(police.source.tiles) <= 4

"""Tiles are the tree in pieces: what is in them, what they are called, and that proofs read from them are the tree's own."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.library.proof.refusal import holds, reason_of
from tests.library.proof.rfc import Tree, entries
from xieban.errors import Reason
from xieban.proof import merkle, tiles
from xieban.proof.merkle import Frontier, Node, leaf_hash
from xieban.proof.tiles import ENTRIES, Tile

MOST = 600
RFC = Tree(entries(MOST))
LEAVES = [leaf_hash(entry) for entry in entries(MOST)]
SIZES = st.integers(0, MOST)

NAMES = {
    Tile(0, 0): "tile/0/000",
    Tile(0, 999, 5): "tile/0/999.p/5",
    Tile(1, 1000): "tile/1/x001/000",
    Tile(5, 1234067, 255): "tile/5/x001/x234/067.p/255",
    Tile(63, 7): "tile/63/007",
    Tile(ENTRIES, 1234067): "tile/entries/x001/x234/067",
    Tile(ENTRIES, 0, 1): "tile/entries/000.p/1",
}


def tiles_of(size: int) -> set[Tile]:
    """The specification's own words: the partial tile of level l has floor(size / 256^l) mod 256 hashes, none if that is nought."""
    found = set()
    for level in range(8):
        full, partial = divmod(size // 256**level, 256)
        found |= {Tile(level, number) for number in range(full)}
        if partial:
            found.add(Tile(level, full, partial))
    return found


def content(tile: Tile) -> bytes:
    """The specification's own words: hash i of tile n on level l is MTH(D[(n * 256 + i) * 256^l : (n * 256 + i + 1) * 256^l])."""
    span = 256**tile.level
    first = tile.number * 256
    return b"".join(RFC.head(at * span, (at + 1) * span) for at in range(first, first + tile.width))


def stored(size: int, *cuts: int) -> dict[Tile, bytes]:
    """What a log holds that grew to `size` and published a tree at each of `cuts` on the way."""
    held: dict[Tile, bytes] = {}
    edge = Frontier()
    for end in (*sorted(cuts), size):
        edge, written = tiles.grow(edge, LEAVES[edge.size : end], held.__getitem__)
        held |= written
    assert edge == Frontier().append(LEAVES[:size])
    return held


@pytest.mark.parametrize("tile", NAMES, ids=str)
def test_a_tile_has_one_name(tile: Tile) -> None:
    assert tile.path == NAMES[tile]
    assert tiles.parse_path(NAMES[tile]) == tile


@pytest.mark.parametrize(
    "path",
    ["", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/x000/001",
     "tile/0/001/000", "tile/0/x001/x000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/300", "tile/0/000.p/05",
     "tile/0/000.p", "tile/0/000/p/5", "/tile/0/000", "tile/0/000\n", "tile/0/000/", "tile/data/000", "tile/0/..",
     "tile/0/٠٠٠", "tile/entries/x1/000", "tile/0/" + "x001/" * 7 + "000"],
)  # fmt: skip
def test_any_other_name_is_refused(path: str) -> None:
    assert reason_of(tiles.parse_path, path) is Reason.PROOF_MALFORMED


@given(st.integers(-1, 63), st.integers(0, 10**18), st.integers(1, 256))
@settings(max_examples=200, deadline=None)
def test_every_name_is_read_back(level: int, number: int, width: int) -> None:
    assert tiles.parse_path(Tile(level, number, width).path) == (level, number, width)


@given(st.text("tile/0123456789xp.-entris ", max_size=40) | st.text(max_size=20).map("tile/".__add__) | st.text())
@settings(max_examples=300, deadline=None)
def test_noise_is_no_name(noise: str) -> None:
    assert not holds(tiles.parse_path, noise) or tiles.parse_path(noise).path == noise


def test_the_specifications_example_of_70000_leaves() -> None:
    found = tiles.grown(0, 70_000)
    full = [tile for tile in found if tile.width == 256]
    assert [sum(tile.level == level for tile in full) for level in range(3)] == [273, 1, 0]
    assert [tile for tile in found if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert tiles.grown(0, 256) == [Tile(0, 0), Tile(1, 0, 1)]


@given(st.integers(0, 200_000), st.integers(0, 2_000))
@example(0, 0)
@example(255, 1)
@example(256, 0)
@example(65_535, 1)
@example(65_536, 256)
@settings(max_examples=100, deadline=None)
def test_growth_brings_the_tiles_that_were_not_there(old: int, more: int) -> None:
    found = tiles.grown(old, old + more)
    assert len(found) == len(set(found))
    assert set(found) == tiles_of(old + more) - tiles_of(old)


@given(SIZES, SIZES)
@example(600, 256)
@example(513, 511)
@settings(max_examples=40, deadline=None)
def test_a_tile_holds_the_hashes_the_specification_says(size: int, cut: int) -> None:
    held = stored(size, min(cut, size))
    assert tiles_of(size) | tiles_of(min(cut, size)) == set(held)
    assert all(data == content(tile) for tile, data in held.items())


@given(st.integers(1, MOST), st.data())
@settings(max_examples=60, deadline=None)
def test_proofs_read_from_tiles_are_the_trees_own(size: int, data: st.DataObject) -> None:
    held = stored(size, data.draw(st.integers(0, size)))
    assert Frontier.load(size, tiles.reader(size, held.__getitem__)).root() == RFC.head(0, size)
    for index in data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5)):
        hashes = tiles.reader(size, held.__getitem__)
        assert merkle.proof(merkle.inclusion_path(index, size), hashes) == RFC.path(index, 0, size)
        assert merkle.proof(merkle.consistency_path(index + 1, size), hashes) == RFC.proof(index + 1, size)


def test_every_subtree_of_every_level_is_read_from_its_tile() -> None:
    hashes = tiles.reader(MOST, stored(MOST).__getitem__)
    for level in range(10):
        for number in range(MOST >> level):
            assert hashes(Node(level, number)) == RFC.head(number << level, (number + 1) << level)


@given(st.integers(1, MOST), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_needed_is_known_beforehand_and_read_once(size: int, data: st.DataObject) -> None:
    held = stored(size)
    path = merkle.inclusion_path(data.draw(st.integers(0, size - 1)), size)
    asked: list[Tile] = []

    def read(tile: Tile) -> bytes:
        asked.append(tile)
        return held[tile]

    merkle.proof(path, tiles.reader(size, read))
    assert asked == tiles.needed(path, size)
    assert len(asked) == len(set(asked))


def test_appending_reads_only_the_partial_tiles_of_the_edge() -> None:
    held = stored(517)
    asked: list[Tile] = []

    def read(tile: Tile) -> bytes:
        asked.append(tile)
        return held[tile]

    tiles.grow(Frontier().append(LEAVES[:517]), LEAVES[517:600], read)
    assert asked == [Tile(0, 2, 5)]


def test_a_tile_of_another_length_is_refused() -> None:
    for data in (b"", b"\x00" * 31, b"\x00" * 33, b"\x00" * 64):
        read = {Tile(0, 0, 1): data}.__getitem__
        assert reason_of(tiles.reader(1, read), Node(0, 0)) is Reason.PROOF_MALFORMED
        edge = Frontier().append(LEAVES[:1])
        assert reason_of(tiles.grow, edge, LEAVES[1:2], read) is Reason.PROOF_MALFORMED


@pytest.mark.parametrize("node", [Node(0, 5), Node(1, 2), Node(3, 0), Node(-1, 0), Node(0, -1)])
def test_a_subtree_outside_the_tree_is_refused(node: Node) -> None:
    assert reason_of(tiles.tile_of, node, 5) is Reason.FIELD_INVALID


def test_sizes_do_not_shrink() -> None:
    assert reason_of(tiles.grown, 5, 4) is Reason.FIELD_INVALID
    assert reason_of(tiles.grown, -1, 4) is Reason.FIELD_INVALID


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_bundle_gives_back_its_entries_and_only_so_many(bundle: list[bytes]) -> None:
    data = tiles.encode_bundle(bundle)
    assert tiles.decode_bundle(data, width=len(bundle)) == bundle
    for other in (data + b"\x00", data + b"\x00\x00", data[:-1]):
        assert other == data or reason_of(tiles.decode_bundle, other, width=len(bundle)) is Reason.PROOF_MALFORMED
    assert reason_of(tiles.decode_bundle, data, width=len(bundle) + 1) is Reason.PROOF_MALFORMED


def test_a_bundle_is_lengths_of_two_bytes_and_entries() -> None:
    assert tiles.encode_bundle([b"", b"ab", b"c" * 258]) == b"\x00\x00\x00\x02ab\x01\x02" + b"c" * 258
    assert tiles.decode_bundle(tiles.encode_bundle([b"x" * 65_535]), width=1) == [b"x" * 65_535]
    assert reason_of(tiles.encode_bundle, [b"x" * 65_536]) is Reason.MESSAGE_TOO_LARGE


@given(st.binary(max_size=100), st.integers(-1, 300))
@settings(max_examples=200, deadline=None)
def test_noise_is_a_bundle_of_its_own_spelling_or_refused(noise: bytes, width: int) -> None:
    if holds(tiles.decode_bundle, noise, width=width):
        assert tiles.encode_bundle(tiles.decode_bundle(noise, width=width)) == noise

"""C2SP tlog-tiles: how a log's hashes and entries are cut into pieces that never change once they are full.

A tile is 256 hashes side by side: of leaves on level 0, of full tiles of the level below on every other. A tree is its tiles; this
module says which tiles a tree of some size has, what is in them, and what they are called. Where they are kept is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from xieban.errors import Reason, failure
from xieban.proof import merkle
from xieban.proof.merkle import HASH_SIZE, Frontier, Hashes, Node

HEIGHT = 8
WIDTH = 1 << HEIGHT
ENTRIES = -1
"""The level of an entry bundle, which stands below level 0 and is cut like it."""
MAX_ENTRY = 0xFFFF

_PATH = re.compile(
    r"tile/(?P<level>entries|[1-5]?[0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class Tile(NamedTuple):
    """Tile `number` of `level` (0–63, or ENTRIES), with `width` hashes or entries (1–256); below 256 it is partial."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """`tile/<L>/<N>[.p/<W>]`, the name in URLs and directories; 1234067 is written x001/x234/067."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        parts = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            parts.append(f"x{rest % 1000:03}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"


Read = Callable[[Tile], bytes]
"""Gives the bytes of a stored tile."""


def parse_path(path: str) -> Tile:
    """The tile of that name. Errors: PROOF_MALFORMED (not the one way to write it)."""
    match = _PATH.fullmatch(path)
    if match is not None:
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        tile = Tile(level, int(re.sub("[x/]", "", match["index"])), int(match["width"] or WIDTH))
        if tile.path == path and tile.width <= WIDTH:
            return tile
    raise failure(Reason.PROOF_MALFORMED, what="路径", detail="不是分块的规范路径")


def grown(old: int, new: int) -> list[Tile]:
    """The tiles, level by level, that the tree of `new` leaves has and the tree of `old` leaves had not.

    Those of level 0 are also the entry bundles to write, at the level ENTRIES. Errors: FIELD_INVALID (sizes reversed).
    """
    if not 0 <= old <= new:
        raise failure(Reason.FIELD_INVALID, field="size", detail="不在日志范围内")
    found = []
    level = 0
    while new > old:
        for index in range(old // WIDTH, -(-new // WIDTH)):
            found.append(Tile(level, index, min(WIDTH, new - index * WIDTH)))
        old, new, level = old // WIDTH, new // WIDTH, level + 1
    return found


def grow(frontier: Frontier, leaves: Iterable[bytes], read: Read) -> tuple[Frontier, dict[Tile, bytes]]:
    """Append leaf hashes: the new edge, and the bytes of every tile in `grown`.

    `read` is asked for the partial tiles at the old edge, at most one a level. Errors: PROOF_MALFORMED (a tile of another length).
    """
    completed: dict[Node, bytes] = {}
    after = frontier.append(leaves, completed)
    written = {}
    for tile in grown(frontier.size, after.size):
        begin = tile.number * WIDTH
        kept = max(0, (frontier.size >> HEIGHT * tile.level) - begin)
        data = _sound(tile._replace(width=kept), read) if kept else b""
        fresh = (completed[Node(HEIGHT * tile.level, index)] for index in range(begin + kept, begin + tile.width))
        written[tile] = data + b"".join(fresh)
    return after, written


def tile_of(node: Node, size: int) -> Tile:
    """The tile of the tree of `size` leaves that holds or implies the hash of `node`.

    Errors: FIELD_INVALID (the tree does not contain that subtree).
    """
    if node.level < 0 or node.number < 0 or (node.number + 1) << node.level > size:
        raise failure(Reason.FIELD_INVALID, field="size", detail="不在日志范围内")
    level = node.level // HEIGHT
    index = (node.number << node.level % HEIGHT) // WIDTH
    return Tile(level, index, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def needed(path: Iterable[Iterable[Node]], size: int) -> list[Tile]:
    """The tiles, each once, from which a path of `merkle` can be read: what to fetch before asking for a proof."""
    return list(dict.fromkeys(tile_of(node, size) for part in path for node in part))


def reader(size: int, read: Read) -> Hashes:
    """A reader of the tree of `size` leaves that takes its hashes from tiles; each tile is read once.

    Errors while reading: PROOF_MALFORMED (a tile of another length), FIELD_INVALID (a subtree outside the tree).
    """
    held: dict[Tile, bytes] = {}

    def hashes(node: Node) -> bytes:
        tile = tile_of(node, size)
        if tile not in held:
            held[tile] = _sound(tile, read)
        span = 1 << node.level % HEIGHT
        begin = (node.number * span) % WIDTH
        return merkle.root(held[tile][at * HASH_SIZE : (at + 1) * HASH_SIZE] for at in range(begin, begin + span))

    return hashes


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry behind its length in two bytes, big endian. Errors: MESSAGE_TOO_LARGE (over 65,535 bytes)."""
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise failure(Reason.MESSAGE_TOO_LARGE, what="日志条目", size=len(entry), limit=MAX_ENTRY)
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, *, width: int) -> list[bytes]:
    """The `width` entries of a bundle. Errors: PROOF_MALFORMED (cut short, or anything left over)."""
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise failure(Reason.PROOF_MALFORMED, what="条目包", detail="长度与条目数不符")
    return entries


def _sound(tile: Tile, read: Read) -> bytes:
    data = read(tile)
    if len(data) != tile.width * HASH_SIZE:
        raise failure(Reason.PROOF_MALFORMED, what=tile.path, detail="长度与宽度不符")
    return data

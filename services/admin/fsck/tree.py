"""The supervision log: entries against leaves, leaves against subtrees and roots, roots against signatures and cosignatures, and entries
against what they tell of."""

from __future__ import annotations

import sqlite3

from services.admin.fsck.basis import Basis
from services.admin.fsck.report import Book
from services.admin.fsck.sealed import Held
from services.gateway.log import entry_of
from xieban.proof.merkle import Frontier, Node
from xieban.proof.tiles import HEIGHT

AT_ONCE = 512
OF_STATEMENTS = frozenset({"LODGED", "NOTICE", "SUPERVISION", "REPLY"})
"""Entries whose eid is a statement's that is held here."""


def check(connection: sqlite3.Connection, basis: Basis, book: Book, held: Held) -> None:
    """Findings into `book`."""
    told: dict[str, set[tuple[str, str, int]]] = {"REFUSED": set(), "EQUIVOCATION": set()}
    lodged: set[str] = set()
    roots: dict[int, bytes] = {}
    nodes: dict[tuple[int, int], bytes] = {}
    with book.reading("log_checkpoint"):
        wanted = {row[0] for row in connection.execute("SELECT size FROM log_checkpoint NOT INDEXED")}
        with book.reading("log_entry"):
            roots, nodes = _grown(connection, book, held, wanted, told, lodged)
        _checkpoints(connection, basis, book, roots)
    with book.reading("log_node"):
        for row in connection.execute("SELECT * FROM log_node NOT INDEXED"):
            right = nodes.pop((row["level"], row["number"]), None) == row["hash"]
            book.expect(right, "log_node", (row["level"], row["number"]), "与所存条目的树不符")
            book.count("log_node")
        for place in nodes:
            book.find("log_node", place, "缺少这棵子树")
    for eid in held.lodged.keys() - lodged:
        book.find("log_entry", eid, "这份报文没有入册")
    with book.reading("refused"):
        _refused(connection, book, held, told)


def _grown(
    connection: sqlite3.Connection,
    book: Book,
    held: Held,
    sizes: set[int],
    told: dict[str, set[tuple[str, str, int]]],
    lodged: set[str],
) -> tuple[dict[int, bytes], dict[tuple[int, int], bytes]]:
    """Go through the log once: roots at the sizes asked for, and every subtree that is kept."""
    frontier, completed = Frontier(), dict[Node, bytes]()
    roots: dict[int, bytes] = {}
    (total,) = connection.execute("SELECT COUNT(*) FROM log_entry").fetchone()
    rows = connection.execute("SELECT * FROM log_entry NOT INDEXED ORDER BY position")
    for expected, row in enumerate(rows, start=1):
        position = row["position"]
        book.expect(position == expected, "log_entry", position, f"序号不连续，应为 {expected}")
        entry = entry_of(row)
        book.expect(entry.leaf() == row["leaf"], "log_entry", position, "条目与树叶不符")
        frontier = frontier.append([row["leaf"]], completed)
        if expected in sizes:
            roots[expected] = frontier.root()
        if entry.kind in told:
            told[entry.kind].add((entry.eid, entry.detail, entry.at))
        if entry.kind == "LODGED":
            lodged.add(entry.eid)
            right = held.lodged.get(entry.eid) == (entry.case, entry.detail)
            book.expect(right, "log_entry", position, "与所说的报文不符")
        elif entry.kind in OF_STATEMENTS:
            book.expect(entry.eid in held.eids, "log_entry", position, "所说的报文不在库中")
        book.count("log_entry")
        if expected % AT_ONCE == 0 or expected == total:
            book.step("核对监督日志", expected, total)
    kept = {
        (node.level // HEIGHT, node.number): value
        for node, value in completed.items()
        if node.level and node.level % HEIGHT == 0
    }
    return roots, kept


def _checkpoints(connection: sqlite3.Connection, basis: Basis, book: Book, roots: dict[int, bytes]) -> None:
    notes: dict[int, bytes] = {}
    for row in connection.execute("SELECT * FROM log_checkpoint NOT INDEXED"):
        with book.reading("log_checkpoint", row["size"]):
            signed = basis.checkpoint(row["note"])
            right = (signed.size, signed.root) == (row["size"], row["root"])
            book.expect(right, "log_checkpoint", row["size"], "列与签名的检查点不符")
            book.expect(roots.get(signed.size) == signed.root, "log_checkpoint", row["size"], "树根与所存的条目不符")
            notes[row["size"]] = row["note"]
            book.count("log_checkpoint")
    for row in connection.execute("SELECT * FROM log_cosignature NOT INDEXED"):
        key = (row["size"], row["witness"], row["signed_at"])
        with book.reading("log_cosignature", key):
            at = basis.cosigned(notes.get(row["size"], b""), row["line"], witness=row["witness"])
            book.expect(at == row["signed_at"], "log_cosignature", key, "列 signed_at 与联署的时间不符")
            book.count("log_cosignature")


def _refused(
    connection: sqlite3.Connection, book: Book, held: Held, told: dict[str, set[tuple[str, str, int]]]
) -> None:
    twice = {eid for eid, _, _ in told["EQUIVOCATION"]}
    book.expect(twice == held.equivocal, "statement", "", "不生效的报文与监督日志所记的不符")
    wanted = told["REFUSED"] | told["EQUIVOCATION"]
    for row in connection.execute("SELECT * FROM refused NOT INDEXED"):
        said = (row["digest"], row["number"], row["refused_at"])
        book.expect(said in wanted, "refused", row["digest"], "与监督日志所记的不符")
        wanted.discard(said)
        book.count("refused")
    for digest, _, _ in wanted:
        book.find("refused", digest, "缺少监督日志所记的这一行")

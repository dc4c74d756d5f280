"""What the gateway has promised of the log, as rows: kept with the tickets that say so, which are its signed word.

Functions as in `store`. Two promises that contradict each other are seen here, when the second is written down; whether the log keeps
what it promised is `auditing`'s to find out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.chassis.database import Row, Statement, Transaction, placeholders
from services.tickets import Heard
from xieban.handoff import Logged

Gaps = Sequence[tuple[int, int]]
"""First and last index of the places that foundings of the log have left behind: what was promised of them counts no more."""
PROVEN: Final = 0
"""In place of a ticket: the log itself has proven the entry."""
_NAMED: Final = "SELECT {}, h.kind, h.case_id, h.from_agency, h.to_agency, h.sent_at FROM"
_HANDOFF: Final = (
    "LEFT JOIN handoff h ON h.eid = p.eid AND h.box = (SELECT MIN(o.box) FROM handoff o WHERE o.eid = p.eid)"
)


@dataclass(frozen=True, slots=True)
class Promise:
    """An entry of the log about the header `eid`: its kind, its index from 0, its leaf hash."""

    eid: str
    kind: str
    index: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A handoff here: its place in the order of taking, since when it is here (microseconds), and whether its entry LODGED is settled."""

    seq: int
    eid: str
    since: int
    settled: bool


def keep(tx: Transaction, heard: Sequence[Heard], *, at: int, gaps: Gaps) -> list[Promise]:
    """Write down what these tickets promise and was not known; the promises among it that contradict another."""
    found: list[Promise] = []
    for one in heard:
        told = dict.fromkeys(map(promised, one.ticket.logged))
        known = _about(tx, told) if told else {}
        fresh = [promise for promise in told if promise not in known]
        if not fresh:
            continue
        row = tx.one("SELECT COALESCE(MAX(number), 0) + 1 AS number FROM ticket")
        number = row["number"] if row is not None else 1
        tx.run("INSERT INTO ticket VALUES (?,?,?,?)", (number, one.ticket.at, at, one.data))
        found += _add(tx, fresh, known, ticket=number, gaps=gaps)
    return found


def prove(tx: Transaction, promise: Promise) -> list[Promise]:
    """Write down an entry that the log has proven without a ticket; as `keep`."""
    tx.run("DELETE FROM unlogged WHERE eid = ?", (promise.eid,))
    known = _about(tx, [promise])
    return [] if promise in known else _add(tx, [promise], known, ticket=PROVEN, gaps=())


def leave(tx: Transaction, gaps: Gaps) -> bool:
    """Let what was promised of these places count no more; whether there was any. The tickets stay: they are the gateway's signed word."""
    rows = [
        row
        for first, last in gaps
        for row in tx.all(
            "UPDATE promise SET standing = 'left', contradicted = 0"
            " WHERE leaf_index >= ? AND leaf_index <= ? AND standing <> 'left' RETURNING eid",
            (first, last),
        )
    ]
    return bool(rows)


def _add(
    tx: Transaction, fresh: Sequence[Promise], known: dict[Promise, str], *, ticket: int, gaps: Gaps
) -> list[Promise]:
    left = {one for one in fresh if any(first <= one.index <= last for first, last in gaps)}
    counting = [one for one, standing in known.items() if standing != "left"]
    apart = _contradicting([*counting, *(one for one in fresh if one not in left)])
    standing = "kept" if ticket == PROVEN else "open"
    tx.many(
        "INSERT INTO promise (eid, kind, leaf_index, leaf, ticket, standing, contradicted) VALUES (?,?,?,?,?,?,?)",
        [(*_key(one), ticket, "left" if one in left else standing, int(one in apart)) for one in fresh],
    )
    tx.many(*_changed("contradicted = 1", [one for one in apart if one in known]))
    return [one for one in fresh if one in apart]


def _contradicting(promises: Sequence[Promise]) -> set[Promise]:
    """Of each kind a header has one entry, and a place of the log has one leaf of one header."""
    alike: dict[tuple[str, str] | int, list[Promise]] = defaultdict(list)
    for one in promises:
        alike[one.eid, one.kind].append(one)
        alike[one.index].append(one)
    return {one for some in alike.values() if len(some) > 1 for one in some}


def _about(tx: Transaction, promises: Collection[Promise]) -> dict[Promise, str]:
    """What is known of the same headers, and of the same places, with its standing."""
    eids, places = {one.eid for one in promises}, {one.index for one in promises}
    rows = tx.all(
        f"SELECT eid, kind, leaf_index, leaf, standing FROM promise WHERE eid IN ({placeholders(len(eids))})"
        f" UNION SELECT eid, kind, leaf_index, leaf, standing FROM promise WHERE leaf_index IN ({placeholders(len(places))})",
        (*eids, *places),
    )
    return {promise_of(row): row["standing"] for row in rows}


def settle(kept: Sequence[Promise], broken: Sequence[Promise]) -> tuple[Statement, Statement]:
    """What an audit has found of promises."""
    return _changed("standing = 'kept'", kept), _changed("standing = 'broken'", broken)


def unsettled(tx: Transaction, *, begin: int, end: int, span: int) -> list[tuple[Promise, bool]]:
    """Promises of places from the first unsettled one of `begin` to `end` (excluded), within `span` places that begin at a multiple of
    `span`; and whether each has been found broken before."""
    row = tx.one(
        "SELECT MIN(leaf_index) AS place FROM promise WHERE standing IN ('open', 'broken') AND leaf_index >= ? AND leaf_index < ?",
        (begin, end),
    )
    if row is None or row["place"] is None:
        return []
    last = min(end, (row["place"] // span + 1) * span)
    rows = tx.all(
        "SELECT * FROM promise WHERE standing IN ('open', 'broken') AND leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index",
        (row["place"], last),
    )
    return [(promise_of(one), one["standing"] == "broken") for one in rows]


def overdue(tx: Transaction, *, size: int, before: int) -> list[Promise]:
    """Promises received until `before` of places that the tree of `size` entries does not have yet, not found broken before."""
    rows = tx.all(
        "SELECT p.* FROM promise p JOIN ticket t ON t.number = p.ticket"
        " WHERE p.standing IN ('open', 'broken') AND p.leaf_index >= ? AND p.standing = 'open' AND t.received_at <= ?",
        (size, before),
    )
    return [promise_of(row) for row in rows]


def handoffs(tx: Transaction, *, after: int, limit: int) -> list[Sent]:
    """Handoffs of both boxes behind `after` in their order. What was received is here since it was stated delivered."""
    rows = tx.all(
        "SELECT h.seq, h.eid, CASE WHEN h.box = 'in' THEN COALESCE(f.at, h.sent_at) ELSE h.sent_at END AS since,"
        " EXISTS (SELECT 1 FROM promise p WHERE p.eid = h.eid AND p.kind = 'LODGED' AND p.standing <> 'left')"
        " OR EXISTS (SELECT 1 FROM unlogged u WHERE u.eid = h.eid) AS settled"
        " FROM handoff h LEFT JOIN receipt_fact f ON f.eid = h.eid AND f.kind = 'delivered'"
        " WHERE h.seq > ? ORDER BY h.seq LIMIT ?",
        (after, limit),
    )
    return [Sent(row["seq"], row["eid"], row["since"], bool(row["settled"])) for row in rows]


def unlogged(tx: Transaction, *, limit: int) -> list[str]:
    """Eids that were named before."""
    return [row["eid"] for row in tx.all("SELECT eid FROM unlogged ORDER BY named_at, eid LIMIT ?", (limit,))]


def name(eids: Sequence[str], *, at: int) -> Statement:
    """Handoffs of which the log has nothing."""
    return ("INSERT INTO unlogged (eid, named_at) VALUES (?, ?) ON CONFLICT DO NOTHING", [(eid, at) for eid in eids])


def false(tx: Transaction) -> list[Row]:
    """Promises that are broken or contradicted, with the handoff each is about where it is known here."""
    columns = "p.eid, p.kind AS entry, p.leaf_index, p.standing, p.contradicted"
    return tx.all(f"{_NAMED.format(columns)} promise p {_HANDOFF} WHERE p.standing = 'broken' OR p.contradicted = 1")


def missing(tx: Transaction) -> list[Row]:
    """Handoffs that were named, as `false`."""
    return tx.all(f"{_NAMED.format('p.eid')} unlogged p {_HANDOFF}")


def promised(word: Logged) -> Promise:
    """What a word in a ticket promises."""
    return Promise(word.eid, word.kind, word.index, bytes.fromhex(word.leaf))


def promise_of(row: Row) -> Promise:
    return Promise(row["eid"], row["kind"], row["leaf_index"], row["leaf"])


def _key(one: Promise) -> tuple[str, str, int, bytes]:
    return one.eid, one.kind, one.index, one.leaf


def _changed(what: str, promises: Sequence[Promise]) -> Statement:
    sql = f"UPDATE promise SET {what} WHERE eid = ? AND kind = ? AND leaf_index = ? AND leaf = ?"
    return sql, [_key(one) for one in promises]

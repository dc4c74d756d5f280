"""The desk's tables of notices, supervised matters and replies. SQL of these is here; none of it decides anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from services.chassis.database import Row, Statement, Transaction, Value, placeholders
from xieban import canonical
from xieban.marshal import stored_payload
from xieban.notice import Notice, Reply
from xieban.supervision import State


@dataclass(frozen=True, slots=True)
class Matter:
    """A supervision as this agency knows it: by the notices it holds and its own replies. `step`: of the newest notice."""

    supervision: str
    case_id: str
    office: str
    state: State
    level: int
    whom: str
    step: int
    reply_by: str
    lifted: bool
    demanded: str


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that is held here. `seq` orders them by arrival."""

    eid: str
    seq: int
    received_at: int
    notice: Notice


_MATTER = tuple(field.name for field in fields(Matter))
_HELD = "SELECT eid, seq, received_at, sealed FROM notice"


def known(tx: Transaction, eids: Iterable[str]) -> set[str]:
    wanted = list(eids)
    if not wanted:
        return set()
    rows = tx.all(f"SELECT eid FROM notice WHERE eid IN ({placeholders(len(wanted))})", wanted)
    return {row["eid"] for row in rows}


def received_as(tx: Transaction, ids: Iterable[str]) -> dict[tuple[int, str], str]:
    """Eids by (incarnation, notice id): the identity that may have one content only."""
    wanted = list(ids)
    if not wanted:
        return {}
    rows = tx.all(f"SELECT eid, inc, notice_id FROM notice WHERE notice_id IN ({placeholders(len(wanted))})", wanted)
    return {(row["inc"], row["notice_id"]): row["eid"] for row in rows}


def insert(rows: Sequence[tuple[str, Notice, bytes]], *, at: int) -> Statement:
    """Rows of (eid, notice, sealed bytes)."""
    values: list[tuple[Value, ...]] = []
    for eid, notice, sealed in rows:
        supervision, step = (notice.demand.id, notice.demand.step) if notice.demand is not None else ("", 0)
        values.append(
            (
                eid, notice.inc, notice.id, notice.case, notice.receiver.office, notice.occasion, supervision, step, at,
                sealed,
            )
        )  # fmt: skip
    return (
        "INSERT INTO notice (eid, seq, inc, notice_id, case_id, office, occasion, supervision, step, received_at, sealed) "
        "VALUES (?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM notice), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def page(tx: Transaction, *, before: int, limit: int, case_id: str = "", supervisions_only: bool = False) -> list[Held]:
    """Newest first, with seq below `before`."""
    sql, params = f"{_HELD} WHERE seq < ?", list[Value]([before])
    if case_id:
        sql, params = f"{sql} AND case_id = ?", [*params, case_id]
    if supervisions_only:
        sql += " AND supervision <> ''"
    return [_held(row) for row in tx.all(f"{sql} ORDER BY seq DESC LIMIT {limit}", params)]


def after(tx: Transaction, cursor: int, *, limit: int) -> list[Held]:
    """In order of arrival, behind `cursor`."""
    return [_held(row) for row in tx.all(f"{_HELD} WHERE seq > ? ORDER BY seq LIMIT {limit}", (cursor,))]


def one(tx: Transaction, eid: str) -> Held | None:
    row = tx.one(f"{_HELD} WHERE eid = ?", (eid,))
    return None if row is None else _held(row)


def of_supervision(tx: Transaction, supervision: str) -> list[Held]:
    """All of a supervision, in the order of its steps."""
    return [_held(row) for row in tx.all(f"{_HELD} WHERE supervision = ? ORDER BY step, seq", (supervision,))]


def matters(tx: Transaction, supervisions: Iterable[str]) -> dict[str, Matter]:
    wanted = list(set(supervisions))
    if not wanted:
        return {}
    sql = f"SELECT {', '.join(_MATTER)} FROM matter WHERE supervision IN ({placeholders(len(wanted))})"
    return {row["supervision"]: _matter(row) for row in tx.all(sql, wanted)}


def matters_put(rows: Sequence[Matter]) -> Statement:
    changes = ", ".join(f"{name} = excluded.{name}" for name in _MATTER[1:])
    return (
        f"INSERT INTO matter ({', '.join(_MATTER)}) VALUES ({placeholders(len(_MATTER))}) "
        f"ON CONFLICT (supervision) DO UPDATE SET {changes}",
        [tuple(int(v) if isinstance(v := getattr(row, name), bool) else v for name in _MATTER) for row in rows],
    )


def replies(tx: Transaction, supervision: str) -> list[tuple[str, Reply]]:
    """(eid, reply) of a supervision in the order in which they were made."""
    rows = tx.all("SELECT eid, sealed FROM reply WHERE supervision = ? ORDER BY seq", (supervision,))
    return [(row["eid"], canonical.read(stored_payload(row["sealed"]), Reply)) for row in rows]


def replies_insert(rows: Sequence[tuple[str, str, bytes]]) -> Statement:
    """Rows of (eid, supervision, sealed bytes)."""
    return (
        "INSERT INTO reply (eid, seq, supervision, sealed) VALUES (?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM reply), ?, ?)",
        rows,
    )


def _held(row: Row) -> Held:
    notice = canonical.read(stored_payload(row["sealed"]), Notice)
    return Held(eid=row["eid"], seq=row["seq"], received_at=row["received_at"], notice=notice)


def _matter(row: Row) -> Matter:
    values = {name: row[name] for name in _MATTER}
    return Matter(**{**values, "state": State(values["state"]), "lifted": bool(values["lifted"])})

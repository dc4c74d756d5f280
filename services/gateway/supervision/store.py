"""The tables of notices and supervisions, within one transaction: batch reads and writes, no decisions. What pages read is in `reading`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from services.chassis.database import Row, Transaction, Value, placeholders
from services.gateway.clocks import Key
from services.gateway.supervision.steps import Supervision
from xieban.notice import Occasion
from xieban.supervision import FINAL, Act, State

COLUMNS = tuple(field.name for field in fields(Supervision))
_NAMES = ", ".join(COLUMNS)
_FINAL = ", ".join(f"'{state}'" for state in sorted(FINAL))
Told = tuple[str, str, str, str, str, str, str]
"""A notice of a limit: case, name, start, person, occasion, rung, due. Given once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a supervision. `eid`: of the sealed statement that bears it; `by` empty for a step of the gateway itself."""

    supervision: str
    step: int
    act: Act
    state: State
    level: int
    at: int
    recorded_at: int
    by: str
    eid: str


class Store:
    """Notices and supervisions."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def notices_told(self, cases: Collection[str], occasion: Occasion) -> set[Told]:
        """Notices of `occasion` already given in these cases."""
        if not cases:
            return set()
        rows = self._transaction.all(
            "SELECT case_id, name, start_eid, person, occasion, rung, due FROM notice WHERE occasion = ? "
            f"AND case_id IN ({placeholders(len(cases))})",
            (occasion, *cases),
        )
        return {
            (r["case_id"], r["name"], r["start_eid"], r["person"], r["occasion"], r["rung"], r["due"]) for r in rows
        }

    def notices_add(self, rows: Sequence[tuple[str, Told, int]]) -> None:
        """Rows of (eid, what was told, when). One that was given before breaks the transaction: nobody is told twice."""
        self._transaction.many(
            "INSERT INTO notice (eid, case_id, name, start_eid, person, occasion, rung, due, sent_at) VALUES (?,?,?,?,?,?,?,?,?)",
            [(eid, *told, at) for eid, told, at in rows],
        )

    def one(self, id: str) -> Supervision | None:
        row = self._transaction.one(f"SELECT {_NAMES} FROM supervision WHERE id = ?", (id,))
        return supervision_from(row) if row is not None else None

    def some(self, ids: Collection[str]) -> dict[str, Supervision]:
        if not ids:
            return {}
        sql = f"SELECT {_NAMES} FROM supervision WHERE id IN ({placeholders(len(ids))})"
        return {row["id"]: supervision_from(row) for row in self._transaction.all(sql, tuple(ids))}

    def open_of(self, cases: Collection[str]) -> dict[Key, Supervision]:
        """Supervisions of these cases that are not final, by the limit they are about; there is one at most."""
        if not cases:
            return {}
        rows = self._transaction.all(
            f"SELECT {_NAMES} FROM supervision WHERE state NOT IN ({_FINAL}) AND case_id IN ({placeholders(len(cases))})",
            tuple(cases),
        )
        return {found.key: found for found in map(supervision_from, rows)}

    def due(self, now: int, *, at_most: int) -> list[Supervision]:
        rows = self._transaction.all(
            f"SELECT {_NAMES} FROM supervision WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at, id LIMIT ?",
            (now, at_most),
        )
        return [supervision_from(row) for row in rows]

    def next_at(self) -> int | None:
        row = self._transaction.one(
            "SELECT next_at FROM supervision WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1"
        )
        return None if row is None else int(row["next_at"])

    def last_serial(self, year: int) -> int:
        row = self._transaction.one("SELECT COALESCE(MAX(serial), 0) AS n FROM supervision WHERE year = ?", (year,))
        return int(row["n"]) if row is not None else 0

    def put(self, supervisions: Mapping[str, tuple[Supervision, int | None]]) -> None:
        """Supervisions as they are now, with when they have to be looked at again."""
        names = ("year", "serial", *COLUMNS, "next_at")
        changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("id", "year", "serial"))
        self._transaction.many(
            f"INSERT INTO supervision ({', '.join(names)}) VALUES ({placeholders(len(names))}) "
            f"ON CONFLICT (id) DO UPDATE SET {changes}",
            [
                (*map(int, supervision.id.split("-")), *_values(supervision), next_at)
                for supervision, next_at in supervisions.values()
            ],
        )

    def steps_add(self, steps: Iterable[Step]) -> None:
        self._transaction.many(
            "INSERT INTO supervision_step (supervision, step, act, state, level, at, recorded_at, by, eid) "
            "VALUES (?,?,?,?,?,?,?,?,?)",
            [(s.supervision, s.step, s.act, s.state, s.level, s.at, s.recorded_at, s.by, s.eid) for s in steps],
        )

    def last_step(self, id: str) -> tuple[Step, bytes] | None:
        """The newest step and the sealed statement that bears it."""
        row = self._transaction.one(
            "SELECT t.*, s.sealed FROM supervision_step t JOIN statement s ON s.eid = t.eid WHERE supervision = ? "
            "ORDER BY step DESC LIMIT 1",
            (id,),
        )
        return None if row is None else (step_from(row), row["sealed"])


def supervision_from(row: Row) -> Supervision:
    values = {name: row[name] for name in COLUMNS}
    values["state"], values["in_custody"] = State(values["state"]), bool(values["in_custody"])
    return Supervision(**values)


def step_from(row: Row) -> Step:
    return Step(
        supervision=row["supervision"], step=row["step"], act=Act(row["act"]), state=State(row["state"]), level=row["level"],
        at=row["at"], recorded_at=row["recorded_at"], by=row["by"], eid=row["eid"],
    )  # fmt: skip


def _values(supervision: Supervision) -> tuple[Value, ...]:
    return tuple(int(value) if isinstance(value := getattr(supervision, name), bool) else value for name in COLUMNS)

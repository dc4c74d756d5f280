"""Service targets in time: which are watched, when each warns and when it is unmet. They warn like limits and are never a breach.

A target warns once, when a fifth of its time is left, and is told once more when it has passed. What had passed already when the
gateway first heard of it is told to nobody: an operator who writes a target down does not wake every old case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from services.chassis.database import Row, Transaction, placeholders
from services.gateway.clocks import SHANGHAI
from services.gateway.targets import Aim
from xieban.marshal import moment
from xieban.notice import Occasion

Key = tuple[str, str, str]
_COLUMNS = "case_id, name, eid, article, agency, office, started_at, aim_at, warned, unmet"


@dataclass(frozen=True, slots=True)
class Watched:
    """A target of one handoff that is not kept yet. `warned`, `unmet`: what has been told. Times in microseconds."""

    case_id: str
    name: str
    eid: str
    article: str
    agency: str
    office: str
    started_at: int
    aim_at: int
    warned: bool = False
    unmet: bool = False

    @property
    def key(self) -> Key:
        return self.case_id, self.name, self.eid

    @property
    def due(self) -> str:
        """The aim as a moment."""
        return moment(self.aim_at).astimezone(SHANGHAI).isoformat(timespec="seconds")

    @property
    def warn_at(self) -> int:
        return self.aim_at - (self.aim_at - self.started_at) // 5

    @property
    def next_at(self) -> int | None:
        if self.unmet:
            return None
        return self.aim_at + 1 if self.warned else self.warn_at

    def tell(self, now: int) -> tuple[Watched, Occasion | None]:
        """What is to be told by `now`, and the target afterwards. A warning that would come too late is not given."""
        if self.unmet or now < self.warn_at:
            return self, None
        if now > self.aim_at:
            return replace(self, warned=True, unmet=True), Occasion.UNMET
        return (self, None) if self.warned else (replace(self, warned=True), Occasion.WARNING)


def watched(case_id: str, aim: Aim, *, now: int) -> Watched:
    """A target as it is when it is first heard of."""
    past = now > aim.aim_at
    return Watched(
        case_id=case_id, name=aim.target.name, eid=aim.eid, article=aim.target.article, agency=aim.office[0],
        office=aim.office[1], started_at=aim.started_at, aim_at=aim.aim_at, warned=past, unmet=past,
    )  # fmt: skip


def follow(transaction: Transaction, cases: Mapping[str, Sequence[Aim]], *, now: int) -> None:
    """Watch what these cases ask for now, and nothing else of them."""
    known = {one.key: one for one in _of(transaction, cases)}
    wanted = {
        one.key: one
        for case, aims in cases.items()
        for one in (watched(case, aim, now=now) for aim in aims if aim.kept_at is None)
    }
    gone = [key for key in known if key not in wanted]
    transaction.many("DELETE FROM target_aim WHERE case_id = ? AND name = ? AND eid = ?", gone)
    # What was told of a target stays told, unless the operator has moved it.
    put(transaction, [one for key, one in wanted.items() if key not in known or known[key].aim_at != one.aim_at])


def put(transaction: Transaction, rows: Sequence[Watched]) -> None:
    transaction.many(
        f"INSERT INTO target_aim ({_COLUMNS}, next_at) VALUES ({placeholders(11)}) ON CONFLICT (case_id, name, eid) DO UPDATE "
        "SET aim_at = excluded.aim_at, started_at = excluded.started_at, article = excluded.article, "
        "warned = excluded.warned, unmet = excluded.unmet, next_at = excluded.next_at",
        [
            (
                *one.key, one.article, one.agency, one.office, one.started_at, one.aim_at, int(one.warned),
                int(one.unmet), one.next_at,
            )
            for one in rows
        ],
    )  # fmt: skip


def due(transaction: Transaction, now: int, *, at_most: int) -> list[Watched]:
    rows = transaction.all(
        f"SELECT {_COLUMNS} FROM target_aim WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?",
        (now, at_most),
    )
    return [_from(row) for row in rows]


def next_at(transaction: Transaction) -> int | None:
    row = transaction.one("SELECT next_at FROM target_aim WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1")
    return None if row is None else int(row["next_at"])


def _of(transaction: Transaction, cases: Collection[str]) -> list[Watched]:
    if not cases:
        return []
    sql = f"SELECT {_COLUMNS} FROM target_aim WHERE case_id IN ({placeholders(len(cases))})"
    return [_from(row) for row in transaction.all(sql, tuple(cases))]


def _from(row: Row) -> Watched:
    return Watched(
        case_id=row["case_id"], name=row["name"], eid=row["eid"], article=row["article"], agency=row["agency"],
        office=row["office"], started_at=row["started_at"], aim_at=row["aim_at"], warned=bool(row["warned"]),
        unmet=bool(row["unmet"]),
    )  # fmt: skip

"""Looking at a case: first it is written into the supervision log who looks and why, then it is shown; the agencies may read it.

Everything of a look-up is in its log entry, so there is no table of look-ups that could say something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction, Value
from services.gateway.lines import Timeline
from services.gateway.log import Note, append
from services.gateway.paging import page_size, place_of, token_of
from services.gateway.reading import Reading
from xieban import lookup
from xieban.errors import Reason, failure
from xieban.lookup import LookUp
from xieban.marshal import micros


@dataclass(frozen=True, slots=True)
class Looked:
    """A look-up as logged; `position` is its entry's."""

    position: int
    at: int
    look: LookUp


class Lookups:
    """The one way to a case's own page or timeline."""

    def __init__(self, database: Database, *, reading: Reading, clock: Clock) -> None:
        self._database = database
        self._reading = reading
        self._clock = clock

    async def timeline(self, case_id: str, look: LookUp) -> Timeline:
        """Errors: CASE_NOT_FOUND; then nothing is logged."""
        await self.note(case_id, look)
        return await self._reading.timeline(case_id)

    async def note(self, case_id: str, look: LookUp) -> None:
        """For whatever else shows one case: durable when this returns. Errors: CASE_NOT_FOUND."""
        await self._database.write(partial(self._note, case_id=case_id, look=look))

    async def of_case(
        self, case_id: str, *, agency: str = "", size: int = 0, token: str = ""
    ) -> tuple[list[Looked], str]:
        """Look-ups of a case, newest first, and the token of the next page; with `agency`, only for a party to the case.

        Errors: CASE_NOT_FOUND, FIELD_INVALID.
        """
        size = page_size(size)
        before = place_of(token, (int,))[0] if token else None
        found = await self._database.read(
            partial(_of_case, case_id=case_id, agency=agency, before=before, rows=size + 1)
        )
        return found[:size], token_of(found[size - 1].position) if len(found) > size else ""

    def _note(self, transaction: Transaction, *, case_id: str, look: LookUp) -> None:
        if transaction.one("SELECT case_id FROM case_file WHERE case_id = ?", (case_id,)) is None:
            raise failure(Reason.CASE_NOT_FOUND, case=case_id[:32])
        append(transaction, [Note(lookup.KIND, case_id, detail=look.code)], at=micros(self._clock.now()))


def _of_case(transaction: Transaction, *, case_id: str, agency: str, before: Value, rows: int) -> list[Looked]:
    party = (
        "SELECT eid FROM handoff WHERE case_id = ? AND (from_agency = ? OR to_agency = ?) LIMIT 1",
        (case_id, agency, agency),
    )
    known = ("SELECT case_id FROM case_file WHERE case_id = ?", (case_id,))
    if transaction.one(*(party if agency else known)) is None:
        raise failure(Reason.CASE_NOT_FOUND, case=case_id[:32])
    where, params = "case_id = ? AND kind = ?", [case_id, lookup.KIND]
    sql = "SELECT position, recorded_at, detail FROM log_entry WHERE {} ORDER BY position DESC LIMIT ?"
    if before is not None:
        found = transaction.all(sql.format(f"{where} AND position < ?"), (*params, before, rows))
    else:
        found = transaction.all(sql.format(where), (*params, rows))
    return [Looked(row["position"], row["recorded_at"], lookup.read(row["detail"])) for row in found]

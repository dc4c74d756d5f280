"""What an agency does about a difference: the ordinary path once more. Its author publishes again what somebody lacks, the same bytes.

Nothing is made up here and nothing is sealed. What only the author has lost comes back with the fence at the next start.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from services.agency import outbox, store
from services.agency.store import Entry, FactRow
from services.chassis.database import Database, Row, Transaction, placeholders
from services.reconcile.asking import Counterpart
from services.relay import Parcel
from xieban import canonical
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.handoff import Receipt
from xieban.marshal import stored_payload
from xieban.reconcile import Difference, Flaw, Problem, Reconciliation

log = logging.getLogger(__name__)

# Whom a statement of ours is for, besides the gateway.
_OURS: Final = """
    SELECT eid, 'handoff' AS what, to_agency AS receiver FROM handoff WHERE box = 'out' AND eid IN ({0})
    UNION ALL SELECT eid, 'receipt', peer FROM receipt WHERE box = 'out' AND eid IN ({0})
    UNION ALL SELECT eid, 'reply', 'gateway' FROM reply WHERE eid IN ({0})"""


class Mending:
    """`parcels` makes what the relay carries out of unfinished outbox rows, `fetch` takes handoffs whose dossier is wanted."""

    def __init__(
        self,
        database: Database,
        *,
        agency: Agency,
        counterparts: Mapping[str, Counterpart],
        parcels: Callable[[Sequence[Row]], list[Parcel]],
        carry: Callable[[Sequence[Parcel]], None],
        fetch: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._fetch = fetch
        self._database = database
        self._me = str(agency)
        self._counterparts = counterparts
        self._parcels = parcels
        self._carry = carry

    async def mend(self, differences: Sequence[Difference]) -> set[str]:
        """Begin to put right what can be; `eid@node` of each that was begun."""
        begun: set[str] = set()
        broken: list[str] = []
        bare: list[str] = []
        lacking: dict[str, list[str]] = defaultdict(list)
        ours: dict[str, list[str]] = defaultdict(list)
        for one in differences:
            if one.problem is Problem.MISSING and one.series.sender == self._me:
                ours[one.at].append(one.eid)
            elif one.problem is Problem.MISSING and one.at == self._me:
                lacking[one.series.sender].append(one.eid)
            elif one.at == self._me and one.flaw is Flaw.EFFECT and one.series.what == "receipt":
                broken.append(one.eid)
            elif one.at == self._me and one.flaw is Flaw.EFFECT and one.series.what == "handoff":
                bare.append(one.eid)
        for eid in bare:
            held = await self._database.read(partial(_handoff, eid=eid))
            self._fetch(held)
            begun |= {f"{one.eid}@{self._me}" for one in held}
        for eid in broken:
            if await self._database.write(partial(_state_again, eid=eid)):
                begun.add(f"{eid}@{self._me}")
        for audience, eids in ours.items():
            if await self.send_again(audience, eids):
                begun |= {f"{eid}@{audience}" for eid in eids}
        for author, eids in lacking.items():
            try:
                if await self._counterparts[author].send_again(eids):
                    begun |= {f"{eid}@{self._me}" for eid in eids}
            except (KeyError, XiebanError):
                log.warning("nobody to send it again", extra={"agency": author})
        return begun

    async def send_again(self, audience: str, eids: Sequence[str]) -> int:
        """Open the outbox rows of these statements of ours for an audience that lacks them; how many there are."""
        rows = await self._database.write(partial(_reopen, audience=audience, eids=eids))
        self._carry(self._parcels(rows))
        return len({row["eid"] for row in rows})

    async def told(self, result: Reconciliation) -> None:
        """Every difference is an error in the log of this node, with codes only."""
        for pair in result.pairs:
            if pair.trouble:
                log.error("reconciliation: no answer", extra={"agency": pair.counterpart, "reason": pair.trouble})
        for one in result.differences:
            told = {
                "difference": str(one.problem), "handoff": one.eid, "what": one.series.what, "kind": one.kind,
                "sender": one.series.sender, "receiver": one.series.receiver, "case": one.case_id, "agency": one.at,
                "repairing": one.repairing,
            }  # fmt: skip
            log.error("reconciliation: a statement is not where it should be", extra=told)
        log.info(
            "reconciled", extra={"count": len(result.differences) + result.left_out, "in_flight": result.in_flight}
        )


def _reopen(tx: Transaction, *, audience: str, eids: Sequence[str]) -> list[Row]:
    if not eids:
        return []
    found = tx.all(_OURS.format(placeholders(len(eids))), [*eids, *eids, *eids])
    rows = [
        (row["eid"], audience, row["what"], row["receiver"])
        for row in found
        if audience in (row["receiver"], Agency.GATEWAY)
    ]
    tx.many(*outbox.reopen(rows))
    open_again = {row[0] for row in rows}
    return [row for row in outbox.pending(tx) if row["eid"] in open_again]


def _handoff(tx: Transaction, *, eid: str) -> list[Entry]:
    """Its entry in either box: of one between our own offices the receiving one is asked about."""
    found = store.handoffs(tx, [eid], box="in") or store.handoffs(tx, [eid], box="out")
    return list(found.values())


def _state_again(tx: Transaction, *, eid: str) -> bool:
    """Put the facts of a stored receipt beside it again. What they did to a handoff has been done."""
    row = tx.one("SELECT sealed FROM receipt WHERE eid = ?", (eid,))
    if row is None:
        return False
    receipt = canonical.read(stored_payload(row["sealed"]), Receipt)
    tx.many(*store.facts_insert([FactRow(fact, eid) for fact in receipt.facts]))
    return True

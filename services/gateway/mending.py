"""What the gateway does about a difference: its author publishes again what is missing here, and what is here is written out again.

A difference is logged once, with codes only, for as long as it is the same. What must not go in: asking who holds what.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from services.chassis.clock import Clock
from services.chassis.database import Database, Row, Transaction, placeholders
from services.gateway.follow import Follower
from services.gateway.ingest import facts_of, handoff_of, unapproved
from services.gateway.log import Note, append, size
from services.gateway.store import Store
from services.reconcile.asking import Counterpart
from xieban import canonical
from xieban.agency import Agency
from xieban.approval import Officers
from xieban.errors import XiebanError
from xieban.handoff import Header, Receipt
from xieban.marshal import micros, stored_payload
from xieban.reconcile import Difference, Flaw, Problem, Reconciliation

log = logging.getLogger(__name__)


class Mending:
    """`carry` takes outbox rows (eid, audience, sealed) to the relay."""

    def __init__(
        self,
        database: Database,
        *,
        counterparts: Mapping[str, Counterpart],
        officers: Officers,
        follower: Follower,
        carry: Callable[[Sequence[Row]], None],
        clock: Clock,
    ) -> None:
        self._database = database
        self._counterparts = counterparts
        self._officers = officers
        self._follower = follower
        self._carry = carry
        self._clock = clock

    async def mend(self, differences: Sequence[Difference]) -> set[str]:
        """Begin to put right what can be; `eid@node` of each that was begun."""
        begun: set[str] = set()
        broken: list[str] = []
        lacking: dict[str, list[str]] = defaultdict(list)
        ours: dict[str, list[str]] = defaultdict(list)
        for one in differences:
            if one.problem is Problem.MISSING and one.series.sender == Agency.GATEWAY:
                ours[one.at].append(one.eid)
            elif one.problem is Problem.MISSING and one.at == Agency.GATEWAY:
                lacking[one.series.sender].append(one.eid)
            elif one.at == Agency.GATEWAY and one.flaw is Flaw.EFFECT:
                broken.append(one.eid)
        for eid in broken:
            if await self._database.write(partial(self._written_out, eid=eid)):
                begun.add(f"{eid}@{Agency.GATEWAY}")
        for audience, eids in ours.items():
            if await self.send_again(audience, eids):
                begun |= {f"{eid}@{audience}" for eid in eids}
        for author, eids in lacking.items():
            try:
                if await self._counterparts[author].send_again(eids):
                    begun |= {f"{eid}@{Agency.GATEWAY}" for eid in eids}
            except (KeyError, XiebanError):
                log.warning("nobody to send it again", extra={"agency": author})
        return begun

    async def send_again(self, audience: str, eids: Sequence[str]) -> int:
        """Open the outbox rows of these notices for the agency that lacks them; how many there are."""
        rows = await self._database.write(partial(_reopen, audience=audience, eids=eids))
        self._carry(rows)
        return len(rows)

    async def told(self, result: Reconciliation) -> None:
        """Every difference that is new becomes a log entry."""
        for pair in result.pairs:
            if pair.trouble:
                log.error("reconciliation: no answer", extra={"agency": pair.counterpart, "reason": pair.trouble})
        notes = [
            Note("RECONCILE_DIFF", one.case_id, one.eid, f"{one.problem}:{one.series.what}:{one.at}")
            for one in result.differences
        ]
        for note in notes:
            log.error(
                "reconciliation: a statement is not where it should be",
                extra={"detail": note.detail, "handoff": note.eid},
            )
        await self._database.write(partial(self._log, notes=notes))
        log.info(
            "reconciled", extra={"count": len(result.differences) + result.left_out, "in_flight": result.in_flight}
        )

    def _log(self, tx: Transaction, *, notes: Sequence[Note]) -> None:
        known = {
            (row["eid"], row["detail"])
            for row in tx.all("SELECT eid, detail FROM log_entry WHERE kind = 'RECONCILE_DIFF'")
        }
        append(tx, [note for note in notes if (note.eid, note.detail) not in known], at=micros(self._clock.now()))

    def _written_out(self, tx: Transaction, *, eid: str) -> bool:
        """Put what a stored statement says into the tables beside it again, and work its case out anew."""
        row = tx.one("SELECT type, sealed FROM statement WHERE eid = ? AND standing = 'held'", (eid,))
        if row is None or row["type"] not in ("header", "receipt"):
            return False
        store, now = Store(tx), micros(self._clock.now())
        if row["type"] == "header":
            header = canonical.read(stored_payload(row["sealed"]), Header)
            lodged = tx.one("SELECT position FROM log_entry WHERE eid = ? AND kind = 'LODGED'", (eid,))
            index = lodged["position"] - 1 if lodged is not None else size(tx)
            handoff = handoff_of(eid, header, unapproved=unapproved(header, self._officers, index=index))
            store.handoffs_add([handoff])
            cases = {handoff.case_id}
        else:
            facts = facts_of(eid, canonical.read(stored_payload(row["sealed"]), Receipt))
            store.facts_add(facts)
            wanted = [fact.of for fact in facts]
            found = tx.all(f"SELECT case_id FROM handoff WHERE eid IN ({placeholders(len(wanted))})", wanted)
            cases = {one["case_id"] for one in found}
        append(tx, self._follower.follow(store, cases, now=now), at=now)
        return True


def _reopen(tx: Transaction, *, audience: str, eids: Sequence[str]) -> list[Row]:
    if not eids:
        return []
    wanted = placeholders(len(eids))
    tx.run(f"UPDATE outbox SET done = 0 WHERE audience = ? AND eid IN ({wanted})", [audience, *eids])
    return tx.all(
        "SELECT o.position, o.eid, o.audience, s.sealed FROM outbox o JOIN statement s ON s.eid = o.eid"
        f" WHERE o.audience = ? AND o.eid IN ({wanted})",
        [audience, *eids],
    )

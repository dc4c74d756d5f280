"""One unit of writing: notices that are sealed, steps they bear, outbox rows they leave by, and what the log says of each.

Gathered by the desk, written by `flush` in a handful of batched statements. What must not go in: deciding what is to be written.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from services.chassis.database import Transaction
from services.gateway import outbox
from services.gateway.clocks import Limit
from services.gateway.log import Note
from services.gateway.store import Statement
from services.gateway.store import Store as Statements
from services.gateway.supervision.aims import Watched
from services.gateway.supervision.steps import Rules, Supervision
from services.gateway.supervision.store import Step, Store, Told
from xieban.agency import Agency
from xieban.handoff import Node, Party
from xieban.marshal import sealed_to_bytes
from xieban.notice import KEPT, NOTICE_VERSION, OCCASIONS, SCOPE, Basis, Demand, Notice, Occasion, Reply
from xieban.seal import SealKey
from xieban.statement import seal_notice
from xieban.supervision import OPEN, Act, days_over
from xieban.timelimits import rule


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: the gateway of `city`, its incarnation and key, and the rules it goes by."""

    city: str
    inc: int
    key: SealKey
    rules: Rules


@dataclass(slots=True)
class Writing:
    """What one transaction says. `notes` is what the log has to be told, in order."""

    author: Author
    now: int
    notes: list[Note] = field(default_factory=list)
    _statements: list[Statement] = field(default_factory=list)
    _told: list[tuple[str, Told, int]] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    _changed: dict[str, Supervision] = field(default_factory=dict)
    _owed: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, limit: Limit, occasion: Occasion, *, rung: str = "") -> None:
        """A warning of a limit, or that it is missed."""
        due = limit.safe_due if occasion is Occasion.WARNING else limit.due
        basis = _basis_of(limit)
        end = (limit.bearer_agency, limit.bearer_office)
        eid = self._seal(limit.case_id, end, occasion, basis, rung=rung, demand=None, sent=True)
        self._told.append((eid, (*limit.key, occasion, rung, due), self.now))
        self.notes.append(Note("NOTICE", limit.case_id, eid, f"{limit.rule}:{rung or occasion}"))

    def tell_target(self, aim: Watched, occasion: Occasion) -> None:
        """A warning of a service target, or that it is unmet. Its rung says how near it is, as that of a limit does."""
        rung = "yellow" if occasion is Occasion.WARNING else ""
        basis = Basis(
            kind="target", rule=aim.name, article=aim.article, start=aim.eid, person="", started_at=aim.started_at,
            due=aim.due, safe_due=aim.due, edition="", calendar="",
        )  # fmt: skip
        eid = self._seal(aim.case_id, (aim.agency, aim.office), occasion, basis, rung=rung, demand=None, sent=True)
        self._told.append((eid, (aim.case_id, aim.name, aim.eid, "", occasion, rung, aim.due), self.now))
        self.notes.append(Note("NOTICE", aim.case_id, eid, f"{aim.name}:{rung or occasion}"))

    def step(self, after: Supervision, act: Act, *, by: str = "", reason: str = "", remark: str = "") -> Supervision:
        """A step of the gateway, an officer or time, sealed; told to the agency once it was issued."""
        occasion = OCCASIONS[act]
        demand = Demand(
            id=after.id, step=after.step, state=after.state, level=after.level, whom=self.author.rules.whom(after),
            severity=after.severity, days_over=days_over(after.overdue_from, now=self.now), reply_by=after.reply_by, by=by,
            reason=reason, remark=remark,
        )  # fmt: skip
        sent = after.state not in KEPT
        end = (after.agency, after.office)
        eid = self._seal(after.case_id, end, occasion, _basis_of(after), rung="", demand=demand, sent=sent)
        if act in (Act.ISSUE, Act.RETURN, Act.ESCALATE, Act.MISS) or (act is Act.RESTORE and after.state in OPEN):
            after = replace(after, demanded=eid)
        self._stepped(after, act, at=self.now, by=by, eid=eid)
        self.notes.append(Note("NOTICE" if sent else "SUPERVISION", after.case_id, eid, f"{after.id}:{occasion}"))
        return after

    def heard(self, after: Supervision, reply: Reply, *, eid: str) -> None:
        """A reply that took effect, or came after a newer one."""
        self._stepped(after, Act(reply.act), at=reply.at, by=reply.by, eid=eid)
        self.notes.append(Note("REPLY", after.case_id, eid, f"{after.id}:{reply.act}"))

    def flush(self, transaction: Transaction) -> list[Note]:
        """Write everything; return what is to be logged."""
        store = Store(transaction)
        Statements(transaction).statements_add(self._statements)
        store.notices_add(self._told)
        next_at = self.author.rules.next_at
        store.put({id: (supervision, next_at(supervision)) for id, supervision in self._changed.items()})
        store.steps_add(self._steps)
        outbox.put(transaction, self._owed)
        return self.notes

    def _stepped(self, after: Supervision, act: Act, *, at: int, by: str, eid: str) -> None:
        self._changed[after.id] = after
        self._steps.append(
            Step(
                supervision=after.id, step=after.step, act=act, state=after.state, level=after.level, at=at,
                recorded_at=self.now, by=by, eid=eid,
            )
        )  # fmt: skip

    def _seal(
        self,
        case: str,
        end: tuple[str, str],
        occasion: Occasion,
        basis: Basis,
        *,
        rung: str,
        demand: Demand | None,
        sent: bool,
    ) -> str:
        author = self.author
        notice = Notice(
            v=NOTICE_VERSION,
            id=secrets.token_hex(12),
            sender=Node(city=author.city, agency=Agency.GATEWAY),
            receiver=Party(city=author.city, agency=end[0], office=end[1]),
            inc=author.inc,
            at=self.now,
            case=case,
            occasion=occasion,
            rung=rung,
            basis=basis,
            demand=demand,
            scope=SCOPE,
        )
        sealed = seal_notice(notice, author.key)
        eid = sealed.eid
        self._statements.append(
            Statement(
                eid=eid, type=sealed.type, agency=Agency.GATEWAY, inc=author.inc, id=notice.id,
                sealed=sealed_to_bytes(sealed), published_at=self.now,
            )
        )  # fmt: skip
        if sent:
            self._owed.append((eid, end[0]))
        return eid


def _basis_of(about: Limit | Supervision) -> Basis:
    return Basis(
        kind="statute", rule=about.rule, article=rule(about.rule).article, start=about.start_eid, person=about.person,
        started_at=about.started_at, due=about.due, safe_due=about.safe_due, edition=about.edition, calendar=about.calendar,
    )  # fmt: skip

"""The report of a replay: what the four records say when laid side by side. Pure but for what it is given.

Lost: something one party holds and another, who should, does not. Duplicate: something there twice, or in effect twice. Both are
named, never only counted. What must not go in: reading databases (`ledgers`), printing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.replay.dossiers import client_ref
from services.replay.drive import Outcome
from services.replay.ledgers import AgencyLedger, Ledgers, facts
from services.replay.plan import CasePlan
from services.replay.timeline import Refusal
from xieban.agency import Agency
from xieban.handoff import Header

_ANSWERS = frozenset({"accepted", "returned", "rejected", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Named:
    """One thing lost or doubled: what it is, its eid, its case, and where."""

    what: str
    eid: str
    case: str
    where: str

    def row(self) -> dict[str, str]:
        return {"what": self.what, "eid": self.eid, "case": self.case, "where": self.where}


@dataclass(frozen=True, slots=True)
class Report:
    """Figures and names, as written to the report file."""

    content: dict[str, Any]

    @property
    def sound(self) -> bool:
        """Nothing lost, doubled, unverified or undone."""
        keys = ("lost", "duplicates", "unverified", "unfinished", "troubles")
        return not any(self.content[key] for key in keys)


def lost(ledgers: Ledgers) -> list[Named]:
    """What somebody should hold and does not."""
    return [*_lost_headers(ledgers), *_lost_receipts(ledgers)]


def _lost_headers(ledgers: Ledgers) -> Iterator[Named]:
    for sender in ledgers.agencies.values():
        heard = {(fact.of, fact.kind) for _, fact in facts(sender.heard)}
        for eid, header in sender.sent.items():
            receiver = ledgers.agencies[Agency(header.receiver.agency)]
            if eid not in receiver.taken:
                yield Named("header", eid, header.case.id, f"{receiver.agency} 没有收到")
            if eid not in ledgers.gateway.handoffs or eid not in ledgers.gateway.statements:
                yield Named("header", eid, header.case.id, "gateway 没有收到")
            rejected = (eid, "rejected") in heard
            if eid not in receiver.proven and not rejected:
                yield Named("dossier", eid, header.case.id, f"{receiver.agency} 没有完整案卷")
            for kind in () if rejected else ("delivered", "complete"):
                if (eid, kind) not in heard:
                    yield Named(f"receipt {kind}", eid, header.case.id, f"{sender.agency} 没有回执")
            if not any((eid, kind) in heard for kind in _ANSWERS):
                yield Named("answer", eid, header.case.id, f"{sender.agency} 没有得到接收或退回")


def _lost_receipts(ledgers: Ledgers) -> Iterator[Named]:
    for author in ledgers.agencies.values():
        for eid, receipt in author.written.items():
            case = _case_of(author, receipt.facts[0].of)
            addressee = ledgers.agencies[Agency(receipt.receiver.agency)]
            if eid not in addressee.heard:
                yield Named("receipt", eid, case, f"{addressee.agency} 没有收到")
            if eid not in ledgers.gateway.statements:
                yield Named("receipt", eid, case, "gateway 没有收到")


def duplicates(ledgers: Ledgers) -> list[Named]:
    """What is there twice, was done twice, or came from nowhere."""
    found: list[Named] = []
    for ledger in ledgers.agencies.values():
        for reference, eids in ledger.refs.items():
            if len(eids) > 1:
                found.append(Named(f"client_ref {reference}", eids[1], ledger.sent[eids[1]].case.id, ledger.agency))
        for eid, header in ledger.taken.items():
            if eid not in ledgers.agencies[Agency(header.sender.agency)].sent:
                found.append(Named("header from nowhere", eid, header.case.id, ledger.agency))
        stated = Counter((fact.of, fact.kind) for _, fact in facts(ledger.written))
        for (eid, kind), times in stated.items():
            if times > 1:
                found.append(Named(f"fact {kind} ×{times}", eid, _case_of(ledger, eid), ledger.agency))
        found += _broken_lanes(ledger)
    for eid, times in ledgers.gateway.lodged.items():
        if times > 1:
            found.append(Named(f"log LODGED ×{times}", eid, "", "gateway"))
    return [*found, *_miscounted_returns(ledgers)]


def _broken_lanes(ledger: AgencyLedger) -> Iterator[Named]:
    for box in (ledger.sent, ledger.taken):
        lanes: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
        for eid, header in box.items():
            lanes.setdefault(_lane(header), []).append((header.lane.seq, eid))
        for (case, sender, receiver), numbered in lanes.items():
            for expected, (seq, eid) in enumerate(sorted(numbered), start=1):
                if seq != expected:
                    yield Named(f"lane {sender}-{receiver} {seq}≠{expected}", eid, case, ledger.agency)
                    break


def _miscounted_returns(ledgers: Ledgers) -> Iterator[Named]:
    """An effect done twice shows in a counter: each party must have counted every return of a case exactly once, and none that came
    to nothing."""
    nothing = {
        fact.of
        for ledger in ledgers.agencies.values()
        for _, fact in facts(ledger.heard)
        if fact.kind in ("returned", "rejected", "withdrawn")
    }
    returned = Counter(
        header.case.id
        for ledger in ledgers.agencies.values()
        for eid, header in ledger.sent.items()
        if header.kind == "return_supplementary_investigation" and eid not in nothing
    )
    for agency in (Agency.POLICE, Agency.PROCURATORATE):
        for case, (_, counted) in ledgers.agencies[agency].stages.items():
            if counted != returned[case]:
                yield Named(f"returns {counted}≠{returned[case]}", "", case, agency)


def compile_report(
    plans: Sequence[CasePlan],
    refusals: Sequence[Refusal],
    outcome: Outcome,
    ledgers: Ledgers,
    *,
    elapsed: float,
    restarts: dict[str, int],
) -> Report:
    """Everything of one replay."""
    missing, doubled = lost(ledgers), [*duplicates(ledgers), *_unplanned(plans, ledgers)]
    turned_away = [*_refused(refusals), *_rejected(ledgers)]
    sent = {eid: header for ledger in ledgers.agencies.values() for eid, header in ledger.sent.items()}
    heard = {(fact.of, fact.kind) for ledger in ledgers.agencies.values() for _, fact in facts(ledger.heard)}
    limits = ledgers.gateway.limits
    count = Counter(kind for _, kind in heard)
    content: dict[str, Any] = {
        "cases": len(plans),
        "handoffs": len(sent),
        "delivered": count["delivered"],
        "complete": count["complete"],
        "accepted": count["accepted"],
        "returned": count["returned"],
        "answered": count["answered"],
        "withdrawn": count["withdrawn"],
        "receipts": sum(len(ledger.written) for ledger in ledgers.agencies.values()),
        "receipts_verified": ledgers.receipts_verified,
        "dossiers_verified": sum(len(ledger.proven) for ledger in ledgers.agencies.values()),
        "unverified": len(ledgers.unverified),
        "lost": len(missing),
        "duplicates": len(doubled),
        "rejected": len(turned_away),
        "unfinished": sum(ledger.unfinished for ledger in ledgers.agencies.values()),
        "troubles": len(outcome.troubles),
        "limits_started": len(limits),
        "limits_overdue": sum(1 for limit in limits if limit.overdue),
        "violations": ledgers.gateway.violations,
        "log_entries": ledgers.gateway.log_entries,
        "derived_steps": sum(1 for plan in plans for step in plan.steps if step.derived),
        "elapsed_s": round(elapsed, 3),
        "restarts": restarts,
        "kinds": dict(sorted(Counter(header.kind for header in sent.values()).items())),
        "lost_named": [item.row() for item in missing],
        "duplicates_named": [item.row() for item in doubled],
        "unverified_named": ledgers.unverified,
        "troubles_named": [
            {"id": t.timeline, "case": t.case_id, "step": t.step, "kind": t.kind, "reason": t.reason, "text": t.text}
            for t in outcome.troubles
        ],
        "rejected_named": turned_away,
        "by_case": _cases(plans, ledgers),
    }
    return Report(content)


def _refused(refusals: Sequence[Refusal]) -> Iterator[dict[str, Any]]:
    for refusal in refusals:
        yield {
            "what": "line",
            "line": refusal.line,
            "id": refusal.id,
            "code": refusal.code,
            "detail": refusal.detail,
        }


def _rejected(ledgers: Ledgers) -> Iterator[dict[str, Any]]:
    for ledger in ledgers.agencies.values():
        for _, fact in facts(ledger.heard):
            if fact.kind == "rejected":
                codes = ",".join(defect.code for defect in fact.defects)
                yield {"what": "handoff", "id": fact.of, "code": codes, "detail": _case_of(ledger, fact.of)}


def _cases(plans: Sequence[CasePlan], ledgers: Ledgers) -> list[dict[str, Any]]:
    sent = Counter(header.case.id for ledger in ledgers.agencies.values() for header in ledger.sent.values())
    overdue: dict[str, list[dict[str, str]]] = {}
    for limit in ledgers.gateway.limits:
        if limit.overdue:
            row = {"rule": limit.rule, "due": limit.due, "state": limit.state}
            overdue.setdefault(limit.case_id, []).append(row)
    return [
        {
            "id": plan.timeline.id,
            "case": plan.case_id,
            "final_stage": ledgers.gateway.stages.get(plan.case_id, ""),
            "handoffs": sent[plan.case_id],
            "planned": len(plan.steps),
            "derived": sum(1 for step in plan.steps if step.derived),
            "overdue": overdue.get(plan.case_id, []),
            "notes": list(plan.notes),
        }
        for plan in plans
    ]


def _unplanned(plans: Sequence[CasePlan], ledgers: Ledgers) -> Iterator[Named]:
    """In a fresh city everything was sent under a planned number."""
    planned = {client_ref(plan, step) for plan in plans for step in plan.steps}
    for ledger in ledgers.agencies.values():
        for reference, eids in ledger.refs.items():
            if reference not in planned:
                yield Named(f"not planned {reference}", eids[0], ledger.sent[eids[0]].case.id, ledger.agency)


def _lane(header: Header) -> tuple[str, str, str]:
    return header.case.id, header.sender.agency, header.receiver.agency


def _case_of(ledger: AgencyLedger, eid: str) -> str:
    header = ledger.taken.get(eid) or ledger.sent.get(eid)
    return header.case.id if header is not None else ""

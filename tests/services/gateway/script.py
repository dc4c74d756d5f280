"""Writes a city's statements for tests: agencies with seal keys, their lanes, and the receipts they answer with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from services.chassis.bus import Incoming
from services.gateway.clocks import SHANGHAI
from xieban import subjects
from xieban.agency import PARTIES, Agency
from xieban.approval import Officers
from xieban.handoff import (
    Act,
    CaseRef,
    ClockAct,
    ClockEffect,
    Commitment,
    Defect,
    Fact,
    FactKind,
    Header,
    Lane,
    Node,
    Party,
    Receipt,
    StatedDue,
)
from xieban.marshal import micros, sealed_to_bytes
from xieban.procedure import table
from xieban.seal import Directory, SealKey, entry
from xieban.statement import seal_header, seal_receipt

CITY = "lanzhou"
DIVISION = "620102"
PUBLISHED = datetime(2026, 3, 2, tzinfo=UTC)


def at(text: str) -> int:
    """Microseconds of a Shanghai time such as `2026-03-02 09:00`."""
    return micros(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI))


def clock(
    effect: ClockEffect,
    rule: str,
    when: str,
    *,
    event: str = "",
    until: str = "",
    by: str = "",
    kind: Literal["", "add", "total"] = "",
    months: int = 0,
    days: int = 0,
    hours: int = 0,
    person: str = "",
    document: str = "兰城公〔2026〕7号",
) -> ClockAct:
    """What a legal act did to a limit."""
    return ClockAct(
        effect=effect, rule=rule, event=event, at=at(when), until=at(until) if until else 0, by=by, kind=kind,
        months=months, days=days, hours=hours, person=person, document=document,
    )  # fmt: skip


@dataclass(slots=True)
class Script:
    """Statements in the order they were written. Take `messages` and deliver them in any order you like."""

    keys: dict[str, SealKey] = field(default_factory=lambda: {agency: SealKey.generate() for agency in Agency})
    messages: list[Incoming] = field(default_factory=list)
    officers: Officers = field(default_factory=lambda: Officers(()))
    _lanes: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    _count: int = 0

    @property
    def directory(self) -> Directory:
        return Directory([entry(key, city=CITY, agency=Agency(agency)) for agency, key in self.keys.items()])

    def send(
        self,
        case: str,
        kind: str,
        sender: str,
        receiver: str,
        when: str,
        *,
        stage: str = "S10_investigation",
        outcome: str = "",
        re: Sequence[str] = (),
        acts: Sequence[tuple[str, ...]] = (),
        clocks: Sequence[ClockAct] = (),
        dues: Sequence[tuple[str, str]] = (),
        pages: int = 12,
        division: str = DIVISION,
        to_division: str = "",
        id: str = "",
    ) -> str:
        """Seal a header; returns its eid. An act is (what, when), of P1, or (what, when, person); a due date
        (rule, date) or (rule/person, date)."""
        self._count += 1
        seq, prev = self._lanes.get((case, sender, receiver), (0, ""))
        known = table().acts
        header = Header(
            v=1,
            id=id or f"{self._count:024x}",
            client_ref_hash=f"{self._count:064x}",
            sender=Party(city=CITY, agency=sender, office=division),
            receiver=Party(city=CITY, agency=receiver, office=to_division or division),
            inc=1,
            case=CaseRef(id=case, stage=stage),
            kind=kind,
            outcome=outcome,
            lane=Lane(seq=seq + 1, prev=prev),
            re=list(re),
            secrecy="none",
            acts=[
                Act(
                    what=what,
                    at=at(day),
                    person=person[0] if person else "P1",
                    custody=known[what].custody if what in known else None,
                    derived=False,
                )
                for what, day, *person in acts
            ],
            sent_at=at(when),
            dossier=Commitment(commit="ab" * 32, files=3, bytes=4096, pages=pages),
            rules=table().edition,
            clocks=list(clocks),
            dues=[
                StatedDue(rule=rule, person=person, due=due)
                for rule, _, person, due in ((*name.partition("/"), due) for name, due in dues)
            ],
        )
        return self.put(header)

    def register(self, case: str, sender: str, when: str, *clocks: ClockAct, division: str = DIVISION) -> str:
        """A registration of acts the platform cannot see; returns its eid."""
        return self.send(
            case, "limit_registration", sender, Agency.GATEWAY, when,
            clocks=clocks, division=division, to_division=DIVISION[:4] + "00",
        )  # fmt: skip

    def put(self, header: Header, *, key: SealKey | None = None) -> str:
        """Seal and add a header as it is."""
        sealed = seal_header(header, key or self.keys[header.sender.agency])
        lane = (header.case.id, header.sender.agency, header.receiver.agency)
        self._lanes[lane] = (header.lane.seq, sealed.eid)
        subject = subjects.handoff(CITY, header.sender.agency, header.receiver.agency)
        self.messages.append(incoming(subject, sealed_to_bytes(sealed), len(self.messages)))
        return sealed.eid

    def receipt(
        self,
        author: str,
        addressee: str,
        facts: Sequence[tuple[str, FactKind, str]],
        *,
        defects: Sequence[Defect] = (),
        answer: str = "",
    ) -> str:
        """Seal a receipt of (eid, kind, when) facts; returns its eid."""
        self._count += 1
        receipt = Receipt(
            v=1,
            id=f"{self._count:024x}",
            sender=Node(city=CITY, agency=author),
            receiver=Node(city=CITY, agency=addressee),
            inc=1,
            at=at(facts[0][2]),
            facts=[
                Fact(of=of, kind=kind, at=at(when), defects=list(defects), answer=answer if kind == "answered" else "")
                for of, kind, when in facts
            ],
        )
        sealed = seal_receipt(receipt, self.keys[author])
        subject = subjects.receipt(CITY, author, addressee)
        self.messages.append(incoming(subject, sealed_to_bytes(sealed), len(self.messages)))
        return sealed.eid

    def settle(self, eid: str, author: str, addressee: str, when: str, *, accepted: str = "") -> None:
        """The usual receipts: delivered and complete at `when`, accepted then or later, in three statements."""
        self.receipt(author, addressee, [(eid, "delivered", when)])
        self.receipt(author, addressee, [(eid, "complete", when)])
        self.receipt(author, addressee, [(eid, "accepted", accepted or when)])


def incoming(subject: str, data: bytes, sequence: int = 0) -> Incoming:
    return Incoming(
        subject=subject, data=data, headers={}, published_at=PUBLISHED, sequence=sequence, deliveries=1, reply=""
    )


def again(message: Incoming) -> Incoming:
    """The same message, delivered once more."""
    return replace(message, deliveries=message.deliveries + 1)


def road(script: Script, case: str, *, day: str = "2026-01-05") -> dict[str, str]:
    """A case in custody on the main road, with one return for supplement, until judgment. Eids by kind."""
    police, pp, court = PARTIES
    s20, s30, s40 = "S20_prosecution_review", "S30_court_intake", "S40_first_instance"
    s25 = "S25_supplementary_investigation"
    eids: dict[str, str] = {}

    def send(kind: str, sender: str, receiver: str, when: str, **more: object) -> str:
        eids[kind] = script.send(case, kind, sender, receiver, when, **more)  # type: ignore[arg-type]
        return eids[kind]

    request = send("arrest_request", police, pp, f"{day} 09:00", acts=[("detained", "2026-01-02 18:00")])
    script.settle(request, pp, police, "2026-01-05 09:10")
    decision = send("arrest_decision", pp, police, "2026-01-09 16:00", outcome="approved", re=[request])
    script.receipt(pp, police, [(request, "answered", "2026-01-09 16:00")], answer=decision)
    script.settle(decision, police, pp, "2026-01-09 16:05")
    done = send(
        "arrest_execution_receipt", police, pp, "2026-01-10 10:00",
        outcome="executed", re=[decision], acts=[("arrested", "2026-01-10 08:30")],
    )  # fmt: skip
    script.settle(done, pp, police, "2026-01-10 10:10")
    transfer = send("prosecution_transfer", police, pp, "2026-02-02 09:30")
    script.settle(transfer, pp, police, "2026-02-02 09:40", accepted="2026-02-02 15:00")
    back = send("return_supplementary_investigation", pp, police, "2026-02-25 11:00", stage=s20)
    script.settle(back, police, pp, "2026-02-25 11:05")
    resubmit = send("resubmission_after_supplement", police, pp, "2026-03-16 09:00", stage=s25, re=[back])
    script.settle(resubmit, pp, police, "2026-03-16 09:10")
    indict = send(
        "public_prosecution", pp, court, "2026-04-08 09:00", stage=s20, acts=[("prosecuted", "2026-04-08 09:00")]
    )
    script.settle(indict, court, pp, "2026-04-08 09:10")
    intake = send(
        "court_intake_result", court, pp, "2026-04-13 10:00",
        stage=s30, outcome="accepted", re=[indict], acts=[("case_accepted", "2026-04-13 10:00")],
    )  # fmt: skip
    script.settle(intake, pp, court, "2026-04-13 10:05")
    notice = send("hearing_notice", court, pp, "2026-05-06 09:00", stage=s40, acts=[("hearing", "2026-05-20 09:00")])
    script.settle(notice, pp, court, "2026-05-06 09:05")
    judgment = send("judgment_service", court, pp, "2026-06-02 15:00", stage=s40, acts=[("judged", "2026-06-02 10:00")])
    script.settle(judgment, pp, court, "2026-06-02 15:10")
    return eids

"""The signed header of a handoff, the receipts that answer it, and the ladder its state climbs.

A header is the legal object: codes, times, counts and digests, no names and no free text. A receipt holds facts, each stated by
the receiver about one header. State never moves but by a sealed fact; the table below says how, and nothing else does.
What is allowed in law (kinds, stages, parties) is not here: see `xieban.procedure`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

HEADER_VERSION = 1
LATEST = 4_102_444_800_000_000
"""The first moment of 2100, in microseconds: no legal time lies beyond, and every reader can print what lies before."""

# The schema is closed for values too: what is signed by a peer is still from outside. Integers stay within what every JSON reader
# takes exactly; a text is a code, a digest or a tag, so that a name or a document number in clear has no field to travel in.
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Micros = Annotated[int, Meta(ge=0, lt=LATEST)]
Code = Annotated[str, Meta(max_length=64)]
Item = Annotated[str, Meta(max_length=128)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
MaybeDigest = Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
RandomId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{24}\Z")]
CaseNumber = Annotated[str, Meta(pattern=r"\A[A-Z0-9]{4,32}\Z")]
# 文号 and 案号 as offices print them: a short name, a bracketed year, a serial. Long enough for those, too narrow for a sentence.
DocumentNumber = Annotated[
    str,
    Meta(
        pattern=r"\A([\u4e00-\u9fff（）()]{0,24}[〔（(\[](19|20)[0-9]{2}[〕）)\]][\u4e00-\u9fff0-9]{0,16}第?[0-9]{1,8}号)?\Z"
    ),
]
MaybeTag = Annotated[str, Meta(pattern=r"\A(P[1-9][0-9]{0,2})?\Z")]


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One end of a handoff: city token, agency, division code of the office."""

    city: Code
    agency: Code
    office: Code


class CaseRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The case and the stage it is in, as the sender knows it when it seals."""

    id: CaseNumber
    stage: Code


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Place in the lane (case, from agency, to agency): `seq` is gapless from 1, `prev` the eid of seq − 1 (empty for 1)."""

    seq: Count
    prev: MaybeDigest


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A legal event. `at` is its legal time in microseconds since the epoch; `person` a tag or empty for the whole case.

    `custody` is whether the person is held after the act (None: the act says nothing about it). `derived` marks a time that came
    from a published rule instead of a document.
    """

    what: Code
    at: Micros
    person: MaybeTag
    custody: bool | None
    derived: bool


ClockEffect = Literal["start", "stop", "extend", "exclude", "restart"]


class ClockAct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a legal act does to one statutory limit, stated by the office that did it.

    `rule` and `event` are ids of `xieban.timelimits`; `at` is the legal time, `until` the end of an excluded interval (0: still open,
    or none); `by` the office class that granted an extension, `kind` "add" or "total" with its amounts. `person` is a tag or empty;
    `document` the number of the document that proves it (文号).
    """

    effect: ClockEffect
    rule: Code
    event: Code
    at: Micros
    until: Micros
    by: Code
    kind: Literal["", "add", "total"]
    months: Count
    days: Count
    hours: Count
    person: MaybeTag
    document: DocumentNumber


class StatedDue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last day of a limit as the sender's own system computes it: compared by the gateway, and of no effect.

    `due` is a date (in time until 24:00) or, of a limit in hours, a moment of Shanghai time; `person` a tag or empty.
    """

    rule: Code
    person: MaybeTag
    due: Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?\+08:00)?\Z")]


class Commitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The dossier by digest only: SHA-256(salt ‖ manifest), hex, with its size. The salt travels with the dossier."""

    commit: Digest
    files: Count
    bytes: Count
    pages: Count


class LogView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest tree of the supervision log that the sender's own witness has cosigned.

    `sig` is the log's own signature of that tree, as it stands behind the key name in a signed note (C2SP signed-note: base64 of four
    bytes of key id and 64 of Ed25519). With it two headers can convict a log that has shown two histories; see docs/ledger-format.md.
    """

    size: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    root: Digest
    sig: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]=\Z")]


OfficerRole = Literal["approver", "handler"]
"""审批 and 经办, in the order in which a header lists them."""


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That an officer stands behind a handoff: role, key id, and the signature (base64) of what `xieban.approval` spells out."""

    role: OfficerRole
    keyid: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
    sig: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{80,100}={0,2}\Z")]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the bus, the receiver and the gateway see of a handoff. Times are microseconds since the epoch, UTC.

    A field with a default is left out where it has it: there is one spelling, and headers from before the field was known keep theirs.
    """

    v: Count
    id: RandomId
    client_ref_hash: Digest
    sender: Party = msgspec.field(name="from")
    receiver: Party = msgspec.field(name="to")
    inc: Count
    case: CaseRef
    kind: Code
    outcome: Code
    lane: Lane
    re: list[Digest]
    secrecy: Literal["none", "internal"]
    acts: list[Act]
    sent_at: Micros
    dossier: Commitment
    rules: Code
    clocks: list[ClockAct]
    dues: list[StatedDue] = []
    log: LogView | None = None
    approvals: list[Approval] = []


MAX_APPROVALS = 2
MAX_REFERENCES = 32
MAX_ACTS = 64
MAX_CLOCKS = 16
MAX_DUES = 16


class Defect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a handoff was returned or rejected: rule or reason code, article, and the item it concerns. Codes only."""

    code: Code
    article: Code
    item: Item


FactKind = Literal["delivered", "complete", "accepted", "returned", "answered", "rejected", "withdrawn"]


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statement of the receiver about one header (`of`). `answer` is the eid of the answering header, or empty."""

    of: Digest
    kind: FactKind
    at: Micros
    defects: list[Defect]
    answer: MaybeDigest


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that speaks or is spoken to: city token, agency."""

    city: Code
    agency: Code


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts of one node for one sender, sealed together. At most 32 facts."""

    v: Count
    id: RandomId
    sender: Node = msgspec.field(name="from")
    receiver: Node = msgspec.field(name="to")
    inc: Count
    at: Micros
    facts: list[Fact]


MAX_FACTS = 32


LoggedKind = Literal["LODGED", "DELIVERED", "COMPLETE", "ACCEPTED", "RETURNED", "ANSWERED", "REJECTED", "WITHDRAWN"]


class Logged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry that the gateway has put into the supervision log about the header `eid`, each kind once a header.

    `index` counts from 0, `leaf` is the entry's leaf hash: the place and the content that a tree of the log has to show.
    """

    kind: LoggedKind
    eid: Digest
    index: Count
    leaf: Digest


class Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A node's signed word that it holds these statements durably. Never resent by itself: the author asks by resending.

    In the gateway's also `logged`, its word on the log about handoffs that the addressee sent or received; nobody else may give it, and
    where there is none it is left out.
    """

    v: Count
    sender: Node = msgspec.field(name="from")
    receiver: Node = msgspec.field(name="to")
    at: Micros
    holds: list[Digest]
    logged: list[Logged] = []


MAX_HOLDS = 200
MAX_LOGGED = 64


class State(StrEnum):
    """Where a handoff stands."""

    SENT = "sent"
    DELIVERED = "delivered"
    COMPLETE = "complete"
    ACCEPTED = "accepted"
    RETURNED = "returned"
    ANSWERED = "answered"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


_OPEN = (State.SENT, State.DELIVERED, State.COMPLETE)

# The ladder: from which states a fact may lead where. A reader that learns of a later fact first takes it: the receiver's own
# order is kept by its database, the bus may reorder.
LADDER: dict[str, tuple[tuple[State, ...], State]] = {
    "delivered": ((State.SENT,), State.DELIVERED),
    "complete": ((State.SENT, State.DELIVERED), State.COMPLETE),
    "accepted": (_OPEN, State.ACCEPTED),
    "returned": (_OPEN, State.RETURNED),
    "answered": ((*_OPEN, State.ACCEPTED), State.ANSWERED),
    "rejected": (_OPEN, State.REJECTED),
    "withdrawn": (_OPEN, State.WITHDRAWN),
}

SETTLED = frozenset({State.ACCEPTED, State.RETURNED, State.ANSWERED, State.REJECTED, State.WITHDRAWN})
"""States in which the receiver has given its answer; nothing of the handoff is in flight any more."""


def climb(state: State, fact: FactKind) -> State:
    """The state after a fact; the same state when the fact is older news."""
    origins, target = LADDER[fact]
    return target if state in origins else state

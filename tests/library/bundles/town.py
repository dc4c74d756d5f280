"""A city on paper: keys, a trust list of three versions, a log with witnesses, and cases with bundles, honest or crooked.

Everything is made with the library's own writers and is the same in every run for the same seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.gateway.log import Entry
from tests.library import samples
from tests.library.bundles import officers
from xieban import bundle, canonical, dossier, procedure, trust
from xieban.bundle import Manifest, Profile
from xieban.handoff import Approval, CaseRef, Commitment, Defect, Fact, FactKind, Header, Lane, Node, Party, Receipt
from xieban.keys import PrivateKey, algorithm, keyid
from xieban.marshal import moment
from xieban.notice import Demand, Notice, Occasion, Reply
from xieban.proof import checkpoint, merkle, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, SigningKey
from xieban.proof.tlogproof import TlogProof
from xieban.seal import Sealed, SealKey
from xieban.supervision import Cause, Measure, State
from xieban.trust import Authority, Chain, Issue, Log, Seal, TrustList, Witness, lists
from xieban.verify.container import pack
from xieban.verify.trustlist import Pins

CITY, DIVISION = samples.CITY, samples.DIVISION
CASE, OTHER = "A6201020000002026030001", "A6201020000002026030002"
PS, PP, CT, GW = "police", "procuratorate", "court", "gateway"
PARTIES = (PS, PP, CT)
SECOND = 1_000_000
BEGIN = 1_772_500_000 * SECOND
LIFE = 365 * 86_400 * SECOND
Members = dict[str, bytes]
APPROVED = {kind for kind, row in procedure.table().kinds.items() if row.approval}


def private(number: int) -> PrivateKey:
    return algorithm("ed25519+sha256").private(number.to_bytes(32, "big"), b"")


ROOTS = tuple(private(number) for number in range(1001, 1006))
NEW_ROOT = private(1006)
SEALS = {agency: SealKey(private(number)) for number, agency in enumerate((*PARTIES, GW), start=1)}
OFFICE_KEY, NEW_COURT, STRANGER = SealKey(private(8)), SealKey(private(9)), SealKey(private(99))
STOLEN, LOST, AUTHORITY = "5c" * 32, "1f" * 32, "ca" * 32
"""Certificates by their fingerprints: two that are barred, and the city's authority."""
LOG_KEY = SigningKey("xieban.lanzhou/log", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(b"L" * 32))
OTHER_LOG = SigningKey("xieban.lanzhou/log", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(b"M" * 32))
WITNESSES = {
    agency: SigningKey(
        f"xieban.lanzhou/{agency}",
        Algorithm.COSIGNATURE_V1,
        Ed25519PrivateKey.from_private_bytes(agency.encode().ljust(32)),
    )
    for agency in PARTIES
}


def chain(*, roots: Sequence[PrivateKey] = ROOTS) -> Chain:
    """Three versions: founded; an office's key, officers, the court's next key, a certificate barred; one root
    replaced, another certificate barred, an officer gone."""

    def seal(agency: str, key: SealKey, *, index: int = 0, office: str = "") -> Seal:
        public = key.public
        return Seal(agency=agency, office=office, algorithm=public.name, public=public.raw.hex(), from_index=index)  # type: ignore[arg-type]

    def signed(draft: Chain, *keys: PrivateKey) -> Chain:
        for key in keys:
            draft = trust.sign(draft, key)
        return draft

    begun = trust.begin(
        city=CITY,
        roots=[root.public for root in roots],
        threshold=3,
        issued_at=moment(BEGIN - LIFE),
        expires_at=moment(BEGIN + LIFE),
    )
    first = Issue(index=0, at=BEGIN - LIFE, expires_at=BEGIN + LIFE)
    begun = trust.add(
        begun,
        *(seal(agency, key) for agency, key in SEALS.items()),
        Authority(fingerprint=AUTHORITY, from_index=0),
        Log(name=LOG_KEY.public.name, algorithm="ed25519+sha256", public=LOG_KEY.public.public.hex(), from_index=0),
        *(
            Witness(name=key.public.name, holder=agency, algorithm="ed25519+sha256", public=key.public.public.hex(), from_index=0)
            for agency, key in WITNESSES.items()
        ),
        issue=first,
    )  # fmt: skip
    begun = signed(begun, *roots[:3])
    second = Issue(index=4, at=BEGIN - LIFE // 2, expires_at=BEGIN + LIFE)
    begun = trust.add(
        begun, seal(PP, OFFICE_KEY, index=4, office=DIVISION), *officers.listed(from_index=4), issue=second
    )
    begun = trust.rotate(begun, id=keyid(SEALS[CT].public), to=NEW_COURT.public, overlap=400, issue=second)
    begun = trust.bar(begun, fingerprint=STOLEN, reason="compromised", issue=second)
    begun = signed(begun, *roots[:4])
    third = Issue(index=6, at=BEGIN - LIFE // 3, expires_at=BEGIN + 2 * LIFE)
    begun = trust.rotate_root(begun, id=keyid(roots[0].public), to=NEW_ROOT.public, issue=third)
    begun = trust.bar(begun, fingerprint=LOST, reason="lost", issue=third)
    begun = trust.revoke(begun, id=keyid(officers.PS_LEFT.public), reason="left", from_index=None, issue=third)
    return signed(begun, *roots[1:4], NEW_ROOT)


def misled(made: Chain, third: TrustList) -> bytes:
    """The file with another third version, which enough roots of both sets have signed."""
    payload = lists.encode(third)
    signed = [SealKey(root).seal("trustlist", payload) for root in (*ROOTS[1:4], NEW_ROOT)]  # type: ignore[arg-type]
    rows = sorted((one.signatures[0] for one in signed), key=lambda row: row.keyid)
    sealed = Sealed(signed[0].type, payload, tuple(rows))
    return trust.spell([*(version.sealed for version in made.versions[:2]), sealed])


def pins() -> Pins:
    found = trust.pinned(chain().versions[0].value)
    return Pins(found.roots, found.threshold)


@dataclass
class Town:
    """A log that grows while statements are lodged. `twist` may change any value before it is sealed or logged; `approving` gives what
    the officers of an office sign."""

    seed: int = 0
    sandbox: bool = False
    twist: Callable[[Any], Any] = lambda value: value
    approving: Callable[[Header], list[Approval]] = officers.approvals
    trusted: Chain = field(default_factory=chain)
    log_key: SigningKey = LOG_KEY
    now: int = BEGIN
    statements: dict[str, Sealed] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    marks: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """(size, seconds by witness) of every time that all witnesses cosigned."""
    dossiers: dict[str, tuple[bytes, bytes, list[bytes]]] = field(default_factory=dict)
    keys: dict[str, SealKey] = field(default_factory=lambda: dict(SEALS))
    _lanes: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    # --- what happens

    def later(self, seconds: float = 30) -> None:
        self.now += int(seconds * SECOND)

    def id(self) -> str:
        self._count += 1
        return f"{self._count:024x}"

    def note(self, kind: str, eid: str = "", detail: str = "", *, case: str = CASE) -> int:
        """An entry; its position."""
        entry = self.twist(
            Entry(
                position=len(self.entries) + 1, kind=kind, at=self.now, case=case, eid=eid, detail=detail,
                nonce=self.random.randbytes(16).hex(),
            )
        )  # fmt: skip
        if entry is None:
            return 0
        self.entries.append(entry)
        return len(self.entries)

    def witness(self) -> None:
        """All witnesses cosign the log as it stands, some seconds later."""
        if self.entries:
            times = {agency: self.now // SECOND + self.random.randrange(1, 6) for agency in PARTIES}
            self.marks.append((len(self.entries), times))

    def keep(self, what: Any, value: object, key: SealKey) -> str:
        sealed = key.seal(what, canonical.encode(value))
        self.statements[sealed.eid] = sealed
        return sealed.eid

    def send(
        self,
        kind: str,
        sender: str,
        receiver: str,
        *,
        case: str = CASE,
        files: int = 0,
        key: SealKey | None = None,
        approved: bool | None = None,
        **changes: Any,
    ) -> str:
        """Lodge a header, approved where the list asks for it unless told otherwise; its eid."""
        self.later()
        seq, prev = self._lanes.get((case, sender, receiver), (0, ""))
        packed = self._dossier(files) if files else None
        commitment = packed.commitment if packed else Commitment(commit="cd" * 32, files=0, bytes=0, pages=0)
        header: Header = samples.header(
            id=self.id(),
            sender=Party(city=CITY, agency=sender, office=DIVISION),
            receiver=Party(city=CITY, agency=receiver, office=DIVISION[:4] + "00" if receiver == GW else DIVISION),
            case=CaseRef(id=case, stage="S10_investigation"),
            kind=kind,
            lane=Lane(seq=seq + 1, prev=prev),
            sent_at=self.now,
            dossier=commitment,
            log=samples.log_view(size=self.marks[-1][0]) if self.marks else None,
            **changes,
        )
        header = self.twist(header)
        if approved is None:
            officers_named = self.trusted.last.value.officers().named(header.sender, index=len(self.entries))
            approved = kind in APPROVED and officers_named
        if approved:
            header = msgspec.structs.replace(header, approvals=self.approving(header))
        eid = self.keep("header", header, key or self.keys[sender])
        self._lanes[case, sender, receiver] = (header.lane.seq, eid)
        if packed:
            self.dossiers[eid] = (packed.salt, packed.manifest, list(packed.contents))
        self.note("LODGED", eid, kind, case=case)
        return eid

    def state(
        self, sender: str, receiver: str, *facts: tuple[str, FactKind], defects: Sequence[Defect] = (), answer: str = ""
    ) -> str:
        """A receipt of `sender` to `receiver`; its eid. Each fact is logged."""
        self.later(5)
        stated = [
            Fact(of=of, kind=fact, at=self.now, defects=list(defects), answer=answer if fact == "answered" else "")
            for of, fact in facts
        ]
        receipt: Receipt = self.twist(
            samples.receipt(
                id=self.id(), sender=Node(city=CITY, agency=sender), receiver=Node(city=CITY, agency=receiver), at=self.now, facts=stated,
            )
        )  # fmt: skip
        eid = self.keep("receipt", receipt, self.keys[sender])
        for of, fact in facts:
            if any((entry.kind, entry.eid) == (fact.upper(), of) for entry in self.entries):
                continue  # the log tells of the first
            lodged = canonical.read(self.statements[of].payload, Header)
            self.note(fact.upper(), of, defects[0].code if defects else lodged.kind, case=lodged.case.id)
        return eid

    def settle(self, eid: str, sender: str, receiver: str) -> None:
        """The receiver has it, complete, and accepts it."""
        self.state(receiver, sender, (eid, "delivered"))
        self.state(receiver, sender, (eid, "complete"), (eid, "accepted"))

    def tell(self, receiver: str, occasion: Occasion, *, start: str, demand: Demand | None = None) -> str:
        """A notice; its eid."""
        self.later(5)
        value: Notice = samples.notice(
            id=self.id(), receiver=Party(city=CITY, agency=receiver, office=DIVISION), at=self.now, case=CASE, occasion=occasion,
            rung="d3" if occasion is Occasion.WARNING else "", demand=demand,
        )  # fmt: skip
        eid = self.keep("notice", self.twist(value), self.keys[GW])
        kept = demand is not None and demand.state in (State.DRAFTED, State.DISCARDED)
        self.note("SUPERVISION" if kept else "NOTICE", eid, f"2026-3:{occasion}")
        return eid

    def reply(self, sender: str, of: str, **changes: Any) -> str:
        self.later(5)
        value: Reply = samples.reply(
            id=self.id(), sender=Party(city=CITY, agency=sender, office=DIVISION), at=self.now, of=of, **changes
        )
        value = self.twist(value)
        eid = self.keep("reply", value, self.keys[sender])
        self.note("REPLY", eid, f"2026-3:{value.act}")
        return eid

    def _dossier(self, files: int) -> dossier.Packed:
        contents = [self.random.randbytes(self.random.randrange(1, 300)) for _ in range(files)]
        return dossier.pack(
            dossier.Dossier(
                document=dossier.Document(title="起诉意见书", number="甲公(刑)诉字〔2026〕1号", date="2026-03-02"),
                persons=(dossier.Person(tag="P1", name="𠮷·测试“某”\\", in_custody=True, place="示例看守所"),),
                evidence=(dossier.EvidenceItem(kind="documentary", title="受案登记表", pages=1),),
                files=tuple(
                    dossier.File(name=f"{number}.txt", media_type="text/plain", content=content, pages=number)
                    for number, content in enumerate(contents)
                ),
                charge="盗窃罪",
            ),
            salt=self.random.randbytes(32),
        )

    # --- what comes of it

    def note_of(self, size: int, times: Mapping[str, int]) -> bytes:
        root = merkle.root(entry.leaf() for entry in self.entries[:size])
        tree = Checkpoint(self.log_key.public.name, size, root)
        lines = [checkpoint.sign(tree, self.log_key)]
        lines += [checkpoint.cosign(tree, WITNESSES[agency], at=at) for agency, at in sorted(times.items())]
        return note.Note(tree.text, tuple(lines)).encode()

    def export(self, profile: Profile = "committee", *, dossiers: bool = True, files: bool = True) -> dict[str, bytes]:
        """The members of a bundle, as the gateway makes them."""
        self.later(5)
        statements, positions = self._of(profile)
        marks: set[str] = set()
        for position in positions:
            before = [size for size, _ in self.marks if size < position]
            after = [size for size, _ in self.marks if size >= position]
            marks |= {bundle.mark_of(max(before), "last")} if before else set()
            marks |= {bundle.mark_of(min(after), "first")} if after else set()
        manifest = self.twist(
            Manifest(
                city=CITY, case=CASE, profile=profile, at=self.now, sandbox=self.sandbox, trust=self.trusted.last.sealed.eid,
                statements=sorted(statements), entries=positions, marks=sorted(marks),
            )
        )  # fmt: skip
        export = self.note("EXPORT", "", manifest.detail)
        for number in range(self.random.randrange(3)):
            self.note("LODGED", f"{number:064x}", "arrest_request", case=OTHER)
        self.witness()
        return self._members(manifest, export, dossiers=dossiers, files=files)

    def _members(self, manifest: Manifest, export: int, *, dossiers: bool, files: bool) -> dict[str, bytes]:
        size, times = self.marks[-1]
        signed = self.note_of(size, times)
        members = {"bundle.json": manifest.encode(), "trust.json": self.trusted.encode(), "checkpoint": signed}
        frontier_hashes = self._hashes()
        for position in [*manifest.entries, export]:
            entry, proof = bundle.entry_names(position)
            hashes = merkle.proof(merkle.inclusion_path(position - 1, size), frontier_hashes)
            members[entry] = canonical.encode(self.entries[position - 1])
            members[proof] = TlogProof(position - 1, tuple(hashes), signed).encode()
        for eid in manifest.statements:
            members[bundle.statement_name(eid)] = bundle.envelope(self.statements[eid])
        for name in manifest.marks:
            old = int(name[:12])
            seen = [times for known, times in self.marks if known == old]
            hashes = merkle.proof(merkle.consistency_path(old, size), frontier_hashes)
            members[bundle.mark_name(name)] = bundle.mark(
                hashes, self.note_of(old, seen[0 if name.endswith("first") else -1])
            )
        if manifest.profile != "committee" and dossiers:
            for eid, (salt, packed, contents) in self.dossiers.items():
                if eid in manifest.statements:
                    members |= bundle.dossier_members(
                        eid, salt=salt, manifest=packed, contents=contents if files else ()
                    )
        return members

    def _hashes(self) -> merkle.Hashes:
        completed: dict[merkle.Node, bytes] = {}
        merkle.Frontier().append((entry.leaf() for entry in self.entries), completed)
        return completed.__getitem__

    def _of(self, profile: Profile) -> tuple[set[str], list[int]]:
        if profile == "committee":
            told = {entry.eid for entry in self.entries if entry.case == CASE}
            receipts = {
                eid for eid, one in self.statements.items() if one.type == "receipt" and self._concerns(one, CASE)
            }
            return (told & self.statements.keys()) | receipts, [e.position for e in self.entries if e.case == CASE]
        found = {eid for eid, one in self.statements.items() if self._is_party(one, profile)}
        kinds = {"LODGED", "NOTICE", "REPLY", "DELIVERED", "COMPLETE", "ACCEPTED", "RETURNED", "ANSWERED"}
        return found, [e.position for e in self.entries if e.eid in found and e.kind in kinds]

    def _concerns(self, one: Sealed, case: str) -> bool:
        facts = canonical.read(one.payload, Receipt).facts
        return any(entry.case == case and entry.eid == fact.of for fact in facts for entry in self.entries)

    def _is_party(self, one: Sealed, agency: str) -> bool:
        kinds: dict[str, type[Header | Receipt | Notice | Reply]] = {
            "header": Header, "receipt": Receipt, "notice": Notice, "reply": Reply,
        }  # fmt: skip
        value = canonical.read(one.payload, kinds[one.type])
        if isinstance(value, Header):
            return value.case.id == CASE and agency in (value.sender.agency, value.receiver.agency)
        if isinstance(value, Notice) and value.demand is not None and value.demand.state is State.DRAFTED:
            return False
        if isinstance(value, Receipt) and not self._concerns(one, CASE):
            return False
        return agency in (value.sender.agency, value.receiver.agency)


def live(town: Town) -> None:
    """A case with most of what can happen, beside another one."""
    town.note("TRUSTLIST", "", "1", case="")
    other = town.send("arrest_request", PS, PP, case=OTHER)
    town.settle(other, PS, PP)
    ask = town.send("arrest_request", PS, PP, files=2)
    town.witness()
    town.note("UNDELIVERED", ask, "arrest_request")
    town.state(PP, PS, (ask, "delivered"))
    town.note("UNOPENED", ask, "arrest_request:4")
    town.state(PP, PS, (ask, "complete"), (other, "accepted") if town.seed % 2 else (ask, "accepted"))
    for _ in range(town.random.randrange(4)):
        town.note("CLOCK_START", ask, "detention_arrest_request")
    decide = town.send(
        "arrest_decision", PP, PS, outcome="approved", re=[ask], key=OFFICE_KEY if town.seed % 3 else None
    )
    town.state(PP, PS, (ask, "answered"), answer=decide)
    town.settle(decide, PP, PS)
    town.witness()
    town.later(90)
    town.witness()
    transfer = town.send("prosecution_transfer", PS, PP, files=1 + town.random.randrange(3))
    town.state(PP, PS, (transfer, "delivered"))
    town.state(
        PP,
        PS,
        (transfer, "complete"),
        (transfer, "returned"),
        defects=[Defect(code="pp.list", article="检规158", item="x")],
    )
    again = town.send("prosecution_transfer", PS, PP, re=[transfer])
    town.settle(again, PS, PP)
    indict = town.send("public_prosecution", PP, CT)
    town.keys[CT] = NEW_COURT
    town.settle(indict, PP, CT)
    town.witness()
    town.send("limit_registration", PS, GW)
    town.tell(PS, Occasion.WARNING, start=ask)
    town.tell(PS, Occasion.DRAFTED, start=ask, demand=samples.demand(state=State.DRAFTED, step=1))
    issued = town.tell(PS, Occasion.ISSUED, start=ask, demand=samples.demand())
    town.reply(PS, issued)
    town.reply(
        PS,
        issued,
        act="explain",
        cause=Cause.ENTERED_LATE,
        measures=[Measure.DONE],
        expected="2026-03-12",
        text="已补登",
    )
    town.witness()
    town.send("hearing_notice", CT, PP)
    if town.seed % 2:
        town.witness()


def bundle_of(seed: int = 0, profile: Profile = "committee", **options: Any) -> dict[str, bytes]:
    """The members of an honest bundle."""
    town = Town(seed=seed, **options)
    live(town)
    return town.export(profile)


def packed(members: Mapping[str, bytes]) -> bytes:
    return pack(members)

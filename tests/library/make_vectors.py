"""Writes tests/vectors/statements.json anew: `python -m tests.library.make_vectors`. Keys and contents are fixed, so a change of the
file is a change of the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tests.library import samples
from xieban import canonical, dossier
from xieban.dossier import Document, Dossier, EvidenceItem, File, Person
from xieban.handoff import Act, Defect, Fact, Lane
from xieban.marshal import sealed_to_bytes
from xieban.notice import Occasion
from xieban.seal import Sealed, SealKey
from xieban.statement import seal_header, seal_notice, seal_receipt, seal_reply, seal_ticket
from xieban.supervision import Cause, Measure

FILE = Path(__file__).parents[1] / "vectors" / "statements.json"
ABOUT = (
    "Sealed statements for any implementation to check. payload is UTF-8 text and is signed as those very bytes; "
    "PAE = 'DSSEv1 ' len(type) ' ' type ' ' len(payload) ' ' payload, lengths in bytes; eid = SHA-256(PAE); sig = Ed25519 over PAE; "
    "keyid = first 16 hex digits of SHA-256(public). log.sig is what a signed note of the log bears (docs/ledger-format.md) and is not "
    "checked here. envelope is the protobuf message xieban.wire.v1.Sealed as carried. A reader must "
    "accept every statement and refuse every payload under refused_headers. commitment = SHA-256(salt || manifest)."
)


def vectors() -> dict[str, Any]:
    """The content of the file."""
    police, procuratorate, gateway = samples.POLICE_KEY, samples.PROCURATORATE_KEY, samples.GATEWAY_KEY
    first = seal_header(samples.header(), police)
    second = samples.header(
        id="fedcba987654321001234567",
        kind="prosecution_transfer",
        lane=Lane(seq=2, prev=first.eid),
        re=[first.eid],
        secrecy="internal",
        acts=[
            Act(what="released", at=1_772_450_000_000_000, person="P2", custody=False, derived=True),
            Act(what="fast_track_proposed", at=1_772_460_000_000_000, person="", custody=None, derived=False),
        ],
    )
    next_one = seal_header(second, police)
    third = samples.header(lane=Lane(seq=3, prev=next_one.eid), log=samples.log_view())
    defect = Defect(code="pp.in_time", article="检规157、刑诉91", item="P1")
    facts = [
        Fact(of=first.eid, kind="complete", at=1_772_500_000_100_000, defects=[defect], answer=""),
        Fact(of=next_one.eid, kind="answered", at=1_772_500_000_200_000, defects=[], answer="0a" * 32),
    ]
    receipt = seal_receipt(samples.receipt(facts=facts), procuratorate)
    ticket = seal_ticket(samples.ticket(holds=[first.eid, receipt.eid]), procuratorate)
    words = [
        samples.logged(eid=first.eid),
        samples.logged(eid=first.eid, kind="DELIVERED", index=20_853, leaf="56" * 32),
    ]
    promise = seal_ticket(samples.promise(holds=[first.eid], logged=words), gateway)
    notice = seal_notice(samples.notice(occasion=Occasion.ISSUED, rung="", demand=samples.demand()), gateway)
    explanation = samples.reply(
        id="0246813579abcdef02468135",
        of=notice.eid,
        act="explain",
        cause=Cause.HANDOVER,
        measures=[Measure.EXPEDITE, Measure.REINFORCE],
        expected="2026-03-12",
        text="承办人交接，已增加承办人",
    )
    return {
        "about": ABOUT,
        "keys": [_key("police", 1), _key("procuratorate", 2), _key("gateway", 3)],
        "statements": [
            _statement("first header of a lane", first, police),
            _statement("second header, refers to the first", next_one, police),
            _statement("third header, tells of the log", seal_header(third, police), police),
            _statement("receipt with a defect and an answer", receipt, procuratorate),
            _statement("ticket", ticket, procuratorate),
            _statement("ticket with the gateway's word on the log", promise, gateway),
            _statement("warning of a limit", seal_notice(samples.notice(), gateway), gateway),
            _statement("notice of a supervision", notice, gateway),
            _statement("signature for it", seal_reply(samples.reply(of=notice.eid), police), police),
            _statement("explanation of it", seal_reply(explanation, police), police),
        ],
        "refused_headers": _refused(),
        "dossier": _dossier(),
    }


def _key(agency: str, number: int) -> dict[str, str]:
    key = samples.key(number)
    return {"agency": agency, "private": f"{number:02x}" * 32, "public": key.public.raw.hex(), "keyid": key.keyid}


def _statement(name: str, sealed: Sealed, key: SealKey) -> dict[str, str]:
    return {
        "name": name,
        "type": sealed.type,
        "signer": key.keyid,
        "payload": sealed.payload.decode(),
        "eid": sealed.eid,
        "sig": sealed.signatures[0].sig.hex(),
        "envelope": sealed_to_bytes(sealed).hex(),
    }


def _refused() -> list[dict[str, str]]:
    sound = canonical.encode(samples.header()).decode()
    changes = [
        ("unknown field", '"inc":1', '"inc":1,"more":1'),
        ("duplicate key", '"inc":1', '"inc":1,"inc":1'),
        ("keys out of order", '"inc":1,"kind":"arrest_request"', '"kind":"arrest_request","inc":1'),
        ("space", '"inc":1', '"inc": 1'),
        ("float", '"inc":1', '"inc":1.0'),
        ("exponent", '"inc":1', '"inc":1e0'),
        ("beyond 2^53-1", '"inc":1', '"inc":9007199254740992'),
        ("negative count", '"inc":1', '"inc":-1'),
        ("needless escape", "2026-11", "\\u0032026-11"),
        ("control character", "2026-11", "a\\nb"),
        ("direction override", "2026-11", "a\u202eb"),
        ("not NFC", "2026-11", "e\u0301"),
        ("missing field", '"rules":"2026-11",', ""),
        ("person by name", '"person":"P1"', '"person":"张三"'),
        ("no view, spelled out", '"outcome"', '"log":null,"outcome"'),
        ("view of an empty log", '"outcome"', f'{_log_view(size=0)},"outcome"'),
        ("signature of the log in another spelling", '"outcome"', f'{_log_view(sig="A" * 90 + "B=")},"outcome"'),
        ("time from 2100 on", '"sent_at":1772500000000000', '"sent_at":4102444800000000'),
    ]
    return [{"why": why, "payload": sound.replace(old, new)} for why, old, new in changes if sound.count(old) == 1]


def _log_view(**changes: Any) -> str:
    view = {**msgspec.to_builtins(samples.log_view()), **changes}
    return f'"log":{canonical.encode(view).decode()}'


def _dossier() -> dict[str, Any]:
    packed = dossier.pack(
        Dossier(
            document=Document(title="起诉意见书", number="甲公(刑)诉字〔2026〕1号", date="2026-03-02"),
            persons=(Person(tag="P1", name="𠮷·测试某", in_custody=True, place="示例看守所"),),
            evidence=(EvidenceItem(kind="witness", title='证言"摘录"\\一', pages=3),),
            files=(File(name="起诉意见书.txt", media_type="text/plain", content="示例文书".encode(), pages=2),),
            charge="盗窃罪",
        ),
        salt=bytes(range(32)),
    )
    size = packed.commitment
    counts = {"files": size.files, "bytes": size.bytes, "pages": size.pages}
    return {"salt": packed.salt.hex(), "manifest": packed.manifest.decode(), "commitment": size.commit, **counts}


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

"""What everything in a bundle looks like. The library's own structs say the same; tests hold the two together."""

from __future__ import annotations

from typing import Final

from xieban.verify.closed import (
    LATEST,
    exactly,
    flag,
    just,
    listing,
    matching,
    maybe,
    one_of,
    record,
    tagged,
    text,
    whole,
)

PARTIES: Final = ("police", "procuratorate", "court")
GATEWAY: Final = "gateway"
SCOPE: Final = (
    "本件只涉及办案程序、期限和材料是否齐全，不涉及案件事实、证据和处理结果，不影响办案机关依法独立行使职权。"
)
FORMAT: Final = "xieban-bundle"
VERSION: Final = 1

_count, _micros, _small = whole(), whole(0, LATEST - 1), whole(0, 2**31 - 1)
_code, _item = text(64), text(128)
_digest, _maybe_digest = matching(r"[0-9a-f]{64}"), matching(r"([0-9a-f]{64})?")
_random, _case, _city = matching(r"[0-9a-f]{24}"), matching(r"[A-Z0-9]{4,32}"), matching(r"[a-z0-9-]{1,32}")
_tag = matching(r"P[1-9][0-9]{0,2}")
_maybe_tag = matching(r"(P[1-9][0-9]{0,2})?")
_number = matching(
    r"([\u4e00-\u9fff（）()]{0,24}[〔（(\[](19|20)[0-9]{2}[〕）)\]][\u4e00-\u9fff0-9]{0,16}第?[0-9]{1,8}号)?"
)
_due = matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?\+08:00)?")
_node = record(city=_code, agency=_code)
_party = record(city=_code, agency=_code, office=_code)
_commitment = record(commit=_digest, files=_count, bytes=_count, pages=_count)
_log_view = record(size=whole(1), root=_digest, sig=matching(r"[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]="))
_approval = record(
    role=one_of("approver", "handler"), keyid=matching(r"[0-9a-f]{16}"), sig=matching(r"[A-Za-z0-9+/]{80,100}={0,2}")
)

HEADER: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "client_ref_hash": _digest,
        "from": _party,
        "to": _party,
        "inc": _count,
        "case": record(id=_case, stage=_code),
        "kind": _code,
        "outcome": _code,
        "lane": record(seq=_count, prev=_maybe_digest),
        "re": listing(_digest, 32),
        "secrecy": one_of("none", "internal"),
        "acts": listing(
            record(what=_code, at=_micros, person=_maybe_tag, custody=maybe(flag), derived=flag),
            64,
        ),
        "sent_at": _micros,
        "dossier": _commitment,
        "rules": _code,
        "clocks": listing(
            record(
                effect=one_of("start", "stop", "extend", "exclude", "restart"),
                rule=_code,
                event=_code,
                at=_micros,
                until=_micros,
                by=_code,
                kind=one_of("", "add", "total"),
                months=_count,
                days=_count,
                hours=_count,
                person=_maybe_tag,
                document=_number,
            ),
            16,
        ),
    },
    unless_empty={
        "dues": listing(record(rule=_code, person=_maybe_tag, due=_due), 16, 1),
        "log": _log_view,
        "approvals": listing(_approval, 2, 1),
    },
)

FACTS: Final = ("delivered", "complete", "accepted", "returned", "answered", "rejected", "withdrawn")
RECEIPT: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _node,
        "to": _node,
        "inc": _count,
        "at": _micros,
        "facts": listing(
            record(
                of=_digest,
                kind=one_of(*FACTS),
                at=_micros,
                defects=listing(record(code=_code, article=_code, item=_item), 1_000),
                answer=_maybe_digest,
            ),
            32,
            1,
        ),
    }
)

_short, _supervision = text(500), matching(r"20[0-9]{2}-[1-9][0-9]{0,6}")
_maybe_day = matching(r"(20[0-9]{2}-[01][0-9]-[0-3][0-9])?")
_STATES = ("drafted", "discarded", "issued", "acknowledged", "explained", "returned", "escalated", "closed")
LIMIT_OCCASIONS: Final = ("warning", "overdue", "unmet")
OCCASIONS: Final = (
    *LIMIT_OCCASIONS, "drafted", "discarded", "issued", "reminded", "returned", "escalated", "lifted", "restored", "closed",
)  # fmt: skip
NOTICE: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _node,
        "to": _party,
        "inc": _count,
        "at": _micros,
        "case": _case,
        "occasion": one_of(*OCCASIONS),
        "rung": _code,
        "basis": record(
            kind=one_of("statute", "target"),
            rule=_item,
            article=_item,
            start=_digest,
            person=_maybe_tag,
            started_at=_micros,
            due=_code,
            safe_due=_code,
            edition=_code,
            calendar=_item,
        ),
        "demand": maybe(
            record(
                id=_supervision,
                step=_count,
                state=one_of(*_STATES),
                level=_count,
                whom=text(24, 1),
                severity=_count,
                days_over=_count,
                reply_by=_maybe_day,
                by=matching(r"([A-Z0-9]{2,16})?"),
                reason=_code,
                remark=_short,
            )
        ),
        "scope": _item,
    }
)
_CAUSES = (
    "entered_late", "awaiting_material", "awaiting_office", "appraisal", "workload", "handover", "system_fault", "misreckoned",
    "neglect", "other",
)  # fmt: skip
REPLY: Final = exactly(
    {
        "v": _count,
        "id": _random,
        "from": _party,
        "to": _node,
        "inc": _count,
        "at": _micros,
        "of": _digest,
        "supervision": _supervision,
        "act": one_of("acknowledge", "explain"),
        "by": matching(r"[A-Z0-9]{2,16}"),
        "cause": maybe(one_of(*_CAUSES)),
        "measures": listing(
            one_of("done", "expedite", "release", "register", "correct", "reinforce", "report_up"), 1_000
        ),
        "expected": _maybe_day,
        "text": _short,
        "scope": _item,
    }
)
STATEMENTS: Final = {"header": HEADER, "receipt": RECEIPT, "notice": NOTICE, "reply": REPLY}

_base64 = matching(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_signature = record(keyid=matching(r"[0-9a-f]{16}"), sig=_base64)
ENVELOPE: Final = record(payload=_base64, signatures=listing(_signature, 32), type=text(32))
TRUST_FILE: Final = record(lists=listing(ENVELOPE, 4096, 1))

_algorithm, _key = one_of("ed25519+sha256", "sm2+sm3"), matching(r"([0-9a-f]{2}){32,64}")
_end = one_of("compromised", "lost", "superseded", "left", "mistake")
_revoked = maybe(record(index=_count, reason=_end))
_valid = {"from_index": _count, "until_index": maybe(_count), "revoked": _revoked, "use": text(16)}
_keyed = {**_valid, "algorithm": _algorithm, "public": _key}
_agency, _division = one_of(*PARTIES, GATEWAY), matching(r"([0-9]{6})?")
_note_name, _holder = matching(r"[a-z0-9./-]{1,128}"), matching(r"[a-z0-9-]{1,32}")
ROOT: Final = record(algorithm=_algorithm, public=_key)
TRUST_LIST: Final = exactly(
    {
        "v": just(1),
        "city": _city,
        "version": whole(1, 2**31),
        "previous": _maybe_digest,
        "index": _count,
        "issued_at": _micros,
        "expires_at": _micros,
        "threshold": whole(1, 16),
        "roots": listing(ROOT, 16, 1),
        "entries": listing(
            tagged(
                "use",
                {
                    "ca": exactly({**_valid, "fingerprint": _digest}),
                    "log": exactly({**_keyed, "name": _note_name}, unless_empty={"keeps": _count}),
                    "officer": exactly(
                        {**_keyed, "agency": _agency, "office": _division, "role": one_of("handler", "approver"), "holder": _holder}
                    ),
                    "seal": exactly({**_keyed, "agency": _agency, "office": _division}),
                    "witness": exactly({**_keyed, "name": _note_name, "holder": _holder}),
                },
            ),
            4096,
        ),
    },
    unless_empty={"barred": listing(record(fingerprint=_digest, reason=_end), 4096, 1)},
)  # fmt: skip

ENTRY: Final = record(
    position=whole(1), kind=matching(r"[A-Z_]{1,32}"), at=_micros, case=text(32), eid=_maybe_digest, detail=text(256),
    nonce=matching(r"([0-9a-f]{32})?"),
)  # fmt: skip
MANIFEST: Final = record(
    format=just(FORMAT),
    v=just(VERSION),
    city=_city,
    case=_case,
    profile=one_of("committee", *PARTIES),
    at=_micros,
    sandbox=flag,
    trust=_digest,
    statements=listing(_digest, 10_000),
    entries=listing(whole(1, 10**12 - 1), 20_000),
    marks=listing(matching(r"[0-9]{12}-(first|last)"), 10_000),
)

EVIDENCE: Final = ("physical", "documentary", "witness", "victim", "suspect", "expert", "inspection", "electronic")
_free = text(1_048_576)
DOSSIER: Final = record(
    v=just(1),
    document=record(title=_free, number=_free, date=_free),
    persons=listing(record(tag=_tag, name=_free, in_custody=flag, place=_free), 100_000),
    evidence=listing(record(kind=one_of(*EVIDENCE), title=_free, pages=_small), 100_000),
    files=listing(record(name=_free, media_type=_free, sha256=_free, bytes=_small, pages=_small), 999),
    case_numbers=record(police=_free, procuratorate=_free, court=_free),
    charge=_free,
    remark=_free,
)

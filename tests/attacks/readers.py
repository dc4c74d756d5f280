"""Everything that reads bytes or messages from outside, each with a sample that it takes. The demand on all of them is in `fuzzing`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
import msgspec
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from services.agency import convert
from services.chassis.sandbox import asked_time
from tests.attacks.fuzzing import Reader
from tests.library import samples
from tests.library.bundles import tampering, town
from tests.library.proof.test_tlogproof import LEAF, POLICY, SIGNED, SOUND, WITNESSES
from tests.world import sample_dossier
from xieban import (
    canonical,
    dossier,
    drafting,
    lookup_views,
    marshal,
    notice_views,
    oversight_views,
    reconcile_views,
    statement,
    subjects,
    views,
)
from xieban.agency import Agency, office
from xieban.errors import XiebanError
from xieban.handoff import ClockAct, Node, StatedDue
from xieban.marshal import moment, sealed_to_bytes
from xieban.proof import note, tiles, tlogproof
from xieban.reconcile import SUMMARY_VERSION, SeriesSum, Summary
from xieban.rpcstatus import DETAILS_KEY, error_from_rpc
from xieban.seal import Directory, SealKey, StatementType, entry
from xieban.verify import container, verifier
from xieban.wire.v1 import (
    case_pb2,
    dossier_pb2,
    handoff_pb2,
    notice_pb2,
    oversight_pb2,
    reconcile_pb2,
    sandbox_pb2,
    supervision_pb2,
)

EVERYBODY = Directory(
    [
        entry(samples.POLICE_KEY, city=samples.CITY, agency=Agency.POLICE),
        entry(samples.PROCURATORATE_KEY, city=samples.CITY, agency=Agency.PROCURATORATE),
        entry(samples.GATEWAY_KEY, city=samples.CITY, agency=Agency.GATEWAY),
    ]
)
AT = 1_772_413_200_000_000


def _summary() -> Summary:
    count = SeriesSum(what="handoff", sender="procuratorate", receiver="police", side="out", count=3, root="ab" * 32)
    return Summary(
        v=SUMMARY_VERSION, sender=Node(samples.CITY, "procuratorate"), receiver=Node(samples.CITY, "police"), inc=1, at=AT,
        since=0, until=AT, series=[count],
    )  # fmt: skip


def _header() -> Any:
    act = ClockAct(
        effect="stop", rule="arrest_review_custody", event="", at=AT, until=0, by="", kind="", months=0, days=0, hours=0,
        person="P1", document="兰城检〔2026〕3号",
    )  # fmt: skip
    due = StatedDue(rule="arrest_review_custody", person="P1", due="2026-03-09")
    return samples.header(clocks=[act], dues=[due], log=samples.log_view())


# --- statements, from their envelopes and from behind their seals

_SUMMARIES = partial(statement.open_summary, city=samples.CITY, sender="procuratorate", receiver="police")
STATEMENTS: tuple[tuple[StatementType, SealKey, Any, Callable[..., object]], ...] = (
    ("header", samples.POLICE_KEY, _header(), partial(statement.open_header, address=samples.HANDOFF)),
    ("receipt", samples.PROCURATORATE_KEY, samples.receipt(), partial(statement.open_receipt, address=samples.RECEIPT)),
    ("ticket", samples.PROCURATORATE_KEY, samples.ticket(), partial(statement.open_ticket, address=samples.TICKET)),
    ("ticket", samples.GATEWAY_KEY, samples.promise(), partial(statement.open_ticket, address=samples.PROMISE)),
    ("notice", samples.GATEWAY_KEY, samples.notice(), partial(statement.open_notice, address=samples.NOTICE)),
    ("reply", samples.POLICE_KEY, samples.reply(), partial(statement.open_reply, address=samples.REPLY)),
    ("summary", samples.PROCURATORATE_KEY, _summary(), _SUMMARIES),
)


def _sealed(what: StatementType, key: SealKey, payload: bytes) -> bytes:
    return sealed_to_bytes(key.seal(what, payload))


ENVELOPES = tuple(
    Reader(f"{what} in its envelope", partial(read, directory=EVERYBODY), _sealed(what, key, canonical.encode(value)))
    for what, key, value, read in STATEMENTS
)


def _behind(what: StatementType, key: SealKey, read: Callable[..., object]) -> Callable[[bytes], object]:
    return lambda payload: read(_sealed(what, key, payload), directory=EVERYBODY)


def _manifest(payload: bytes) -> object:
    commitment = msgspec.structs.replace(PACKED.commitment, commit=hashlib.sha256(PACKED.salt + payload).hexdigest())
    return dossier.verify(commitment, salt=PACKED.salt, manifest=payload, contents=PACKED.contents)


PACKED = dossier.pack(sample_dossier(), salt=b"s" * dossier.SALT_BYTES)
PAYLOADS = (
    *(Reader(f"{what} behind its seal", _behind(what, key, read), canonical.encode(value)) for what, key, value, read in STATEMENTS),
    Reader("manifest of a dossier", _manifest, PACKED.manifest),
)  # fmt: skip
"""Readers of canonical JSON, signed by whoever should have signed it: the schema has to answer."""

# --- texts of the supervision log

TEXTS = (
    Reader("note", note.parse, SIGNED),
    Reader("checkpoint", POLICY.check, SIGNED),
    Reader(
        "cosignatures",
        lambda data: note.parse_signatures(data.decode("utf-8", "replace")),
        "".join(line for line in SIGNED.decode().splitlines(keepends=True) if line.startswith("—")).encode(),
    ),
    Reader(
        "verifier key",
        lambda data: note.parse_vkey(data.decode("utf-8", "replace")),
        WITNESSES[0].public.vkey.encode(),
    ),
    Reader("tlog-proof", lambda data: tlogproof.decode(data).verify(LEAF, POLICY), SOUND),
    Reader("path of a tile", lambda data: tiles.parse_path(data.decode("utf-8", "replace")), b"tile/0/x001/x234/067.p/7"),
    Reader("bundle of entries", partial(tiles.decode_bundle, width=2), tiles.encode_bundle([b"one", b"two"])),
    Reader("subject", lambda data: subjects.parse(data.decode("utf-8", "replace")), b"xieban.v1.lanzhou.handoff.police.court"),
)  # fmt: skip

# --- evidence bundles

MEMBERS = tampering.base(0, "police")
WHOLE = container.pack(MEMBERS)


def _verify(data: bytes) -> object:
    return verifier.verify(data, pins=town.pins()).as_json()


def _member(name: str) -> Reader:
    return Reader(
        name, lambda data: _verify(container.pack({**MEMBERS, name: data})), MEMBERS[name], refusal=(), cost=8
    )


BUNDLES = (
    Reader("container", container.unpack, WHOLE, refusal=(container.Unreadable,)),
    Reader("whole bundle", _verify, WHOLE, refusal=(), cost=8),
)
JSON_MEMBERS = tuple(
    _member(tampering.of_kind(MEMBERS, kind)[0]) for kind in ("manifest", "trust", "statement", "entry", "dossier")
)
TEXT_MEMBERS = tuple(_member(tampering.of_kind(MEMBERS, kind)[0]) for kind in ("checkpoint", "proof", "mark"))

# --- messages


def _draft() -> handoff_pb2.Draft:
    return views.draft_to_pb(
        views.Draft(
            client_ref="文〔2026〕1号", kind="arrest_request", case_id="A6201020000002026030001",
            sender=office(Agency.POLICE, "620102"), receiver=office(Agency.PROCURATORATE, "620102"),
            acts=(views.ActView("detained", moment(AT), "P1"),), dossier=sample_dossier(),
            clocks=(views.ClockView("stop", "arrest_review_custody", moment(AT)),),
            dues=(views.DueView("arrest_review_custody", "2026-03-09"),),
        )
    )  # fmt: skip


def status(info: Message) -> bytes:
    """An error as gRPC carries it beside the status code."""
    packed = any_pb2.Any()
    packed.Pack(info)
    return bytes(status_pb2.Status(code=5, message="你", details=[packed]).SerializeToString())


def read_error(details: bytes) -> str:
    """What a client tells of an error that came with these details."""
    metadata = grpc.aio.Metadata((DETAILS_KEY, details))
    return error_from_rpc(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), metadata)).explain()


def _parsed(kind: type[Message], read: Callable[[Any], object], data: bytes) -> object:
    try:
        message = kind.FromString(data)
    except DecodeError:
        return None  # gRPC answers this itself
    return read(message)


MESSAGE_BYTES = (
    Reader("draft", partial(_parsed, handoff_pb2.Draft, convert.draft_from_pb), _draft().SerializeToString()),
    Reader(
        "error of a call",
        read_error,
        status(error_details_pb2.ErrorInfo(reason="CASE_NOT_FOUND", domain="xieban", metadata={"case": "A1"})),
    ),
)
REQUESTS: tuple[tuple[type[Message], Callable[[Any], object]], ...] = (
    (handoff_pb2.Draft, convert.draft_from_pb),
    (handoff_pb2.Act, drafting.act_from_pb),
    (handoff_pb2.ClockAct, drafting.clock_from_pb),
    (handoff_pb2.StatedDue, drafting.due_from_pb),
    (handoff_pb2.ReturnRequest, lambda message: convert.defects_from_pb(message.defects)),
    (dossier_pb2.Dossier, lambda message: dossier.pack(marshal.dossier_from_pb(message), salt=PACKED.salt)),
    (sandbox_pb2.AdvanceClockRequest, asked_time),
    (reconcile_pb2.SignedWindow, reconcile_views.window_from_pb),
    (reconcile_pb2.Series, reconcile_views.series_from_pb),
    (reconcile_pb2.ListBranchResponse, reconcile_views.branch_from_pb),
    (reconcile_pb2.Standing, reconcile_views.standing_from_pb),
)
"""What a node reads of its callers and of other nodes."""
ANSWERS: tuple[tuple[type[Message], Callable[[Any], object]], ...] = (
    (handoff_pb2.Handoff, views.handoff_from_pb),
    (case_pb2.Case, views.case_from_pb),
    (oversight_pb2.GetTimelineResponse, oversight_views.timeline_from_pb),
    (oversight_pb2.ForecastEntry, oversight_views.forecast_from_pb),
    (oversight_pb2.GetSummaryResponse, oversight_views.summary_from_pb),
    (oversight_pb2.Lookup, lookup_views.lookup_from_pb),
    (sandbox_pb2.GetClockResponse, oversight_views.clock_reading_from_pb),
    (notice_pb2.Notice, notice_views.notice_from_pb),
    (notice_pb2.NoticeReply, notice_views.reply_from_pb),
    (notice_pb2.SupervisedMatter, notice_views.matter_from_pb),
    (supervision_pb2.Supervision, notice_views.supervision_from_pb),
    (reconcile_pb2.ReconcileResponse, reconcile_views.reconciliation_from_pb),
    (reconcile_pb2.LogDispute, reconcile_views.dispute_from_pb),
)
"""What an agency system reads of its node's and the gateway's answers, which may be newer than it is."""
REFUSALS = (XiebanError,)

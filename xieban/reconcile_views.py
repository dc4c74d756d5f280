"""Values of reconciliation and the messages that carry them, in pairs. What comes from outside is checked while it is converted."""

from __future__ import annotations

from typing import Final

from xieban import ids, marshal
from xieban.errors import Reason, failure
from xieban.reconcile import (
    DIGITS,
    ENDLESS,
    LEAF_SIZE,
    Branch,
    Compared,
    Difference,
    Flaw,
    LogDispute,
    Part,
    Problem,
    Reconciliation,
    Series,
    Side,
    Standing,
    What,
    Window,
    flaw_of,
)
from xieban.wire.v1 import reconcile_pb2 as pb

MAX_ASKED: Final = 200
MOST_DIFFERENCES: Final = 400
SIDES: Final = {
    Side.OUT: pb.COPY_SIDE_OUT, Side.IN: pb.COPY_SIDE_IN, Side.ARCHIVE: pb.COPY_SIDE_ARCHIVE,
}  # fmt: skip
PROBLEMS: Final = {
    Problem.MISSING: pb.DIFFERENCE_KIND_MISSING, Problem.EXTRA: pb.DIFFERENCE_KIND_EXTRA,
    Problem.DIFFERENT: pb.DIFFERENCE_KIND_DIFFERENT, Problem.UNKEPT: pb.DIFFERENCE_KIND_UNKEPT,
    Problem.UNLOGGED: pb.DIFFERENCE_KIND_UNLOGGED, Problem.CONTRADICTED: pb.DIFFERENCE_KIND_CONTRADICTED,
}  # fmt: skip
_SIDES: Final = {value: name for name, value in SIDES.items()}
_PROBLEMS: Final = {value: name for name, value in PROBLEMS.items()}
_WHATS: Final[dict[str, What]] = {"handoff": "handoff", "receipt": "receipt", "notice": "notice", "reply": "reply"}


def window_to_pb(value: Window) -> pb.SignedWindow:
    return pb.SignedWindow(
        since_time=marshal.time_to_pb(value.since), until_time=marshal.time_to_pb(min(value.until, ENDLESS))
    )


def window_from_pb(value: pb.SignedWindow) -> Window:
    """Errors: FIELD_INVALID."""
    window = Window(marshal.time_from_pb(value.since_time), marshal.time_from_pb(value.until_time))
    if not 0 <= window.since <= ENDLESS or not 0 <= window.until <= ENDLESS:
        raise failure(Reason.FIELD_INVALID, field="window", detail="时间超出范围")
    return window


def series_to_pb(value: Series) -> pb.Series:
    return pb.Series(what=value.what, sender=value.sender, receiver=value.receiver)


def series_from_pb(value: pb.Series) -> Series:
    """Errors: FIELD_INVALID."""
    if value.what not in _WHATS:
        raise failure(Reason.FIELD_INVALID, field="series", detail="没有这一类报文")
    return Series(_WHATS[value.what], value.sender[:32], value.receiver[:32])


def side_from_pb(value: pb.CopySide.ValueType) -> Side:
    """Errors: FIELD_INVALID."""
    if value not in _SIDES:
        raise failure(Reason.FIELD_INVALID, field="side", detail="应写明是谁的副本")
    return _SIDES[value]


def prefix_of(value: str) -> str:
    """Errors: FIELD_INVALID."""
    if len(value) > 64 or set(value) - set(DIGITS):
        raise failure(Reason.FIELD_INVALID, field="prefix", detail="应为报文标识的前几位")
    return value


def branch_to_pb(value: Branch) -> pb.ListBranchResponse:
    parts = [pb.BranchPart(digit=part.digit, count=part.count, root=part.root) for part in value.parts]
    return pb.ListBranchResponse(parts=parts, leaves=b"".join(value.leaves))


def branch_from_pb(value: pb.ListBranchResponse) -> Branch:
    """Errors: FIELD_INVALID."""
    if any(len(part.digit) != 1 or part.digit not in DIGITS for part in value.parts):
        raise failure(Reason.FIELD_INVALID, field="parts", detail="不是一位十六进制数字")
    data = value.leaves
    leaves = tuple(data[start : start + LEAF_SIZE] for start in range(0, len(data), LEAF_SIZE))
    for leaf in leaves:
        flaw_of(leaf)
    return Branch(parts=tuple(Part(part.digit, part.count, part.root) for part in value.parts), leaves=leaves)


def eids_of(values: object) -> list[str]:
    """At most 200 checked eids of a request. Errors: FIELD_INVALID."""
    wanted = list(values)  # type: ignore[call-overload]
    if len(wanted) > MAX_ASKED:
        raise failure(Reason.FIELD_INVALID, field="eids", detail=f"一次最多 {MAX_ASKED} 份")
    return [ids.eid(one) for one in wanted]


def standing_to_pb(value: Standing) -> pb.Standing:
    return pb.Standing(
        eid=value.eid, side=SIDES[value.side], held=value.held, flaw=value.flaw, series=series_to_pb(value.series),
        kind=value.kind, case_id=value.case_id, signed_time=marshal.time_to_pb(value.signed_at), awaiting=value.awaiting,
    )  # fmt: skip


def standing_from_pb(value: pb.Standing) -> Standing:
    """Errors: FIELD_INVALID."""
    return Standing(
        eid=ids.eid(value.eid), side=side_from_pb(value.side), held=value.held, flaw=_flaw(value.flaw),
        series=series_from_pb(value.series), kind=value.kind[:64], case_id=value.case_id[:64],
        signed_at=marshal.time_from_pb(value.signed_time), awaiting=tuple(value.awaiting),
    )  # fmt: skip


def difference_to_pb(value: Difference) -> pb.Difference:
    return pb.Difference(
        difference=PROBLEMS[value.problem], eid=value.eid, series=series_to_pb(value.series), kind=value.kind,
        case_id=value.case_id, signed_time=marshal.time_to_pb(value.signed_at), at=value.at, held_by=value.held_by,
        flaw=value.flaw, repairing=value.repairing, entry=value.entry, index=value.index,
    )  # fmt: skip


def difference_from_pb(value: pb.Difference) -> Difference:
    """Errors: FIELD_INVALID."""
    return Difference(
        problem=_PROBLEMS.get(value.difference, Problem.DIFFERENT), eid=ids.eid(value.eid),
        series=series_from_pb(value.series), kind=value.kind, case_id=value.case_id,
        signed_at=marshal.time_from_pb(value.signed_time), at=value.at, held_by=tuple(value.held_by),
        flaw=_flaw(value.flaw), repairing=value.repairing, entry=value.entry[:64],
        index=value.index if value.HasField("index") else None,
    )  # fmt: skip


def reconciliation_to_pb(value: Reconciliation) -> pb.ReconcileResponse:
    """As much as fits into a message; the rest is counted."""
    shown = value.differences[:MOST_DIFFERENCES]
    return pb.ReconcileResponse(
        node=value.node,
        until_time=marshal.time_to_pb(value.until),
        pairs=[
            pb.ReconciledPair(
                counterpart=one.counterpart, trouble=one.trouble, held_here=one.held_here, held_there=one.held_there,
                summarized_time=marshal.time_to_pb(one.summarized_at),
            )
            for one in value.pairs
        ],
        differences=[difference_to_pb(one) for one in shown],
        left_out=value.left_out + len(value.differences) - len(shown),
        in_flight=value.in_flight,
        elapsed_ms=value.elapsed_ms,
    )  # fmt: skip


def reconciliation_from_pb(value: pb.ReconcileResponse) -> Reconciliation:
    """Errors: FIELD_INVALID."""
    return Reconciliation(
        node=value.node,
        until=marshal.time_from_pb(value.until_time),
        pairs=tuple(
            Compared(
                counterpart=one.counterpart, trouble=one.trouble, held_here=one.held_here, held_there=one.held_there,
                summarized_at=marshal.time_from_pb(one.summarized_time),
            )
            for one in value.pairs
        ),
        differences=tuple(difference_from_pb(one) for one in value.differences),
        left_out=value.left_out,
        in_flight=value.in_flight,
        elapsed_ms=value.elapsed_ms,
    )  # fmt: skip


def dispute_to_pb(value: LogDispute) -> pb.LogDispute:
    return pb.LogDispute(
        eid=value.eid, sender=value.sender, size=value.size, root=value.root, is_signed=value.is_signed, own_size=value.own_size,
        own_root=value.own_root,
    )  # fmt: skip


def dispute_from_pb(value: pb.LogDispute) -> LogDispute:
    return LogDispute(
        eid=value.eid, sender=value.sender, size=value.size, root=value.root, is_signed=value.is_signed, own_size=value.own_size,
        own_root=value.own_root,
    )  # fmt: skip


def _flaw(value: str) -> Flaw:
    try:
        return Flaw(value)
    except ValueError as error:
        raise failure(Reason.FIELD_INVALID, field="flaw", detail="不认识的缺陷代码") from error

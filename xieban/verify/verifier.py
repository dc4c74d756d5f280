"""All checks of a bundle in their order, and what the bundle says as rows to be shown beside them."""

from __future__ import annotations

from typing import Any

from xieban.verify import trustlist
from xieban.verify.approvals import check_approvals
from xieban.verify.container import Unreadable, unpack
from xieban.verify.dossiers import check_dossiers
from xieban.verify.logchecks import check_checkpoint, check_export, check_inclusion, check_times
from xieban.verify.members import Bundle, take_apart
from xieban.verify.report import CHECKS, Report
from xieban.verify.seals import check_seals
from xieban.verify.statements import (
    check_entries,
    check_fields,
    check_lanes,
    check_notices,
    check_receipts,
    entitled,
    stated,
)
from xieban.verify.trustlist import Chain, Pins

_WITH_KEYS = ("checkpoint", "seals", "approvals", "times")


def verify(data: bytes, *, pins: Pins | None) -> Report:
    """Every check of the bundle `data`. Without `pins` nothing says whose root keys these are, and the best verdict is `open`."""
    report = Report()
    try:
        unpacked = unpack(data)
    except Unreadable as error:
        report["container"].fail("zip", str(error))
        report.unreadable = True
        report.leave_open("无法读取", *list(CHECKS)[1:])
        return report
    report["container"].checked = len(unpacked.members)
    for what, reason in unpacked.defects:
        report["container"].fail(what, reason)
    bundle = take_apart(unpacked.members, report)
    if bundle is None:
        names = [name for name in CHECKS if name not in ("container", "manifest")]
        report.leave_open("没有可用的目录", *names)
        return report
    trust = _trusted(bundle, pins, report)
    final = None
    if trust is None:
        report.leave_open("没有可信的信任清单", *_WITH_KEYS)
    else:
        final = check_checkpoint(bundle, trust, report)
        check_seals(bundle, trust, report)
        check_approvals(bundle, trust, report)
        check_times(bundle, trust, final, report)
    check_inclusion(bundle, report)
    check_export(bundle, report)
    check_fields(bundle, report)
    check_lanes(bundle, report)
    check_receipts(bundle, report)
    check_notices(bundle, report)
    check_entries(bundle, report)
    check_dossiers(bundle, report)
    report.summary = _summary(bundle)
    if final is not None:
        report.summary["checkpoint"] = {
            "size": final.size,
            "witnesses": [{"name": name, "at": at} for name, at in final.times.items()],
        }
    report.rows = rows(bundle)
    return report


def _trusted(bundle: Bundle, pins: Pins | None, report: Report) -> dict[str, Any] | None:
    """The newest list, if the whole chain is sound. Tells the checks `roots` and `trust`."""
    roots, check = report["roots"], report["trust"]
    data = bundle.members.get("trust.json")
    if data is None:
        roots.unjudged = check.unjudged = "没有信任清单"
        return None
    chain = trustlist.read(data)
    _check_roots(chain, pins, report)
    check.checked = len(chain.versions)
    for what, reason in chain.defects:
        check.fail(what, reason)
    if check.defects:
        return None
    named = chain.versions[-1].eid == bundle.manifest["trust"]
    check.demand(named, "trust.json", "最新一版不是导出时的那一版")
    check.demand(chain.last["city"] == bundle.manifest["city"], "trust.json", "是另一城市的")
    check.note = f"第 1 至 {len(chain.versions)} 版"
    return None if check.defects else chain.last


def _check_roots(chain: Chain, pins: Pins | None, report: Report) -> None:
    check = report["roots"]
    if not chain.versions:
        check.unjudged = "没有可信的信任清单"
        return
    first = chain.versions[0].value
    found = sorted(trustlist.fingerprint(row["public"]) for row in first["roots"])
    check.checked = len(found)
    check.note = " ".join(found)
    if pins is None:
        check.unjudged = "未核对根密钥：没有给出经核对的指纹"
    elif set(found) != pins.roots or first["threshold"] != pins.threshold:
        check.fail("v1", "与给出的指纹或者签名数不符")


def _summary(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {name: manifest[name] for name in ("case", "city", "profile", "sandbox", "at")}


def rows(bundle: Bundle) -> list[dict[str, Any]]:
    """Each header: who sent what to whom, where and when it was lodged, what its receiver stated and when; in the log's order."""
    facts, found = stated(bundle), []
    for eid, header in bundle.headers.items():
        first: dict[str, int] = {}
        for fact, receipt, _ in facts.get(eid, ()):
            if entitled(header, receipt):
                first.setdefault(fact["kind"], fact["at"])
        lodged = next((entry.value for entry in bundle.told(eid, "LODGED") if entry.value is not None), None)
        found.append(
            {
                "eid": eid,
                "kind": header["kind"],
                "outcome": header["outcome"],
                "from": f"{header['from']['agency']}-{header['from']['office']}",
                "to": f"{header['to']['agency']}-{header['to']['office']}",
                "sent_at": header["sent_at"],
                "index": lodged["position"] - 1 if lodged else None,
                "lodged_at": lodged["at"] if lodged else None,
                "facts": first,
            }
        )
    return sorted(found, key=lambda row: (row["sent_at"], row["index"] or 0, row["eid"]))

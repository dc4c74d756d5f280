"""Dossiers, where they are in the bundle: the header's commitment to the manifest, and the manifest's digests of the files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from xieban.verify import closed, schemas
from xieban.verify.closed import NotCanonical
from xieban.verify.container import kind_of
from xieban.verify.members import Bundle
from xieban.verify.report import Report


def check_dossiers(bundle: Bundle, report: Report) -> None:
    """Every dossier that is there, and every file of it that is there."""
    parts: dict[str, dict[str, bytes]] = defaultdict(dict)
    files: dict[str, dict[int, bytes]] = defaultdict(dict)
    for name, data in bundle.members.items():
        found = kind_of(name)
        if found is not None and found[0] in ("dossier", "salt"):
            parts[found[1][0]][found[0]] = data
        elif found is not None and found[0] == "content":
            files[found[1][0]][int(found[1][1])] = data
    headers = bundle.of_type("header")
    if not parts and not files:
        report["commitments"].not_applicable = "没有移送清单"
    if not files:
        report["files"].not_applicable = "没有案卷文件"
    for eid in sorted(parts.keys() | files.keys()):
        what = f"dossiers/{eid}"
        lines = _committed(headers.get(eid), parts[eid], what, report)
        if files[eid]:
            _check_files(lines, files[eid], what, report)


def _committed(
    header: dict[str, Any] | None, part: dict[str, bytes], what: str, report: Report
) -> list[dict[str, Any]] | None:
    """The lines of a manifest that the header commits to."""
    check = report["commitments"]
    check.checked += 1
    if header is None or len(part) != 2:
        check.fail(what, "缺少报头、移送清单或者盐值")
        return None
    commitment, payload = header["dossier"], part["dossier"]
    if len(part["salt"]) != 32 or hashlib.sha256(part["salt"] + payload).hexdigest() != commitment["commit"]:
        check.fail(what, "与报头所载的承诺不符")
        return None
    try:
        value = closed.read(payload, schemas.DOSSIER)
    except NotCanonical as error:
        check.fail(what, f"移送清单{error}")
        return None
    lines: list[dict[str, Any]] = value["files"]
    pages = sum(row["pages"] for row in (*lines, *value["evidence"]))
    sizes = (len(lines), sum(line["bytes"] for line in lines), pages)
    if sizes != (commitment["files"], commitment["bytes"], commitment["pages"]):
        check.fail(what, "文件数、字节数或者页数与报头不符")
    return lines


def _check_files(lines: list[dict[str, Any]] | None, files: dict[int, bytes], what: str, report: Report) -> None:
    check = report["files"]
    if lines is None:
        check.unjudged = "没有可信的移送清单"
        return
    for number in sorted(files.keys() | set(range(1, len(lines) + 1))):
        line = lines[number - 1] if 1 <= number <= len(lines) else None
        data = files.get(number)
        if line is None or data is None:
            check.fail(f"{what}/files/{number:03}", "缺少，或者不在清单上")
            continue
        same = len(data) == line["bytes"] and hashlib.sha256(data).hexdigest() == line["sha256"]
        check.demand(same, f"{what}/files/{number:03}", "摘要与移送清单不符")

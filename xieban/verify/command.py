"""`python xieban_verify.py bundle.zip`: the verifier as a program. `xieban log verify` calls the same `carry_out`.

Exit codes: 0 all passed, 1 something failed, 2 cannot be judged (unreadable, root keys not given, wrong command line).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xieban.verify.container import MAX_BUNDLE
from xieban.verify.showing import lines
from xieban.verify.trustlist import Pins
from xieban.verify.verifier import verify

THRESHOLD: Final = 3
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_THRESHOLD = re.compile(r"threshold ([1-9]|1[0-6])")


class Misused(Exception):
    """The command line or a file named on it cannot be used; the message says why."""


def read_pins(roots: Path | None, fingerprints: Sequence[str], *, threshold: int | None) -> Pins | None:
    """Fingerprints from a file (one a line, `threshold N`, comments behind #) and from the command line. None: none were given.

    Errors: Misused.
    """
    found = [one.strip().lower() for one in fingerprints]
    if roots is not None:
        try:
            text = roots.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"文件 {roots.name} 无法读取") from error
        for line in text.splitlines():
            word = line.partition("#")[0].strip()
            if match := _THRESHOLD.fullmatch(word):
                threshold = int(match[1]) if threshold is None else threshold
            elif word:
                found.append(word.lower())
    if wrong := next((one for one in found if not _FINGERPRINT.fullmatch(one)), ""):
        raise Misused(f"“{wrong[:80]}”不是 64 位十六进制的根密钥指纹")
    return Pins(frozenset(found), THRESHOLD if threshold is None else threshold) if found else None


def carry_out(file: Path, *, pins: Pins | None, as_json: bool) -> tuple[str, int]:
    """What is to be printed, and the exit code. Errors: Misused."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise Misused(f"文件 {file.name} 无法读取（{error.strerror}）") from error
    report = verify(data, pins=pins)
    if as_json:
        return json.dumps(report.as_json(), ensure_ascii=False, indent=2), report.exit_code
    return "\n".join(lines(report)), report.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line."""
    parser = argparse.ArgumentParser(description="离线核验协办证据包。0 通过，1 不通过，2 无法判断。")
    parser.add_argument("bundle", type=Path, metavar="证据包", help="xieban bundle export 导出的 zip 文件")
    parser.add_argument("--roots", type=Path, metavar="文件", help="经核对的根密钥指纹，每行一个；可写 threshold N")
    parser.add_argument("--root-fingerprint", action="append", default=[], metavar="指纹", help="同上，每把一次")
    parser.add_argument("--threshold", type=int, metavar="N", help=f"第 1 版须有几份根签名，默认 {THRESHOLD}")
    parser.add_argument("--json", action="store_true", help="以 JSON 输出")
    given = parser.parse_args(arguments)
    try:
        pins = read_pins(given.roots, given.root_fingerprint, threshold=given.threshold)
        text, code = carry_out(given.bundle, pins=pins, as_json=given.json)
    except Misused as error:
        print(f"没有核验：{error}", file=sys.stderr)
        return 2
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(text)
    return code

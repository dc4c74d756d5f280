"""Prints docs/errors.md from the catalogue in `xieban.errors`, so that the page a clerk looks a number up in cannot drift.

`make docs` writes the page, `make lint` compares it. What must not go in: any text about an error that the catalogue does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from xieban.errors import Reason
from xieban.rpcstatus import CODES

FAMILIES = {
    "1": "1xxx 报文与字段 form of what was sent",
    "2": "2xxx 流转与程序 handoffs and procedure",
    "3": "3xxx 签名与核验 seals and proof",
    "4": "4xxx 法定期限 statutory time limits",
    "5": "5xxx 节点与部件 nodes and their parts",
    "6": "6xxx 命令行 the command line",
    "7": "7xxx 通知与督办 notices and supervision",
}

HEAD = """\
# 错误编号 Errors

<!-- Generated from xieban/errors.py by `make docs`; edit the catalogue, not this page. -->

Every expected failure has four parts: 发生 what happened, 原因 why, 办法 what to do next, 编号 a number that stays the same for ever.
The reason's name is what crosses the wire (`google.rpc.ErrorInfo.reason`, domain `xieban`) under the gRPC status beside it, and the client
raises the same Python class again. `{…}` is filled in from the error's metadata, which holds codes, counts and identifiers only.
"""


def _cell(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"`{\1}`", text).replace("|", "\\|")


def page() -> Iterator[str]:
    """The page, line by line."""
    yield from HEAD.splitlines()
    for digit, title in FAMILIES.items():
        rows = [reason for reason in Reason if reason.number.removeprefix("XB-").startswith(digit)]
        if not rows:
            continue
        yield from ("", f"## {title}", "")
        yield "| 编号 | reason | class · gRPC status | 发生 | 原因 | 办法 |"
        yield "|---|---|---|---|---|---|"
        for reason in sorted(rows, key=lambda row: row.number):
            text = reason.value
            kind = f"{text.error.__name__} · {CODES[text.error].name}"
            cells = (text.number, f"`{reason.name}`", kind, text.happened, _cell(text.cause), _cell(text.remedy))
            yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in page():
        print(line)

"""The verifiers stand on no table of the library's; what they repeat of it is held beside it here."""

from __future__ import annotations

import re

from tests.house.tree import text
from xieban import procedure
from xieban.verify import approvals

TABLE = {kind: row.approval for kind, row in procedure.table().kinds.items() if row.approval}


def test_both_verifiers_and_their_format_name_the_kinds_that_must_be_approved_as_the_table_does() -> None:
    assert TABLE == approvals.NEEDED
    script = re.search(r"^const NEEDED = \{(.*?)^\};", text("verifiers/xieban_verify.mjs"), re.MULTILINE | re.DOTALL)
    assert script is not None
    assert dict(re.findall(r"(\w+): \"([^\"]+)\"", script[1])) == TABLE
    format = re.search(r"^```approval\n(.*?)^```", text("docs/bundle-format.md"), re.MULTILINE | re.DOTALL)
    assert format is not None
    assert dict(re.findall(r"(\w+) (\S+)", format[1])) == TABLE

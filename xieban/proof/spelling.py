"""The one spelling of numbers and octets inside C2SP texts; every other way to write the same value is refused."""

from __future__ import annotations

import base64
import binascii
import re

from xieban.errors import Reason, failure

MAX_NUMBER = 2**63 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def number(text: str, *, what: str) -> int:
    """A count or an index in decimal without leading zeroes, at most 2^63 - 1. Errors: PROOF_MALFORMED naming `what`."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="数字写法不规范")
    return int(text)


def octets(text: str, *, what: str, size: int | None = None) -> bytes:
    """Octets in standard base64 with padding (RFC 4648 §4), exactly `size` of them if given. Errors: PROOF_MALFORMED."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="base64 写法不规范") from error
    if spell(value) != text or (size is not None and len(value) != size):
        raise failure(Reason.PROOF_MALFORMED, what=what, detail="base64 写法不规范")
    return value


def spell(value: bytes) -> str:
    """Octets as `octets` reads them."""
    return base64.b64encode(value).decode()

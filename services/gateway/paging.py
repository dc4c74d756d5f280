"""Pages of a list: how many rows, and the place after the last one shown as a token that is opaque to callers."""

from __future__ import annotations

import base64
import binascii

import msgspec

from services.chassis.database import Value
from xieban.errors import Reason, failure

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


def page_size(asked: int) -> int:
    """Errors: FIELD_INVALID outside 1 to 200; 0 means the default."""
    if not 0 <= asked <= LARGEST_PAGE:
        raise failure(Reason.FIELD_INVALID, field="page_size", detail=f"应为 1 至 {LARGEST_PAGE}")
    return asked or DEFAULT_PAGE


def token_of(*place: int | str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(token: str, types: tuple[type, ...]) -> list[Value]:
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=list[int | str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise _bad_token() from error
    if [type(value) for value in place] != list(types):
        raise _bad_token()
    return list(place)


def _bad_token() -> Exception:
    return failure(Reason.FIELD_INVALID, field="page_token", detail="不是本接口给出的续页标记")

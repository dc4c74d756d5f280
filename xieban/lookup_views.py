"""Look-ups as values, and their conversions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from xieban.lookup import Purpose
from xieban.marshal import answered
from xieban.views import time_from_pb
from xieban.wire.v1 import oversight_pb2

PURPOSES: Final = {one: oversight_pb2.LookupPurpose.Value(f"LOOKUP_PURPOSE_{one.name}") for one in Purpose}
PURPOSES_FROM_PB: Final = {number: one for one, number in PURPOSES.items()}


@dataclass(frozen=True, slots=True)
class LookupView:
    """One look at a case. `index` of its entry in the supervision log; `caller` agency and role; `officer` may be empty."""

    index: int
    looked_at: datetime
    purpose: Purpose
    caller: str
    officer: str


@answered
def lookup_from_pb(value: oversight_pb2.Lookup) -> LookupView:
    """Errors: DEFECT for a purpose that this library does not know."""
    return LookupView(
        index=value.index,
        looked_at=time_from_pb(value.recorded_time),
        purpose=PURPOSES_FROM_PB[value.purpose],
        caller=value.caller,
        officer=value.officer,
    )

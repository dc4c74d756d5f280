"""Why somebody looks at a case, as a closed set, and a look-up as one code: `routine:gateway/committee:ZF0012`.

A look-up is an entry of the supervision log, and the agencies of the case can read who looked and why. What must not go in: what was
seen, and any text of a person's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xieban.errors import Reason, failure
from xieban.supervision import officer as checked_officer

KIND: Final = "LOOKUP"
"""The kind of its log entry."""


class Purpose(StrEnum):
    """What a look-up is for."""

    ROUTINE = "routine"
    SUPERVISION = "supervision"
    PETITION = "petition"
    INSPECTION = "inspection"
    STATISTICS = "statistics"


PURPOSE_NAMES: Final = {
    Purpose.ROUTINE: "日常监督", Purpose.SUPERVISION: "督办核查", Purpose.PETITION: "来信来访", Purpose.INSPECTION: "专项检查",
    Purpose.STATISTICS: "统计",
}  # fmt: skip


CALLER_NAMES: Final = {
    "gateway/committee": "政法委系统", "gateway/page": "监督页面", "gateway/node": "监督网关", "operator/sandbox": "沙箱操作员",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LookUp:
    """Who looks and what for. `caller`: agency and role of the certificate; `officer`: number of the person, if the caller says it."""

    purpose: Purpose
    caller: str
    officer: str = ""

    @property
    def code(self) -> str:
        return f"{self.purpose}:{self.caller}:{self.officer}"


def purpose(text: str) -> Purpose:
    """A purpose by its code. Errors: PURPOSE_MISSING, also for one that is none of the set."""
    try:
        return Purpose(text)
    except ValueError as error:
        raise failure(Reason.PURPOSE_MISSING, purposes="、".join(PURPOSE_NAMES.values())) from error


def look_up(purpose: Purpose, *, caller: str, officer: str = "") -> LookUp:
    """Errors: FIELD_INVALID for an officer number that is none."""
    return LookUp(purpose=purpose, caller=caller, officer=checked_officer(officer) if officer else "")


def caller_name(caller: str) -> str:
    """In Chinese, where there is a name for it."""
    return CALLER_NAMES.get(caller, caller)


def read(code: str) -> LookUp:
    """What `LookUp.code` wrote. Not for anything from outside."""
    why, caller, officer = code.split(":")
    return LookUp(purpose=Purpose(why), caller=caller, officer=officer)

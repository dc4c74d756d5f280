"""How a test says that something is refused, and with which reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import pytest

from xieban.errors import Reason, XiebanError

P = ParamSpec("P")


def reason_of(act: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> Reason:
    with pytest.raises(XiebanError) as raised:
        act(*arguments, **named)
    return raised.value.reason


def holds(act: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> bool:
    """Whether it passes; a refusal must be a coded one."""
    try:
        act(*arguments, **named)
    except XiebanError:
        return False
    return True

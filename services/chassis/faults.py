"""Labelled crash points, so that a test can kill a process exactly between two steps whose order matters.

    S1 before seal commit            S2 after commit, before answer     S3 after publish, before PubAck    S4 before receipt commit
    R1 inside the inbox transaction  R2 after commit, before ack        R3 dossiers pulled, none kept yet   R4 inside their transaction
    R5 effect inside transaction     G1 before append commit            G2 before tickets leave            G3 checkpoint signed
    W1 cosignature persisted         B1 booted from a backup            G4 lost entries in part in their places

A point that is not armed costs one look at an empty dictionary. Nothing is armed by importing this module, and the environment
is honoured only where the process says it is a sandbox. What must not go in: recovery; that is the ordinary path's work.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xieban.errors import Reason, failure

LABELS: Final = frozenset({"S1", "S2", "S3", "S4", "R1", "R2", "R3", "R4", "R5", "G1", "G2", "G3", "G4", "W1", "B1"})
VARIABLE: Final = "XIEBAN_FAULT"

Action = Callable[[], None]


@dataclass(slots=True)
class _Armed:
    hits_left: int
    action: Action


_armed: dict[str, _Armed] = {}


def die() -> None:
    """What a power cut looks like to the process: no handlers, no flushes, no finally."""
    os.kill(os.getpid(), signal.SIGKILL)


def point(label: str) -> None:
    """Mark a place in the code. Does nothing unless `label` is armed and its turn has come."""
    if not _armed:
        return
    armed = _armed.get(label)
    if armed is None:
        return
    armed.hits_left -= 1
    if armed.hits_left == 0:
        del _armed[label]
        armed.action()


def arm(label: str, *, hits: int = 1, action: Action = die) -> None:
    """Run `action` at the `hits`-th pass of `label`, once. The action may raise; a BaseException passes every `except Exception`."""
    if label not in LABELS:
        raise failure(Reason.FIELD_INVALID, field="label", detail=f"没有名为 {label} 的故障点")
    if hits < 1:
        raise failure(Reason.FIELD_INVALID, field="hits", detail="次数从一算起")
    _armed[label] = _Armed(hits, action)


def disarm() -> None:
    """Forget every armed point."""
    _armed.clear()


def enable_from_environment() -> None:
    """Arm what XIEBAN_FAULT names, as in "S3" or "S3:2,R2". Call it only in a sandbox: elsewhere the variable is ignored."""
    for entry in filter(None, os.environ.get(VARIABLE, "").split(",")):
        label, _, count = entry.strip().partition(":")
        if count and not count.isdecimal():
            raise failure(Reason.CONFIG_INVALID, file=VARIABLE, detail=f"次数 {count} 不是数字")
        arm(label, hits=int(count or 1))

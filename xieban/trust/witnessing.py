"""Whom a trust list lets speak about the supervision log: its key, its witnesses, and how many of them are believed."""

from __future__ import annotations

from xieban.errors import Reason, failure
from xieban.proof.checkpoint import Policy
from xieban.proof.note import Algorithm, VerifierKey
from xieban.trust.lists import Log, TrustList, Witness


def policy(value: TrustList, *, at: int) -> Policy:
    """The log's key and the witnesses that count at a log index; more than two thirds of them must have cosigned.

    Of three witnesses all, of four three: with fewer, two histories could each find enough of them though only one witness lies.
    Errors: TRUST_LACKS (no log key, or several).
    """
    logs = value.of_use(Log, at=at)
    if len(logs) != 1:
        raise failure(Reason.TRUST_LACKS, what="唯一的监督日志密钥", version=value.version)
    witnesses = value.of_use(Witness, at=at)
    return Policy(
        log=VerifierKey(logs[0].name, Algorithm.ED25519, bytes.fromhex(logs[0].public)),
        witnesses=tuple(
            VerifierKey(one.name, Algorithm.COSIGNATURE_V1, bytes.fromhex(one.public)) for one in witnesses
        ),
        threshold=2 * len(witnesses) // 3 + 1 if witnesses else 0,
    )


def log_keys(value: TrustList) -> tuple[VerifierKey, ...]:
    """Every key that was ever listed as the log's: what one of them signed before it ended still stands."""
    return tuple(
        VerifierKey(one.name, Algorithm.ED25519, bytes.fromhex(one.public))
        for one in value.entries
        if isinstance(one, Log)
    )


def log_name(city: str) -> str:
    """The origin of a city's log."""
    return f"xieban.{city}/log"


def witness_name(city: str, holder: str) -> str:
    """The name under which a node of a city cosigns."""
    return f"xieban.{city}/{holder}"

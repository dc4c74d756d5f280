"""What the checks believe: who the node is, the trust list with every key that was ever listed, the calendar limits are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services import trusted
from services.admin.node import Node
from services.gateway.app import GatewayConfig, calendar_of
from services.gateway.ladder import Ladder
from services.gateway.reckoning import Reckoner
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError, failure
from xieban.proof.checkpoint import Checkpoint, Policy, Witnessed
from xieban.proof.note import Algorithm, VerifierKey
from xieban.seal import Directory
from xieban.trust import TrustList, Witness, log_keys


@dataclass(frozen=True, slots=True)
class Basis:
    """`directory` judges no index: what was accepted once was judged then."""

    city: str
    agency: Agency
    directory: Directory
    logs: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...]
    reckoner: Reckoner
    ladder: Ladder

    def checkpoint(self, data: bytes) -> Checkpoint:
        """A checkpoint that a listed log key signed. Errors: PROOF_MALFORMED, SEAL_INVALID, QUORUM_NOT_MET."""
        return _believed([Policy(key, (), 0) for key in self.logs], data).checkpoint

    def cosigned(self, data: bytes, line: str, *, witness: str) -> int:
        """When `witness` cosigned that checkpoint, POSIX seconds. Errors: as `checkpoint`."""
        keys = [key for key in self.witnesses if key.name == witness]
        policies = [Policy(log, (key,), 1) for log in self.logs for key in keys]
        return _believed(policies, data + line.encode()).times[witness]


def _believed(policies: Sequence[Policy], data: bytes) -> Witnessed:
    """By the first policy that believes it; a key may have been replaced by another of the same name."""
    last = failure(Reason.QUORUM_NOT_MET, what="签名", count=0, limit=1)
    for policy in policies:
        try:
            return policy.check(data)
        except XiebanError as error:
            last = error
    raise last


def basis_of(node: Node) -> Basis:
    """Errors: CONFIG_INVALID, PROOF_MALFORMED, TRUST_BROKEN, TRUST_UNSIGNED."""
    value = _settled(node)
    settings = node.settings
    gateway = settings if isinstance(settings, GatewayConfig) else None
    return Basis(
        city=node.city,
        agency=node.agency(),
        directory=value.archive(),
        logs=log_keys(value),
        witnesses=tuple(
            VerifierKey(one.name, Algorithm.COSIGNATURE_V1, bytes.fromhex(one.public))
            for one in value.entries
            if isinstance(one, Witness)
        ),
        reckoner=Reckoner(calendar_of(gateway.calendar if gateway else None)),
        ladder=Ladder(gateway.warnings if gateway else {}),
    )


def _settled(node: Node) -> TrustList:
    chain = trusted.read(node.settings.trust)
    if chain.settled is None:
        quorum = chain.last.quorums[0]
        raise failure(Reason.TRUST_UNSIGNED, version=1, count=quorum.count, limit=quorum.threshold)
    return chain.settled.value

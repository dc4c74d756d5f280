"""Who may call what: one table for all nodes, deny by default, and before it the certificates that the trust list bars.

The table is `access.toml`, which a lawyer can read; the caller is known by its certificate. A `relation` between the caller and the
thing asked for is checked by the servicer that knows the thing; the table says that there is one. What must not go in: the procedure.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from services.chassis import telemetry
from services.chassis.identity import Call, Identity, caller, certificate
from services.trusted import refuse_barred
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, XiebanError, failure
from xieban.keys.certificates import fingerprints
from xieban.trust import TrustList

log = logging.getLogger(__name__)

PACKAGE = "xieban.wire.v1"
OPEN = "grpc.health.v1.Health"
"""Whether a node is alive is told to every certificate of its authority."""
REMEMBERED: Final = 256
"""Certificates whose fingerprints a node keeps at hand; a city has some dozens."""
CallerKind = Literal[
    "own_system", "own_node", "peer_node", "gateway", "any_system", "any_node", "committee", "operator"
]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: `callers` may call these methods of a service at these nodes."""

    name: str
    at: Literal["agency", "gateway", "any"]
    service: str
    methods: tuple[str, ...]
    callers: tuple[CallerKind, ...]
    relation: Literal["", "addressee", "party"] = ""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Here:
    """The node that is called."""

    city: str
    agency: Agency


@cache
def rules() -> tuple[Rule, ...]:
    """The table."""
    text = (Path(__file__).parent / "access.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Table).rule


def kinds(peer: Identity, here: Here) -> frozenset[CallerKind]:
    """What a caller is to this node. Nothing, if it is of another city."""
    if peer.city != here.city:
        return frozenset()
    own = peer.agency == here.agency
    party = peer.agency in PARTIES
    holds: Mapping[CallerKind, bool] = {
        "own_system": own and peer.role == "system",
        "own_node": own and peer.role == "node",
        "peer_node": party and not own and peer.role == "node",
        "gateway": peer.agency == Agency.GATEWAY and peer.role == "node",
        "any_system": party and peer.role == "system",
        "any_node": party and peer.role == "node",
        "committee": (peer.agency, peer.role) == (Agency.GATEWAY, "committee"),
        "operator": (peer.agency, peer.role) == ("operator", "sandbox"),
    }
    return frozenset(kind for kind, true in holds.items() if true)


def may(peer: Identity, method: str, here: Here) -> bool:
    """Whether `peer` may call `method` ("/xieban.wire.v1.Service/Method") of this node."""
    service, _, name = method.lstrip("/").rpartition("/")
    if service == OPEN:
        return True
    place = "gateway" if here.agency is Agency.GATEWAY else "agency"
    are = kinds(peer, here)
    return any(
        service == f"{PACKAGE}.{rule.service}"
        and name in rule.methods
        and rule.at in (place, "any")
        and not are.isdisjoint(rule.callers)
        for rule in rules()
    )


def guard(here: Here, *, trust: TrustList, development: bool = False) -> Callable[[str, Call], None]:
    """What the server asks before every call. Raises CERTIFICATE_BARRED for a certificate that `trust` bars, whatever is called, and
    CALLER_UNKNOWN for whoever may not; both are logged and counted.

    `development`: reflection is served, which the table does not know.
    """
    refuse = _bar(trust)
    denials = telemetry.meter(__name__).create_counter("xieban.access.denials", description="calls refused, by reason")

    def denied(method: str, peer: str, error: XiebanError) -> XiebanError:
        log.warning("call denied", extra={"method": method, "peer": peer, "reason": error.reason.name})
        denials.add(1, {"reason": error.reason.name})
        return error

    def check(method: str, context: Call) -> None:
        try:
            refuse(context)
        except XiebanError as error:
            raise denied(method, error.metadata.get("fingerprint", ""), error) from None
        if development and method.startswith("/grpc.reflection."):
            return
        peer = caller(context)
        if not may(peer, method, here):
            raise denied(method, peer.uri, failure(Reason.CALLER_UNKNOWN, identity=peer.uri))

    return check


def _bar(trust: TrustList) -> Callable[[Call], None]:
    """Cheap for each call: of a certificate's bytes the outcome is remembered, so it is parsed once."""
    barred = {row.fingerprint for row in trust.barred}

    @lru_cache(maxsize=REMEMBERED)
    def found(pem: bytes) -> str:
        return next((one for one in fingerprints(pem) if one in barred), "")

    def refuse(context: Call) -> None:
        if barred and (one := found(certificate(context))):
            refuse_barred(trust, one)

    return refuse

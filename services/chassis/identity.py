"""Who is calling: read from the certificate the peer proved to hold, never from anything it says in a request.

Every certificate carries one URI SAN `spiffe://xieban.<city>/<agency>/<role>` (identity) and one DNS SAN `xieban.<agency>` (what a
client of that agency's server insists on). What must not go in: who may do what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from xieban.errors import Reason, failure

_URI: Final = re.compile(r"spiffe://xieban\.([a-z0-9-]{1,32})/([a-z0-9-]{1,32})/([a-z0-9-]{1,64})")
URI_KEY: Final = "peer_uri"
"""The URI SANs alone. gRPC's list of all SANs also holds hosts and mailboxes, whose text can be that of a URI."""

CERTIFICATE_KEY: Final = "x509_pem_cert"


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven peer."""

    city: str
    agency: str
    role: str

    @property
    def uri(self) -> str:
        return f"spiffe://xieban.{self.city}/{self.agency}/{self.role}"


class Call(Protocol):
    """The part of a servicer context that knows the peer."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...


def server_name(agency: str) -> str:
    """The DNS SAN a client of `agency` requires, whatever address it dials."""
    return f"xieban.{agency}"


def parse(uri: str) -> Identity:
    """CALLER_UNKNOWN unless `uri` is exactly of our form."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise failure(Reason.CALLER_UNKNOWN, identity=uri[:120])
    return Identity(*match.groups())


def caller(context: Call) -> Identity:
    """The identity of the calling peer; CALLER_UNKNOWN when its certificate has none or more than one of ours."""
    names = {name.decode("ascii", "replace") for name in context.auth_context().get(URI_KEY, ())}
    ours = [name for name in names if name.startswith("spiffe://")]
    if len(ours) != 1:
        raise failure(Reason.CALLER_UNKNOWN, identity="无" if not ours else "不唯一")
    return parse(ours[0])


def certificate(context: Call) -> bytes:
    """The certificate (PEM) that the calling peer proved to hold; CALLER_UNKNOWN when the connection tells of none."""
    shown = tuple(context.auth_context().get(CERTIFICATE_KEY, ()))
    if len(shown) != 1:
        raise failure(Reason.CALLER_UNKNOWN, identity="无")
    return shown[0]

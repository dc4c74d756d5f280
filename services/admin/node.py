"""Which node a configuration describes, and which files belong to it.

Who the node is, is read from its certificate: configurations of agencies do not say it. Nothing here opens a key.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from services.agency import app as agency_app
from services.agency.app import AgencyConfig
from services.chassis import identity
from services.chassis.config import read
from services.gateway import app as gateway_app
from services.gateway.app import GatewayConfig
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError, failure

DATABASE: Final = "database"
CONFIG: Final = "config"
KEYS: Final = "keys"


@dataclass(frozen=True, slots=True)
class Node:
    """A node by its configuration file."""

    file: Path
    settings: AgencyConfig | GatewayConfig

    @property
    def is_gateway(self) -> bool:
        return isinstance(self.settings, GatewayConfig)

    @property
    def city(self) -> str:
        return self.settings.city

    @property
    def database(self) -> Path:
        return self.settings.database

    @property
    def migrations(self) -> Path:
        return gateway_app.MIGRATIONS if self.is_gateway else agency_app.MIGRATIONS

    @property
    def seen(self) -> Path:
        """The newest version of the trust list this node has used."""
        return self.database.with_name("trust.seen")

    def public(self) -> dict[str, Path]:
        """Files without secrets by role: the database is not among them, the configuration is."""
        settings = self.settings
        found = {
            CONFIG: self.file,
            "trust": settings.trust.file,
            "seen": self.seen,
            "ca": settings.tls.ca,
            "certificate": settings.tls.certificate,
        }
        if settings.sandbox is not None:
            found["clock"] = settings.sandbox.clock
        if isinstance(settings, GatewayConfig) and settings.calendar is not None:
            found["calendar"] = settings.calendar
        return found

    def secret(self) -> dict[str, Path]:
        """Files that are this node's secrets, by role."""
        settings = self.settings
        found = {"seal_key": settings.seal_key, "tls_key": settings.tls.key, "nats_key": settings.nats_key}
        found |= (
            {"log_key": settings.log_key}
            if isinstance(settings, GatewayConfig)
            else {"witness_key": settings.witness_key}
        )
        if settings.seal_key_passphrase is not None:
            found["seal_key_passphrase"] = settings.seal_key_passphrase
        return found

    def agency(self) -> Agency:
        """Errors: CONFIG_INVALID when the certificate cannot be read or is no node's of this city."""
        file = self.settings.tls.certificate
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = identity.parse(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
            agency = Agency(found.agency)
        except (OSError, ValueError, IndexError, x509.ExtensionNotFound, XiebanError) as error:
            raise failure(Reason.CONFIG_INVALID, file=file.name, detail="不是节点证书，或者无法读取") from error
        if found.city != self.city or (agency is Agency.GATEWAY) is not self.is_gateway:
            raise failure(Reason.CONFIG_INVALID, file=file.name, detail=f"是 {found.uri} 的证书，与配置不符")
        return agency


def node_of(file: Path, *, content: bytes | None = None) -> Node:
    """The node that `file` configures; with `content`, as if that stood in it. Errors: CONFIG_INVALID."""
    try:
        table = tomllib.loads((file.read_bytes() if content is None else content).decode())
    except OSError as error:
        raise failure(Reason.CONFIG_INVALID, file=file, detail=f"无法读取（{error.strerror}）") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise failure(Reason.CONFIG_INVALID, file=file, detail="不是有效的 TOML") from error
    settings = read(table, GatewayConfig, file=file) if "page" in table else read(table, AgencyConfig, file=file)
    return Node(file=file, settings=settings)

"""What the chassis tests share: a migrations folder, a throw-away certificate authority."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.chassis.rpc import Tls

ENVIRONMENT = "from services.chassis.migrate import run_environment\n\nrun_environment()\n"
REVISION = '''from alembic import op

revision = "{number}"
down_revision = {parent!r}


def upgrade() -> None:
    op.execute("""{sql}""")
'''


def write_revision(folder: Path, number: str, *, parent: str | None, sql: str) -> None:
    """Add one migration to `folder`."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(ENVIRONMENT, encoding="utf-8")
    script = REVISION.format(number=number, parent=parent, sql=sql)
    (versions / f"{number}.py").write_text(script, encoding="utf-8")


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    write_revision(folder, "0001", parent=None, sql="CREATE TABLE thing (id TEXT PRIMARY KEY, size BIGINT NOT NULL)")
    return folder


class Authority:
    """Issues certificates as a city would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self._ca = self._write("ca", builder.sign(self._key, hashes.SHA256()))

    def issue(self, agency: str, *, role: str = "node", city: str = "lanzhou") -> Tls:
        return self.issue_uri(f"spiffe://xieban.{city}/{agency}/{role}", dns=f"xieban.{agency}")

    def issue_uri(self, uri: str, *, dns: str) -> Tls:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns)])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(dns)])
        certificate = self._builder(name, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        stem = f"{dns}-{uri.rpartition('/')[2]}"
        secret = self._folder / f"{stem}.key"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Tls(ca=self._ca, certificate=self._write(stem, certificate), key=secret)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
            .not_valid_after(dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
        )

    def _write(self, stem: str, certificate: x509.Certificate) -> Path:
        file = self._folder / f"{stem}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return file


@pytest.fixture
def new_authority(tmp_path: Path) -> Callable[[str], Authority]:
    def make(name: str) -> Authority:
        folder = tmp_path / name
        folder.mkdir()
        return Authority(folder)

    return make

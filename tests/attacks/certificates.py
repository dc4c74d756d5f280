"""Certificates of every wrong kind: a small authority that signs whatever it is asked to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.provision import write_private
from xieban.keys.certificates import fingerprints

BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
DAY = timedelta(days=1)


class Authority:
    """One authority; `folder` takes what it issues, each in a folder of its own as a client of the city has it."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._folder = folder
        self._key = key
        self._count = itertools.count(1)

    @classmethod
    def of_city(cls, city: Path, folder: Path) -> Self:
        """The city's own authority: what a careless or bribed registrar of it could sign."""
        return cls.of(city / "ca.pem", city / "ca.key", folder)

    @classmethod
    def of(cls, certificate: Path, key: Path, folder: Path) -> Self:
        """Whoever holds this key and calls himself an authority."""
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        return cls(folder, x509.load_pem_x509_certificate(certificate.read_bytes()), private)

    @classmethod
    def founded(cls, folder: Path, *, name: str) -> Self:
        """Another one, under any name."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), _name(name), key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        return cls(folder, builder.sign(key, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """As a trust list names it."""
        return fingerprints(self.pem)[0]

    def issue(
        self,
        *names: str | x509.GeneralName,
        since: timedelta = -DAY,
        until: timedelta = DAY,
        uses: Sequence[x509.ObjectIdentifier] = BOTH,
        chain: bytes = b"",
    ) -> Path:
        """A folder with key.pem and certificate.pem for `names` (texts are URIs), valid from now + `since` to now + `until`."""
        key = ec.generate_private_key(ec.SECP256R1())
        listed = [x509.UniformResourceIdentifier(one) if isinstance(one, str) else one for one in names]
        builder = _builder(
            _name("xieban.lanzhou/police/system"), self.certificate.subject, key, since=since, until=until
        )
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        if listed:
            builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
        folder = self._folder / f"{next(self._count)}"
        folder.mkdir(parents=True)
        write_private(folder / "key.pem", _pem(key))
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / "certificate.pem").write_bytes(certificate + chain)
        return folder


def fingerprint(folder: Path) -> str:
    """Of the certificate in a client's or a node's folder, as a trust list names it."""
    return fingerprints((folder / "certificate.pem").read_bytes())[0]


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    since: timedelta = -DAY,
    until: timedelta = DAY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""Makes the home of a city: authority, certificates, seal keys, trust list, and a configuration for each process.

    home/
      ca.pem ca.key                 the city's own small authority
      trust.json roots/             the trust list, and the root keys that sign it
      nats/nats.conf                the broker's configuration, with what each node may say and read; its store lies beside it
      nodes/<agency>/               certificate.pem key.pem seal.key nats.seed config.toml, witness.key or log.key;
                                    later data.db, trust.seen, clock
      clients/<name>/               certificate.pem key.pem ca.pem profile.toml: what an agency system (or the xieban command) uses;
                                    an agency's also handler.key approver.key, its two officers
      logs/                         one file a process

Idempotent: what exists is kept, because a new key would orphan everything signed with the old one. nats.conf and the client
profiles hold no decision of anybody and are written anew. This is how an embedded city is set up, not how a real one gets its
certificates. What must not go in: starting anything.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import nkeys  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services import ceremony
from services.reconcile import mark
from xieban import subjects
from xieban.agency import PARTIES, Agency, city
from xieban.approval import ROLES
from xieban.handoff import OfficerRole
from xieban.keys import DEFAULT, PublicKey, algorithm, files
from xieban.trust import Pins

NODES: Final = (*PARTIES, Agency.GATEWAY)
HOST: Final = "127.0.0.1"
CERTIFICATE_LIFE: Final = timedelta(days=3650)
# A sandbox that begins in 2016 must still be able to talk: certificates are judged by the machine's clock, not by the sandbox's.
BACKDATE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the processes of an embedded city listen on 127.0.0.1."""

    nats: int = 8722
    police: int = 8711
    procuratorate: int = 8712
    court: int = 8713
    gateway: int = 8714
    page: int = 8700

    def of(self, agency: Agency) -> int:
        """The gRPC port of a node."""
        return int(getattr(self, agency.value))

    def all(self) -> dict[str, int]:
        """Every port with the name of who uses it."""
        return {name: int(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Home:
    """A provisioned home and its ports."""

    folder: Path
    city: str
    ports: Ports = field(default_factory=Ports)

    def node(self, agency: Agency) -> Path:
        return self.folder / "nodes" / agency

    def client(self, name: str) -> Path:
        """Profile folder of `police`, `procuratorate`, `court`, `committee` or `sandbox`."""
        return self.folder / "clients" / name

    @property
    def nats_config(self) -> Path:
        return self.folder / "nats" / "nats.conf"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def page(self) -> str:
        return f"http://{HOST}:{self.ports.page}"


def provision(
    folder: Path,
    *,
    now: datetime,
    city_token: str = "lanzhou",
    ports: Ports | None = None,
    sandbox_start: datetime | None = None,
) -> Home:
    """Make or complete the home in `folder`. `now` dates the certificates; `sandbox_start` makes the city a sandbox.

    Errors: OFFICE_UNKNOWN for a city that is none of ours.
    """
    city(city_token)
    home = Home(folder=folder.resolve(), city=city_token, ports=ports or Ports())
    for place in (home.folder, home.logs, home.folder / "nats"):
        place.mkdir(parents=True, exist_ok=True)
    authority = _authority(home, now)
    seals = {}
    for agency in NODES:
        place = home.node(agency)
        place.mkdir(parents=True, exist_ok=True)
        _certificate(place, authority, _spiffe(home, agency, "node"), now, server=agency)
        seals[agency] = _key(place / "seal.key")
    pins = ceremony.found(
        home.folder,
        city=city_token,
        seals=seals,
        log=_key(home.node(Agency.GATEWAY) / "log.key"),
        witnesses={agency: _key(home.node(agency) / "witness.key") for agency in PARTIES},
        officers=_officers(home),
        authority=authority.certificate,
        now=now,
    )
    for name, of, role, target in _clients():
        _client(home, name, _spiffe(home, of, role), of, target, authority, now)
    _nats(home)
    for agency in NODES:
        _config(home, agency, sandbox_start, pins)
    return home


def _officers(home: Home) -> dict[tuple[Agency, OfficerRole], PublicKey]:
    """Two officers of each agency, made before the list that names them: one that has been signed names those it names."""
    if (home.folder / "trust.json").exists():
        return {}
    found: dict[tuple[Agency, OfficerRole], PublicKey] = {}
    for agency in PARTIES:
        home.client(agency).mkdir(parents=True, exist_ok=True)
        for role in ROLES:
            found[agency, role] = _key(home.client(agency) / f"{role}.key")
    return found


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    pem: bytes


def _clients() -> tuple[tuple[str, str, str, Agency], ...]:
    """Folder name, agency and role in the identity, node called by default."""
    systems = tuple((agency.value, agency.value, "system", agency) for agency in PARTIES)
    return (
        *systems,
        ("committee", Agency.GATEWAY.value, "committee", Agency.GATEWAY),
        ("sandbox", "operator", "sandbox", Agency.GATEWAY),
    )


def _authority(home: Home, now: datetime) -> _Authority:
    key_file, certificate_file = home.folder / "ca.key", home.folder / "ca.pem"
    if not certificate_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"协办 {home.city} CA")
        certificate = (
            _builder(name, name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(key_file, _pem(key))
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    pem = certificate_file.read_bytes()
    return _Authority(certificate=x509.load_pem_x509_certificate(pem), key=loaded, pem=pem)


def _certificate(place: Path, authority: _Authority, uri: str, now: datetime, *, server: str = "") -> None:
    """A key and a certificate for `uri` in `place`; with `server`, also good for listening under that agency's name."""
    if (place / "certificate.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if server:
        names += [x509.DNSName(f"xieban.{server}"), x509.DNSName("localhost")]
        names += [x509.IPAddress(ipaddress.ip_address(HOST))]
        usages += [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = authority.certificate
    certificate = (
        _builder(_name(uri.removeprefix("spiffe://")), issuer.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    write_private(place / "key.pem", _pem(key))
    (place / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CERTIFICATE_LIFE)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _spiffe(home: Home, agency: str, role: str) -> str:
    return f"spiffe://xieban.{home.city}/{agency}/{role}"


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key(file: Path) -> PublicKey:
    if not file.exists():
        files.save_private(file, algorithm(DEFAULT).generate())
    return files.load_private(file).public


def write_private(file: Path, content: bytes) -> None:
    """Write a secret so that it is never readable by others, not even for a moment."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _client(home: Home, name: str, uri: str, agency: str, target: Agency, authority: _Authority, now: datetime) -> None:
    place = home.client(name)
    place.mkdir(parents=True, exist_ok=True)
    _certificate(place, authority, uri, now)
    (place / "ca.pem").write_bytes(authority.pem)
    settings = {
        "target": f"{HOST}:{home.ports.of(target)}",
        "server_name": f"xieban.{target}",
        "city": home.city,
        "agency": agency,
        "certificate": "certificate.pem",
        "key": "key.pem",
        "ca": "ca.pem",
        "gateway": f"{HOST}:{home.ports.of(Agency.GATEWAY)}",
    }
    settings |= {f"{role}_key": f"{role}.key" for role in ROLES if (place / f"{role}.key").exists()}
    (place / "profile.toml").write_text(toml(settings), encoding="utf-8")


def _nats(home: Home) -> None:
    users = "\n".join(_user(home, agency) for agency in NODES)
    # `sync_interval: always` because a broker that acknowledged before the disk did lost whole streams on power loss.
    home.nats_config.write_text(
        f"""# Written by services.provision; changes are lost.
server_name: "xieban-{home.city}"
listen: "{HOST}:{home.ports.nats}"
max_payload: 131072
jetstream {{
  store_dir: "{home.folder / "nats" / "store"}"
  sync_interval: always
}}
authorization {{
  users: [
{users}
  ]
}}
""",
        encoding="utf-8",
    )


def _user(home: Home, agency: Agency) -> str:
    allowed = subjects.permissions(home.city, agency)
    listed = json.dumps({"publish": {"allow": allowed.publish}, "subscribe": {"allow": allowed.subscribe}})
    return f'    {{ nkey: "{_bus_key(home.node(agency) / "nats.seed")}", permissions: {listed} }}'


def _bus_key(file: Path) -> str:
    """The public name of a node's key for the broker; its seed is made on first use."""
    if not file.exists():
        write_private(file, nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER))
    return str(nkeys.from_seed(file.read_bytes()).public_key, "ascii")


def _config(home: Home, agency: Agency, sandbox_start: datetime | None, pins: Pins) -> None:
    file = home.node(agency) / "config.toml"
    if file.exists():
        return
    settings: dict[str, object] = {
        "city": home.city,
        "listen": f"{HOST}:{home.ports.of(agency)}",
        "nats": f"nats://{HOST}:{home.ports.nats}",
        "nats_key": "nats.seed",
        "database": "data.db",
        "seal_key": "seal.key",
        "trust": {"file": "../../trust.json", "threshold": pins.threshold, "roots": sorted(pins.roots)},
        "tls": {"ca": "../../ca.pem", "certificate": "certificate.pem", "key": "key.pem"},
    }
    if agency is Agency.GATEWAY:
        settings["page"] = f"{HOST}:{home.ports.page}"
        settings["log_key"] = "log.key"
        settings["witnesses"] = {peer.value: f"{HOST}:{home.ports.of(peer)}" for peer in PARTIES}
    else:
        settings["witness_key"] = "witness.key"
        settings["gateway"] = f"{HOST}:{home.ports.of(Agency.GATEWAY)}"
        settings["peers"] = {peer.value: f"{HOST}:{home.ports.of(peer)}" for peer in PARTIES}
    if sandbox_start is not None:
        settings["sandbox"] = {"clock": "clock", "start": sandbox_start.isoformat()}
    mark.found(home.node(agency) / "data.mark")  # a node that never spoke; without a mark it would count as restored
    file.write_text(toml(settings), encoding="utf-8")


def toml(settings: Mapping[str, object]) -> str:
    """Settings of texts, numbers, switches, lists of them and one level of tables as TOML."""
    plain = [f"{key} = {_value(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    tables = [
        "\n".join([f"\n[{key}]", *(f"{name} = {_value(inner)}" for name, inner in value.items())])
        for key, value in settings.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*plain, *tables]) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(inner) for inner in value)}]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

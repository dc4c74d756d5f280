"""The table of who may call what: complete, closed, and what it was meant to be, cell by cell; and what stands before it."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor

from services import access
from services.access import PACKAGE, Here, guard, kinds, may, rules
from services.chassis import telemetry
from services.chassis.identity import Identity
from tests.attacks.certificates import Authority, fingerprint
from tests.library.trust.city import founded, issue, signed
from xieban import wire
from xieban.agency import Agency
from xieban.errors import Denied, Reason
from xieban.keys import certificates
from xieban.trust import TrustList, bar

POLICE, GATEWAY = Here("lanzhou", Agency.POLICE), Here("lanzhou", Agency.GATEWAY)
PEOPLE = {
    name: Identity("lanzhou", *name.split("/"))
    for name in (
        "police/system", "police/node", "court/system", "court/node", "gateway/node", "gateway/committee",
        "operator/sandbox", "gateway/system", "police/committee", "operator/node",
    )
}  # fmt: skip


def methods() -> dict[str, set[str]]:
    """Every service of the protos with its methods."""
    found: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(importlib.import_module("xieban.wire.v1").__path__):
        if module.name.endswith("_pb2"):
            file: FileDescriptor = importlib.import_module(f"{wire.__name__}.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                found[service.name] = {method.name for method in service.methods}
    return found


def allowed(here: Here, method: str) -> set[str]:
    service, _, name = method.partition("/")
    return {who for who, peer in PEOPLE.items() if may(peer, f"/{PACKAGE}.{service}/{name}", here)}


def test_every_method_of_the_wire_stands_in_the_table_and_nothing_else() -> None:
    rows: dict[str, list[str]] = {}
    for rule in rules():
        rows.setdefault(rule.service, []).extend(rule.methods)
    assert {service: sorted(names) for service, names in rows.items()} == {
        service: sorted(names) for service, names in methods().items()
    }


@pytest.mark.parametrize(
    ("here", "method", "who"),
    [
        (POLICE, "HandoffService/Send", {"police/system"}),
        (POLICE, "HandoffService/WatchInbox", {"police/system"}),
        (POLICE, "CaseService/ListCases", {"police/system"}),
        (POLICE, "NoticeService/ExplainNotice", {"police/system"}),
        (POLICE, "DossierService/PullDossiers", {"court/node", "police/node"}),
        (POLICE, "WitnessService/Cosign", {"gateway/node"}),
        (POLICE, "SandboxService/AdvanceClock", {"operator/sandbox"}),
        (POLICE, "OversightService/GetTimeline", set()),
        (POLICE, "SupervisionService/IssueSupervision", set()),
        (POLICE, "LogService/GetCheckpoint", set()),
        (GATEWAY, "HandoffService/Send", set()),
        (GATEWAY, "DossierService/PullDossiers", set()),
        (GATEWAY, "OversightService/GetTimeline", {"gateway/committee", "gateway/node", "operator/sandbox"}),
        (GATEWAY, "SupervisionService/IssueSupervision", {"gateway/committee"}),
        (
            GATEWAY,
            "LogService/GetTile",
            {"police/system", "police/node", "court/system", "court/node", "gateway/node", "gateway/committee",
             "operator/sandbox"},
        ),
        (
            GATEWAY,
            "LogService/ProveStatement",
            {"police/system", "police/node", "court/system", "court/node", "gateway/node", "gateway/committee"},
        ),
        (GATEWAY, "SandboxService/GetClock", {"operator/sandbox"}),
    ],
)  # fmt: skip
def test_who_may_is_who_was_meant(here: Here, method: str, who: set[str]) -> None:
    assert allowed(here, method) == who


@pytest.mark.parametrize(
    "method", ["HandoffService/send", "HandoffService/", "/", "Other/Send", "HandoffService/Send/x"]
)
def test_what_is_not_in_the_table_is_for_nobody(method: str) -> None:
    assert allowed(POLICE, method) == set()


def test_another_city_is_nothing_to_a_node() -> None:
    for agency, role in (("police", "system"), ("police", "node"), ("gateway", "node"), ("gateway", "committee")):
        assert kinds(Identity("jiuquan", agency, role), POLICE) == frozenset()
        assert kinds(Identity("jiuquan", agency, role), GATEWAY) == frozenset()


def test_health_is_told_to_every_certificate() -> None:
    assert all(may(peer, "/grpc.health.v1.Health/Check", POLICE) for peer in PEOPLE.values())


# --- before the table

LIST = f"/{PACKAGE}.HandoffService/List"


class Connection:
    """What gRPC tells a servicer of its caller."""

    def __init__(self, folder: Path | None, uri: str = "spiffe://xieban.lanzhou/police/system") -> None:
        shown = {} if folder is None else {"x509_pem_cert": [(folder / "certificate.pem").read_bytes()]}
        self._context = {"peer_uri": [uri.encode()], **shown}

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._context


@pytest.fixture
def registrar(tmp_path: Path) -> Authority:
    return Authority.founded(tmp_path, name="CA")


def barring(*folders: Path) -> TrustList:
    chain = founded()
    for folder in folders:
        chain = bar(chain, fingerprint=fingerprint(folder), reason="lost", issue=issue(40))
    return signed(chain).last.value


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is counted, by reason."""
    found: list[object] = []

    class Counter:
        def create_counter(self, name: str, *, description: str) -> Counter:
            assert name == "xieban.access.denials"
            return self

        def add(self, amount: int, attributes: dict[str, str]) -> None:
            found.extend([attributes["reason"]] * amount)

    monkeypatch.setattr(telemetry, "meter", lambda name: Counter())
    return found


@pytest.mark.parametrize(
    "method", [LIST, "/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/x"]
)
def test_a_barred_certificate_is_refused_whatever_it_calls(registrar: Authority, method: str) -> None:
    stolen, other = registrar.issue(), registrar.issue()
    check = guard(POLICE, trust=barring(stolen), development=True)
    check(method, Connection(other))
    with pytest.raises(Denied) as raised:
        check(method, Connection(stolen))
    assert raised.value.reason is Reason.CERTIFICATE_BARRED
    assert "由信任清单第 2 版停用" in raised.value.explain()
    guard(POLICE, trust=barring(), development=True)(method, Connection(stolen))


def test_a_caller_whose_certificate_cannot_be_seen_is_nobody_once_any_is_barred(registrar: Authority) -> None:
    with pytest.raises(Denied) as raised:
        guard(POLICE, trust=barring(registrar.issue()))(LIST, Connection(None))
    assert raised.value.reason is Reason.CALLER_UNKNOWN


def test_every_denial_is_logged_and_counted_by_its_reason(
    registrar: Authority, counted: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    stolen, other = registrar.issue(), registrar.issue()
    check = guard(POLICE, trust=barring(stolen))
    court = "spiffe://xieban.lanzhou/court/system"
    with caplog.at_level(logging.WARNING):
        check(LIST, Connection(other))
        for caller in (Connection(stolen), Connection(other, court)):
            with pytest.raises(Denied):
                check(LIST, caller)
    assert counted == ["CERTIFICATE_BARRED", "CALLER_UNKNOWN"]
    said = [(row.message, row.method, row.peer, row.reason) for row in caplog.records]  # type: ignore[attr-defined]
    assert said == [
        ("call denied", LIST, fingerprint(stolen)[:16], "CERTIFICATE_BARRED"),
        ("call denied", LIST, court, "CALLER_UNKNOWN"),
    ]
    assert {"method", "peer", "reason"} <= telemetry.ALLOWED


def test_a_certificate_is_read_once_and_only_so_many_are_remembered(
    registrar: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def noted(pem: bytes) -> tuple[str, ...]:
        read.append(pem)
        return certificates.fingerprints(pem)

    monkeypatch.setattr(access, "fingerprints", noted)
    monkeypatch.setattr(access, "REMEMBERED", 2)
    stolen, one, other = (registrar.issue() for _ in range(3))
    check = guard(POLICE, trust=barring(stolen))
    for _ in range(3):
        check(LIST, Connection(one))
    assert len(read) == 1
    with pytest.raises(Denied):
        check(LIST, Connection(stolen))
    check(LIST, Connection(other))  # the third: the first is forgotten, and read again
    check(LIST, Connection(one))
    assert len(read) == 4

"""The table of who may call what: complete, closed, and what it was meant to be, cell by cell."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import FileDescriptor

from services.access import PACKAGE, Here, kinds, may, rules
from services.chassis.identity import Identity
from xieban import wire
from xieban.agency import Agency

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

"""Who may read what, by the certificate the caller proves to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from services.access import PACKAGE, Here, may
from services.chassis.identity import Identity
from tests.services.test_access import methods
from tests.system.rig import CT, PP, PS, City, channel
from xieban.agency import Agency
from xieban.dossier import Dossier
from xieban.errors import Reason
from xieban.rpcstatus import error_from_rpc
from xieban.views import HandoffView
from xieban.wire.v1 import case_pb2, case_pb2_grpc, dossier_pb2, dossier_pb2_grpc, handoff_pb2, handoff_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def sent(city: City) -> HandoffView:
    handoff: HandoffView = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    await city.arrive(city.procuratorate, handoff.eid)
    return handoff


async def pulled(city: City, caller: Path, *eids: str, to: Agency = PS) -> tuple[list[str], Reason | None]:
    """Eids of what was served, and why the call ended."""
    served = []
    async with channel(city, caller, to=to) as wire:
        stub = dossier_pb2_grpc.DossierServiceStub(wire)
        try:
            async for answer in stub.PullDossiers(dossier_pb2.PullDossiersRequest(eids=eids), timeout=20):
                served += [one.eid for one in answer.dossiers]
        except grpc.aio.AioRpcError as error:
            return served, error_from_rpc(error).reason
    return served, None


async def test_the_addressee_gets_the_dossier(city: City, sent: HandoffView) -> None:
    assert await pulled(city, city.home.node(PP), sent.eid) == ([sent.eid], None)


@pytest.mark.parametrize("agency", [CT, PS])
async def test_another_node_and_the_sender_itself_ask_in_vain(city: City, sent: HandoffView, agency: Agency) -> None:
    assert await pulled(city, city.home.node(agency), sent.eid) == ([], Reason.HANDOFF_NOT_FOUND)


async def test_the_gateway_is_not_served(city: City, sent: HandoffView) -> None:
    assert await pulled(city, city.home.node(Agency.GATEWAY), sent.eid) == ([], Reason.CALLER_UNKNOWN)


@pytest.mark.parametrize("client", ["procuratorate", "committee", "sandbox"])
async def test_who_is_no_node_is_not_served(city: City, sent: HandoffView, client: str) -> None:
    assert await pulled(city, city.home.client(client), sent.eid) == ([], Reason.CALLER_UNKNOWN)


async def test_the_receiver_of_a_dossier_does_not_hand_it_on(city: City, sent: HandoffView) -> None:
    assert await pulled(city, city.home.node(CT), sent.eid, to=PP) == ([], Reason.HANDOFF_NOT_FOUND)


async def test_one_that_is_not_there_does_not_hold_up_those_asked_for_with_it(city: City, sent: HandoffView) -> None:
    answer = await pulled(city, city.home.node(PP), "ab" * 32, sent.eid)
    assert answer == ([sent.eid], Reason.HANDOFF_NOT_FOUND)


async def test_a_pull_is_bounded(city: City) -> None:
    assert await pulled(city, city.home.node(PP), *["ab" * 32] * 65) == ([], Reason.FIELD_INVALID)
    assert await pulled(city, city.home.node(PP), "nonsense") == ([], Reason.FIELD_INVALID)


@pytest.mark.parametrize(
    "caller", ["clients/procuratorate", "clients/committee", "clients/sandbox", "nodes/police", "nodes/gateway"]
)
async def test_only_a_system_of_the_agency_itself_is_served_by_its_node(
    city: City, sent: HandoffView, caller: str
) -> None:
    async with channel(city, city.home.folder / caller, to=PS) as wire:
        handoffs, cases = handoff_pb2_grpc.HandoffServiceStub(wire), case_pb2_grpc.CaseServiceStub(wire)
        for call in (
            handoffs.Send(handoff_pb2.SendRequest(), timeout=10),
            handoffs.Answer(handoff_pb2.AnswerRequest(eid=sent.eid), timeout=10),
            handoffs.Accept(handoff_pb2.AcceptRequest(eid=sent.eid), timeout=10),
            handoffs.Return(handoff_pb2.ReturnRequest(eid=sent.eid), timeout=10),
            handoffs.Withdraw(handoff_pb2.WithdrawRequest(eid=sent.eid, client_ref="x"), timeout=10),
            handoffs.Get(handoff_pb2.GetRequest(eid=sent.eid, with_dossier=True), timeout=10),
            handoffs.List(handoff_pb2.ListRequest(), timeout=10),
            cases.GetCase(case_pb2.GetCaseRequest(case_id=sent.case_id), timeout=10),
            cases.ListCases(case_pb2.ListCasesRequest(), timeout=10),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert error_from_rpc(raised.value).reason is Reason.CALLER_UNKNOWN
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in handoffs.WatchInbox(handoff_pb2.WatchInboxRequest(), timeout=10):
                pytest.fail("the inbox was shown")
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_certificate_there_is_no_connection(city: City) -> None:
    credentials = grpc.ssl_channel_credentials(root_certificates=(city.home.folder / "ca.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", "xieban.police"), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{city.home.ports.police}", credentials, options=options) as wire:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await handoff_pb2_grpc.HandoffServiceStub(wire).List(handoff_pb2.ListRequest(), timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_gateway_holds_no_byte_of_a_dossier(city: City, sent: HandoffView) -> None:
    dossier = (await city.police.get(sent.eid, with_dossier=True)).dossier
    assert isinstance(dossier, Dossier)
    await city.settled(sent.case_id)
    folder = city.home.node(Agency.GATEWAY)
    held = b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("data.db"))
    assert sent.eid.encode() in held
    for word in (dossier.persons[0].name, dossier.document.title, dossier.charge, sent.client_ref):
        assert word.encode() not in held


CALLERS = (
    "clients/police", "clients/procuratorate", "clients/court", "clients/committee", "clients/sandbox",
    "nodes/police", "nodes/procuratorate", "nodes/court", "nodes/gateway",
)  # fmt: skip


def identity(caller: str) -> Identity:
    kind, name = caller.split("/")
    if kind == "nodes":
        return Identity("lanzhou", name, "node")
    special = {"committee": ("gateway", "committee"), "sandbox": ("operator", "sandbox")}
    return Identity("lanzhou", *special.get(name, (name, "system")))


@pytest.mark.parametrize("to", [PS, PP, CT, Agency.GATEWAY])
@pytest.mark.parametrize("caller", CALLERS)
async def test_every_cell_of_the_table_holds_at_the_real_port(city: City, caller: str, to: Agency) -> None:
    """An empty request to every method of the wire: refused for who is calling exactly where the table says so."""
    refused, meant = set(), set()
    async with channel(city, city.home.folder / caller, to=to) as wire:
        for service, names in sorted(methods().items()):
            for name in sorted(names - {"WatchInbox", "WatchNotices"}):
                path = f"/{PACKAGE}.{service}/{name}"
                if not may(identity(caller), path, Here("lanzhou", to)):
                    meant.add(path)
                call: Any = wire.unary_stream(path)
                try:
                    async for _ in call(b"", timeout=10):
                        break
                except grpc.aio.AioRpcError as error:
                    if error_from_rpc(error).reason is Reason.CALLER_UNKNOWN:
                        refused.add(path)
                    elif error.code() is grpc.StatusCode.UNIMPLEMENTED:
                        meant.discard(path)  # the node does not serve it at all
    assert refused == meant

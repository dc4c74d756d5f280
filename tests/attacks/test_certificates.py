"""At the real ports of a running city: a certificate that is not quite the right one opens nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from services.provision import NODES
from tests.attacks.certificates import DAY, Authority, fingerprint
from tests.system.ceremony import amended, listed, put
from tests.system.rig import PS, City, channel, whole_city
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.rpcstatus import error_from_rpc
from xieban.trust import Authority as Listed
from xieban.trust import add, bar, revoke
from xieban.wire.v1 import dossier_pb2, dossier_pb2_grpc, handoff_pb2, handoff_pb2_grpc, log_pb2, log_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="module")
SYSTEM = "spiffe://xieban.lanzhou/police/system"
GATEWAYS = "spiffe://xieban.lanzhou/gateway/node"
YEAR = timedelta(days=365)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    async with whole_city(tmp_path_factory.mktemp("certificates")) as running:
        yield running


@pytest.fixture
def registrar(city: City, tmp_path: Path) -> Authority:
    return Authority.of_city(city.home.folder, tmp_path / "registrar")


async def answer(city: City, caller: Path, *, to: Agency = PS) -> grpc.StatusCode:
    """How a node answers: a question that only the police's own systems may ask, or one that any certificate may."""
    async with channel(city, caller, to=to) as wire:
        try:
            if to is Agency.GATEWAY:
                await log_pb2_grpc.LogServiceStub(wire).GetTile(log_pb2.GetTileRequest(width=1), timeout=10)
            else:
                await handoff_pb2_grpc.HandoffServiceStub(wire).List(handoff_pb2.ListRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_a_certificate_of_the_right_authority_and_name_is_served(city: City, registrar: Authority) -> None:
    """What is refused below differs from this one in one respect."""
    assert await answer(city, registrar.issue(SYSTEM)) is grpc.StatusCode.OK
    assert await answer(city, registrar.issue(SYSTEM, x509.DNSName("anything"))) is grpc.StatusCode.OK


@pytest.mark.parametrize("to", NODES)
@pytest.mark.parametrize("name", ["协办 lanzhou CA", "another"])
async def test_another_authority_is_not_believed_whatever_it_is_called(
    city: City, tmp_path: Path, to: Agency, name: str
) -> None:
    stranger = Authority.founded(tmp_path, name=name)
    for uri in (SYSTEM, GATEWAYS, f"spiffe://xieban.lanzhou/{to}/node"):
        assert await answer(city, stranger.issue(uri), to=to) is grpc.StatusCode.UNAVAILABLE
        assert await answer(city, stranger.issue(uri, chain=stranger.pem), to=to) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("to", NODES)
async def test_without_a_certificate_there_is_no_connection_to_any_node(city: City, to: Agency) -> None:
    credentials = grpc.ssl_channel_credentials(root_certificates=(city.home.folder / "ca.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", f"xieban.{to}"), ("grpc.enable_http_proxy", 0)]
    target = f"127.0.0.1:{city.home.ports.of(to)}"
    async with grpc.aio.secure_channel(target, credentials, options=options) as wire:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await handoff_pb2_grpc.HandoffServiceStub(wire).List(handoff_pb2.ListRequest(), timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("since", "until"),
    [(-2 * DAY, -timedelta(minutes=1)), (-10 * YEAR, -YEAR), (timedelta(hours=1), YEAR), (YEAR, 2 * YEAR)],
    ids=["expired a minute ago", "expired long ago", "not valid for an hour yet", "not valid for a year yet"],
)
async def test_a_certificate_out_of_its_time_is_refused(
    city: City, registrar: Authority, since: timedelta, until: timedelta
) -> None:
    assert await answer(city, registrar.issue(SYSTEM, since=since, until=until)) is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_for_servers_only_is_refused(city: City, registrar: Authority) -> None:
    folder = registrar.issue(SYSTEM, uses=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert await answer(city, folder) is grpc.StatusCode.UNAVAILABLE


async def test_a_node_is_no_authority(city: City, tmp_path: Path) -> None:
    """Who has the key of a node's certificate cannot issue others with it."""
    node = city.home.node(Agency.COURT)
    rogue = Authority.of(node / "certificate.pem", node / "key.pem", tmp_path)
    folder = rogue.issue(SYSTEM, chain=rogue.pem)
    assert await answer(city, folder) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("xieban.police"),),
        ("spiffe://xieban.lanzhou/court/system",),
        ("spiffe://xieban.lanzhou/police/committee",),
        ("spiffe://xieban.lanzhou/gateway/system",),
        ("spiffe://xieban.jiuquan/police/system",),
        ("spiffe://xieban.lanzhou.jiuquan/police/system",),
        ("spiffe://lanzhou/police/system",),
        ("spiffe://XIEBAN.lanzhou/police/system",),
        ("spiffe://xieban.lanzhou/police/system/",),
        ("spiffe://xieban.lanzhou/police/system?role=system",),
        ("spiffe://xieban.lanzhou//police/system",),
        ("spiffe://xieban.lanzhou/police/%73ystem",),
        ("spiffe://xieban.lanzhou/police/system\n",),
        ("https://xieban.lanzhou/police/system",),
        (SYSTEM, "spiffe://xieban.lanzhou/court/system"),
        (SYSTEM, "spiffe://xieban.jiuquan/police/system"),
        (x509.DNSName(SYSTEM),),
        (x509.RFC822Name(SYSTEM),),
        ("spiffe://xieban.lanzhou/court/system", x509.DNSName(SYSTEM)),
    ],
    ids=[
        "no name", "a server's name", "another agency", "another role", "the gateway", "another city", "two cities", "no platform",
        "capitals", "a slash", "a query", "an empty part", "an escape", "a line feed", "another scheme", "two agencies",
        "two cities' names",
        "the right words as a host", "the right words as a mailbox", "one as a name and one as a host",
    ],
)  # fmt: skip
async def test_a_certificate_of_the_right_authority_with_another_name_is_nobody(
    city: City, registrar: Authority, names: tuple[str | x509.GeneralName, ...]
) -> None:
    assert await answer(city, registrar.issue(*names)) in (
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAVAILABLE,
    )


async def test_certificates_of_a_revoked_authority_open_no_door_of_a_node_that_has_started_again(
    tmp_path: Path,
) -> None:
    async with whole_city(tmp_path / "city", gateway=False) as own:
        home = own.home
        old = Authority.of_city(home.folder, tmp_path / "old")
        new = Authority.founded(tmp_path / "new", name="协办 lanzhou CA 2")
        stolen = old.issue(SYSTEM)
        assert await answer(own, stolen) is grpc.StatusCode.OK
        grown = add(listed(home), Listed(fingerprint=new.fingerprint, from_index=0), issue=amended(0))
        put(home, revoke(grown, id=old.fingerprint[:16], reason="compromised", from_index=None, issue=amended(0)))
        await own.node(PS).stop()
        with pytest.raises(XiebanError) as raised:
            await own.node(PS).start()
        assert raised.value.reason is Reason.TRUST_LACKS
        await own.node(PS).stop()

        (home.folder / "ca.pem").write_bytes(new.pem)
        fresh = new.issue("spiffe://xieban.lanzhou/police/node", x509.DNSName("xieban.police"))
        for name in ("key.pem", "certificate.pem"):
            (home.node(PS) / name).write_bytes((fresh / name).read_bytes())
        await own.node(PS).start()
        assert await answer(own, new.issue(SYSTEM)) is grpc.StatusCode.OK
        assert await answer(own, stolen) is grpc.StatusCode.UNAVAILABLE
        assert await answer(own, old.issue(SYSTEM, chain=old.pem)) is grpc.StatusCode.UNAVAILABLE


async def reasons(city: City, caller: Path, *, to: Agency) -> list[Reason | None]:
    """What a node answers to calls of every shape, each open to the one certificate or the other: why not, or None where it is served."""
    found: list[Reason | None] = []
    async with channel(city, caller, to=to) as wire:
        listing = handoff_pb2_grpc.HandoffServiceStub(wire).List(handoff_pb2.ListRequest(), timeout=10)
        pulling = dossier_pb2_grpc.DossierServiceStub(wire).PullDossiers(
            dossier_pb2.PullDossiersRequest(eids=["ab" * 32]), timeout=10
        )
        tile = log_pb2_grpc.LogServiceStub(wire).GetTile(log_pb2.GetTileRequest(width=1), timeout=10)
        alive = health_pb2_grpc.HealthStub(wire).Check(health_pb2.HealthCheckRequest(), timeout=10)
        for call in (alive, tile) if to is Agency.GATEWAY else (alive, listing, pulling):
            try:
                if isinstance(call, grpc.aio.UnaryStreamCall):
                    async for _ in call:
                        pass
                else:
                    await call
                found.append(None)
            except grpc.aio.AioRpcError as error:
                found.append(error_from_rpc(error).reason)
    return found


async def test_a_barred_certificate_of_a_system_or_a_node_opens_no_port_and_the_next_of_that_name_does(
    tmp_path: Path,
) -> None:
    async with whole_city(tmp_path / "city") as own:
        registrar = Authority.of_city(own.home.folder, tmp_path / "registrar")
        node = "spiffe://xieban.lanzhou/court/node"
        served: dict[str, dict[Agency, list[Reason | None]]] = {
            SYSTEM: {PS: [None, None, Reason.CALLER_UNKNOWN], Agency.GATEWAY: [None, None]},
            node: {PS: [None, Reason.CALLER_UNKNOWN, Reason.HANDOFF_NOT_FOUND], Agency.GATEWAY: [None, None]},
        }
        stolen = {name: registrar.issue(name) for name in served}
        fresh = {name: registrar.issue(name) for name in served}
        draft = listed(own.home)
        for folder in stolen.values():
            draft = bar(draft, fingerprint=fingerprint(folder), reason="compromised", issue=amended(0))
        put(own.home, draft)
        for name, answers in served.items():  # a list counts from the next start
            for to, expected in answers.items():
                assert await reasons(own, stolen[name], to=to) == expected, (name, to)

        await own.node(PS).restart()
        await own.stop_gateway()
        await own.start_gateway()
        for name, answers in served.items():
            for to, expected in answers.items():
                assert set(await reasons(own, stolen[name], to=to)) == {Reason.CERTIFICATE_BARRED}, (name, to)
                assert await reasons(own, fresh[name], to=to) == expected, (name, to)

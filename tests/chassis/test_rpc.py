"""Over real gRPC with mutual TLS, through a generic service that needs no generated code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from services.chassis.identity import Identity, caller, parse
from services.chassis.rpc import RpcServer, Tls, channel
from tests.chassis.conftest import Authority
from xieban.errors import Broken, Denied, Reason, TooLarge, Unreachable, XiebanError, failure
from xieban.rpcstatus import error_from_rpc

SERVICE = "test.Service"


def add(server: RpcServer, **methods: Any) -> None:
    handlers: dict[str, Any] = {
        name: (
            grpc.unary_stream_rpc_method_handler if name.startswith("Watch") else grpc.unary_unary_rpc_method_handler
        )(method)
        for name, method in methods.items()
    }
    server.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def method(open_channel: grpc.aio.Channel, name: str) -> Any:
    return open_channel.unary_unary(f"/{SERVICE}/{name}")


def stream_method(open_channel: grpc.aio.Channel, name: str) -> Any:
    return open_channel.unary_stream(f"/{SERVICE}/{name}")


def everybody(method: str, context: object) -> None:
    """A guard that lets everybody in."""


async def call(port: int, tls: Tls, name: str, *, agency: str = "court", data: bytes = b"", **options: Any) -> bytes:
    """One call as a client makes it, its failure turned back into ours."""
    async with channel(f"127.0.0.1:{port}", tls=tls, agency=agency) as open_channel:
        try:
            return bytes(await method(open_channel, name)(data, timeout=5, **options))
        except grpc.RpcError as error:
            raise error_from_rpc(error, peer=agency) from error


@pytest.fixture
def authority(new_authority: Callable[[str], Authority]) -> Authority:
    return new_authority("city")


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[RpcServer]:
    async with RpcServer(tls=authority.issue("court"), guard=everybody, development=True, deadline=0.05) as made:
        yield made


async def test_every_reason_arrives_as_the_same_class_with_its_metadata(
    server: RpcServer, authority: Authority
) -> None:
    async def fail(request: bytes, context: Any) -> bytes:
        raise failure(Reason[request.decode()], field="案号", detail="不合要求" * 3, handoff="H1", case="C1")

    add(server, Fail=fail)
    port = await server.start("127.0.0.1:0")
    for reason in Reason:
        with pytest.raises(XiebanError) as caught:
            await call(port, authority.issue("police"), "Fail", data=reason.name.encode())
        sent = failure(reason, field="案号", detail="不合要求" * 3, handoff="H1", case="C1")
        assert type(caught.value) is type(sent)
        assert caught.value.reason is reason
        assert caught.value.metadata == sent.metadata
        assert caught.value.explain() == sent.explain()


async def test_the_status_itself_carries_the_four_parts_for_any_client(server: RpcServer, authority: Authority) -> None:
    async def fail(request: bytes, context: Any) -> bytes:
        raise failure(Reason.CASE_NOT_FOUND, case="C1")

    add(server, Fail=fail)
    port = await server.start("127.0.0.1:0")
    async with channel(f"127.0.0.1:{port}", tls=authority.issue("police"), agency="court") as open_channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(open_channel, "Fail")(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == failure(Reason.CASE_NOT_FOUND, case="C1").explain()


async def test_an_enormous_value_in_an_error_still_arrives(server: RpcServer, authority: Authority) -> None:
    async def fail(request: bytes, context: Any) -> bytes:
        raise failure(Reason.FIELD_INVALID, field="名", detail="长" * 100_000)

    add(server, Fail=fail)
    port = await server.start("127.0.0.1:0")
    with pytest.raises(XiebanError) as caught:
        await call(port, authority.issue("police"), "Fail")
    assert caught.value.reason is Reason.FIELD_INVALID


async def test_a_defect_says_nothing_but_a_number_to_look_up(
    server: RpcServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(request: bytes, context: Any) -> bytes:
        raise KeyError("张三")

    add(server, Crash=crash)
    port = await server.start("127.0.0.1:0")
    with pytest.raises(Broken) as caught:
        await call(port, authority.issue("police"), "Crash")
    assert caught.value.reason is Reason.DEFECT
    assert "张三" not in caught.value.explain()
    assert caught.value.metadata["trace"] in [getattr(record, "trace", None) for record in caplog.records]


async def test_an_error_in_the_middle_of_a_stream_arrives_after_what_was_sent(
    server: RpcServer, authority: Authority
) -> None:
    async def watch(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        raise failure(Reason.HANDOFF_NOT_FOUND, handoff="H1")

    add(server, Watch=watch)
    port = await server.start("127.0.0.1:0")
    got: list[bytes] = []
    async with channel(f"127.0.0.1:{port}", tls=authority.issue("police"), agency="court") as open_channel:
        with pytest.raises(grpc.RpcError) as caught:
            async for item in stream_method(open_channel, "Watch")(b"", timeout=5):
                got.append(item)
    assert got == [b"1"]
    assert error_from_rpc(caught.value).reason is Reason.HANDOFF_NOT_FOUND


async def test_the_caller_is_whoever_its_certificate_says(server: RpcServer, authority: Authority) -> None:
    async def whoami(request: bytes, context: Any) -> bytes:
        return caller(context).uri.encode()

    add(server, Who=whoami)
    port = await server.start("127.0.0.1:0")
    assert await call(port, authority.issue("police", role="clerk"), "Who") == b"spiffe://xieban.lanzhou/police/clerk"
    with pytest.raises(Denied):
        await call(port, authority.issue_uri("spiffe://elsewhere/police/clerk", dns="xieban.police"), "Who")


async def test_a_certificate_of_another_authority_gets_nowhere(
    server: RpcServer, authority: Authority, new_authority: Callable[[str], Authority]
) -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return b"answer"

    add(server, Answer=answer)
    port = await server.start("127.0.0.1:0")
    foreign = new_authority("foreign").issue("police")
    ours = authority.issue("police")
    assert await call(port, ours, "Answer") == b"answer"
    with pytest.raises(Unreachable):
        await call(port, Tls(ca=ours.ca, certificate=foreign.certificate, key=foreign.key), "Answer")
    with pytest.raises(Unreachable):
        await call(port, Tls(ca=foreign.ca, certificate=ours.certificate, key=ours.key), "Answer")


async def test_a_caller_without_a_certificate_gets_nowhere(server: RpcServer, authority: Authority) -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return b"answer"

    add(server, Answer=answer)
    port = await server.start("127.0.0.1:0")
    credentials = grpc.ssl_channel_credentials(root_certificates=authority.issue("police").ca.read_bytes())
    override = [("grpc.ssl_target_name_override", "xieban.court")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=override) as anonymous:
        with pytest.raises(grpc.RpcError):
            await method(anonymous, "Answer")(b"", timeout=5)


async def test_a_server_of_another_agency_is_not_believed(server: RpcServer, authority: Authority) -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return b"answer"

    add(server, Answer=answer)
    port = await server.start("127.0.0.1:0")
    with pytest.raises(Unreachable):
        await call(port, authority.issue("police"), "Answer", agency="procuratorate")


async def test_a_call_without_a_deadline_gets_one(server: RpcServer, authority: Authority) -> None:
    cancelled = asyncio.Event()

    async def never(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    add(server, Never=never)
    port = await server.start("127.0.0.1:0")
    async with channel(f"127.0.0.1:{port}", tls=authority.issue("police"), agency="court") as open_channel:
        with pytest.raises(grpc.RpcError) as caught:
            await method(open_channel, "Never")(b"")
    assert isinstance(error_from_rpc(caught.value), Unreachable)
    assert cancelled.is_set()


async def test_a_message_over_the_limit_is_refused(server: RpcServer, authority: Authority) -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return b"answer"

    add(server, Answer=answer)
    port = await server.start("127.0.0.1:0")
    tls = authority.issue("police")
    assert await call(port, tls, "Answer", data=b"x" * 200_000) == b"answer"
    async with channel(f"127.0.0.1:{port}", tls=tls, agency="court", max_message=1_000_000) as generous:
        with pytest.raises(grpc.RpcError) as caught:
            await method(generous, "Answer")(b"x" * 300_000, timeout=5)
    assert isinstance(error_from_rpc(caught.value), TooLarge)


async def test_a_taken_port_is_a_coded_refusal(server: RpcServer, authority: Authority) -> None:
    port = await server.start("127.0.0.1:0")
    second = RpcServer(tls=authority.issue("court"), guard=everybody)
    with pytest.raises(Unreachable, match="XB-5005"):
        await second.start(f"127.0.0.1:{port}")
    await second.stop()


async def test_a_missing_certificate_file_is_a_coded_refusal(tmp_path: Path) -> None:
    lost = tmp_path / "none.pem"
    server = RpcServer(tls=Tls(ca=lost, certificate=lost, key=lost), guard=everybody)
    with pytest.raises(XiebanError, match="XB-5003"):
        await server.start("127.0.0.1:0")
    await server.stop()


async def test_health_and_reflection_answer(server: RpcServer, authority: Authority) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async def answer(request: bytes, context: Any) -> bytes:
        return b"answer"

    add(server, Answer=answer)
    port = await server.start("127.0.0.1:0", services=[SERVICE])
    async with channel(f"127.0.0.1:{port}", tls=authority.issue("police"), agency="court") as open_channel:
        check = await health_pb2_grpc.HealthStub(open_channel).Check(
            health_pb2.HealthCheckRequest(service=SERVICE), timeout=5
        )
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(open_channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        async for listed in reflection:
            assert SERVICE in [service.name for service in listed.list_services_response.service]


async def test_a_crash_that_must_end_the_process_is_reported_to_it(authority: Authority) -> None:
    class Fatal(BaseException):
        pass

    async def crash(request: bytes, context: Any) -> bytes:
        raise Fatal

    seen: list[BaseException] = []
    async with RpcServer(tls=authority.issue("court"), guard=everybody, on_fatal=seen.append) as server:
        add(server, Crash=crash)
        port = await server.start("127.0.0.1:0")
        with pytest.raises(Broken):
            await call(port, authority.issue("police"), "Crash")
    assert [type(error) for error in seen] == [Fatal]


async def test_nobody_there_is_unreachable(authority: Authority) -> None:
    with pytest.raises(Unreachable) as caught:
        await call(1, authority.issue("police"), "Answer")
    assert caught.value.metadata["peer"] == "court"


@pytest.mark.parametrize(
    "uri",
    ["", "spiffe://xieban.lanzhou/police", "spiffe://xieban.lanzhou/police/a/b", "spiffe://xieban.LZ/police/x", "x"],
)
def test_an_identity_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(Denied):
        parse(uri)


def test_two_identities_in_one_certificate_are_refused() -> None:
    class Context:
        def auth_context(self) -> dict[str, list[bytes]]:
            names = [b"spiffe://xieban.lanzhou/police/a", b"spiffe://xieban.lanzhou/court/a"]
            return {"peer_uri": names}

    with pytest.raises(Denied):
        caller(Context())
    assert parse("spiffe://xieban.lanzhou/police/a") == Identity("lanzhou", "police", "a")


async def test_whoever_the_guard_refuses_reaches_no_handler(authority: Authority) -> None:
    reached: list[str] = []

    async def answer(request: bytes, context: Any) -> bytes:
        reached.append("unary")
        return b""

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        reached.append("stream")
        yield b""

    def nobody(method: str, context: object) -> None:
        raise failure(Reason.CALLER_UNKNOWN, identity=method)

    async with RpcServer(tls=authority.issue("court"), guard=nobody) as server:
        handlers: dict[str, Any] = {
            "One": grpc.unary_unary_rpc_method_handler(answer),
            "Many": grpc.unary_stream_rpc_method_handler(stream),
        }
        server.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = await server.start("127.0.0.1:0")
        tls = authority.issue("police")
        with pytest.raises(XiebanError) as raised:
            await call(port, tls, "One")
        assert raised.value.metadata["identity"] == f"/{SERVICE}/One"
        async with channel(f"127.0.0.1:{port}", tls=tls, agency="court") as wire:
            with pytest.raises(grpc.RpcError) as denied:
                async for _ in stream_method(wire, "Many")(b"", timeout=5):
                    pytest.fail("served")
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reached == []

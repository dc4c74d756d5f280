"""At the real ports: whatever somebody who may call puts into a request, the node answers, or refuses with a reason that is no defect."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given

from services.access import PACKAGE, Here, may
from services.provision import NODES
from tests.attacks.fuzzing import THOROUGH, effort, messages
from tests.system.rig import City, channel, main_road, whole_city
from tests.system.test_access import CALLERS, identity
from xieban import wire
from xieban.agency import Agency
from xieban.errors import Reason
from xieban.rpcstatus import error_from_rpc

pytestmark = pytest.mark.asyncio(loop_scope="module")
FEW = 6
"""Requests of each caller to each method: there are some hundred such pairs."""
MOVES_THE_CLOCK = "AdvanceClock"
"""Would take the city's time away from what follows."""
WATCHES = {"WatchInbox", "WatchNotices"}
"""End with their caller."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    async with whole_city(tmp_path_factory.mktemp("ports")) as running:
        await main_road(running, running.new_case())
        yield running


def methods() -> Iterator[MethodDescriptor]:
    """Every method of the wire."""
    for module in pkgutil.iter_modules(importlib.import_module("xieban.wire.v1").__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"{wire.__name__}.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                yield from service.methods


def drawn(kind: type[Message], amount: int) -> list[bytes]:
    """So many requests of a kind."""
    found: list[bytes] = []

    @effort(amount)
    @given(messages(kind))
    def take(message: Message) -> None:
        found.append(message.SerializeToString())

    take()
    return found


@pytest.mark.parametrize(
    "amount", [pytest.param(FEW, id="quick"), pytest.param(THOROUGH // 10, id="thorough", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("to", NODES)
async def test_no_request_of_anybody_is_a_defect_of_the_node(city: City, to: Agency, amount: int) -> None:
    asked = 0
    for caller in CALLERS:
        async with channel(city, city.home.folder / caller, to=to) as wire:
            for method in methods():
                path = f"/{PACKAGE}.{method.containing_service.name}/{method.name}"
                if method.name == MOVES_THE_CLOCK or not may(identity(caller), path, Here("lanzhou", to)):
                    continue
                for data in drawn(GetMessageClass(method.input_type), amount):
                    asked += 1
                    assert await refusal(wire, path, data) is not Reason.DEFECT, (caller, path, data.hex())
    assert asked > 20 * amount


async def refusal(wire: grpc.aio.Channel, path: str, data: bytes) -> Reason | None:
    """Why a node did not answer; None when it did, or does not serve the method, or would go on for ever."""
    watches = path.rpartition("/")[2] in WATCHES
    call: Any = wire.unary_stream(path)
    try:
        async for _ in call(data, timeout=0.2 if watches else 20):
            return None
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED or (
            watches and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        ):
            return None
        return error_from_rpc(error).reason
    return None

"""How a face of the city is called: the profile that says where it is and who calls, one channel, its deadlines and its repetitions.

Every call has a deadline. A call is repeated by itself only when the peer was not there *and* repeating cannot do anything twice
(reading, or sending under a `client_ref`). What must not go in: any service of the city.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio

from xieban.agency import Agency
from xieban.approval import OfficerKey
from xieban.errors import Reason, Unreachable, failure
from xieban.handoff import OfficerRole
from xieban.keys import files as key_files
from xieban.rpcstatus import error_from_rpc

DEADLINE: Final = 10.0
MAX_MESSAGE: Final = 8 * 1024 * 1024
RETRY_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
WATCH_PAUSES: Final = (0.05, 0.2, 1.0, 3.0)

_T = TypeVar("_T")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a face of the city is and who calls it. Paths are absolute; `server_name` is what the server's certificate must say."""

    target: str
    city: str
    agency: str
    certificate: Path
    key: Path
    ca: Path
    server_name: str
    gateway: str = ""
    """Where the city's gateway is, for an agency that wants proofs of it."""
    handler_key: Path | None = None
    approver_key: Path | None = None
    """Keys of two officers that this system holds itself, for trying things out. Where people approve, their keys are with them."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder`/profile.toml; file names in it are meant from the folder. Errors: CLIENT_UNCONFIGURED."""
        file = folder / "profile.toml"
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 无法读取（{error.strerror}）") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 不是有效的 TOML") from error
        names = ("target", "city", "agency", "certificate", "key", "ca", "server_name")
        more = ("gateway", "handler_key", "approver_key")
        wrong = [name for name in names if not isinstance(table.get(name), str)] + [
            name for name in table if name not in names and not (name in more and isinstance(table[name], str))
        ]
        if wrong:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=f"{file} 中的 {wrong[0]} 缺失、不是文字或者不认识")
        files = ("certificate", "key", "ca", "handler_key", "approver_key")
        paths = {name: (folder / table[name]).resolve() for name in files if name in table}
        return cls(**{**table, **paths})

    def at_gateway(self) -> Self:
        """The same caller's way to the gateway. Errors: CLIENT_UNCONFIGURED when the profile does not say where that is."""
        name = f"xieban.{Agency.GATEWAY}"
        if self.server_name == name:
            return self
        if not self.gateway:
            raise failure(Reason.CLIENT_UNCONFIGURED, detail="profile.toml 没有写监督网关的地址（gateway）")
        return replace(self, target=self.gateway, server_name=name)

    def officers(self) -> tuple[OfficerKey, ...]:
        """The officers whose keys this system holds. Errors: KEY_FILE_INVALID, KEY_FILE_EXPOSED."""
        named: tuple[tuple[OfficerRole, Path | None], ...] = (
            ("handler", self.handler_key),
            ("approver", self.approver_key),
        )
        return tuple(OfficerKey(role, key_files.load_private(file)) for role, file in named if file is not None)

    def channel(self) -> grpc.aio.Channel:
        """Connects lazily. Errors: CLIENT_UNCONFIGURED when a certificate file cannot be read."""
        try:
            ca, key, certificate = (path.read_bytes() for path in (self.ca, self.key, self.certificate))
        except OSError as error:
            detail = f"证书文件 {error.filename} 无法读取（{error.strerror}）"
            raise failure(Reason.CLIENT_UNCONFIGURED, detail=detail) from error
        credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)
        options = [
            ("grpc.ssl_target_name_override", self.server_name),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.enable_http_proxy", 0),
        ]
        return grpc.aio.secure_channel(self.target, credentials, options=options)


@dataclass(frozen=True, slots=True)
class Page:
    """How much of a list to read and where to go on; `token` comes from the previous answer."""

    size: int = 50
    token: str = ""


class Caller:
    """One channel, its deadlines and its repetitions."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        self.profile = profile
        self._channel = channel

    @classmethod
    @asynccontextmanager
    async def open(cls, profile: Path | Profile) -> AsyncIterator[Self]:
        """A client for the profile (or the folder that holds it); the channel closes with the context. Errors: CLIENT_UNCONFIGURED."""
        chosen = profile if isinstance(profile, Profile) else Profile.load(profile)
        channel = chosen.channel()
        try:
            yield cls(chosen, channel)
        finally:
            await channel.close()

    async def _call(
        self,
        method: Callable[..., Awaitable[_T]],
        request: Any,
        *,
        deadline: float = DEADLINE,
        repeatable: bool,
    ) -> _T:
        for pause in (*(RETRY_PAUSES if repeatable else ()), None):
            try:
                return await _uncancelled(method(request, timeout=deadline))
            except grpc.aio.AioRpcError as error:
                known = error_from_rpc(error, peer=self.profile.server_name)
                if pause is None or not isinstance(known, Unreachable):
                    raise known from error
                await asyncio.sleep(pause)
        raise AssertionError("the last try either returns or raises")

    async def _watch(self, stream: Callable[[], AsyncIterable[_T]]) -> AsyncGenerator[_T, None]:
        """What `stream` gives, for ever: it is opened anew when the peer goes away. Errors other than the peer's absence end it."""
        failures = 0
        while True:
            try:
                async for message in stream():
                    failures = 0
                    yield message
            except grpc.aio.AioRpcError as error:
                known = error_from_rpc(error, peer=self.profile.server_name)
                if not isinstance(known, Unreachable) and error.code() is not grpc.StatusCode.CANCELLED:
                    raise known from error
            await asyncio.sleep(WATCH_PAUSES[min(failures, len(WATCH_PAUSES) - 1)])
            failures += 1


async def _uncancelled(call: Awaitable[_T]) -> _T:
    """The answer of a call. The library keeps a cancellation to itself that meets the answer: a Ctrl-C would be lost."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    answer = await call
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


async def everything(
    read: Callable[[Page], Awaitable[tuple[tuple[_Item, ...], str]]], *, size: int = 200
) -> tuple[_Item, ...]:
    """All pages of a list call: `await everything(client.case_list)`."""
    rows: list[_Item] = []
    page = Page(size=size)
    while True:
        found, token = await read(page)
        rows.extend(found)
        if not token:
            return tuple(rows)
        page = Page(size=size, token=token)

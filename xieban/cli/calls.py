"""What every command that talks to a node shares: the profile and JSON options, and running one conversation to its end.

The client is imported when a conversation begins, because gRPC alone would double the time `--help` takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from xieban.errors import Reason, failure
from xieban.lookup import PURPOSE_NAMES

ProfileFolder = Annotated[
    Path | None, typer.Option("--profile", envvar="XIEBAN_PROFILE", help="接口配置目录", show_default=False)
]
PurposeCode = Annotated[
    str,
    typer.Option(
        "--purpose",
        metavar="事由",
        help="查看一件案件的事由，记入监督日志：" + "；".join(f"{code} {name}" for code, name in PURPOSE_NAMES.items()),
    ),
]
Officer = Annotated[str, typer.Option("--officer", metavar="工号", help="查看人的工号，不写姓名；可不填")]
AsJson = Annotated[bool, typer.Option("--json", help="以 JSON 输出")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="最多列出多少条")]

_T = TypeVar("_T")


def as_agency(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open XiebanClient. Errors: CLIENT_UNCONFIGURED, and whatever the calls raise."""
    import asyncio

    from xieban.client import XiebanClient

    return asyncio.run(_with(XiebanClient, named(profile), talk))


def as_party(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open OversightClient, with an agency's own certificate, for what the gateway shows to parties."""
    import asyncio

    from xieban.client import OversightClient, Profile

    return asyncio.run(_with(OversightClient, Profile.load(named(profile)).at_gateway(), talk))


def as_committee(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open OversightClient."""
    import asyncio

    from xieban.client import OversightClient

    return asyncio.run(_with(OversightClient, named(profile), talk))


def as_notified(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open NoticeClient: an agency about its notices."""
    import asyncio

    from xieban.notice_client import NoticeClient

    return asyncio.run(_with(NoticeClient, named(profile), talk))


def as_supervisor(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open SupervisionClient: an officer of the committee."""
    import asyncio

    from xieban.notice_client import SupervisionClient

    return asyncio.run(_with(SupervisionClient, named(profile), talk))


def as_reconciler(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open ReconcileClient: whoever may have a node compare its records."""
    import asyncio

    from xieban.reconcile_client import ReconcileClient

    return asyncio.run(_with(ReconcileClient, named(profile), talk))


def as_operator(profile: Path | None, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    """`talk` with an open SandboxCity."""
    import asyncio

    from xieban.sandbox_client import SandboxCity

    return asyncio.run(_with(SandboxCity, named(profile), talk))


async def _with(client: Any, folder: Any, talk: Callable[[Any], Awaitable[_T]]) -> _T:
    async with client.open(folder) as opened:
        return await talk(opened)


def named(profile: Path | None) -> Path:
    if profile is None:
        raise failure(Reason.CLIENT_UNCONFIGURED, detail="没有给出 --profile，也没有设置 XIEBAN_PROFILE")
    return profile


async def first(limit: int, read: Callable[[Any], Awaitable[tuple[tuple[_T, ...], str]]]) -> tuple[_T, ...]:
    """The first `limit` rows of a paged list."""
    from xieban.client import Page

    rows: list[_T] = []
    token = ""
    while len(rows) < limit:
        found, token = await read(Page(size=min(200, limit - len(rows)), token=token))
        rows.extend(found)
        if not token:
            break
    return tuple(rows)

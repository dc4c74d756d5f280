"""What the trust commands share about files: reading and writing lists, passphrases, and the one look at the machine's clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from xieban.errors import Reason, failure
from xieban.keys import files
from xieban.trust import Chain, Pins, parse

PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", metavar="文件", help="第一行是口令；不给则当面询问")
]
Days = Annotated[int, typer.Option("--days", min=1, max=3650, help="清单多少天后过期")]


def machine_now() -> datetime:
    """Lists are issued and expire by the machine's clock; no sandbox moves it."""
    return datetime.now(UTC)  # noqa: TID251 (a command is the outermost thing there is)


def read(file: Path, *, pins: Pins | None = None) -> Chain:
    """A verified file. Errors: FILE_UNREADABLE, and those of `xieban.trust.parse`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=error.strerror) from error
    return parse(data, pins=pins)


def write(file: Path, chain: Chain) -> None:
    """Put a list into its place at once or not at all. Errors: FILE_UNREADABLE."""
    fresh = file.with_name(file.name + ".new")
    try:
        with fresh.open("wb") as stream:
            stream.write(chain.encode())
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError as error:
        raise failure(Reason.FILE_UNREADABLE, file=file.name, detail=error.strerror) from error


def passphrase_of(key: Path, file: Path | None) -> str:
    """The passphrase of a private key, from `file` or from the person at the terminal; empty for a key that has none."""
    if not files.is_encrypted(key):
        return ""
    if file is not None:
        return files.load_passphrase(file)
    return str(typer.prompt(f"{key.name} 的口令", hide_input=True))


def new_passphrase(file: Path | None, *, none: bool, what: str) -> str:
    """The passphrase for a key about to be made. Errors: FIELD_INVALID when two ways are given at once."""
    if none and file is not None:
        raise failure(Reason.FIELD_INVALID, field="--no-passphrase", detail="不能与 --passphrase-file 同时给出")
    if none:
        return ""
    if file is not None:
        return files.load_passphrase(file)
    return str(typer.prompt(f"{what} 的新口令", hide_input=True, confirmation_prompt="再输入一次"))

"""`xieban-node log`: how far the supervision log went as the files of one node tell it, while no gateway can be asked.

Whoever has to found the log anew reads here what is kept and where the new one may begin. What must not go in: deciding either.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from services.admin import snapshot
from services.admin.node import Node
from services.chassis.database import Transaction
from services.gateway import log
from services.gateway.app import MARK
from services.reconcile.mark import Mark
from xieban.errors import Reason, failure

_SIGNED: Final = {True: "log_checkpoint", False: "witness_checkpoint"}
"""Trees that the gateway has signed, or an agency's witness has cosigned."""


class Tree(msgspec.Struct, frozen=True):
    """A tree of the log by its size; the root in hex."""

    size: int
    root: str


class Reach(msgspec.Struct, frozen=True):
    """`entries`: held by the gateway, null at an agency. `signed`: the largest size this node has put its name to; `trees`: every one."""

    agency: str
    entries: int | None
    signed: int
    trees: tuple[Tree, ...]


def reach(node: Node) -> Reach:
    """Errors: CONFIG_INVALID; FILE_UNREADABLE when there is no database, or it cannot be read."""
    if not node.database.exists():
        raise failure(Reason.FILE_UNREADABLE, file=node.database, detail="没有数据库")
    try:
        with snapshot.opened(node.database) as connection:
            rows = connection.execute(f"SELECT size, root FROM {_SIGNED[node.is_gateway]} ORDER BY size")
            trees = tuple(Tree(row["size"], row["root"].hex()) for row in rows)
            entries = log.size(Transaction(connection)) if node.is_gateway else None
    except sqlite3.Error as error:
        raise failure(Reason.FILE_UNREADABLE, file=node.database, detail=error) from error
    signed = trees[-1].size if trees else 0
    if node.is_gateway:
        mark = Mark(node.database.with_name(MARK)).read()
        signed = max(signed, mark.log if mark is not None else 0)
    return Reach(agency=node.agency(), entries=entries, signed=signed, trees=trees)

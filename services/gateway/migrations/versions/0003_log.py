"""The log becomes a Merkle tree: entries with a nonce and their leaf, complete subtrees, checkpoints and their cosignatures."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

from xieban.proof.merkle import Frontier, Node

revision = "0003"
down_revision = "0002"

TABLES = (
    # `leaf`: SHA-256(0x00 ‖ canonical entry). `nonce` keeps a leaf from being guessed; entries from before this have none.
    """CREATE TABLE log_new (
        position BIGINT PRIMARY KEY,
        kind TEXT NOT NULL,
        recorded_at BIGINT NOT NULL,
        case_id TEXT NOT NULL,
        eid TEXT NOT NULL,
        detail TEXT NOT NULL,
        nonce BLOB NOT NULL,
        leaf BLOB NOT NULL
    )""",
    # Subtrees of 256^level leaves that are complete; level 0 is `leaf`. Row i of level L stands for entries i·256^L+1 … (i+1)·256^L.
    """CREATE TABLE log_node (
        level INTEGER NOT NULL,
        number BIGINT NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, number)
    )""",
    # One root for each size, for ever.
    """CREATE TABLE log_checkpoint (
        size BIGINT PRIMARY KEY,
        root BLOB NOT NULL,
        note BLOB NOT NULL,
        signed_at BIGINT NOT NULL
    )""",
    """CREATE TABLE log_cosignature (
        size BIGINT NOT NULL REFERENCES log_checkpoint (size),
        witness TEXT NOT NULL,
        line TEXT NOT NULL,
        signed_at BIGINT NOT NULL,
        PRIMARY KEY (size, witness, signed_at)
    )""",
)
MOVED = (
    "DROP TABLE log_entry",
    "ALTER TABLE log_new RENAME TO log_entry",
    "CREATE INDEX log_entry_case ON log_entry (case_id, position)",
    "CREATE INDEX log_entry_eid ON log_entry (eid, position)",
)
GUARDS = tuple(
    f"""CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table}
        BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"""
    for table in ("log_entry", "log_node", "log_checkpoint", "log_cosignature")
    for act in ("update", "delete")
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    _rehash()
    for statement in MOVED:
        op.execute(statement)
    if op.get_bind().dialect.name == "sqlite":
        for statement in GUARDS:
            op.execute(statement)


def _rehash() -> None:
    """Entries from before the tree, in order, with their leaves and what they complete."""
    bind = op.get_bind()
    frontier, completed = Frontier(), dict[Node, bytes]()
    for row in bind.execute(sa.text("SELECT * FROM log_entry ORDER BY position")).mappings().all():
        entry = {
            "position": row["position"], "kind": row["kind"], "at": row["recorded_at"], "case": row["case_id"],
            "eid": row["eid"], "detail": row["detail"], "nonce": "",
        }  # fmt: skip
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        leaf = hashlib.sha256(b"\x00" + text.encode()).digest()
        frontier = frontier.append([leaf], completed)
        bind.execute(
            sa.text(
                "INSERT INTO log_new VALUES (:position, :kind, :recorded_at, :case_id, :eid, :detail, :nonce, :leaf)"
            ),
            {
                **{k: row[k] for k in ("position", "kind", "recorded_at", "case_id", "eid", "detail")},
                "nonce": b"",
                "leaf": leaf,
            },
        )
    for node, value in completed.items():
        if node.level and node.level % 8 == 0:
            bind.execute(
                sa.text("INSERT INTO log_node VALUES (:level, :number, :hash)"),
                {"level": node.level // 8, "number": node.number, "hash": value},
            )

"""This node as a witness: the checkpoints it cosigned, and those it refused as another history."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = (
    # `cosigned_at` in POSIX seconds: the newest time this size was cosigned at.
    """CREATE TABLE witness_checkpoint (
        size BIGINT PRIMARY KEY,
        root BLOB NOT NULL,
        note BLOB NOT NULL,
        cosigned_at BIGINT NOT NULL
    )""",
    # `against`: the size held when it was refused.
    """CREATE TABLE witness_refusal (
        size BIGINT NOT NULL,
        root BLOB NOT NULL,
        note BLOB NOT NULL,
        against BIGINT NOT NULL,
        refused_at BIGINT NOT NULL,
        PRIMARY KEY (size, root, against)
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

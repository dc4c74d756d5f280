"""Service targets that are being watched: who is to have done what by when, and whether that was told."""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = (
    # `name` and `article` as the operator's table has them. `next_at`: when something is to be told next, none when nothing is.
    """CREATE TABLE target_aim (
        case_id TEXT NOT NULL,
        name TEXT NOT NULL,
        eid TEXT NOT NULL,
        article TEXT NOT NULL,
        agency TEXT NOT NULL,
        office TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        aim_at BIGINT NOT NULL,
        warned INTEGER NOT NULL,
        unmet INTEGER NOT NULL,
        next_at BIGINT,
        PRIMARY KEY (case_id, name, eid)
    )""",
    "CREATE INDEX target_aim_next ON target_aim (next_at) WHERE next_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

"""Handoffs in flight and the receipt each of them still lacks: when its absence has to be told next. Filled at the next start."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = (
    # While the handoff is in flight. `told`: the absence of its receipt is in the log; `next_at`: when there is more to tell, if there is.
    """CREATE TABLE awaited (
        eid TEXT PRIMARY KEY,
        case_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        sent_at BIGINT NOT NULL,
        delivered_at BIGINT,
        told INTEGER NOT NULL,
        next_at BIGINT
    )""",
    "CREATE INDEX awaited_next ON awaited (next_at) WHERE next_at IS NOT NULL",
    # See 0007: a second copy of what nothing else vouches for.
    "CREATE INDEX awaited_check ON awaited (case_id, kind, sent_at, delivered_at, told)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

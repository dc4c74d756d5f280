"""What was recorded of limits and is still to be told to the offices: a surge of breaches is written down before anything is sealed."""

from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = (
    # `position` counts from 1 over what waits; `kind` and `rung` as in the log. A row goes when its notice is written.
    """CREATE TABLE untold (
        position BIGINT PRIMARY KEY,
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        kind TEXT NOT NULL,
        rung TEXT NOT NULL
    )""",
    # By case; and a second copy of all of it, see 0007.
    "CREATE INDEX untold_case ON untold (case_id, rule, start_eid, person, kind, rung)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

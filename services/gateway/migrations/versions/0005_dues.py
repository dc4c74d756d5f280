"""Due dates that offices state beside the computed ones. Limits are worked out anew once: the procedure starts more of them by itself."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = (
    "ALTER TABLE handoff ADD COLUMN dues TEXT NOT NULL DEFAULT '[]'",
    # The last word of each agency about a run of a limit; `start_eid` empty: the gateway knows no such limit.
    """CREATE TABLE stated_due (
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        agency TEXT NOT NULL,
        office TEXT NOT NULL,
        eid TEXT NOT NULL,
        due TEXT NOT NULL,
        differs INTEGER NOT NULL,
        PRIMARY KEY (case_id, rule, start_eid, person, agency)
    )""",
    "UPDATE limit_clock SET calendar = ''",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

"""What headers tell of the log: views not yet laid beside our own history, those the log never signed, and who showed a fork."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    # `is_signed`: the log's own signature holds. Signed ones wait for a proof and go; the others stay, as the sender's defect.
    """CREATE TABLE log_view (
        agency TEXT NOT NULL,
        size BIGINT NOT NULL,
        root TEXT NOT NULL,
        sig TEXT NOT NULL,
        is_signed INTEGER NOT NULL CHECK (is_signed IN (0, 1)),
        eid TEXT NOT NULL,
        PRIMARY KEY (agency, size, root, is_signed)
    )""",
    # Empty where the log itself offered what was refused; else the header that told of it, and its author.
    "ALTER TABLE witness_refusal ADD COLUMN eid TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE witness_refusal ADD COLUMN agency TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX witness_refusal_shown_check ON witness_refusal (eid, agency)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

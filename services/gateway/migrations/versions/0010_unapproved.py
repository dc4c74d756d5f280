"""Why the approvals of officers do not hold that a handoff needs, if they do not, with the second copy that fsck compares (see 0007)."""

from alembic import op

revision = "0010"
down_revision = "0009"

CHANGES = (
    "ALTER TABLE handoff ADD COLUMN unapproved TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX handoff_check ON handoff (unapproved)",
)


def upgrade() -> None:
    for statement in CHANGES:
        op.execute(statement)

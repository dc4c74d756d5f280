"""A second copy of every column that neither a seal nor another row vouches for, as an index: the engine compares the two (fsck)."""

from alembic import op

revision = "0004"
down_revision = "0003"

INDEXES = (
    "CREATE INDEX case_file_check ON case_file"
    " (stage, returns, police_no, procuratorate_no, court_no, opened_at, updated_at)",
    "CREATE INDEX handoff_check ON handoff (trace) WHERE trace <> ''",
    "CREATE INDEX client_ref_check ON client_ref (digest)",
    "CREATE INDEX receipt_check ON receipt (at)",
    "CREATE INDEX receipt_trace_check ON receipt (trace) WHERE trace <> ''",
    "CREATE INDEX refused_check ON refused (at, subject, reason)",
    "CREATE INDEX node_check ON node (value)",
    "CREATE INDEX witness_checkpoint_check ON witness_checkpoint (cosigned_at)",
    "CREATE INDEX witness_refusal_check ON witness_refusal (refused_at)",
    "CREATE INDEX notice_check ON notice (received_at)",
    "CREATE INDEX matter_check ON matter (case_id, office, state, level, whom, step, reply_by, lifted, demanded)",
)


def upgrade() -> None:
    for statement in INDEXES:
        op.execute(statement)

"""A second copy of every column that neither a seal nor another row vouches for, as an index: the engine compares the two (fsck)."""

from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES = (
    "CREATE INDEX statement_check ON statement (published_at)",
    # What ended under an older calendar is not worked out anew, so all of it stands twice.
    "CREATE INDEX limit_clock_check ON limit_clock (bearer_agency, bearer_office, start_event, started_at, due, safe_due, safe_from,"
    " provisional, in_custody, stopped, duty, consequence, edition, calendar, ended_at, end_eid, overdue_logged)",
    "CREATE INDEX limit_rung_check ON limit_rung (due_at, recorded_at)",
    "CREATE INDEX limit_event_check ON limit_event (recorded_at)",
    "CREATE INDEX refused_check ON refused (subject)",
    "CREATE INDEX log_checkpoint_check ON log_checkpoint (signed_at)",
    "CREATE INDEX node_check ON node (value)",
    "CREATE INDEX supervision_check ON supervision (case_id, rule, start_eid, person, agency, office, started_at, due, safe_due,"
    " overdue_from, edition, calendar, severity, in_custody, drafted_at, updated_at, state, level, step, reply_by, reply_over_from,"
    " remind_at, lifted_at, demanded)",
    "CREATE INDEX target_aim_check ON target_aim (article, agency, office, started_at, aim_at, warned, unmet)",
    "CREATE INDEX supervision_step_check ON supervision_step (act, state, level, at, recorded_at, by, eid)",
)


def upgrade() -> None:
    for statement in INDEXES:
        op.execute(statement)

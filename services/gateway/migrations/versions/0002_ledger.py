"""Limits become ledgers: what touched them, which warnings were given, whose limit it is; headers keep the acts they state on limits."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = (
    "ALTER TABLE handoff ADD COLUMN clocks TEXT NOT NULL DEFAULT '[]'",
    # What was sent to the gateway itself is in nobody's hands any more.
    "UPDATE handoff SET settled = 1 WHERE to_agency = 'gateway'",
    # One limit a person where the law counts by person. `safe_from`: the first moment after the cautious date; `next_at`: when the limit
    # has to be looked at again, none when only a statement can change it; `severity` 1 is the worst; `urgency` 0 red, 1 yellow, 2 none.
    """CREATE TABLE limit_new (
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        bearer_agency TEXT NOT NULL,
        bearer_office TEXT NOT NULL,
        start_event TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        due TEXT NOT NULL,
        safe_due TEXT NOT NULL,
        overdue_from BIGINT NOT NULL,
        safe_from BIGINT NOT NULL,
        provisional INTEGER NOT NULL,
        in_custody INTEGER NOT NULL,
        stopped INTEGER NOT NULL,
        duty INTEGER NOT NULL,
        consequence TEXT NOT NULL,
        severity INTEGER NOT NULL,
        edition TEXT NOT NULL,
        calendar TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'met', 'overdue', 'late', 'lapsed')),
        ended_at BIGINT,
        end_eid TEXT NOT NULL,
        overdue_logged INTEGER NOT NULL,
        urgency INTEGER NOT NULL,
        next_at BIGINT,
        PRIMARY KEY (case_id, rule, start_eid, person)
    )""",
    # An empty calendar version marks rows of the older form: they are worked out anew at the next start.
    """INSERT INTO limit_new SELECT case_id, rule, start_eid, '', bearer_agency, bearer_office, start_event, started_at, due, safe_due,
        overdue_from, overdue_from, provisional, in_custody, 0, 1, 'M2', 3, edition, '', state, ended_at, end_eid, overdue_logged, 2,
        CASE WHEN state = 'running' THEN overdue_from END FROM limit_clock""",
    "DROP TABLE limit_clock",
    "ALTER TABLE limit_new RENAME TO limit_clock",
    "CREATE INDEX limit_clock_due ON limit_clock (state, overdue_from)",
    "CREATE INDEX limit_clock_urgency ON limit_clock (state, urgency, severity, overdue_from)",
    "CREATE INDEX limit_clock_next ON limit_clock (next_at) WHERE next_at IS NOT NULL",
    # Warnings given: a rung once for each date it warned of.
    """CREATE TABLE limit_rung (
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        rung TEXT NOT NULL,
        safe_due TEXT NOT NULL,
        due_at BIGINT NOT NULL,
        recorded_at BIGINT NOT NULL,
        PRIMARY KEY (case_id, rule, start_eid, person, rung, safe_due)
    )""",
    # Every act that touched a limit. What turns out not to stand (its statement was rejected, an earlier one arrived) gets a second row
    # with `undone` = 1; the last row of a line tells. `start_eid` is empty for an act that no known limit takes.
    """CREATE TABLE limit_event (
        position BIGINT PRIMARY KEY,
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        kind TEXT NOT NULL,
        event TEXT NOT NULL,
        at BIGINT NOT NULL,
        until BIGINT NOT NULL,
        detail TEXT NOT NULL,
        document TEXT NOT NULL,
        eid TEXT NOT NULL,
        agency TEXT NOT NULL,
        office TEXT NOT NULL,
        standing TEXT NOT NULL CHECK (standing IN ('effective', 'superseded', 'refused', 'loose')),
        number TEXT NOT NULL,
        undone INTEGER NOT NULL,
        recorded_at BIGINT NOT NULL
    )""",
    "CREATE INDEX limit_event_case ON limit_event (case_id, position)",
)
GUARDS = (
    """CREATE TRIGGER limit_event_no_update BEFORE UPDATE ON limit_event
       BEGIN SELECT RAISE(ABORT, 'the ledger of limits is append-only'); END""",
    """CREATE TRIGGER limit_event_no_delete BEFORE DELETE ON limit_event
       BEGIN SELECT RAISE(ABORT, 'the ledger of limits is append-only'); END""",
    """CREATE TRIGGER limit_rung_no_update BEFORE UPDATE ON limit_rung
       BEGIN SELECT RAISE(ABORT, 'warnings given are kept'); END""",
    """CREATE TRIGGER limit_rung_no_delete BEFORE DELETE ON limit_rung
       BEGIN SELECT RAISE(ABORT, 'warnings given are kept'); END""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    if op.get_bind().dialect.name == "sqlite":
        for statement in GUARDS:
            op.execute(statement)

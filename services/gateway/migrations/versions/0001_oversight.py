"""Statements, what they say about handoffs and cases, the limits they start, and the append-only log."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    # Everything that was signed and durably taken, for ever, byte for byte. `standing`: held, or equivocal (a second content under
    # a name already used: kept as proof, without effect). Times are microseconds since the epoch.
    """CREATE TABLE statement (
        eid TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        agency TEXT NOT NULL,
        inc BIGINT NOT NULL,
        id TEXT NOT NULL,
        standing TEXT NOT NULL CHECK (standing IN ('held', 'equivocal')),
        sealed BLOB NOT NULL,
        published_at BIGINT NOT NULL
    )""",
    "CREATE INDEX statement_name ON statement (id)",
    """CREATE TABLE handoff (
        eid TEXT PRIMARY KEY REFERENCES statement (eid),
        case_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        outcome TEXT NOT NULL,
        stage TEXT NOT NULL,
        from_agency TEXT NOT NULL,
        from_office TEXT NOT NULL,
        to_agency TEXT NOT NULL,
        to_office TEXT NOT NULL,
        lane_seq BIGINT NOT NULL,
        lane_prev TEXT NOT NULL,
        refers TEXT NOT NULL,
        acts TEXT NOT NULL,
        files BIGINT NOT NULL,
        pages BIGINT NOT NULL,
        sent_at BIGINT NOT NULL,
        state TEXT NOT NULL,
        settled INTEGER NOT NULL
    )""",
    "CREATE INDEX handoff_case ON handoff (case_id)",
    "CREATE INDEX handoff_flight ON handoff (settled, sent_at)",
    # `of_eid` may name a header that has not come yet: the fact waits here and takes effect with it.
    """CREATE TABLE receipt_fact (
        receipt TEXT NOT NULL REFERENCES statement (eid),
        position INTEGER NOT NULL,
        of_eid TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        defects TEXT NOT NULL,
        answer TEXT NOT NULL,
        from_agency TEXT NOT NULL,
        to_agency TEXT NOT NULL,
        PRIMARY KEY (receipt, position)
    )""",
    "CREATE INDEX receipt_fact_of ON receipt_fact (of_eid)",
    # What the statements of a case add up to. Always equal to what `course` makes of them.
    """CREATE TABLE case_file (
        case_id TEXT PRIMARY KEY,
        stage TEXT NOT NULL,
        holder_agency TEXT NOT NULL,
        holder_office TEXT NOT NULL,
        returns INTEGER NOT NULL,
        track TEXT NOT NULL,
        custody TEXT NOT NULL,
        in_custody INTEGER NOT NULL,
        handoffs INTEGER NOT NULL,
        opened_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    )""",
    "CREATE INDEX case_file_updated ON case_file (updated_at, case_id)",
    # `due` as the law gives it (last day or last moment); `overdue_from` the first moment that is too late.
    """CREATE TABLE limit_clock (
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        bearer_agency TEXT NOT NULL,
        bearer_office TEXT NOT NULL,
        start_event TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        due TEXT NOT NULL,
        safe_due TEXT NOT NULL,
        overdue_from BIGINT NOT NULL,
        provisional INTEGER NOT NULL,
        in_custody INTEGER NOT NULL,
        edition TEXT NOT NULL,
        calendar TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'met', 'overdue', 'late')),
        ended_at BIGINT,
        end_eid TEXT NOT NULL,
        overdue_logged INTEGER NOT NULL,
        PRIMARY KEY (case_id, rule, start_eid)
    )""",
    "CREATE INDEX limit_clock_due ON limit_clock (state, overdue_from)",
    """CREATE TABLE violation (
        case_id TEXT NOT NULL,
        eid TEXT NOT NULL,
        number TEXT NOT NULL,
        PRIMARY KEY (case_id, eid, number)
    )""",
    """CREATE TABLE log_entry (
        position BIGINT PRIMARY KEY,
        kind TEXT NOT NULL,
        recorded_at BIGINT NOT NULL,
        case_id TEXT NOT NULL,
        eid TEXT NOT NULL,
        detail TEXT NOT NULL,
        prev TEXT NOT NULL,
        hash TEXT NOT NULL
    )""",
    "CREATE INDEX log_entry_case ON log_entry (case_id, position)",
    # What was not taken: that it came, where, and why not. Never what it said.
    """CREATE TABLE refused (
        digest TEXT PRIMARY KEY,
        subject TEXT NOT NULL,
        number TEXT NOT NULL,
        refused_at BIGINT NOT NULL
    )""",
)
# SQLite's spelling; another engine's migration takes the rights away from the role instead.
GUARDS = (
    """CREATE TRIGGER log_entry_no_update BEFORE UPDATE ON log_entry
       BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
    """CREATE TRIGGER log_entry_no_delete BEFORE DELETE ON log_entry
       BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
    """CREATE TRIGGER statement_no_update BEFORE UPDATE ON statement
       BEGIN SELECT RAISE(ABORT, 'statements are kept as signed'); END""",
    """CREATE TRIGGER statement_no_delete BEFORE DELETE ON statement
       BEGIN SELECT RAISE(ABORT, 'statements are kept as signed'); END""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    if op.get_bind().dialect.name == "sqlite":
        for statement in GUARDS:
            op.execute(statement)

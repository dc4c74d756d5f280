"""What the gateway itself says: notices of limits, supervisions with every step, and the outbox by which they leave."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    """CREATE TABLE node (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )""",
    # The sealed bytes are in `statement`. A row is done only by its audience's signed word; positions are given in the order of commits.
    """CREATE TABLE outbox (
        position BIGINT PRIMARY KEY,
        eid TEXT NOT NULL REFERENCES statement (eid),
        audience TEXT NOT NULL,
        done INTEGER NOT NULL,
        UNIQUE (eid, audience)
    )""",
    "CREATE INDEX outbox_pending ON outbox (position) WHERE done = 0",
    # Notices of limits and of service targets. `name` is a limit id, or the name of a target; `due` the date that was warned of or missed.
    """CREATE TABLE notice (
        eid TEXT PRIMARY KEY REFERENCES statement (eid),
        case_id TEXT NOT NULL,
        name TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        occasion TEXT NOT NULL CHECK (occasion IN ('warning', 'overdue', 'unmet')),
        rung TEXT NOT NULL,
        due TEXT NOT NULL,
        sent_at BIGINT NOT NULL
    )""",
    # One notice for each rung and date, whatever happens.
    "CREATE UNIQUE INDEX notice_once ON notice (case_id, name, start_eid, person, occasion, rung, due)",
    # `reply_*`, `remind_at`: the reply limit that runs, if one does. `lifted_at`: since when the limit is known not to be missed.
    # `demanded`: the newest notice that asks the agency for something. `next_at`: when the watch has to look at it again.
    """CREATE TABLE supervision (
        id TEXT PRIMARY KEY,
        year INTEGER NOT NULL,
        serial INTEGER NOT NULL,
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        start_eid TEXT NOT NULL,
        person TEXT NOT NULL,
        agency TEXT NOT NULL,
        office TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        due TEXT NOT NULL,
        safe_due TEXT NOT NULL,
        overdue_from BIGINT NOT NULL,
        edition TEXT NOT NULL,
        calendar TEXT NOT NULL,
        severity INTEGER NOT NULL,
        in_custody INTEGER NOT NULL,
        drafted_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('drafted', 'discarded', 'issued', 'acknowledged', 'explained', 'returned', 'escalated', 'closed')),
        level INTEGER NOT NULL,
        step INTEGER NOT NULL,
        reply_by TEXT NOT NULL,
        reply_over_from BIGINT,
        remind_at BIGINT,
        lifted_at BIGINT,
        demanded TEXT NOT NULL,
        next_at BIGINT,
        UNIQUE (year, serial)
    )""",
    "CREATE INDEX supervision_case ON supervision (case_id)",
    "CREATE INDEX supervision_next ON supervision (next_at) WHERE next_at IS NOT NULL",
    # One that is not final for each limit: a breach that is recorded again goes on with it.
    """CREATE UNIQUE INDEX supervision_open ON supervision (case_id, rule, start_eid, person)
       WHERE state NOT IN ('discarded', 'closed')""",
    # Every step with the sealed statement that bears it. `at`: as its author says; `state`: after it.
    """CREATE TABLE supervision_step (
        supervision TEXT NOT NULL REFERENCES supervision (id),
        step INTEGER NOT NULL,
        act TEXT NOT NULL,
        state TEXT NOT NULL,
        level INTEGER NOT NULL,
        at BIGINT NOT NULL,
        recorded_at BIGINT NOT NULL,
        by TEXT NOT NULL,
        eid TEXT NOT NULL REFERENCES statement (eid),
        PRIMARY KEY (supervision, step)
    )""",
)
GUARDS = (
    """CREATE TRIGGER notice_no_update BEFORE UPDATE ON notice
       BEGIN SELECT RAISE(ABORT, 'notices given are kept'); END""",
    """CREATE TRIGGER notice_no_delete BEFORE DELETE ON notice
       BEGIN SELECT RAISE(ABORT, 'notices given are kept'); END""",
    """CREATE TRIGGER supervision_step_no_update BEFORE UPDATE ON supervision_step
       BEGIN SELECT RAISE(ABORT, 'steps of a supervision are append-only'); END""",
    """CREATE TRIGGER supervision_step_no_delete BEFORE DELETE ON supervision_step
       BEGIN SELECT RAISE(ABORT, 'steps of a supervision are append-only'); END""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    if op.get_bind().dialect.name == "sqlite":
        for statement in GUARDS:
            op.execute(statement)

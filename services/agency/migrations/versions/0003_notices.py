"""What the gateway told this agency of its limits, the supervisions these notices belong to, and the replies of its people."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = (
    # Sealed bytes as received, for ever. `supervision` is empty for a warning; `step` its place among the supervision's steps.
    """CREATE TABLE notice (
        eid TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        inc BIGINT NOT NULL,
        notice_id TEXT NOT NULL,
        case_id TEXT NOT NULL,
        office TEXT NOT NULL,
        occasion TEXT NOT NULL,
        supervision TEXT NOT NULL,
        step INTEGER NOT NULL,
        received_at BIGINT NOT NULL,
        sealed BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX notice_identity ON notice (inc, notice_id)",
    "CREATE UNIQUE INDEX notice_seq ON notice (seq)",
    "CREATE INDEX notice_supervision ON notice (supervision, step) WHERE supervision <> ''",
    # What the notices and our own replies add up to. `demanded`: the newest notice that asks for something.
    """CREATE TABLE matter (
        supervision TEXT PRIMARY KEY,
        case_id TEXT NOT NULL,
        office TEXT NOT NULL,
        state TEXT NOT NULL,
        level INTEGER NOT NULL,
        whom TEXT NOT NULL,
        step INTEGER NOT NULL,
        reply_by TEXT NOT NULL,
        lifted INTEGER NOT NULL,
        demanded TEXT NOT NULL
    )""",
    """CREATE TABLE reply (
        eid TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        supervision TEXT NOT NULL REFERENCES matter (supervision),
        sealed BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX reply_supervision ON reply (supervision, seq)",
    # The outbox learns a third kind of statement.
    """CREATE TABLE outbox_new (
        eid TEXT NOT NULL,
        audience TEXT NOT NULL,
        what TEXT NOT NULL CHECK (what IN ('handoff', 'receipt', 'reply')),
        receiver TEXT NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (eid, audience)
    )""",
    "INSERT INTO outbox_new SELECT eid, audience, what, receiver, done FROM outbox",
    "DROP TABLE outbox",
    "ALTER TABLE outbox_new RENAME TO outbox",
    "CREATE INDEX outbox_pending ON outbox (eid) WHERE done = 0",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

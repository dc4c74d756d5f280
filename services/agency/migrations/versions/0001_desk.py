"""The desk: cases, handoffs of both boxes, receipts, dossiers, outbox."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    # A case as this agency knows it. Times are microseconds since the epoch.
    """CREATE TABLE case_file (
        case_id TEXT PRIMARY KEY,
        stage TEXT NOT NULL,
        returns INTEGER NOT NULL,
        police_no TEXT NOT NULL,
        procuratorate_no TEXT NOT NULL,
        court_no TEXT NOT NULL,
        opened_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    )""",
    # One row a box: a handoff between two offices of one agency is in both. The sealed bytes are what was signed, for ever.
    """CREATE TABLE handoff (
        eid TEXT NOT NULL,
        box TEXT NOT NULL CHECK (box IN ('out', 'in')),
        seq BIGINT NOT NULL,
        handoff_id TEXT NOT NULL,
        client_ref TEXT NOT NULL,
        kind TEXT NOT NULL,
        case_id TEXT NOT NULL REFERENCES case_file (case_id),
        stage TEXT NOT NULL,
        from_agency TEXT NOT NULL,
        from_office TEXT NOT NULL,
        to_agency TEXT NOT NULL,
        to_office TEXT NOT NULL,
        outcome TEXT NOT NULL,
        state TEXT NOT NULL,
        inc BIGINT NOT NULL,
        lane_seq BIGINT NOT NULL,
        parked INTEGER NOT NULL,
        sent_at BIGINT NOT NULL,
        trace TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (eid, box)
    )""",
    "CREATE UNIQUE INDEX handoff_identity ON handoff (box, from_agency, inc, handoff_id)",
    "CREATE UNIQUE INDEX handoff_seq ON handoff (seq)",
    "CREATE INDEX handoff_case ON handoff (case_id)",
    "CREATE INDEX handoff_to_pull ON handoff (seq) WHERE box = 'in' AND state = 'delivered' AND parked = 0",
    # The sender's own document number names a handoff for ever.
    """CREATE TABLE client_ref (
        client_ref TEXT PRIMARY KEY,
        digest TEXT NOT NULL,
        eid TEXT NOT NULL
    )""",
    """CREATE TABLE lane (
        case_id TEXT NOT NULL,
        from_agency TEXT NOT NULL,
        to_agency TEXT NOT NULL,
        box TEXT NOT NULL,
        seq BIGINT NOT NULL,
        head TEXT NOT NULL,
        PRIMARY KEY (case_id, from_agency, to_agency, box)
    )""",
    """CREATE TABLE receipt (
        eid TEXT NOT NULL,
        box TEXT NOT NULL CHECK (box IN ('out', 'in')),
        peer TEXT NOT NULL,
        at BIGINT NOT NULL,
        trace TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (eid, box)
    )""",
    """CREATE TABLE receipt_fact (
        eid TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        receipt TEXT NOT NULL,
        defects TEXT NOT NULL,
        answer TEXT NOT NULL,
        PRIMARY KEY (eid, kind)
    )""",
    # A row is finished only by the signed word of its audience.
    """CREATE TABLE outbox (
        eid TEXT NOT NULL,
        audience TEXT NOT NULL,
        what TEXT NOT NULL CHECK (what IN ('handoff', 'receipt')),
        receiver TEXT NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (eid, audience)
    )""",
    "CREATE INDEX outbox_pending ON outbox (eid) WHERE done = 0",
    """CREATE TABLE dossier (
        eid TEXT PRIMARY KEY,
        salt BLOB NOT NULL,
        manifest BLOB NOT NULL
    )""",
    """CREATE TABLE dossier_file (
        eid TEXT NOT NULL,
        number INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (eid, number)
    )""",
    # What the inbox stream tells, in order; the cursor of a reader is seq.
    """CREATE TABLE inbox_event (
        seq BIGINT PRIMARY KEY,
        eid TEXT NOT NULL,
        box TEXT NOT NULL,
        state TEXT NOT NULL,
        at BIGINT NOT NULL
    )""",
    # What was refused at the door: reason and digest, never content.
    """CREATE TABLE refused (
        digest TEXT PRIMARY KEY,
        subject TEXT NOT NULL,
        reason TEXT NOT NULL,
        at BIGINT NOT NULL
    )""",
    """CREATE TABLE node (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

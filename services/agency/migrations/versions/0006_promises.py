"""The gateway's word on the log: its tickets as they came, what each of them promises, and the handoffs of which the log has nothing."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    # `promised_at` is the ticket's own time, `received_at` ours.
    """CREATE TABLE ticket (
        number BIGINT PRIMARY KEY,
        promised_at BIGINT NOT NULL,
        received_at BIGINT NOT NULL,
        sealed BLOB NOT NULL
    )""",
    "CREATE INDEX ticket_check ON ticket (received_at)",
    # An entry of the log about a header. `leaf_index` counts from 0. `ticket` 0: no ticket came, and the log has proven the entry.
    # `kept`: a tree cosigned here shows that leaf there. `left`: a founding has left the place behind. `contradicted`: another row says
    # otherwise of the same entry or place.
    """CREATE TABLE promise (
        eid TEXT NOT NULL,
        kind TEXT NOT NULL,
        leaf_index BIGINT NOT NULL,
        leaf BLOB NOT NULL,
        ticket BIGINT NOT NULL,
        standing TEXT NOT NULL CHECK (standing IN ('open', 'kept', 'broken', 'left')),
        contradicted INTEGER NOT NULL CHECK (contradicted IN (0, 1)),
        PRIMARY KEY (eid, kind, leaf_index, leaf)
    )""",
    "CREATE INDEX promise_check ON promise (leaf_index, ticket, standing, contradicted)",
    "CREATE INDEX promise_unsettled ON promise (leaf_index) WHERE standing IN ('open', 'broken')",
    "CREATE INDEX promise_false ON promise (eid) WHERE standing = 'broken' OR contradicted = 1",
    # Handoffs that should stand in the log, as a tree cosigned here is young enough to show, and for which it gives no proof.
    """CREATE TABLE unlogged (
        eid TEXT PRIMARY KEY,
        named_at BIGINT NOT NULL
    )""",
    "CREATE INDEX unlogged_check ON unlogged (named_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

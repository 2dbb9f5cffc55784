"""How far Zou's own events were read, and what Rushes was told of by them."""

from alembic import op

revision = "0006"
down_revision = "0005"

_STATEMENTS = (
    """
    CREATE TABLE zou_events_read (
        source text PRIMARY KEY,
        up_to timestamptz NOT NULL
    )""",
    """
    CREATE TABLE registered (
        preview_file_id uuid NOT NULL,
        what text NOT NULL CHECK (what IN ('uploaded', 'deleted')),
        registered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (preview_file_id, what)
    )""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

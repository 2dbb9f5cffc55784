"""What Rushes made of a dispatched job, and whether Zou was seen to agree."""

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    """
    ALTER TABLE dispatch ADD COLUMN width integer, ADD COLUMN height integer, ADD COLUMN duration double precision,
        ADD COLUMN file_size bigint, ADD COLUMN looked_at timestamptz, ADD COLUMN settled_at timestamptz""",
    """
    CREATE INDEX dispatch_unsettled ON dispatch (looked_at NULLS FIRST)
    WHERE state = 'complete' AND settled_at IS NULL""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

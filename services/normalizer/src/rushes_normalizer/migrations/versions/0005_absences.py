"""Sources that were seen absent, so that a flood of them is known as one."""

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    """
    CREATE TABLE absent_source (
        preview_file_id uuid PRIMARY KEY,
        seen_at timestamptz NOT NULL DEFAULT now(),
        held boolean NOT NULL DEFAULT false
    )""",
    "CREATE INDEX absent_source_seen_at ON absent_source (seen_at)",
    "CREATE INDEX absent_source_held ON absent_source (preview_file_id) WHERE held",
    # One row at most: what an operator said last.
    """
    CREATE TABLE absences_accepted (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        until timestamptz NOT NULL
    )""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

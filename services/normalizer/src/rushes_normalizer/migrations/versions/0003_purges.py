"""When the outputs of a deleted preview went."""

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    "ALTER TABLE preview_file ADD COLUMN purged_at timestamptz",
    """
    CREATE INDEX preview_file_to_purge ON preview_file (updated_at)
        WHERE deleted_at IS NOT NULL AND purged_at IS NULL""",
    # How fast purges go is told by those of the last minute.
    "CREATE INDEX task_purges ON task (ended_at) WHERE lane = 'purge'",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

"""What Zou has dispatched, on the runtime's tables."""

from alembic import op
from rushes_runtime.tables import (
    ATTEMPT_TABLE,
    BATCHED_TASKS,
    OLDEST_THAT_RUNS,
    QUEUE_AT_SCALE,
    RUNTIME_TABLES,
    SIZED_TASKS,
    UNCOMPRESSED_OUTBOX,
)

revision = "0001"
down_revision = None

_TABLES = (
    # One row for each job that Zou has dispatched. Its end is that of the upload that it became, or of a later one.
    """
    CREATE TABLE dispatch (
        event_id uuid PRIMARY KEY,
        job text NOT NULL,
        preview_file_id uuid NOT NULL,
        uploaded_at timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'complete', 'failed')),
        failure_code text,
        failure_message text,
        ended_at timestamptz
    )""",
    "CREATE INDEX dispatch_running ON dispatch (preview_file_id, uploaded_at) WHERE state = 'running'",
    "CREATE INDEX dispatch_ended_at ON dispatch (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in (
        *RUNTIME_TABLES,
        *QUEUE_AT_SCALE,
        *ATTEMPT_TABLE,
        *BATCHED_TASKS,
        *OLDEST_THAT_RUNS,
        *UNCOMPRESSED_OUTBOX,
        *SIZED_TASKS,
        *_TABLES,
    ):
        op.execute(statement)

"""Previews and requests, on the runtime's tables."""

from alembic import op
from rushes_runtime.tables import RUNTIME_TABLES

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE preview_file (
        id uuid PRIMARY KEY,
        name varchar(250),
        original_name varchar(250),
        revision integer,
        position integer,
        extension varchar(6),
        file_size bigint,
        status varchar(255) NOT NULL,
        validation_status varchar(255) NOT NULL DEFAULT 'neutral',
        width integer,
        height integer,
        duration double precision,
        task_id uuid,
        person_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        project_id uuid,
        uploaded_at timestamptz NOT NULL,
        upload_generation bigint,
        upload_extension varchar(6) NOT NULL,
        source jsonb NOT NULL,
        encoding jsonb,
        version bigint NOT NULL,
        fence bigint NOT NULL DEFAULT 0,
        failure_code text,
        failure_message text,
        fps text,
        frame_count integer,
        source_fps text,
        frames_duplicated integer,
        frames_dropped integer,
        files jsonb NOT NULL DEFAULT '[]',
        deleted_at timestamptz,
        tombstone_at timestamptz
    )""",
    # What needs attention is a small part of the rows, looked at newest first.
    """
    CREATE INDEX preview_file_attention ON preview_file (created_at DESC, id DESC)
        WHERE status <> 'ready' AND deleted_at IS NULL""",
    "CREATE INDEX preview_file_project ON preview_file (project_id, created_at)",
    """
    CREATE INDEX preview_file_deleted ON preview_file (deleted_at)
        WHERE deleted_at IS NOT NULL AND tombstone_at IS NULL""",
    """
    CREATE TABLE request (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id text NOT NULL,
        source text NOT NULL,
        preview_file_id uuid NOT NULL,
        kind text NOT NULL,
        reason text,
        requested_by text,
        task_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        outcome text,
        failure_code text
    )""",
    "CREATE INDEX request_open ON request (task_id) WHERE ended_at IS NULL",
    "CREATE INDEX request_event_id ON request (event_id)",
    "CREATE INDEX request_ended_at ON request (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in (*RUNTIME_TABLES, *_TABLES):
        op.execute(statement)

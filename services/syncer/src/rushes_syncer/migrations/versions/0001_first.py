"""What each site wants and holds, on the runtime's tables."""

from alembic import op
from rushes_runtime.tables import RUNTIME_TABLES

revision = "0001"
down_revision = None

_TABLES = (
    # The newest record of each preview, as each site has seen it.
    """
    CREATE TABLE site_preview (
        site text NOT NULL,
        preview_file_id uuid NOT NULL,
        version bigint NOT NULL,
        status text NOT NULL,
        project_id uuid,
        files jsonb NOT NULL,
        deleted boolean NOT NULL,
        decision text NOT NULL,
        failure_code text,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (site, preview_file_id)
    )""",
    # What a site holds: written after a verified copy.
    """
    CREATE TABLE held (
        site text NOT NULL,
        bucket text NOT NULL,
        key text NOT NULL,
        preview_file_id uuid NOT NULL,
        bytes bigint NOT NULL,
        sha256 text NOT NULL,
        etag text NOT NULL,
        source_etag text NOT NULL,
        copied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (site, bucket, key)
    )""",
    "CREATE INDEX held_preview ON held (site, preview_file_id)",
)


def upgrade() -> None:
    for statement in (*RUNTIME_TABLES, *_TABLES):
        op.execute(statement)

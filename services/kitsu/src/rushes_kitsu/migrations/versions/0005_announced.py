"""What Rushes last said of each preview, and whether Zou was seen to agree: whoever asked for it."""

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    """
    CREATE TABLE announced (
        preview_file_id uuid PRIMARY KEY,
        version bigint NOT NULL,
        status text NOT NULL,
        uploaded_at timestamptz NOT NULL,
        ended_at timestamptz NOT NULL,
        width integer,
        height integer,
        duration double precision,
        file_size bigint,
        written_at timestamptz NOT NULL DEFAULT now(),
        looked_at timestamptz,
        settled_at timestamptz
    )""",
    "CREATE INDEX announced_unsettled ON announced (looked_at NULLS FIRST) WHERE settled_at IS NULL",
    # What the version before has not settled yet; any event of the preview is newer.
    """
    INSERT INTO announced (preview_file_id, version, status, uploaded_at, ended_at, width, height, duration, file_size)
    SELECT DISTINCT ON (preview_file_id) preview_file_id, 0, 'ready', uploaded_at, ended_at, width, height, duration,
        file_size
    FROM dispatch AS made WHERE state = 'complete' AND kind = 'movie' AND settled_at IS NULL
    ORDER BY preview_file_id, uploaded_at DESC""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

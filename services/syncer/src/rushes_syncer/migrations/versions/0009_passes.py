"""Passes over a site: what they found, object by object, and what became of it."""

from alembic import op

revision = "0009"
down_revision = "0008"

_STATEMENTS = (
    "ALTER TABLE site ADD COLUMN extra bigint NOT NULL DEFAULT 0",
    # When the preview was uploaded, or what stands for it; null in rows of before.
    "ALTER TABLE site_preview ADD COLUMN uploaded_at timestamptz",
    # One full pass or verification; `counts` of what is not listed below, once both sides are compared.
    """
    CREATE TABLE pass (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        site text NOT NULL,
        kind text NOT NULL,
        options jsonb NOT NULL,
        counts jsonb,
        began_at timestamptz NOT NULL DEFAULT now(),
        compared_at timestamptz,
        ended_at timestamptz
    )""",
    "CREATE INDEX pass_site ON pass (site, kind, began_at)",
    # What differs, to be put right; `etag` is the site's and `source_etag` the source's when they were looked at.
    """
    CREATE TABLE difference (
        pass_id uuid NOT NULL REFERENCES pass ON DELETE CASCADE,
        bucket text NOT NULL,
        key text NOT NULL,
        preview_file_id uuid NOT NULL,
        project_id uuid,
        finding text NOT NULL,
        bytes bigint NOT NULL,
        modified timestamptz NOT NULL,
        etag text,
        source_etag text,
        state text NOT NULL DEFAULT 'open',
        message text,
        PRIMARY KEY (pass_id, bucket, key)
    )""",
    "CREATE INDEX difference_biggest ON difference (pass_id, bytes DESC) WHERE state = 'open'",
    "CREATE INDEX difference_newest ON difference (pass_id, modified DESC) WHERE state = 'open'",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

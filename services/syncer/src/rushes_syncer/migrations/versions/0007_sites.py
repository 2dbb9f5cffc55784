"""Sites that were seen, and what their last full pass left."""

from alembic import op

revision = "0007"
down_revision = "0006"

_SITE = """
    CREATE TABLE site (
        name text PRIMARY KEY,
        first_seen_at timestamptz NOT NULL DEFAULT now(),
        passed_at timestamptz,
        lacking bigint NOT NULL DEFAULT 0,
        different bigint NOT NULL DEFAULT 0
    )"""


def upgrade() -> None:
    op.execute(_SITE)

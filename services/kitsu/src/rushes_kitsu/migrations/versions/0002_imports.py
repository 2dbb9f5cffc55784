"""How far an import from Zou's database has come."""

from alembic import op

revision = "0002"
down_revision = "0001"

_IMPORT = """
    CREATE TABLE import_progress (
        source text PRIMARY KEY,
        after uuid NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now()
    )"""


def upgrade() -> None:
    op.execute(_IMPORT)

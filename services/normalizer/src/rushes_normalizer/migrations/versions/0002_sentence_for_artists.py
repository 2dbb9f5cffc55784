"""A failure's sentence for the artist, where it says more than its code does."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE preview_file ADD COLUMN failure_for_artist text")

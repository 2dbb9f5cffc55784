"""The read API's pages read as many rows as they show, whatever their status."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("CREATE INDEX preview_file_newest ON preview_file (created_at DESC, id DESC) WHERE deleted_at IS NULL")

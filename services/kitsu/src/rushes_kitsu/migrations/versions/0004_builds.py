"""Dispatches that are built here: playlists and tiles. They end by a task, not by the upload of a preview."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE dispatch ADD COLUMN kind text NOT NULL DEFAULT 'movie'")

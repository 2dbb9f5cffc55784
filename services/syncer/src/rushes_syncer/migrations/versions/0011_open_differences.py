"""A difference is open until it is settled; no other state stands between."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("UPDATE difference SET state = 'open' WHERE state = 'taken'")

"""The history of jobs: a row for each attempt."""

from alembic import op
from rushes_runtime.tables import ATTEMPT_TABLE

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for statement in ATTEMPT_TABLE:
        op.execute(statement)

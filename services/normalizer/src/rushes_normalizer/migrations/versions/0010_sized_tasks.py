"""Workers may leave jobs on large sources to others."""

from alembic import op
from rushes_runtime.tables import SIZED_TASKS

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for statement in SIZED_TASKS:
        op.execute(statement)

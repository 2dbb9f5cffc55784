"""The runtime's tasks have a size; the syncer's are all ordinary."""

from alembic import op
from rushes_runtime.tables import SIZED_TASKS

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for statement in SIZED_TASKS:
        op.execute(statement)

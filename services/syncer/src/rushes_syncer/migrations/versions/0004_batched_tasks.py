"""Tasks that wait for a batch rather than for a slot."""

from alembic import op
from rushes_runtime.tables import BATCHED_TASKS

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in BATCHED_TASKS:
        op.execute(statement)

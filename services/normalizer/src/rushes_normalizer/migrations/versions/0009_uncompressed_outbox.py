"""Events stand in the outbox as they are sent."""

from alembic import op
from rushes_runtime.tables import UNCOMPRESSED_OUTBOX

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for statement in UNCOMPRESSED_OUTBOX:
        op.execute(statement)

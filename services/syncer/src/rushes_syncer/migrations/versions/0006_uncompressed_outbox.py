"""Events stand in the outbox as they are sent."""

from alembic import op
from rushes_runtime.tables import UNCOMPRESSED_OUTBOX

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for statement in UNCOMPRESSED_OUTBOX:
        op.execute(statement)

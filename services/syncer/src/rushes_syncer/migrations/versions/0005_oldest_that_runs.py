"""Which versions run on the schema."""

from alembic import op
from rushes_runtime.tables import OLDEST_THAT_RUNS

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in OLDEST_THAT_RUNS:
        op.execute(statement)

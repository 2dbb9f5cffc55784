"""Shares and deferred tasks; the queue's index holds only what can be claimed now.

Workers of the version before go on: what they write is right without the new columns, and what is deferred is queued
for them as ever. Their claims read every queued task, though: with hundreds of thousands of them, a second each.
"""

from alembic import op
from rushes_runtime.tables import QUEUE_AT_SCALE

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in QUEUE_AT_SCALE:
        op.execute(statement)

"""How far a new site has come, when a site was last there, and claims of one site's copies."""

from alembic import op

revision = "0010"
down_revision = "0009"

_STATEMENTS = (
    """
    ALTER TABLE site ADD COLUMN bootstrapped_at timestamptz,
        ADD COLUMN polled_at timestamptz,
        ADD COLUMN must_reconcile boolean NOT NULL DEFAULT false""",
    # Up to where the topic went when the site was first seen.
    """
    CREATE TABLE site_partition (
        site text NOT NULL,
        partition integer NOT NULL,
        end_offset bigint NOT NULL,
        passed boolean NOT NULL,
        PRIMARY KEY (site, partition)
    )""",
    # When a reading of the whole topic last found the preview; and the bytes that the site should hold of it.
    "ALTER TABLE site_preview ADD COLUMN present_at timestamptz, ADD COLUMN wanted_bytes bigint",
    # A worker takes the tasks of its own sites, however many wait for others.
    """
    CREATE INDEX task_area_queue ON task (split_part(subject, '/', 1), rank)
    WHERE state = 'queued' AND NOT deferred AND losses = 0 AND NOT batched""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

"""The tables that every service has in its own schema, as SQL for its migrations.

The runtime knows a task by its subject (a preview, or a preview at a site), its lane and its payload.
"""

from __future__ import annotations

from typing import Final

# Added after the first migration. One row for each attempt that has ended; its fence is its own.
ATTEMPT_TABLE: Final = (
    """
    CREATE TABLE attempt (
        fence bigint PRIMARY KEY,
        task_id uuid NOT NULL,
        subject text NOT NULL,
        number integer NOT NULL,
        lane text NOT NULL,
        worker text,
        started_at timestamptz,
        ended_at timestamptz NOT NULL,
        outcome text NOT NULL,
        code text,
        cpu_seconds double precision,
        peak_memory bigint
    )""",
    "CREATE INDEX attempt_subject ON attempt (subject, fence)",
    "CREATE INDEX attempt_ended_at ON attempt USING brin (ended_at)",
)

RUNTIME_TABLES: Final = (
    """
    CREATE TABLE instance (
        name text PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now()
    )""",
    # One row for each event that was taken in; kept longer than any topic keeps records.
    """
    CREATE TABLE inbox (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id)
    )""",
    "CREATE INDEX inbox_received_at ON inbox USING brin (received_at)",
    """
    CREATE TABLE task (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        subject text NOT NULL,
        lane text NOT NULL,
        rank timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
        payload jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        available_at timestamptz NOT NULL DEFAULT now(),
        tries integer NOT NULL DEFAULT 0,
        losses integer NOT NULL DEFAULT 0,
        looks integer NOT NULL DEFAULT 0,
        fence bigint NOT NULL DEFAULT 0,
        worker text,
        lease_until timestamptz,
        started_at timestamptz,
        ended_at timestamptz,
        progress jsonb,
        failure_code text,
        failure_message text
    )""",
    # At most one task of a subject waits and one runs: requests for a waiting one join it.
    "CREATE UNIQUE INDEX task_one_queued ON task (subject) WHERE state = 'queued'",
    "CREATE UNIQUE INDEX task_one_running ON task (subject) WHERE state = 'running'",
    "CREATE INDEX task_queue ON task (rank) WHERE state = 'queued'",
    "CREATE INDEX task_leases ON task (lease_until) WHERE state = 'running'",
    "CREATE INDEX task_ended_at ON task (ended_at) WHERE ended_at IS NOT NULL",
    # Fences come from one sequence: a subject's claims follow one another, so for each subject it only grows.
    "CREATE SEQUENCE fence",
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL,
        key bytea,
        headers bytea NOT NULL,
        value bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        sent_at timestamptz
    )""",
    "CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL",
    "CREATE INDEX outbox_sent_at ON outbox (sent_at) WHERE sent_at IS NOT NULL",
    """
    CREATE TABLE role_lease (
        role text PRIMARY KEY,
        holder text NOT NULL,
        lease_until timestamptz NOT NULL
    )""",
)

# A queue of a million tasks, as cheap to claim from as one of ten.
QUEUE_AT_SCALE: Final = (
    # Whose task it is: tasks of one share come behind one another, so that those of others come between.
    "ALTER TABLE task ADD COLUMN share text NOT NULL DEFAULT ''",
    # Put off until `available_at`. Whoever claims looks first for those whose time has come, and clears the mark.
    "ALTER TABLE task ADD COLUMN deferred boolean NOT NULL DEFAULT false",
    # The queue holds only what any process may claim now, so that its first entry is nearly always the answer.
    "DROP INDEX task_queue",
    "CREATE INDEX task_queue ON task (rank) WHERE state = 'queued' AND NOT deferred AND losses = 0",
    "CREATE INDEX task_lost ON task (rank) WHERE state = 'queued' AND NOT deferred AND losses > 0",
    "CREATE INDEX task_deferred ON task (available_at) WHERE state = 'queued' AND deferred",
    # The last rank of a share in a lane.
    "CREATE INDEX task_shares ON task (share, lane, rank) WHERE state = 'queued'",
    # Each claim leaves a dead entry at the head of the queue: they go when so many have gathered, however large the
    # table. The default is a fifth of it.
    """
    ALTER TABLE task SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0)""",
)

# Tasks that many processes could claim one by one, and that one takes many of at once instead: batches.py. Slots and
# batches each have an index of what is theirs, so that neither reads through what waits for the other.
BATCHED_TASKS: Final = (
    "ALTER TABLE task ADD COLUMN batched boolean NOT NULL DEFAULT false",
    "CREATE INDEX task_batches ON task (available_at) WHERE state = 'queued' AND batched",
    "DROP INDEX task_queue",
    "DROP INDEX task_lost",
    "CREATE INDEX task_queue ON task (rank) WHERE state = 'queued' AND NOT deferred AND losses = 0 AND NOT batched",
    "CREATE INDEX task_lost ON task (rank) WHERE state = 'queued' AND NOT deferred AND losses > 0 AND NOT batched",
)

# Work for large machines, and all other work, each with an index of its own: whoever takes one of them reads through
# none of the other, however much of it waits. `task_queue` stays, for those who take both.
SIZED_TASKS: Final = (
    "ALTER TABLE task ADD COLUMN large boolean NOT NULL DEFAULT false",
    """
    CREATE INDEX task_queue_large ON task (rank)
    WHERE state = 'queued' AND NOT deferred AND losses = 0 AND NOT batched AND large""",
    """
    CREATE INDEX task_queue_ordinary ON task (rank)
    WHERE state = 'queued' AND NOT deferred AND losses = 0 AND NOT batched AND NOT large""",
)

# Written by each migration: the revision of the oldest version that runs on the schema as it is now.
OLDEST_THAT_RUNS: Final = ("ALTER TABLE instance ADD COLUMN oldest_that_runs text",)

# An event is larger than a row may be in its table, so PostgreSQL would compress it, which is half the cost of its
# insert, only for the relay to read it once. It goes beside the table as it is, and takes two thirds more room there.
UNCOMPRESSED_OUTBOX: Final = ("ALTER TABLE outbox ALTER COLUMN value SET STORAGE EXTERNAL",)

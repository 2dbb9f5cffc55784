"""A queue of any length, written by SQL, with all that can stand in the way of a claim at its head."""

from __future__ import annotations

from typing import Final

from rushes_runtime.database import Database
from sqlalchemy import text

# Jobs of three priorities and 200 projects, requested over the last hour. 2 of 100 wait for their next look: it comes
# within an hour. Those and the ones whose preview runs are older than all others.
_FILL: Final = text("""
    INSERT INTO task (subject, lane, share, rank, payload, deferred, available_at)
    SELECT gen_random_uuid()::text, kind.lane, 'project-' || job.number % 200,
        now() + kind.later - CASE WHEN looked THEN interval '1 day' ELSE random() * interval '1 hour' END,
        '{"encoding": null}', looked, now() + CASE WHEN looked THEN random() ELSE 0 END * interval '1 hour'
    FROM generate_series(1, :jobs) AS job (number)
    CROSS JOIN LATERAL (SELECT job.number % 50 = 0) AS before (looked)
    JOIN (VALUES (0, 'upload', interval '0'), (1, 'single', interval '1 hour'), (2, 'bulk', interval '1 day'))
        AS kind (number, lane, later) ON kind.number = least(job.number % 10, 2)""")
_TWINS: Final = text("""
    WITH running AS (
        INSERT INTO task (subject, lane, rank, payload, state, fence, worker, lease_until, started_at)
        SELECT gen_random_uuid()::text, 'upload', now(), '{}', 'running', nextval('fence'), 'elsewhere',
            now() + interval '1 hour', now()
        FROM generate_series(1, :twins)
        RETURNING subject)
    INSERT INTO task (subject, lane, rank, payload)
    SELECT subject, 'upload', now() - interval '2 days', '{}' FROM running""")


async def fill_queue(database: Database, jobs: int, *, twins: int) -> None:
    """Queue so many jobs, and so many more whose preview runs."""
    async with database.begin() as connection:
        await connection.execute(_FILL, {"jobs": jobs})
        await connection.execute(_TWINS, {"twins": twins})


async def vacuum(database: Database) -> None:
    """What autovacuum does within a minute."""
    engine = await database.engine()
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE task"))

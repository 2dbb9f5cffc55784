"""Previews in `processing` without a job, which would stay so for ever (a restore, a hand in the database)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from rushes_runtime import ledger
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Of a million uploads that wait, so many are looked at in a round: 10 ms, or a hundred where nothing is in memory.
_ROUND: Final = 1000

# By the index of what is not ready, from where the last round ended.
_GIVE_JOBS: Final = text(f"""
    WITH looked AS MATERIALIZED (
        SELECT id, created_at, status, updated_at, project_id, encoding FROM preview_file
        WHERE status <> 'ready' AND deleted_at IS NULL AND (created_at, id) > (:created_at, :id)
        ORDER BY created_at, id LIMIT :rows),
    given AS (
        INSERT INTO task (subject, lane, share, rank, payload)
        SELECT id::text, 'upload', coalesce(project_id::text, ''), now(), json_build_object('encoding', encoding)
        FROM looked
        WHERE status = 'processing' AND updated_at < now() - interval '1 minute'
          AND {ledger.without_task("looked.id::text")}
        ON CONFLICT DO NOTHING)
    SELECT created_at, id, (SELECT count(*) FROM looked) AS looked FROM looked
    ORDER BY created_at DESC, id DESC LIMIT 1""")  # noqa: S608 - but for the ledger's words all of it is here


@dataclass(frozen=True)
class Place:
    """Where a round ended."""

    created_at: datetime
    id: UUID


START: Final = Place(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))


async def give_jobs(connection: AsyncConnection, after: Place, rows: int = _ROUND) -> Place:
    """Look at so many previews that are not ready, give orphans among them a job; where to go on."""
    last = (await connection.execute(_GIVE_JOBS, {**vars(after), "rows": rows})).one_or_none()
    if last is None or last.looked < rows:
        return START
    return Place(last.created_at, last.id)

"""Requests: each event that asks for work keeps a row and an outcome of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer.folding import NewRequest

_ADD: Final = text("""
    INSERT INTO request
        (event_id, source, preview_file_id, kind, reason, requested_by, task_id, outcome, ended_at)
    SELECT event_id, source, preview_file_id, kind, reason, requested_by, task_id, outcome,
        CASE WHEN outcome IS NOT NULL THEN now() END
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (event_id text, source text, preview_file_id uuid, kind text, reason text, requested_by text,
                task_id uuid, outcome text)""")
_MOVE: Final = text("UPDATE request SET task_id = :waiting WHERE task_id = :ended AND ended_at IS NULL")
_END: Final = text("""
    UPDATE request SET ended_at = now(), outcome = ending.outcome, failure_code = ending.code
    FROM json_to_recordset(CAST(:endings AS json)) AS ending (task uuid, outcome text, code text)
    WHERE request.task_id = ANY(:tasks) AND request.task_id = ending.task AND request.ended_at IS NULL
    RETURNING request.task_id, request.event_id""")
# A deleted preview needs no work: what waits is dropped, what runs loses its fence.
_DROP: Final = text("""
    WITH open AS (SELECT id AS open_id, state AS was, tries + looks + losses + 1 AS number
                  FROM task WHERE subject = ANY(:subjects) AND state IN ('queued', 'running') FOR UPDATE),
    dropped AS (
        UPDATE task SET state = 'failed', ended_at = now(), lease_until = NULL, failure_message = 'deleted'
        FROM open WHERE id = open_id RETURNING task.*, open.*)
    INSERT INTO attempt (fence, task_id, subject, number, lane, worker, started_at, ended_at, outcome)
    SELECT fence, id, subject, number, lane, worker, started_at, now(), 'cancelled'
    FROM dropped WHERE was = 'running'""")
_CANCEL: Final = text("""
    UPDATE request SET ended_at = now(), outcome = 'deleted'
    WHERE preview_file_id = ANY(:ids) AND ended_at IS NULL""")


async def add(connection: AsyncConnection, requests: Sequence[tuple[UUID, NewRequest]], tasks: dict[str, UUID]) -> None:
    """Write requests, each under the task that will answer it."""
    rows = [
        {
            "event_id": request.event_id,
            "source": request.source,
            "preview_file_id": preview_file_id,
            "kind": request.kind,
            "reason": request.reason,
            "requested_by": request.requested_by,
            "task_id": None if request.outcome else tasks[str(preview_file_id)],
            "outcome": request.outcome,
        }
        for preview_file_id, request in requests
    ]
    if rows:
        await connection.execute(_ADD, {"rows": to_json(rows).decode()})


async def move(connection: AsyncConnection, ended: UUID, waiting: UUID) -> None:
    """The waiting task answers what the ended one did not."""
    await connection.execute(_MOVE, {"ended": ended, "waiting": waiting})


async def end(connection: AsyncConnection, endings: Mapping[UUID, tuple[str, str | None]]) -> dict[UUID, list[str]]:
    """End the requests of tasks, each with its outcome and failure code; their event ids by task."""
    rows = [{"task": task, "outcome": outcome, "code": code} for task, (outcome, code) in endings.items()]
    result = await connection.execute(_END, {"endings": to_json(rows).decode(), "tasks": list(endings)})
    answered: dict[UUID, list[str]] = {task: [] for task in endings}
    for row in result:
        answered[row.task_id].append(row.event_id)
    return answered


async def cancel(connection: AsyncConnection, preview_file_ids: Sequence[UUID]) -> None:
    """End the jobs and the open requests of deleted previews; their rows are locked."""
    await connection.execute(_DROP, {"subjects": [str(each) for each in preview_file_ids]})
    await connection.execute(_CANCEL, {"ids": list(preview_file_ids)})

"""Waiting for requests to end, decided by the requests themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any, Final

from rushes_runtime.database import Database

_REQUESTS: Final = """
    SELECT request.event_id, request.preview_file_id, request.outcome, request.failure_code,
        task.state AS job_state, task.progress
    FROM request LEFT JOIN task ON task.id = request.task_id
    WHERE request.event_id = ANY(:ids)"""


async def follow_requests(
    database: Database, event_ids: Collection[str], interval: float = 0.25
) -> AsyncGenerator[dict[str, dict[str, Any]], None]:
    """What is known of requests, by event id, again and again until all have an outcome."""
    while True:
        rows = await database.fetch(_REQUESTS, ids=list(event_ids))
        known = {row.event_id: dict(row._mapping) for row in rows}
        yield known
        if len(known) == len(event_ids) and all(request["outcome"] for request in known.values()):
            return
        await asyncio.sleep(interval)

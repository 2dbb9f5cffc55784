"""Waiting for requests to end, decided by the requests themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any, Final

from rushes_runtime.database import Database

_REQUESTS: Final = """
    SELECT request.event_id, request.preview_file_id, request.outcome, request.failure_code,
        task.state AS job_state, task.progress
    FROM request LEFT JOIN task ON task.id = request.task_id
    WHERE request.event_id = ANY(:ids)"""
# Looking after twenty thousand requests takes a tenth of a second of the database's time.
_OPEN_PER_SECOND: Final = 20_000


async def follow_requests(
    database: Database, event_ids: Collection[str], interval: float = 0.25
) -> AsyncGenerator[Mapping[str, Mapping[str, Any]], None]:
    """What is known of requests, by event id, again and again until all have an outcome.

    Args:
        interval: seconds between two looks; it grows with the number of requests that are open.
    """
    known: dict[str, Mapping[str, Any]] = {}
    waiting = set(event_ids)
    while True:
        for row in await database.fetch(_REQUESTS, ids=list(waiting)):
            known[row.event_id] = row._mapping
            if row.outcome:
                waiting.discard(row.event_id)
        yield known
        if not waiting:
            return
        await asyncio.sleep(interval + len(waiting) / _OPEN_PER_SECOND)

"""Purges: the outputs of a deleted preview go, later, by a task of the ledger, and never faster than a limit.

A purge is a task of the preview, so none runs beside a job of an upload that brings the preview back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from rushes_runtime import fenced_writes, ledger
from rushes_runtime.ledger import Task
from rushes_runtime.store import Store
from rushes_schemas import PLACES, ObjectKind, object_key
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer.previews import PreviewRow

LANE: Final = "purge"
# What an artist uploaded is not ours to delete.
_SOURCES: Final = frozenset({ObjectKind.SOURCE_MOVIE, ObjectKind.SOURCE_PICTURE, ObjectKind.FILE})

# Open purges and those of the last minute together stay below the limit, so that a minute never sees more of them,
# also when workers come back after a while. Behind all other work: nobody waits for a purge.
_ENQUEUE: Final = text(f"""
    INSERT INTO task (subject, lane, rank, payload)
    SELECT id::text, 'purge', now() + interval '30 days', '{{}}'
    FROM preview_file
    WHERE deleted_at IS NOT NULL AND purged_at IS NULL AND updated_at < now() - make_interval(secs => :age)
      AND {ledger.without_task("preview_file.id::text")}
    ORDER BY updated_at
    LIMIT greatest(0, :per_minute - (
        SELECT count(*) FROM task
        WHERE lane = 'purge' AND (ended_at IS NULL OR ended_at > now() - interval '1 minute')))
    ON CONFLICT DO NOTHING""")  # noqa: S608 - but for the ledger's words all of it is here
# Should the preview come back, its events must not name objects that are gone.
_PURGED: Final = text("""
    UPDATE preview_file SET purged_at = now(), files = '[]' WHERE id = :id AND deleted_at IS NOT NULL""")


async def enqueue(connection: AsyncConnection, *, age: float, per_minute: int) -> None:
    """Give deleted previews whose time has come a purge.

    Args:
        age: seconds since the deletion was taken in.
    """
    await connection.execute(_ENQUEUE, {"age": age, "per_minute": per_minute})


async def purge(store: Store, row: PreviewRow, confirm: Callable[[], Awaitable[None]]) -> None:
    """Delete every output that the preview has or could have, also those of a job that was cut off while it published.

    Args:
        confirm: raises if this attempt lost its lease.

    Raises:
        AttemptFailedError: the store fails, or the lease is lost.
    """
    source = (row.source.bucket, row.source.key)
    for kind in ObjectKind:
        place = (PLACES[kind].bucket, object_key(kind, row.id))
        if kind not in _SOURCES and place != source:
            await fenced_writes.delete(store, *place, confirm)


async def purged(connection: AsyncConnection, task: Task) -> None:
    """Write down that the outputs are gone."""
    await connection.execute(_PURGED, {"id": task.subject})

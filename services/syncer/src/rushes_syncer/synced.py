"""`files-synced`: says on the bus that a site holds a preview's files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from rushes_runtime import outbox
from rushes_runtime.outbox import Outgoing
from rushes_schemas import Envelope, FilesSynced
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer.passes import Pass
from rushes_syncer.survey import Sides

SOURCE: Final = "/rushes/syncer"
_AT_ONCE: Final = 1000
# Previews of which a pass has copied something, and failed to copy nothing.
_COMPLETED: Final = text("""
    SELECT done.preview_file_id, version, count(*) AS objects, sum(held.bytes)::bigint AS bytes
    FROM (
        SELECT preview_file_id FROM difference
        WHERE pass_id = :id AND preview_file_id > :after AND finding <> 'extra'
        GROUP BY preview_file_id
        HAVING bool_or(state = 'copied') AND NOT bool_or(state IN ('open', 'failed'))
        ORDER BY preview_file_id LIMIT :limit) AS done
    JOIN held ON held.site = :site AND held.preview_file_id = done.preview_file_id
    LEFT JOIN site_preview ON site_preview.site = :site AND site_preview.preview_file_id = done.preview_file_id
    GROUP BY done.preview_file_id, version ORDER BY done.preview_file_id""")


async def tell(
    connection: AsyncConnection,
    events: Sequence[FilesSynced],
    *,
    event_ids: Sequence[str] | None = None,
    traceparent: str | None = None,
) -> None:
    """Write events into the outbox; the relay sends them."""
    ids = event_ids or [str(uuid4()) for _ in events]
    await outbox.put(
        connection,
        [
            Outgoing.of(Envelope(event, SOURCE, event_id=event_id, time=event.occurred_at, traceparent=traceparent))
            for event, event_id in zip(events, ids, strict=True)
        ],
    )


async def tell_of_pass(sides: Sides, going: Pass) -> None:
    """Say which previews a pass has completed. Said again after a kill, an event has the id that it had before."""
    after = UUID(int=0)
    while True:
        values: dict[str, Any] = {"id": going.id, "site": going.site, "after": after, "limit": _AT_ONCE}
        async with sides.database.begin() as connection:
            rows = (await connection.execute(_COMPLETED, values)).all()
            now = datetime.now(UTC)
            events = [
                FilesSynced(
                    preview_file_id=row.preview_file_id,
                    site=going.site,
                    version=row.version,
                    objects=row.objects,
                    bytes=row.bytes,
                    occurred_at=now,
                )
                for row in rows
            ]
            ids = [str(uuid5(going.id, str(row.preview_file_id))) for row in rows]
            await tell(connection, events, event_ids=ids)
        if not rows:
            return
        after = rows[-1].preview_file_id

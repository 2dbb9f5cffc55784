"""What Rushes last said of each preview, and whether Zou was seen to agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from rushes_runtime.database import Database
from rushes_runtime.envelopes import Received
from rushes_schemas import ObjectKind, PreviewStatus, StatusChanged
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu.dispatches import EVENT_SOURCE

_ENDED: Final = {PreviewStatus.READY, PreviewStatus.BROKEN, PreviewStatus.MISSING}


@dataclass(frozen=True)
class Announced:
    """The state of a preview after a version of it.

    Attributes:
        status: Rushes' own, `missing` too.
        uploaded_at: when the file was uploaded that it tells of.
        width: pixels of what Zou plays; like the next three only of a movie that plays.
        duration: seconds.
        file_size: bytes.
    """

    preview_file_id: UUID
    version: int
    status: str
    uploaded_at: datetime
    ended_at: datetime
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    file_size: int | None = None


def announced(received: Received) -> Announced | None:
    """What an event says that Zou must come to say; None: nothing, for the preview is in work or gone, or it was Zou
    that said so."""
    event = received.event
    if not isinstance(event, StatusChanged) or received.source == EVENT_SOURCE:
        return None
    if event.deleted or event.upload is None or event.internal_status not in _ENDED:
        return None
    state = Announced(
        event.preview_file_id, event.version, event.internal_status, event.upload.uploaded_at, event.occurred_at
    )
    played = played_bytes(event)
    if event.internal_status != PreviewStatus.READY or played is None:
        return state
    return Announced(**{**vars(state), "width": event.width, "height": event.height, "duration": event.duration,
                        "file_size": played})  # fmt: skip


def played_bytes(event: StatusChanged) -> int | None:
    """The size of the movie that Zou plays, and whose size it keeps: high definition, or low if there is no other."""
    sizes = {stored.kind: stored.bytes for stored in event.files}
    return sizes.get(ObjectKind.HIGH_DEFINITION, sizes.get(ObjectKind.LOW_DEFINITION))


# The newest version counts, whatever comes in which order; a version that comes again changes nothing, so that what was
# settled stays so.
_SAID: Final = text("""
    INSERT INTO announced (preview_file_id, version, status, uploaded_at, ended_at, width, height, duration, file_size)
    SELECT preview_file_id, version, status, uploaded_at, ended_at, width, height, duration, file_size
    FROM json_to_recordset(CAST(:states AS json)) AS said (preview_file_id uuid, version bigint, status text,
        uploaded_at timestamptz, ended_at timestamptz, width integer, height integer, duration double precision,
        file_size bigint)
    ORDER BY preview_file_id
    ON CONFLICT (preview_file_id) DO UPDATE SET version = excluded.version, status = excluded.status,
        uploaded_at = excluded.uploaded_at, ended_at = excluded.ended_at, width = excluded.width,
        height = excluded.height, duration = excluded.duration, file_size = excluded.file_size,
        written_at = now(), looked_at = NULL, settled_at = NULL
    WHERE announced.version < excluded.version""")
_UNSAID: Final = text("""
    DELETE FROM announced USING json_to_recordset(CAST(:states AS json)) AS gone (preview uuid, version bigint)
    WHERE announced.preview_file_id = gone.preview AND announced.version < gone.version""")
# Nothing is looked at while a newer upload of the preview runs: that is never written over.
_UNSETTLED: Final = """
    UPDATE announced SET looked_at = now() WHERE preview_file_id IN (
        SELECT preview_file_id FROM announced AS said
        WHERE settled_at IS NULL AND (looked_at IS NULL OR looked_at < now() - make_interval(secs => :again))
          AND NOT EXISTS (SELECT 1 FROM dispatch AS newer WHERE newer.preview_file_id = said.preview_file_id
                          AND newer.kind = 'movie' AND newer.uploaded_at > said.uploaded_at)
        ORDER BY looked_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING preview_file_id, version, status, uploaded_at, ended_at, width, height, duration, file_size"""
# Once, and only what was looked at: a version that came meanwhile is looked at by itself.
_SETTLE: Final = """
    UPDATE announced SET settled_at = now() WHERE preview_file_id = :id AND version = :version RETURNING 1"""
_WAITING: Final = """
    SELECT count(*) AS previews, coalesce(extract(epoch FROM now() - min(written_at)), 0) AS oldest
    FROM announced WHERE settled_at IS NULL"""


async def keep(connection: AsyncConnection, batch: Sequence[Received]) -> None:
    """Keep what a batch of events says; the last event of a preview counts."""
    newest: dict[UUID, Received] = {}
    for received in batch:
        event = received.event
        if isinstance(event, StatusChanged):
            before = newest.get(event.preview_file_id)
            if before is None or _version(before) <= event.version:
                newest[event.preview_file_id] = received
    said = {preview: announced(received) for preview, received in newest.items()}
    states = [
        {
            **vars(state),
            "preview_file_id": str(state.preview_file_id),
            "uploaded_at": state.uploaded_at.isoformat(),
            "ended_at": state.ended_at.isoformat(),
        }
        for state in said.values()
        if state
    ]
    if states:
        await connection.execute(_SAID, {"states": json.dumps(states)})
    unsaid = [
        {"preview": str(preview), "version": _version(newest[preview])}
        for preview, state in sorted(said.items())
        if state is None
    ]
    if unsaid:
        await connection.execute(_UNSAID, {"states": json.dumps(unsaid)})


def _version(received: Received) -> int:
    assert isinstance(received.event, StatusChanged)
    return received.event.version


async def unsettled(database: Database, *, again: float, limit: int) -> Sequence[Announced]:
    """Previews that Zou was not seen to agree about; each comes again after `again` seconds."""
    rows = await database.fetch(_UNSETTLED, again=again, limit=limit)
    return [Announced(**row._mapping) for row in rows]


async def settle(database: Database, state: Announced) -> None:
    """Look at it no more, unless a newer version comes."""
    await database.fetch(_SETTLE, id=state.preview_file_id, version=state.version)


@dataclass(frozen=True)
class Waiting:
    """Previews that Zou was not seen to agree about, and the seconds since the oldest was announced."""

    previews: int
    oldest: float


async def waiting(database: Database) -> Waiting:
    """How many there are."""
    (row,) = await database.fetch(_WAITING)
    return Waiting(row.previews, float(row.oldest))

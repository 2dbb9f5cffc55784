"""The rows of what Zou has dispatched, and the few statements that write and read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from rushes_runtime import outbox
from rushes_runtime.outbox import Outgoing
from rushes_schemas import Encoding, Envelope, PreviewUploaded
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu.job_ids import JobId
from rushes_kitsu.zou_rows import ZouRow

SCHEMA: Final = "kitsu"
EVENT_SOURCE: Final = "/rushes/kitsu"
# What Zou plays is mp4, whatever was uploaded; what the source is, its bytes say.
_EXTENSION: Final = "mp4"
_ABOUT: Final = ("project_id", "task_id", "person_id", "name", "original_name", "revision", "position")


class JobState(StrEnum):
    """A dispatched job, as Zou needs to know it."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class Kind(StrEnum):
    """What Zou has dispatched."""

    MOVIE = "movie"  # an upload: the normalizer's work
    PLAYLIST = "playlist"
    TILE = "tile"


@dataclass(frozen=True)
class Dispatched:
    """What is known of a dispatched job."""

    state: JobState
    failure_code: str | None = None
    failure_message: str | None = None
    started_at: datetime | None = None
    kind: Kind = Kind.MOVIE


@dataclass(frozen=True)
class UploadEnd:
    """The state of a preview whose upload of that time has ended.

    `failure_code` None: it plays, and the last four are known (pixels, seconds, bytes of what Zou plays).
    """

    preview_file_id: UUID
    uploaded_at: datetime
    failure_code: str | None = None
    failure_message: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    file_size: int | None = None


# Dispatches of one preview follow one another: their events stand in the outbox in the order of their times, which come
# from the one clock that all replicas share.
_LOCK_PREVIEW: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))")
_WRITE: Final = text("""
    INSERT INTO dispatch (event_id, job, kind, preview_file_id, uploaded_at)
    VALUES (:event, :job, :kind, :preview, clock_timestamp())
    RETURNING uploaded_at""")
_LOOK: Final = text(
    "SELECT state, kind, failure_code, failure_message, uploaded_at AS started_at FROM dispatch WHERE event_id = :event"
)
# An upload that came later ends those before it, too: they were for a file that is no longer there.
_END: Final = text("""
    UPDATE dispatch SET state = CASE WHEN ended.code IS NULL THEN 'complete' ELSE 'failed' END,
        failure_code = ended.code, failure_message = ended.message, ended_at = now(),
        width = ended.width, height = ended.height, duration = ended.duration, file_size = ended.file_size
    FROM json_to_recordset(CAST(:ends AS json)) AS ended (preview uuid, uploaded timestamptz, code text, message text,
        width integer, height integer, duration double precision, file_size bigint)
    WHERE dispatch.preview_file_id = ended.preview AND dispatch.uploaded_at <= ended.uploaded
        AND dispatch.state = 'running' AND dispatch.kind = 'movie'
    RETURNING dispatch.state, extract(epoch FROM now() - dispatch.uploaded_at) AS seconds""")
# Whoever waits for the same build: what was made answers all of them.
_END_BUILDS: Final = text("""
    UPDATE dispatch SET state = CASE WHEN CAST(:code AS text) IS NULL THEN 'complete' ELSE 'failed' END,
        failure_code = :code, failure_message = :message, ended_at = now()
    WHERE kind = :kind AND preview_file_id = :of AND state = 'running'
    RETURNING state, extract(epoch FROM now() - uploaded_at) AS seconds""")
PRUNE: Final = "DELETE FROM dispatch WHERE ended_at < now() - make_interval(secs => :age) RETURNING 1"
OPEN: Final = text("""
    SELECT count(*) AS jobs, coalesce(extract(epoch FROM now() - min(uploaded_at)), 0) AS oldest
    FROM dispatch WHERE state = 'running'""")


async def take_on(connection: AsyncConnection, job: JobId, encoding: Encoding, zou: ZouRow | None = None) -> None:
    """Write a dispatched job and the event that it becomes: both, or neither.

    Args:
        zou: Zou's row of the preview, where it is known: projects take turns by it, and operators read its names.
    """
    preview = str(job.preview_file_id)
    await connection.execute(_LOCK_PREVIEW, {"id": preview})
    uploaded_at = (await connection.execute(_WRITE, _row_of(job, Kind.MOVIE))).scalar_one()
    event = PreviewUploaded(
        preview_file_id=job.preview_file_id,
        extension=_EXTENSION,
        uploaded_at=uploaded_at,
        encoding=encoding,
        **(about(zou) if zou else {}),
    )
    envelope = Envelope(event, source=EVENT_SOURCE, event_id=str(job.event_id), time=uploaded_at)
    await outbox.put(connection, [Outgoing.of(envelope)])


def about(row: ZouRow) -> dict[str, Any]:
    """What an upload's event may say of its preview besides the file."""
    return {name: getattr(row, name) for name in _ABOUT}


async def take_on_build(connection: AsyncConnection, job: JobId, kind: Kind) -> datetime:
    """Write a dispatched job that is built here; its time."""
    taken: datetime = (await connection.execute(_WRITE, _row_of(job, kind))).scalar_one()
    return taken


def _row_of(job: JobId, kind: Kind) -> dict[str, object]:
    return {"event": job.event_id, "job": job.job, "kind": kind.value, "preview": job.preview_file_id}


async def look(connection: AsyncConnection, event_id: UUID) -> Dispatched | None:
    """What is known of a dispatched job; None: nothing was dispatched under this id."""
    row = (await connection.execute(_LOOK, {"event": event_id})).mappings().one_or_none()
    return None if row is None else Dispatched(**{**row, "state": JobState(row["state"]), "kind": Kind(row["kind"])})


async def end(connection: AsyncConnection, ends: Sequence[UploadEnd]) -> list[tuple[JobState, float]]:
    """Write down how uploads have ended; state of each job that this ends, and the seconds since its dispatch."""
    rows = [
        {
            "preview": str(each.preview_file_id),
            "uploaded": each.uploaded_at.isoformat(),
            "code": each.failure_code,
            "message": each.failure_message,
            **{name: getattr(each, name) for name in ("width", "height", "duration", "file_size")},
        }
        for each in ends
    ]
    if not rows:
        return []
    result = await connection.execute(_END, {"ends": json.dumps(rows)})
    return [(JobState(row.state), float(row.seconds)) for row in result]


async def end_builds(
    connection: AsyncConnection, kind: Kind, of: UUID, code: str | None = None, message: str | None = None
) -> list[tuple[JobState, float]]:
    """Write down how a build has ended; as `end`.

    Args:
        of: Zou's id of the playlist's build, or the preview of the tile.
        code: why it failed; None: it was built.
    """
    ended = await connection.execute(_END_BUILDS, {"kind": kind.value, "of": of, "code": code, "message": message})
    return [(JobState(row.state), float(row.seconds)) for row in ended]

"""Rows of `preview_file`, and the few statements that read and write them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from rushes_runtime.figures import Figure
from rushes_schemas import Encoding, PreviewStatus, Source, StoredFile
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer import metrics

SCHEMA: Final = "normalizer"


@dataclass(frozen=True)
class Sought:
    """Where a preview's source should lie, and which upload it is of."""

    place: tuple[str, str]
    uploaded_at: datetime
    status: PreviewStatus

    @property
    def bucket(self) -> str:
        """Its bucket."""
        return self.place[0]

    @property
    def key(self) -> str:
        """Its key."""
        return self.place[1]


@dataclass(frozen=True)
class PreviewRow:
    """A preview as the normalizer keeps it. `version` grows by one at each transition."""

    id: UUID
    status: PreviewStatus
    version: int
    uploaded_at: datetime
    upload_extension: str
    source: Source
    created_at: datetime
    name: str | None = None
    original_name: str | None = None
    revision: int | None = None
    position: int | None = None
    extension: str | None = None
    file_size: int | None = None
    validation_status: str = "neutral"
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    task_id: UUID | None = None
    person_id: UUID | None = None
    project_id: UUID | None = None
    upload_generation: int | None = None
    encoding: Encoding | None = None
    fence: int = 0
    failure_code: str | None = None
    failure_message: str | None = None
    failure_for_artist: str | None = None
    fps: str | None = None
    frame_count: int | None = None
    source_fps: str | None = None
    frames_duplicated: int | None = None
    frames_dropped: int | None = None
    files: tuple[StoredFile, ...] = field(default=())
    deleted_at: datetime | None = None

    def moved(self, **changes: Any) -> PreviewRow:
        """The row after a transition: one version on."""
        return replace(self, version=self.version + 1, **changes)


LOCK_ALONE: Final = text("SELECT 1 FROM preview_file WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
READ: Final = text("SELECT * FROM preview_file WHERE id = ANY(:ids)")
SOUGHT: Final = text("""
    SELECT id, source->>'bucket' AS bucket, source->>'key' AS key, uploaded_at, status
    FROM preview_file WHERE id = ANY(:ids) AND deleted_at IS NULL""")

_COLUMNS: Final = (
    ("id", "uuid"),
    ("status", "text"),
    ("version", "bigint"),
    ("uploaded_at", "timestamptz"),
    ("upload_extension", "text"),
    ("source", "jsonb"),
    ("created_at", "timestamptz"),
    ("name", "text"),
    ("original_name", "text"),
    ("revision", "integer"),
    ("position", "integer"),
    ("extension", "text"),
    ("file_size", "bigint"),
    ("width", "integer"),
    ("height", "integer"),
    ("duration", "double precision"),
    ("task_id", "uuid"),
    ("person_id", "uuid"),
    ("project_id", "uuid"),
    ("upload_generation", "bigint"),
    ("encoding", "jsonb"),
    ("fence", "bigint"),
    ("failure_code", "text"),
    ("failure_message", "text"),
    ("failure_for_artist", "text"),
    ("fps", "text"),
    ("frame_count", "integer"),
    ("source_fps", "text"),
    ("frames_duplicated", "integer"),
    ("frames_dropped", "integer"),
    ("files", "jsonb"),
    ("deleted_at", "timestamptz"),
)
_NAMES: Final = ", ".join(name for name, _ in _COLUMNS)

# Locking in id order keeps two batches that share previews from waiting for each other. The files are most of a row.
LOCK: Final = text(f"""
    SELECT {", ".join(name for name, _ in _COLUMNS if name != "files")},
        CASE WHEN id = ANY(:without_files) THEN '[]' ELSE files END AS files
    FROM preview_file WHERE id = ANY(:ids) ORDER BY id FOR UPDATE""")  # noqa: S608 - the names are this module's own

# The version guards against a writer that did not lock: a row never goes back. A preview that comes back can be deleted
# again.
SAVE: Final = text(f"""
    INSERT INTO preview_file AS held ({_NAMES})
    SELECT {_NAMES} FROM json_to_recordset(CAST(:rows AS json))
        AS new ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name, _ in _COLUMNS if name != "id")}, updated_at = now(),
        tombstone_at = CASE WHEN excluded.deleted_at IS NOT NULL THEN held.tombstone_at END,
        purged_at = CASE WHEN excluded.deleted_at IS NOT NULL THEN held.purged_at END
    WHERE held.version < excluded.version""")  # noqa: S608 - the names are this module's own

# A failed job changes little of a row, and nothing that is long.
SAVE_STATUS: Final = text("""
    UPDATE preview_file AS held SET status = new.status, version = new.version, fence = new.fence, updated_at = now(),
        failure_code = new.failure_code, failure_message = new.failure_message,
        failure_for_artist = new.failure_for_artist
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (id uuid, status text, version bigint, fence bigint, failure_code text, failure_message text,
                failure_for_artist text)
    WHERE held.id = ANY(:ids) AND held.id = new.id AND held.version < new.version""")


async def lock(
    connection: AsyncConnection, ids: Iterable[UUID], *, without_files: Collection[UUID] = ()
) -> dict[UUID, PreviewRow]:
    """The rows of the given previews, locked until the transaction ends.

    Args:
        without_files: rows that will not be written, nor told of, and come without their files.
    """
    result = await connection.execute(LOCK, {"ids": list(ids), "without_files": list(without_files)})
    return {row["id"]: row_of(row) for row in result.mappings()}


async def lock_alone(connection: AsyncConnection, ids: Iterable[UUID]) -> None:
    """Lock the rows of the given previews, as `lock` does, without reading them."""
    await connection.execute(LOCK_ALONE, {"ids": list(ids)})


async def read_all(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, PreviewRow]:
    """The rows of the given previews, as they are now."""
    result = await connection.execute(READ, {"ids": list(ids)})
    return {row["id"]: row_of(row) for row in result.mappings()}


async def read(connection: AsyncConnection, preview_file_id: UUID) -> PreviewRow | None:
    """One row, as it is now."""
    return (await read_all(connection, [preview_file_id])).get(preview_file_id)


async def sought(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Sought]:
    """What to look for, of previews that are not deleted."""
    result = await connection.execute(SOUGHT, {"ids": ids})
    return {row.id: Sought((row.bucket, row.key), row.uploaded_at, PreviewStatus(row.status)) for row in result}


async def save(connection: AsyncConnection, rows: Sequence[PreviewRow]) -> None:
    """Insert or update rows; their locks are held, or they are new."""
    if rows:
        # What is left out reads as NULL; most of a new row is.
        values = [{name: value for name, value in vars(row).items() if value is not None} for row in rows]
        await connection.execute(SAVE, {"rows": to_json(values).decode()})


async def save_status(connection: AsyncConnection, rows: Sequence[PreviewRow]) -> None:
    """Update what a failed job changes: status, version, fence and failure; the rows' locks are held."""
    names = ("id", "status", "version", "fence", "failure_code", "failure_message", "failure_for_artist")
    values = [{name: getattr(row, name) for name in names} for row in rows]
    await connection.execute(SAVE_STATUS, {"rows": to_json(values).decode(), "ids": [row.id for row in rows]})


# What needs attention is a small part of the rows, and has an index of its own.
_BY_STATUS: Final = text("""
    SELECT status, count(*) AS previews, extract(epoch FROM now() - min(updated_at)) AS oldest
    FROM preview_file WHERE status <> 'ready' AND deleted_at IS NULL GROUP BY status""")
_ALL: Final = text("SELECT reltuples FROM pg_class WHERE oid = 'preview_file'::regclass")


async def figures(connection: AsyncConnection) -> list[Figure]:
    """Previews by status, and the age of the oldest in each that needs attention."""
    found: list[Figure] = []
    others = 0
    for row in await connection.execute(_BY_STATUS):
        others += row.previews
        found.append(Figure(metrics.PREVIEWS, row.previews, (row.status,)))
        found.append(Figure(metrics.OLDEST_PREVIEW, float(row.oldest), (row.status,)))
    estimate = (await connection.execute(_ALL)).scalar_one()
    ready = Figure(metrics.PREVIEWS, max(0.0, estimate - others), (PreviewStatus.READY.value,))
    return [*found, ready]


def row_of(row: RowMapping) -> PreviewRow:
    """A `PreviewRow` of what the database gives."""
    values: Mapping[str, Any] = {name: row[name] for name, _ in _COLUMNS}
    return PreviewRow(
        **{
            **values,
            "status": PreviewStatus(row["status"]),
            "source": Source.model_validate(row["source"]),
            "encoding": Encoding.model_validate(row["encoding"]) if row["encoding"] else None,
            "files": tuple(StoredFile.model_validate(stored) for stored in row["files"]),
        }
    )

"""Rows of `preview_file` that a test writes itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from rushes_normalizer import previews
from rushes_normalizer.previews import PreviewRow
from rushes_runtime.database import Database
from rushes_schemas import PreviewStatus, Source, object_key
from rushes_schemas.outputs import ObjectKind


def kept_preview(status: PreviewStatus = PreviewStatus.BROKEN, **fields: Any) -> PreviewRow:
    """A movie that was uploaded now, unless said otherwise."""
    now = datetime.now(UTC)
    preview_file_id: UUID = fields.pop("id", uuid4())
    return PreviewRow(
        **{
            "id": preview_file_id,
            "status": status,
            "version": 2,
            "uploaded_at": now,
            "created_at": now,
            "upload_extension": "mov",
            "extension": "mp4",
            "source": Source(bucket="movies", key=object_key(ObjectKind.SOURCE_MOVIE, preview_file_id)),
            **fields,
        }
    )


async def keep(database: Database, *rows: PreviewRow) -> None:
    """Write rows."""
    async with database.begin() as connection:
        await previews.save(connection, rows)

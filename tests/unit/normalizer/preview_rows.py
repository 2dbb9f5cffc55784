"""Rows and events of one preview, as the normalizer sees them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from rushes_normalizer.kinds import UploadKind, kind_of
from rushes_normalizer.previews import PreviewRow
from rushes_schemas import PreviewDeleted, PreviewStatus, PreviewUploaded, RenormalizeRequested, Source, StoredFile

PREVIEW_ID: Final = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")
UPLOADED_AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW: Final = UPLOADED_AT + timedelta(minutes=1)
SOURCE: Final = Source(bucket="movies", key=f"source-{PREVIEW_ID}")
ROW: Final = PreviewRow(
    id=PREVIEW_ID,
    status=PreviewStatus.READY,
    version=4,
    uploaded_at=UPLOADED_AT,
    upload_extension="mov",
    extension="mp4",
    source=SOURCE,
    created_at=UPLOADED_AT,
)


def row(**changes: Any) -> PreviewRow:
    """A preview that is ready, unless changed."""
    return replace(ROW, **changes)


def upload(seconds_later: float = 0, **fields: Any) -> PreviewUploaded:
    """An upload of the preview."""
    uploaded_at = UPLOADED_AT + timedelta(seconds=seconds_later)
    return PreviewUploaded.model_validate(
        {"preview_file_id": PREVIEW_ID, "extension": "mov", "uploaded_at": uploaded_at, **fields}
    )


def deletion(seconds_later: float = 60) -> PreviewDeleted:
    """A deletion of the preview."""
    return PreviewDeleted(preview_file_id=PREVIEW_ID, deleted_at=UPLOADED_AT + timedelta(seconds=seconds_later))


def renormalization(**fields: Any) -> RenormalizeRequested:
    """A request to make the outputs again."""
    return RenormalizeRequested.model_validate(
        {"preview_file_id": PREVIEW_ID, "reason": "again", "requested_by": "ada", **fields}
    )


def stored(kind: str, **changes: Any) -> StoredFile:
    """An object of the preview."""
    prefix = {"source_movie": "source", "low_definition": "lowdef", "high_definition": "previews"}[kind]
    values = {"bucket": "movies", "key": f"{prefix}-{PREVIEW_ID}", "bytes": 9, "etag": f"{kind}-1", "sha256": "0" * 64}
    return StoredFile.model_validate({"kind": kind, **values, **changes})


def kind(extension: str) -> UploadKind:
    """The kind of an upload by the usual lists."""
    return kind_of(extension, movies=frozenset({"mp4", "mov"}), pictures=frozenset({"png", "jpg"}))

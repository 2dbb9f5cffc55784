"""What Zou's row of a preview, and the objects that are there, make of it in Rushes: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from rushes_schemas import PLACES, Envelope, ObjectKind, Source, StatusChanged, StoredFile, Upload, object_key
from rushes_schemas.statuses import PreviewStatus, exposed_status

from rushes_kitsu.dispatches import EVENT_SOURCE
from rushes_kitsu.zou_rows import ZouRow

_PICTURES: Final = frozenset(
    {ObjectKind.ORIGINAL, ObjectKind.THUMBNAIL, ObjectKind.SQUARE_THUMBNAIL, ObjectKind.PREVIEW_PICTURE}
)
_ENDED: Final = {"ready", "broken", "missing"}
_KNOWN: Final = {status.value for status in PreviewStatus}


class Holds(StrEnum):
    """What there is of a preview."""

    SOURCE = "with a source"  # Rushes could make it again
    OUTPUTS = "with outputs only"  # it plays, and could never be made again
    NOTHING = "with nothing"


def kinds_of(extension: str) -> tuple[ObjectKind, frozenset[ObjectKind]]:
    """The kind of the source, and those of the outputs, by the extension that Zou gives."""
    match extension:
        case "mp4":
            movies = {ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION, ObjectKind.TILE}
            return ObjectKind.SOURCE_MOVIE, _PICTURES | movies
        case "png":
            return ObjectKind.ORIGINAL, _PICTURES - {ObjectKind.ORIGINAL}
        case _:
            return ObjectKind.FILE, frozenset()


def holds(row: ZouRow, files: Sequence[StoredFile]) -> Holds:
    """What there is of a preview."""
    source, outputs = kinds_of(row.extension or "")
    kinds = {stored.kind for stored in files}
    if source in kinds:
        return Holds.SOURCE
    return Holds.OUTPUTS if kinds & outputs else Holds.NOTHING


def has_ended(row: ZouRow) -> bool:
    """Whether Zou is done with it. What is in work comes to Rushes by itself, or becomes what Zou makes of it."""
    return row.status in _ENDED


def imported_event(row: ZouRow, files: Sequence[StoredFile], *, expose_missing: bool, now: datetime) -> StatusChanged:
    """The state of a preview as its first version."""
    assert row.status in _KNOWN, row.status
    source, outputs = kinds_of(row.extension or "")
    own = [stored for stored in files if stored.kind == source or stored.kind in outputs]
    original = next((stored for stored in own if stored.kind == source), None)
    upload = Upload(
        extension=row.extension or "",
        uploaded_at=row.created_at,
        source=Source(
            bucket=PLACES[source].bucket,
            key=object_key(source, row.id),
            bytes=original.bytes if original else None,
            etag=original.etag if original else None,
        ),
    )
    return StatusChanged(
        preview_file_id=row.id,
        version=1,
        fence=0,
        id=row.id,
        name=row.name,
        original_name=row.original_name,
        extension=row.extension,
        revision=row.revision,
        position=row.position,
        file_size=row.file_size,
        status=exposed_status(row.status, expose_missing=expose_missing),
        internal_status=row.status,
        validation_status=row.validation_status,
        project_id=row.project_id,
        task_id=row.task_id,
        person_id=row.person_id,
        created_at=row.created_at,
        width=row.width or None,
        height=row.height or None,
        duration=row.duration or None,
        files=own,
        upload=upload,
        occurred_at=now,
    )


def announcement(event: StatusChanged) -> Envelope:
    """Its envelope, under an id of its own: however often it is sent, it is one event."""
    return Envelope(event, source=EVENT_SOURCE, event_id=f"import/{event.preview_file_id}", time=event.occurred_at)

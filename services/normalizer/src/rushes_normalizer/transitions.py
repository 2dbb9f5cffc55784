"""Status changes: what a job's end makes of a preview, and the event that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.outbox import Outgoing
from rushes_schemas import (
    FAILURES,
    Envelope,
    Failure,
    Job,
    PreviewStatus,
    StatusChanged,
    StoredFile,
    Upload,
    exposed_status,
    status_after,
)
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC

from rushes_normalizer.kinds import stored_kind
from rushes_normalizer.media.make import MediaFacts
from rushes_normalizer.previews import PreviewRow

EVENT_SOURCE: Final = "/rushes/normalizer"
VERSION_HEADER: Final = "rushes-version"
_FACTS: Final = {code.value: facts for code, facts in FAILURES.items()}
_READ: Final = ("bytes", "etag", "sha256")  # what a job learns of the source


class NormalizeFailedError(AttemptFailedError):
    """A failed attempt on a preview.

    Attributes:
        uploaded_at: of the upload that was read; a newer one has a job of its own.
        playable: all outputs of the last published set still exist, and are to be kept.
    """

    def __init__(self, failure: AttemptFailedError, *, uploaded_at: datetime, playable: bool) -> None:
        super().__init__(failure.code, failure.message, for_artist=failure.for_artist)
        self.uploaded_at = uploaded_at
        self.playable = playable


@dataclass(frozen=True)
class Published:
    """What a job made: the source as it was read, and every object that now stands in the store."""

    source: StoredFile
    files: tuple[StoredFile, ...]
    facts: MediaFacts | None
    uploaded_at: datetime


def after_success(row: PreviewRow, published: Published, fence: int) -> PreviewRow:
    """The row once every output is verified and published."""
    facts = published.facts
    return row.moved(
        status=PreviewStatus.READY,
        fence=fence,
        failure_code=None,
        failure_message=None,
        failure_for_artist=None,
        file_size=published.source.bytes,
        source=row.source.model_copy(update={name: getattr(published.source, name) for name in _READ}),
        files=(published.source, *published.files),
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        duration=facts.duration_seconds if facts else None,
        fps=(facts.fps or None) if facts else None,
        frame_count=facts.frame_count if facts else None,
        source_fps=(facts.source_fps or None) if facts else None,
        frames_duplicated=facts.frames_duplicated if facts else None,
        frames_dropped=facts.frames_dropped if facts else None,
    )


def after_failed_job(row: PreviewRow, failure: AttemptFailedError, fence: int) -> PreviewRow:
    """The row once a job has ended with a code; what was published before stays named on it."""
    playable = isinstance(failure, NormalizeFailedError) and failure.playable
    return row.moved(
        status=PreviewStatus.READY if playable else status_after(failure.code),
        fence=fence,
        failure_code=failure.code.value,
        failure_message=failure.message.replace("\0", "")[:2000],
        failure_for_artist=failure.for_artist,
    )


def status_changed(
    before: PreviewRow | None,
    row: PreviewRow,
    *,
    job_state: str | None,
    request_ids: Sequence[str] = (),
    attempt: int = 0,
    expose_missing: bool,
    now: datetime,
) -> StatusChanged:
    """The event of a transition; without a `job_state`, of none that a job made."""
    previous = before.status.value if before else None
    job = Job(state=job_state, request_ids=list(request_ids), attempt=attempt) if job_state else None
    return StatusChanged(
        preview_file_id=row.id,
        version=row.version,
        fence=row.fence,
        id=row.id,
        name=row.name,
        original_name=row.original_name,
        extension=row.extension,
        revision=row.revision,
        position=row.position,
        file_size=row.file_size,
        status=exposed_status(row.status.value, expose_missing=expose_missing),
        previous_status=exposed_status(previous, expose_missing=expose_missing) if previous else None,
        internal_status=row.status.value,
        internal_previous_status=previous,
        validation_status=row.validation_status,
        project_id=row.project_id,
        task_id=row.task_id,
        person_id=row.person_id,
        created_at=row.created_at,
        job=job,
        error=failure_of(row.failure_code, row.failure_message, row.failure_for_artist),
        width=row.width,
        height=row.height,
        duration=row.duration,
        fps=row.fps,
        frame_count=row.frame_count,
        source_fps=row.source_fps,
        frames_duplicated=row.frames_duplicated,
        frames_dropped=row.frames_dropped,
        files=_files(row),
        deleted=row.deleted_at is not None,
        upload=Upload(
            extension=row.upload_extension,
            uploaded_at=row.uploaded_at,
            generation=row.upload_generation,
            source=row.source,
            encoding=row.encoding,
        ),
        occurred_at=now,
    )


def failure_of(code: str | None, message: str | None, for_artist: str | None) -> Failure | None:
    """Why the last job failed, from what its row keeps; None: it did not."""
    if code is None:
        return None
    facts = _FACTS.get(code)  # none of a code that a later version gave
    return Failure(
        code=code,
        message=message or "",
        for_artist=for_artist or (facts and facts.for_artist),
        retryable=facts is not None and facts.transient,
    )


def announcement(event: StatusChanged, *, now: datetime, traceparent: str | None = None) -> Envelope:
    """The envelope of a transition's event. A transition has one id, however often its record is sent."""
    event_id = f"{event.preview_file_id}/{event.version}"
    return Envelope(event, source=EVENT_SOURCE, event_id=event_id, time=now, traceparent=traceparent)


def tombstone(preview_file_id: UUID, version: int) -> Outgoing:
    """The last record of a deleted preview; its header keeps the version, should the preview come back."""
    headers = [(VERSION_HEADER, str(version).encode())]
    return Outgoing(STATUS_CHANGED_TOPIC, str(preview_file_id).encode(), headers, None)


def _files(row: PreviewRow) -> list[StoredFile]:
    """The last published set and the source; before a first set, the source as its event described it."""
    source = row.source
    listed = {(stored.bucket, stored.key) for stored in row.files}
    if (source.bucket, source.key) in listed or source.bytes is None or source.etag is None:
        return list(row.files)
    stored = StoredFile(
        kind=stored_kind(source).value,
        bucket=source.bucket,
        key=source.key,
        bytes=source.bytes,
        etag=source.etag,
        sha256=source.sha256,
    )
    return [stored, *row.files]

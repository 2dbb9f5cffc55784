"""The events of Rushes: what publishers send and what consumers read.

Models are additive only. Readers ignore fields that they do not know (but see `Encoding`) and keep status
values that they do not know as they came.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from rushes_schemas.encoding import Encoding
from rushes_schemas.fields import (
    Etag,
    Extension,
    Moment,
    NonNegative32,
    NonNegative64,
    ObjectKey,
    Sha256,
    Text250,
    Text2000,
)
from rushes_schemas.statuses import exposed_status

Bucket = Literal["movies", "pictures", "files"]
# Of `StatusChanged`; for Rushes' own services, and for nobody else.
OWN_FIELDS: Final = frozenset({"internal_status", "internal_previous_status", "upload"})


class Event(BaseModel):
    """What all events share: they are about one preview."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    preview_file_id: UUID = Field(description="The preview; in lower case also the record's key.")


class Source(BaseModel):
    """Where the upload lies, and how to tell it from another upload under the same key."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bucket: Bucket = Field(description="Bucket, without the studio's prefix.")
    key: ObjectKey
    bytes: NonNegative64 | None = None
    etag: Etag | None = None
    sha256: Sha256 | None = None


class PreviewUploaded(Event):
    """An artist uploaded a movie, a picture or another file."""

    extension: Extension = Field(description="Of the uploaded file, without the dot.")
    uploaded_at: Moment
    source: Source | None = Field(None, description="Default: Zou's bucket and key for the kind of file.")
    upload_generation: NonNegative64 | None = Field(
        None, description="Grows with each new upload to the same id; a lower one is stale."
    )
    project_id: UUID | None = None
    task_id: UUID | None = None
    person_id: UUID | None = None
    name: Text250 | None = None
    original_name: Text250 | None = None
    revision: NonNegative32 | None = None
    position: NonNegative32 | None = None
    encoding: Encoding | None = None


class PreviewDeleted(Event):
    """A preview was deleted upstream. Sent on the topic of uploads, so that their order holds."""

    deleted_at: Moment


class Priority(StrEnum):
    """How a renormalization stands in the queue: always behind uploads; bulk behind single requests."""

    SINGLE = "single"
    BULK = "bulk"


class RenormalizeRequested(Event):
    """Somebody asks to make the outputs of a known preview again."""

    reason: Text250
    requested_by: Text250
    priority: Priority = Priority.SINGLE
    encoding: Encoding | None = Field(None, description="Default: the wishes of the upload.")


class StoredFile(BaseModel):
    """One object of a preview in the main store."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = Field(description="Such as `source_movie` or `low_definition`; may grow.")
    bucket: Bucket
    key: ObjectKey
    bytes: NonNegative64
    etag: Etag
    sha256: Sha256 | None = None


class Failure(BaseModel):
    """Why the last job failed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = Field(description="A failure code such as `corrupt`; may grow.")
    message: Text2000 = Field(description="One sentence for operators.")
    for_artist: Text2000 | None = Field(None, description="One sentence for the person who uploaded.")
    retryable: bool


class Job(BaseModel):
    """The work that a status change comes from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = Field(description="`queued`, `done` or `failed`.")
    request_ids: list[str] = Field(description="Event ids of the requests that this starts, ends or answers.")
    attempt: NonNegative32


class Upload(BaseModel):
    """The upload that a preview stands for: with it the topic's latest record is enough to restore a lost row."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    extension: str = Field(description="Of the uploaded file, without the dot.")
    uploaded_at: Moment
    generation: NonNegative64 | None = None
    source: Source
    encoding: Encoding | None = None


class StatusChanged(Event):
    """A preview's state after a transition: the topic's latest record of a key is the current state."""

    version: NonNegative64 = Field(description="Of this preview; one more at each transition.")
    fence: NonNegative64 = Field(description="Of the attempt that caused the transition; 0 for none.")
    id: UUID
    name: str | None = None
    original_name: str | None = None
    extension: str | None = None
    revision: int | None = None
    position: int | None = None
    file_size: int | None = None
    status: str = Field(description="As API consumers may see it.")
    previous_status: str | None = Field(None, description="As API consumers may see it.")
    internal_status: str = Field(description="For Rushes' own services.")
    internal_previous_status: str | None = Field(None, description="For Rushes' own services.")
    validation_status: str | None = None
    project_id: UUID | None = None
    task_id: UUID | None = None
    person_id: UUID | None = None
    created_at: Moment | None = None
    job: Job | None = None
    error: Failure | None = None
    width: int | None = Field(None, description="Of the high definition movie or the picture, in pixels.")
    height: int | None = None
    duration: float | None = Field(None, description="Seconds.")
    fps: str | None = Field(None, description='Frames a second of the outputs, such as "24000/1001".')
    frame_count: int | None = None
    source_fps: str | None = Field(None, description="Average rate of the source, whatever it is.")
    frames_duplicated: int | None = Field(None, description="By a conversion of the rate.")
    frames_dropped: int | None = Field(None, description="By a conversion of the rate.")
    files: list[StoredFile] = Field(
        default_factory=list, description="The source and the last published set, whatever the status."
    )
    deleted: bool = False
    upload: Upload | None = Field(None, description="For Rushes' own services.")
    occurred_at: Moment

    def exposed(self, *, expose_missing: bool = False) -> dict[str, Any]:
        """What API consumers may see of it, as JSON values: without what is for Rushes' own services.

        The statuses follow the switch as it is now, not as it was when the event was sent.
        """
        previous = self.internal_previous_status
        return {
            **self.model_dump(mode="json", exclude=set(OWN_FIELDS)),
            "status": exposed_status(self.internal_status, expose_missing=expose_missing),
            "previous_status": previous and exposed_status(previous, expose_missing=expose_missing),
        }


class FilesSynced(Event):
    """A site holds the files of a preview: for consumers who wait for a copy."""

    site: Text250 = Field(description="The site, by the name that the syncer's settings give it.")
    version: NonNegative64 | None = Field(
        None, description="Of the status change whose files they are; none if no record of the preview was seen."
    )
    objects: NonNegative32 = Field(description="Objects of the preview that the site holds now.")
    bytes: NonNegative64 = Field(description="Their bytes.")
    absent: NonNegative32 = Field(0, description="Objects that the site should hold and the main store has no more.")
    occurred_at: Moment

"""The shapes in which the API answers. Each status in them is as API consumers may see it."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from rushes_schemas import Encoding, Failure, Priority
from rushes_schemas.fields import Text250

# May grow; a reader keeps one that it does not know apart.
Status = Annotated[str, Field(description="`processing`, `ready` or `broken`; may grow.", examples=["ready"])]
Moment = Annotated[str | None, Field(description="UTC, in ISO 8601 without a zone.", examples=["2026-01-31T09:30:00"])]


class MinimalPreview(BaseModel):
    """What a player needs to know (Zou's `present_minimal`)."""

    id: UUID
    name: str | None
    extension: str | None
    revision: int | None
    position: int | None
    status: Status


class ListedPreview(MinimalPreview):
    """What a list shows (Zou's `present`)."""

    original_name: str | None
    file_size: int | None = Field(description="Bytes of the upload.")
    validation_status: str
    task_id: UUID | None
    person_id: UUID | None
    created_at: Moment
    token_in: int | None
    token_out: int | None


class FullPreview(ListedPreview):
    """Every column that Zou has (its `serialize`); those that Rushes keeps nothing in are null."""

    description: str | None
    path: str | None
    source: str | None
    annotations: Any
    width: int | None
    height: int | None
    duration: float | None = Field(description="Seconds.")
    source_file_id: UUID | None
    shotgun_id: int | None
    data: Any
    updated_at: Moment
    is_movie: bool | None
    url: str | None
    uploaded_movie_url: str | None
    uploaded_movie_name: str | None
    type: str


class OpenJob(BaseModel):
    """The work that waits or runs on a preview."""

    state: str = Field(description="`queued` or `running`.")
    stage: str | None = Field(description="What it does now.")
    fraction: float | None = Field(description="How much of the stage is done, 0 to 1.")
    attempts_before: int = Field(description="Attempts that have failed so far.")


_EXAMPLE: Final[JsonDict] = {
    "preview": {
        "id": "7b3e1f52-4f0a-4c8b-9a39-6f6c2f6f5a10",
        "name": "sq010_sh020",
        "extension": "mp4",
        "revision": 3,
        "position": 1,
        "status": "broken",
    },
    "project_id": "0c2a6d0e-0d4e-4a53-8f6e-1b7f1d0c9e11",
    "version": 4,
    "error": {
        "code": "corrupt",
        "message": "ffmpeg stopped at frame 48 of 120",
        "for_artist": "This movie is damaged: please export it again.",
        "retryable": False,
    },
    "job": None,
}


class PreviewState(BaseModel):
    """A preview, and how things stand with it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    preview: FullPreview | ListedPreview | MinimalPreview = Field(description="In the shape that was asked for.")
    project_id: UUID | None
    version: int = Field(description="One more at each transition; as in `status-changed`.")
    error: Failure | None = Field(description="Why the last job failed, if it did.")
    job: OpenJob | None = Field(description="The work that waits or runs now.")


class PreviewPage(BaseModel):
    """Previews, newest first."""

    previews: list[PreviewState]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


class RenormalizeWish(BaseModel):
    """Why, and how, a preview's outputs are to be made again."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"reason": "the source was repaired"}]}
    )

    reason: Annotated[Text250, WithJsonSchema({"type": "string", "maxLength": 250, "pattern": "^[^\\u0000]*$"})]
    priority: Priority = Priority.SINGLE
    encoding: Encoding | None = Field(None, description="Default: the wishes of the upload.")


class RenormalizeAccepted(BaseModel):
    """The request is on the bus; `status-changed` names it in `job.request_ids` when it begins and when it ends."""

    request_id: UUID
    preview_file_id: UUID

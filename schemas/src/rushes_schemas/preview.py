"""The preview as API consumers get it, in Zou's three shapes (those of Zou 1.0.97)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from rushes_schemas.statuses import ValidationStatus, exposed_status

MINIMAL: Final = ("id", "name", "extension", "revision", "position", "status")
PRESENTED: Final = (
    "id",
    "name",
    "original_name",
    "extension",
    "revision",
    "position",
    "file_size",
    "status",
    "validation_status",
    "task_id",
    "person_id",
    "created_at",
    "token_in",
    "token_out",
)


class Preview(BaseModel):
    """A row of `preview_file`, with its internal status.

    Every shape takes `expose_missing`: off, `missing` reads `broken`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    name: str | None = None
    original_name: str | None = None
    revision: int | None = None
    position: int | None = None
    extension: str | None = None
    description: str | None = None
    path: str | None = None
    source: str | None = None
    file_size: int | None = None
    status: str
    validation_status: str = ValidationStatus.NEUTRAL.value
    annotations: Any = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    task_id: UUID | None = None
    person_id: UUID | None = None
    source_file_id: UUID | None = None
    shotgun_id: int | None = None
    data: Any = None
    token_in: int | None = None
    token_out: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # Zou calls these deprecated, and serialises them.
    is_movie: bool | None = False
    url: str | None = None
    uploaded_movie_url: str | None = None
    uploaded_movie_name: str | None = None

    def serialize(self, *, expose_missing: bool = False) -> dict[str, Any]:
        """Every column, and `type`. Ids are strings, times naive UTC in ISO 8601 without fractions."""
        shape = {field: _plain(getattr(self, field)) for field in type(self).model_fields}
        return _exposed(shape, expose_missing) | {"type": "PreviewFile"}

    def present(self, *, expose_missing: bool = False) -> dict[str, Any]:
        """What a list of previews shows."""
        return _exposed({field: _plain(getattr(self, field)) for field in PRESENTED}, expose_missing)

    def present_minimal(self, *, expose_missing: bool = False) -> dict[str, Any]:
        """What a player needs to know."""
        return _exposed({field: _plain(getattr(self, field)) for field in MINIMAL}, expose_missing)


def _exposed(shape: Mapping[str, Any], expose_missing: bool) -> dict[str, Any]:
    return {**shape, "status": exposed_status(shape["status"], expose_missing=expose_missing)}


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case datetime():
            naive_utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return naive_utc.replace(microsecond=0).isoformat()
        case _:
            return value

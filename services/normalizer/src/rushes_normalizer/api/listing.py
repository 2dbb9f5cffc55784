"""What the API reads of previews."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from rushes_runtime.database import Database
from rushes_schemas import FailureCode, Preview

from rushes_normalizer.api.access import Caller
from rushes_normalizer.paging import fetch_page, page_of
from rushes_normalizer.transitions import failure_of

_PREVIEWS: Final = page_of(
    """preview_file.id, name, original_name, revision, position, extension, file_size, status, validation_status,
        width, height, duration, preview_file.task_id, person_id, preview_file.created_at, updated_at, project_id,
        version, preview_file.failure_code, preview_file.failure_message, failure_for_artist,
        task.state AS job_state, task.progress, task.tries + task.looks + task.losses AS attempts_before""",
    """
      AND (CAST(:id AS uuid) IS NULL OR preview_file.id = :id)
      AND (CAST(:projects AS uuid[]) IS NULL OR project_id = ANY(:projects))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))""",
)


class Shape(StrEnum):
    """Zou's three shapes of a preview."""

    FULL = "full"
    LISTED = "listed"
    MINIMAL = "minimal"


@dataclass(frozen=True)
class Wanted:
    """Which previews; all conditions hold together.

    Attributes:
        statuses: internal ones; None: any.
        cursor: the one that the page before ended with.
    """

    statuses: Collection[str] | None = None
    project_id: UUID | None = None
    code: FailureCode | None = None
    older_than_minutes: float | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class Looks:
    """How previews are shown."""

    shape: Shape
    expose_missing: bool

    def of(self, row: Any) -> dict[str, Any]:
        """A row as `PreviewState` has it."""
        values = dict(row._mapping)
        preview = Preview.model_validate(values)
        progress = values["progress"] or {}
        job = {
            "state": values["job_state"],
            "stage": progress.get("stage"),
            "fraction": progress.get("fraction"),
            "attempts_before": values["attempts_before"],
        }
        return {
            "preview": self._shaped(preview),
            "project_id": values["project_id"],
            "version": values["version"],
            "error": failure_of(values["failure_code"], values["failure_message"], values["failure_for_artist"]),
            "job": job if values["job_state"] else None,
        }

    def _shaped(self, preview: Preview) -> dict[str, Any]:
        match self.shape:
            case Shape.FULL:
                return preview.serialize(expose_missing=self.expose_missing)
            case Shape.LISTED:
                return preview.present(expose_missing=self.expose_missing)
            case Shape.MINIMAL:
                return preview.present_minimal(expose_missing=self.expose_missing)


async def list_previews(database: Database, caller: Caller, wanted: Wanted, looks: Looks) -> dict[str, Any]:
    """A page of what the caller may see, as `PreviewPage` has it.

    Raises:
        ValueError: the cursor is none of ours.
    """
    projects = caller.projects
    if wanted.project_id:
        projects = frozenset({wanted.project_id} if caller.may_see(wanted.project_id) else ())
    rows, next_cursor = await fetch_page(
        database,
        _PREVIEWS,
        limit=wanted.limit,
        cursor=wanted.cursor,
        code=wanted.code,
        older_than_minutes=wanted.older_than_minutes,
        id=None,
        projects=_listed(projects),
        statuses=_listed(wanted.statuses),
    )
    return {"previews": [looks.of(row) for row in rows], "next_cursor": next_cursor}


async def find_preview(database: Database, caller: Caller, preview_file_id: UUID) -> Any | None:
    """The row of a preview; None: there is none, or none that the caller may see."""
    rows, _ = await fetch_page(
        database, _PREVIEWS, limit=1, id=preview_file_id, projects=_listed(caller.projects), statuses=None
    )
    return rows[0] if rows else None


def _listed(values: Collection[Any] | None) -> list[Any] | None:
    return None if values is None else sorted(values)

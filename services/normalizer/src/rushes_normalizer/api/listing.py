"""What the API reads of previews."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from rushes_runtime.database import Database
from rushes_schemas import FailureCode, Preview

from rushes_normalizer.api.access import Caller
from rushes_normalizer.paging import read_cursor, write_cursor
from rushes_normalizer.transitions import failure_of

# Newest first; the cursor is on (created_at, id), which never change.
_PREVIEWS: Final = """
    SELECT preview_file.id, name, original_name, revision, position, extension, file_size, status, validation_status,
        width, height, duration, preview_file.task_id, person_id, preview_file.created_at, updated_at, project_id,
        version, preview_file.failure_code, preview_file.failure_message, failure_for_artist,
        task.state AS job_state, task.progress, task.tries + task.looks + task.losses AS attempts_before
    FROM preview_file LEFT JOIN LATERAL (
        SELECT * FROM task WHERE subject = preview_file.id::text AND state IN ('queued', 'running')
        ORDER BY state DESC LIMIT 1
    ) AS task ON true
    WHERE deleted_at IS NULL
      AND (CAST(:id AS uuid) IS NULL OR preview_file.id = :id)
      AND (CAST(:projects AS uuid[]) IS NULL OR project_id = ANY(:projects))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))
      AND (CAST(:code AS text) IS NULL OR preview_file.failure_code = :code)
      AND (CAST(:older_than AS timestamptz) IS NULL OR preview_file.created_at < :older_than)
      AND (CAST(:cursor_at AS timestamptz) IS NULL
           OR (preview_file.created_at, preview_file.id) < (:cursor_at, CAST(:cursor_id AS uuid)))
    ORDER BY preview_file.created_at DESC, preview_file.id DESC
    LIMIT :limit"""


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
    cursor_at, cursor_id = read_cursor(wanted.cursor)
    age = wanted.older_than_minutes
    projects = caller.projects
    if wanted.project_id:
        projects = frozenset({wanted.project_id} if caller.may_see(wanted.project_id) else ())
    rows = await _fetch(
        database,
        projects=None if projects is None else sorted(projects),
        statuses=None if wanted.statuses is None else sorted(wanted.statuses),
        code=wanted.code,
        older_than=None if age is None else datetime.now(UTC) - timedelta(minutes=age),
        cursor_at=cursor_at,
        cursor_id=cursor_id,
        limit=wanted.limit + 1,
    )
    page = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return {
        "previews": [looks.of(row) for row in page],
        "next_cursor": write_cursor(page[-1].created_at, page[-1].id) if more else None,
    }


async def find_preview(database: Database, caller: Caller, preview_file_id: UUID) -> Any | None:
    """The row of a preview; None: there is none, or none that the caller may see."""
    projects = None if caller.projects is None else sorted(caller.projects)
    rows = await _fetch(database, id=preview_file_id, projects=projects)
    return rows[0] if rows else None


async def _fetch(database: Database, **conditions: Any) -> list[Any]:
    names = ("id", "projects", "statuses", "code", "older_than", "cursor_at", "cursor_id")
    return await database.fetch(_PREVIEWS, **{**dict.fromkeys(names), "limit": 1, **conditions})

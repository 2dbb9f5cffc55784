"""What needs attention: previews in `processing`, `broken` or `missing`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python
from rushes_runtime.database import Database
from rushes_schemas import NEEDS_ATTENTION, FailureCode

from rushes_normalizer.paging import read_cursor, write_cursor

# Newest first; the cursor is on (created_at, id).
_ATTENTION: Final = """
    SELECT preview_file.id, name, extension, status, preview_file.failure_code AS code,
        preview_file.failure_message AS message, project_id, preview_file.created_at,
        updated_at, version, task.state AS job_state, task.progress,
        task.tries + task.looks + task.losses AS attempts_before
    FROM preview_file LEFT JOIN LATERAL (
        SELECT * FROM task WHERE subject = preview_file.id::text AND state IN ('queued', 'running')
        ORDER BY state DESC LIMIT 1
    ) AS task ON true
    WHERE status = ANY(:statuses) AND deleted_at IS NULL
      AND (CAST(:project AS uuid) IS NULL OR project_id = :project)
      AND (CAST(:code AS text) IS NULL OR preview_file.failure_code = :code)
      AND (CAST(:older_than AS timestamptz) IS NULL OR preview_file.created_at < :older_than)
      AND (CAST(:cursor_at AS timestamptz) IS NULL
           OR (preview_file.created_at, preview_file.id) < (:cursor_at, CAST(:cursor_id AS uuid)))
    ORDER BY preview_file.created_at DESC, preview_file.id DESC
    LIMIT :limit"""


class AttentionFilter(BaseModel):
    """Which previews to show, and how many of them at once; all conditions hold together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["processing", "broken", "missing"] | None = Field(None, description="As Rushes itself sees it.")
    project_id: UUID | None = None
    code: FailureCode | None = None
    older_than_minutes: Annotated[float, Field(ge=0, le=100_000_000)] | None = Field(
        None, description="Only previews that were first uploaded before that."
    )
    limit: Annotated[int, Field(ge=1, le=10_000)] = Field(50, description="Rows of a page.")
    cursor: str | None = Field(None, description="The `next_cursor` of the page before.")


@dataclass(frozen=True)
class AttentionPage:
    """Previews that need attention, newest first, and the cursor of the next page, if there is one."""

    previews: list[dict[str, Any]]
    next_cursor: str | None

    def as_json(self) -> dict[str, Any]:
        """The page as JSON values: ids in lower case, times in ISO 8601."""
        return {"previews": to_jsonable_python(self.previews), "next_cursor": self.next_cursor}


async def needs_attention(database: Database, wanted: AttentionFilter) -> AttentionPage:
    """Previews in `processing`, `broken` or `missing`, with what their jobs do.

    Raises:
        ValueError: the cursor is none of ours.
    """
    cursor_at, cursor_id = read_cursor(wanted.cursor)
    age = wanted.older_than_minutes
    rows = await database.fetch(
        _ATTENTION,
        statuses=[wanted.status] if wanted.status else sorted(NEEDS_ATTENTION),
        project=wanted.project_id,
        code=wanted.code,
        older_than=None if age is None else datetime.now(UTC) - timedelta(minutes=age),
        cursor_at=cursor_at,
        cursor_id=cursor_id,
        limit=wanted.limit + 1,
    )
    page = [dict(row._mapping) for row in rows[: wanted.limit]]
    more = len(rows) > wanted.limit
    return AttentionPage(page, write_cursor(page[-1]["created_at"], page[-1]["id"]) if more else None)

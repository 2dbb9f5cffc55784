"""What needs attention: previews in `processing`, `broken` or `missing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python
from rushes_runtime.database import Database
from rushes_schemas import NEEDS_ATTENTION, FailureCode

from rushes_normalizer.paging import fetch_page, page_of

_ATTENTION: Final = page_of(
    """preview_file.id, name, extension, status, preview_file.failure_code AS code,
        preview_file.failure_message AS message, project_id, preview_file.created_at,
        updated_at, version, task.state AS job_state, task.progress,
        task.tries + task.looks + task.losses AS attempts_before""",
    """
      AND status = ANY(:statuses)
      AND (CAST(:project AS uuid) IS NULL OR project_id = :project)""",
)


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
    rows, next_cursor = await fetch_page(
        database,
        _ATTENTION,
        limit=wanted.limit,
        cursor=wanted.cursor,
        code=wanted.code,
        older_than_minutes=wanted.older_than_minutes,
        statuses=[wanted.status] if wanted.status else sorted(NEEDS_ATTENTION),
        project=wanted.project_id,
    )
    return AttentionPage([dict(row._mapping) for row in rows], next_cursor)

"""Choosing previews: what needs attention, and what to renormalize."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from rushes_runtime.database import Database
from rushes_schemas import NEEDS_ATTENTION, PreviewStatus

# Newest first, cursor on (created_at, id): rows of one moment are told apart by their id, so none is lost.
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

_RENORMALIZABLE: Final = """
    SELECT id, status FROM preview_file
    WHERE deleted_at IS NULL
      AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(:ids))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))
      AND (CAST(:project AS uuid) IS NULL OR project_id = :project)
      AND (CAST(:code AS text) IS NULL OR failure_code = :code)
      AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
      AND (:any_kind OR extension = 'mp4')
    ORDER BY created_at, id
    LIMIT :limit"""


@dataclass(frozen=True)
class AttentionFilter:
    """Which previews to show; `status` is an internal one."""

    status: PreviewStatus | None = None
    project_id: UUID | None = None
    code: str | None = None
    older_than: datetime | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class AttentionPage:
    """Previews that need attention, newest first, and the cursor of the next page, if there is one."""

    previews: list[dict[str, Any]]
    next_cursor: str | None


async def needs_attention(database: Database, wanted: AttentionFilter) -> AttentionPage:
    """Previews in `processing`, `broken` or `missing`.

    Raises:
        ValueError: the cursor is none of ours.
    """
    cursor_at, cursor_id = _read_cursor(wanted.cursor)
    statuses = [wanted.status] if wanted.status else sorted(NEEDS_ATTENTION)
    rows = await database.fetch(
        _ATTENTION,
        statuses=[str(status) for status in statuses],
        project=wanted.project_id,
        code=wanted.code,
        older_than=wanted.older_than,
        cursor_at=cursor_at,
        cursor_id=cursor_id,
        limit=wanted.limit + 1,
    )
    page = [dict(row._mapping) for row in rows[: wanted.limit]]
    more = len(rows) > wanted.limit
    return AttentionPage(page, _write_cursor(page[-1]) if more else None)


def _write_cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()} {row['id']}".encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    if cursor is None:
        return None, None
    try:
        moment, _, preview_file_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(moment), UUID(preview_file_id)
    except ValueError:
        msg = f"{cursor!r} is no cursor of this command"
        raise ValueError(msg) from None


@dataclass(frozen=True)
class RenormalizeSelection:
    """Which previews to renormalize: all conditions hold together, the statuses among them are alternatives."""

    ids: Sequence[UUID] = ()
    statuses: frozenset[PreviewStatus] = frozenset()
    project_id: UUID | None = None
    code: str | None = None
    age: timedelta = timedelta(0)
    include_ready: bool = False
    limit: int | None = None


class SelectionTooWideError(ValueError):
    """A selection that names neither ids nor statuses."""


async def select_for_renormalization(
    database: Database, wanted: RenormalizeSelection, now: datetime
) -> list[tuple[UUID, PreviewStatus]]:
    """Previews to renormalize, oldest first; only movies unless ids are named.

    Args:
        wanted: `age` counts back from `now`: previews created since then.

    Raises:
        SelectionTooWideError: neither an id nor a status is named.
    """
    if not (wanted.ids or wanted.statuses or wanted.include_ready):
        msg = (
            "name --preview-file-id, or at least one of --all-broken, --all-missing, --all-processing, --include-ready"
        )
        raise SelectionTooWideError(msg)
    statuses = set(wanted.statuses) | ({PreviewStatus.READY} if wanted.include_ready else set())
    rows = await database.fetch(
        _RENORMALIZABLE,
        ids=list(wanted.ids) or None,
        statuses=[status.value for status in statuses] or None,
        project=wanted.project_id,
        code=wanted.code,
        since=now - wanted.age if wanted.age else None,
        any_kind=bool(wanted.ids),
        limit=wanted.limit,
    )
    return [(row.id, PreviewStatus(row.status)) for row in rows]

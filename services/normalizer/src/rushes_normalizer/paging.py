"""Pages of previews, newest first: rows of one moment are told apart by their id, so none is lost."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from rushes_runtime.database import Database

# Microseconds since the beginning of all time, and an id. Whatever this takes is a cursor.
CURSOR: Final = r"^(0|[1-9][0-9]{0,16}|[123][0-9]{17})\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# A preview, and the job that it has now.
_FROM: Final = """
    FROM preview_file LEFT JOIN LATERAL (
        SELECT * FROM task WHERE subject = preview_file.id::text AND state IN ('queued', 'running')
        ORDER BY state DESC LIMIT 1
    ) AS task ON true
    WHERE deleted_at IS NULL"""
# The cursor is on (created_at, id), which never change.
_OF_A_PAGE: Final = """
      AND (CAST(:code AS text) IS NULL OR preview_file.failure_code = :code)
      AND (CAST(:older_than AS timestamptz) IS NULL OR preview_file.created_at < :older_than)
      AND (CAST(:cursor_at AS timestamptz) IS NULL
           OR (preview_file.created_at, preview_file.id) < (:cursor_at, CAST(:cursor_id AS uuid)))
    ORDER BY preview_file.created_at DESC, preview_file.id DESC
    LIMIT :limit"""


def page_of(columns: str, conditions: str) -> str:
    """The statement of a page, for `fetch_page`.

    Args:
        columns: of `preview_file` and `task`; `id` and `created_at` of the preview among them.
        conditions: that pages of this kind have of their own, each with its `AND`.
    """
    return f"SELECT {columns}{_FROM}{conditions}{_OF_A_PAGE}"


async def fetch_page(
    database: Database,
    statement: str,
    *,
    limit: int,
    cursor: str | None = None,
    code: str | None = None,
    older_than_minutes: float | None = None,
    **conditions: Any,
) -> tuple[list[Any], str | None]:
    """The rows of a page, and the cursor of the next one, if there is one.

    Args:
        statement: by `page_of`.
        cursor: that of the page before.
        older_than_minutes: only previews that were first uploaded before that.
        conditions: parameters of the statement's own.

    Raises:
        ValueError: the cursor is none of ours.
    """
    cursor_at, cursor_id = read_cursor(cursor)
    rows = await database.fetch(
        statement,
        code=code,
        older_than=None if older_than_minutes is None else datetime.now(UTC) - timedelta(minutes=older_than_minutes),
        cursor_at=cursor_at,
        cursor_id=cursor_id,
        limit=limit + 1,
        **conditions,
    )
    page = rows[:limit]
    return page, write_cursor(page[-1].created_at, page[-1].id) if len(rows) > limit else None


def write_cursor(created_at: datetime, preview_file_id: UUID) -> str:
    """The cursor of the page that goes on behind this preview."""
    return f"{(created_at - _BEGINNING) // _MICROSECOND}.{preview_file_id}"


def read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """The preview that a page goes on behind; of the first page none.

    Raises:
        ValueError: the cursor is none of ours.
    """
    if cursor is None:
        return None, None
    if not re.fullmatch(CURSOR, cursor):
        msg = f"{cursor!r} is no cursor of this command"
        raise ValueError(msg)
    moment, _, preview_file_id = cursor.partition(".")
    since = min(int(moment), (_END - _BEGINNING) // _MICROSECOND)
    return _BEGINNING + since * _MICROSECOND, UUID(preview_file_id)

"""Cursors over previews, newest first: rows of one moment are told apart by their id, so none is lost."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID


def write_cursor(created_at: datetime, preview_file_id: UUID) -> str:
    """The cursor of the page that goes on behind this preview."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {preview_file_id}".encode()).decode()


def read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """The preview that a page goes on behind; of the first page none.

    Raises:
        ValueError: the cursor is none of ours.
    """
    if cursor is None:
        return None, None
    try:
        moment, _, preview_file_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        # In UTC: a zone can carry a time past the years that the database driver takes.
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(preview_file_id)
    except (ValueError, OverflowError):
        msg = f"{cursor!r} is no cursor of this command"
        raise ValueError(msg) from None

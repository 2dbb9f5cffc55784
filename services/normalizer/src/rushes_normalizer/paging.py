"""Cursors over previews, newest first: rows of one moment are told apart by their id, so none is lost."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

# Microseconds since the beginning of all time, and an id. Whatever this takes is a cursor.
CURSOR: Final = r"^(0|[1-9][0-9]{0,16}|[123][0-9]{17})\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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

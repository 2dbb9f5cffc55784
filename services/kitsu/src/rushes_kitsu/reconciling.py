"""Whether Zou agrees with what Rushes made of a dispatched movie, and what to do if not.

Zou marks a preview `broken` by its own time-out, or when an RQ worker is killed, and is told nothing of its end then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from rushes_runtime.database import Database


class Step(StrEnum):
    """What follows from Zou's status of a preview that Rushes has made."""

    AGREES = "agrees"
    CORRECT = "correct"
    LATER = "later"  # its RQ worker is about to say so itself
    GONE = "gone"  # deleted at Zou


@dataclass(frozen=True)
class MadeMovie:
    """What Rushes has made of a dispatched movie: pixels, seconds, bytes."""

    event_id: UUID
    preview_file_id: UUID
    ended_at: datetime
    width: int | None
    height: int | None
    duration: float | None
    file_size: int | None

    def fields(self) -> dict[str, Any]:
        """The fields of Zou's row, as Zou itself would have written them."""
        facts = {name: getattr(self, name) for name in ("width", "height", "duration", "file_size")}
        return {"status": "ready", **{name: value for name, value in facts.items() if value is not None}}


def step_for(zou_status: str | None, *, ended_at: datetime, now: datetime, patience: timedelta) -> Step:
    """What to do.

    Args:
        zou_status: None: Zou has no such preview.
        patience: how long after Rushes' end somebody at Zou may still be about to write `ready`.
    """
    match zou_status:
        case None:
            return Step.GONE
        case "ready":
            return Step.AGREES
        case "processing":
            return Step.CORRECT if now - ended_at > patience else Step.LATER
        case _:
            return Step.CORRECT


# Only the newest dispatch of a preview is looked at, and none while a newer one runs: a newer upload is never written
# over. Each is settled once, so that nothing that somebody decides in Zou later is undone.
_UNSETTLED: Final = """
    UPDATE dispatch SET looked_at = now() WHERE event_id IN (
        SELECT event_id FROM dispatch AS made
        WHERE state = 'complete' AND kind = 'movie' AND settled_at IS NULL
          AND (looked_at IS NULL OR looked_at < now() - make_interval(secs => :again))
          AND NOT EXISTS (SELECT 1 FROM dispatch AS newer WHERE newer.preview_file_id = made.preview_file_id
                          AND newer.uploaded_at > made.uploaded_at)
        ORDER BY looked_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING event_id, preview_file_id, ended_at, width, height, duration, file_size"""
_WAITING: Final = """
    SELECT count(*) AS movies, coalesce(extract(epoch FROM now() - min(ended_at)), 0) AS oldest
    FROM dispatch AS made
    WHERE state = 'complete' AND kind = 'movie' AND settled_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM dispatch AS newer WHERE newer.preview_file_id = made.preview_file_id
                      AND newer.uploaded_at > made.uploaded_at)"""
_SETTLE: Final = "UPDATE dispatch SET settled_at = now() WHERE event_id = :event RETURNING 1"


async def unsettled(database: Database, *, again: float, limit: int) -> Sequence[MadeMovie]:
    """Movies that Rushes has made and that Zou was not seen to agree with; each comes again after `again` seconds."""
    rows = await database.fetch(_UNSETTLED, again=again, limit=limit)
    return [MadeMovie(**row._mapping) for row in rows]


@dataclass(frozen=True)
class Waiting:
    """Movies that Zou was not seen to agree with, and the seconds since the end of the oldest."""

    movies: int
    oldest: float


async def waiting(database: Database) -> Waiting:
    """How many there are."""
    (row,) = await database.fetch(_WAITING)
    return Waiting(row.movies, float(row.oldest))


async def settle(database: Database, made: MadeMovie) -> None:
    """Look at it no more."""
    await database.fetch(_SETTLE, event=made.event_id)

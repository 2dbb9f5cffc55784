"""What Zou handled itself (pictures, other files, deletions) becomes known to Rushes, by Zou's own event log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from rushes_runtime import outbox
from rushes_runtime.database import Database, is_away
from rushes_runtime.health import Health
from rushes_runtime.outbox import Outgoing
from rushes_runtime.waiting import wait_or_stop
from rushes_schemas import PLACES, Envelope, PreviewDeleted, PreviewUploaded, Source, object_key
from sqlalchemy import text

from rushes_kitsu import metrics
from rushes_kitsu.dispatches import EVENT_SOURCE, about
from rushes_kitsu.imported import kinds_of
from rushes_kitsu.zou_rows import Told, ZouDatabase, ZouDatabaseError, ZouRow, events_after, rows_of

log = structlog.get_logger(__name__)

_DELETE: Final = "preview-file:delete"
_MOVIE: Final = "mp4"
# Zou's events get their time before they are committed: each look goes back by this, and what it sees again changes
# nothing.
_OVERLAP: Final = timedelta(seconds=60)
_AT_ONCE: Final = 500
_FIRST: Final = UUID(int=0)

_READ: Final = "SELECT up_to FROM zou_events_read WHERE source = :source"
# In the transaction of what was found: what was read is not lost, what was not read is read again.
_UP_TO: Final = text("""
    INSERT INTO zou_events_read (source, up_to) VALUES (:source, :up_to)
    ON CONFLICT (source) DO UPDATE SET up_to = greatest(zou_events_read.up_to, excluded.up_to)""")
# Once each, whoever else reads the same events now.
_NEW: Final = text("""
    INSERT INTO registered (preview_file_id, what)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:whats AS text[])) AS found (preview_file_id, what)
    ON CONFLICT DO NOTHING RETURNING preview_file_id, what""")


@dataclass(frozen=True)
class News:
    """What follows from Zou's events for one preview."""

    preview_file_id: UUID
    what: str
    event: PreviewUploaded | PreviewDeleted


def news_of(told: Sequence[Told], rows: Mapping[UUID, ZouRow]) -> list[News]:
    """What Rushes must hear of: deletions of previews that Zou really has no more, and what is ready and no movie.

    Movies come by dispatches. What Zou has not finished yet is told of again by a later event.
    """
    found: dict[tuple[UUID, str], News] = {}
    for each in told:
        row = rows.get(each.preview_file_id)
        if each.name == _DELETE and row is None:
            deleted = PreviewDeleted(preview_file_id=each.preview_file_id, deleted_at=each.created_at)
            found[each.preview_file_id, "deleted"] = News(each.preview_file_id, "deleted", deleted)
        elif each.name != _DELETE and row and row.status == "ready" and row.extension not in {None, "", _MOVIE}:
            found[row.id, "uploaded"] = News(row.id, "uploaded", _uploaded(row))
    return list(found.values())


def _uploaded(row: ZouRow) -> PreviewUploaded:
    """A preview as if an upstream had announced it: its source is where Zou keeps the file."""
    extension = row.extension or ""
    kind, _ = kinds_of(extension)
    return PreviewUploaded(
        preview_file_id=row.id,
        extension=extension,
        uploaded_at=row.created_at,
        source=Source(bucket=PLACES[kind].bucket, key=object_key(kind, row.id)),
        **about(row),
    )


class Registrar:
    """Reads Zou's event log, and tells Rushes of what Zou handled itself. Several may run."""

    def __init__(self, database: Database, zou: ZouDatabase, health: Health, *, interval: float) -> None:
        """
        Args:
            interval: seconds between looks.
        """
        self._database = database
        self._zou = zou
        self._health = health
        self._interval = interval

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until `stop`. A Zou or a database that is away is waited for."""
        while not stop.is_set():
            self._health.beat("registrar", within=max(120.0, 20 * self._interval))
            try:
                await self._look()
            except ZouDatabaseError as error:
                log.warning("zou_database_away", error=str(error))
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("registrar_waits_for_database", error=repr(error)[:500])
            await wait_or_stop(stop, self._interval)
        self._health.ended("registrar")

    async def _look(self) -> None:
        """Read what is new. The first look begins now: `import` tells of what was before."""
        known = await self._database.fetch(_READ, source=self._zou.name)
        begin: datetime = known[0].up_to - _OVERLAP if known else datetime.now(UTC)
        after = (begin, _FIRST)
        async with self._zou.connected() as zou:
            while told := await events_after(zou, *after, limit=_AT_ONCE):
                after = (told[-1].created_at, told[-1].id)
                rows = await rows_of(zou, [each.preview_file_id for each in told])
                await self._tell(news_of(told, rows), up_to=after[0])
        if not known:
            await self._tell([], up_to=begin)

    async def _tell(self, news: Sequence[News], *, up_to: datetime) -> None:
        """Write the events, and that Zou's were read so far: both, or neither."""
        asked = {"ids": [each.preview_file_id for each in news], "whats": [each.what for each in news]}
        async with self._database.begin() as connection:
            new = {(row.preview_file_id, row.what) for row in await connection.execute(_NEW, asked)}
            told = [each for each in news if (each.preview_file_id, each.what) in new]
            await outbox.put(connection, [Outgoing.of(_announcement(each)) for each in told])
            await connection.execute(_UP_TO, {"source": self._zou.name, "up_to": up_to})
        for each in told:
            metrics.REGISTERED.labels(each.what).inc()
            log.info("registered", preview_file_id=str(each.preview_file_id), what=each.what)


def _announcement(news: News) -> Envelope:
    """Under an id of its own: however often it is sent, it is one event."""
    event_id = f"zou/{news.what}/{news.preview_file_id}"
    return Envelope(news.event, source=EVENT_SOURCE, event_id=event_id, time=datetime.now(UTC))

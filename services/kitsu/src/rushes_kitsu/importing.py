"""A pass over Zou's database that tells Rushes of the previews that it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from rushes_runtime import outbox
from rushes_runtime.database import Database
from rushes_runtime.kafka import read_topic
from rushes_runtime.outbox import Outgoing
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.store import Store
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu.imported import Holds, announcement, has_ended, holds, imported_event
from rushes_kitsu.stored_objects import objects_of
from rushes_kitsu.zou_rows import page_after

_PAGE: Final = 1000
_RESUME: Final = "SELECT after FROM import_progress WHERE source = :source"
# In the transaction of a page's events: what was written is not written again, what was not is.
_REACHED: Final = text("""
    INSERT INTO import_progress (source, after) VALUES (:source, :after)
    ON CONFLICT (source) DO UPDATE SET after = excluded.after, updated_at = now()""")
_DONE: Final = "DELETE FROM import_progress WHERE source = :source RETURNING 1"
UNSENT: Final = "SELECT count(*) AS events FROM outbox WHERE sent_at IS NULL"


@dataclass
class Imported:
    """What a pass has seen: previews by what there is of them, and what it did."""

    resumed_after: UUID | None = None
    holds: Counter[Holds] = field(default_factory=Counter)
    in_work: int = 0
    known: int = 0
    written: int = 0

    @property
    def seen(self) -> int:
        """All previews of the pass."""
        return self.holds.total()


async def count_previews(zou: AsyncConnection, store: Store, done: Callable[[int], None]) -> Imported:
    """Only look: no server is written to, and Kafka is not asked.

    Args:
        done: called with the number of previews of each page.

    Raises:
        StoreError: the store gave no usable answer.
    """
    seen = Imported()
    after: UUID | None = None
    async with objects_of(store) as objects:
        while rows := await page_after(zou, after, _PAGE):
            after = rows[-1].id
            files = await objects.up_to(after)
            seen.holds.update(holds(row, files.get(row.id, ())) for row in rows)
            seen.in_work += sum(not has_ended(row) for row in rows)
            done(len(rows))
    return seen


async def import_previews(
    zou: AsyncConnection,
    store: Store,
    database: Database,
    kafka: KafkaSettings,
    *,
    source: str,
    expose_missing: bool,
    done: Callable[[int], None],
) -> Imported:
    """Write an event for each preview that has ended in Zou and that the topic does not tell of yet.

    A pass that was broken off goes on behind the last page that it wrote.

    Args:
        source: a name for Zou's database, by which a pass is known that was broken off.
        done: called with the number of previews of each page.

    Raises:
        StoreError: the store gave no usable answer.
        aiokafka.errors.KafkaError: the topic cannot be read.
    """
    known = await _known_previews(kafka)
    resumed = await database.fetch(_RESUME, source=source)
    after: UUID | None = resumed[0].after if resumed else None
    seen = Imported(resumed_after=after)
    async with objects_of(store) as objects:
        if after:
            await objects.skip_to(after)
        while rows := await page_after(zou, after, _PAGE):
            after = rows[-1].id
            files = await objects.up_to(after)
            seen.holds.update(holds(row, files.get(row.id, ())) for row in rows)
            seen.in_work += sum(not has_ended(row) for row in rows)
            seen.known += sum(has_ended(row) and row.id in known for row in rows)
            new = [row for row in rows if has_ended(row) and row.id not in known]
            now = datetime.now(UTC)
            events = [imported_event(row, files.get(row.id, ()), expose_missing=expose_missing, now=now) for row in new]
            async with database.begin() as connection:
                await outbox.put(connection, [Outgoing.of(announcement(event)) for event in events])
                await connection.execute(_REACHED, {"source": source, "after": after})
            seen.written += len(events)
            done(len(rows))
    await database.fetch(_DONE, source=source)
    return seen


async def _known_previews(kafka: KafkaSettings) -> set[UUID]:
    """The previews that Rushes has spoken of, deleted ones too."""
    return {
        UUID(record.key.decode())
        async for records in read_topic(kafka, STATUS_CHANGED_TOPIC)
        for record in records
        if record.key is not None
    }

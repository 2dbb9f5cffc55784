"""Publishing the current state again: after a switch is flipped, and after the database was restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

from aiokafka import ConsumerRecord
from rushes_runtime import outbox
from rushes_runtime.database import Database
from rushes_runtime.kafka import read_topic
from rushes_runtime.outbox import Outgoing
from rushes_runtime.rewinding import rewind
from rushes_runtime.settings import KafkaSettings
from rushes_schemas import PreviewStatus, StatusChanged
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC
from sqlalchemy import text

from rushes_normalizer import previews, requests
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, group_of
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.transitions import VERSION_HEADER, announcement, status_changed

# By id, not by page: rows that come meanwhile announce themselves.
_NEXT: Final = """
    SELECT id FROM preview_file
    WHERE tombstone_at IS NULL AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))
      AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit"""
_BATCH: Final = 500

# Fences that the lost database gave out and never announced must not be given out again.
_RAISE_FENCE: Final = text("SELECT setval('fence', greatest((SELECT last_value FROM fence), :seen) + 1000000)")

_NEWEST_TAKEN_IN: Final = "SELECT max(received_at) AS at FROM inbox WHERE consumer = :consumer"
# Records may have waited so long before they were taken in, and clocks of publishers may be so wrong.
_INTAKE_LAG: Final = timedelta(days=1)

Record: TypeAlias = ConsumerRecord[bytes, bytes]


async def republish(
    database: Database,
    statuses: Sequence[PreviewStatus],
    *,
    expose_missing: bool,
    done: Callable[[int], None] = lambda _: None,
) -> int:
    """Give previews a new version and put an event of their state into the outbox; their number.

    Args:
        statuses: internal ones; none for all previews. Deleted ones count until their tombstone.
        expose_missing: as the services have it.
        done: called with the size of each batch.
    """
    after: UUID | None = None
    total = 0
    wanted = [status.value for status in statuses] or None
    while ids := [row.id for row in await database.fetch(_NEXT, statuses=wanted, after=after, limit=_BATCH)]:
        async with database.begin() as connection:
            held = await previews.lock(connection, ids)
            now = datetime.now(UTC)
            # Locked now: a job may have ended since the list was made, and has said so itself.
            moves = [(row, row.moved()) for row in held.values() if wanted is None or row.status in wanted]
            await previews.save(connection, [row for _, row in moves])
            events = [
                status_changed(before, row, job_state=None, expose_missing=expose_missing, now=now)
                for before, row in moves
            ]
            await outbox.put(connection, [Outgoing.of(announcement(event, now=now)) for event in events])
        after = ids[-1]
        total += len(moves)
        done(len(moves))
    return total


@dataclass(frozen=True)
class Rewound:
    """How far intake was set back: `since` a time (None: the earliest that is kept), by so many records at most."""

    since: datetime | None
    records: int


async def rewind_intake(database: Database, kafka: KafkaSettings, instance: str) -> Rewound:
    """Let intake read again what a restored database may not have taken in; its inbox recognises the rest.

    Raises:
        GroupInUseError: a normalizer runs.
        aiokafka.errors.KafkaError: the broker cannot be reached or refuses.
    """
    group = group_of(instance)
    (newest,) = await database.fetch(_NEWEST_TAKEN_IN, consumer=group)
    since = newest.at and newest.at - _INTAKE_LAG
    return Rewound(since, await rewind(kafka, group, list(CONTRACTS_BY_TOPIC), since))


class Found(StrEnum):
    """What the topic showed of a restored database's preview."""

    BEHIND = "behind"
    ADDED = "added"
    DELETED = "deleted"
    UNKNOWN = "unknown"  # no row, and the record of an old Rushes, which is not enough to make one


async def catch_up(database: Database, kafka: KafkaSettings) -> dict[UUID, Found]:
    """Bring the rows of a restored database to what `status-changed` last said of them; safe to call again.

    Returns:
        The previews of which the topic knew more than the database.

    Raises:
        aiokafka.errors.KafkaError: the topic cannot be read.
    """
    found: dict[UUID, Found] = {}
    fence = 0
    async for records in read_topic(kafka, STATUS_CHANGED_TOPIC):
        newest: dict[UUID, _Said] = {}
        for record in records:
            said = _read(record)
            known = newest.get(said.preview_file_id)
            if known is None or said.version > known.version:
                newest[said.preview_file_id] = said
            fence = max(fence, said.event.fence if said.event else 0)
        await _write(database, newest, found)
    async with database.begin() as connection:
        await connection.execute(_RAISE_FENCE, {"seen": fence})
    return found


@dataclass(frozen=True)
class _Said:
    """One record: an event, or a tombstone at a time."""

    preview_file_id: UUID
    version: int
    event: StatusChanged | None
    at: datetime


def _read(record: Record) -> _Said:
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    if record.value is not None:
        event = StatusChanged.model_validate_json(record.value)
        return _Said(event.preview_file_id, event.version, event, at)
    version = int(dict(record.headers).get(VERSION_HEADER, b"0"))
    return _Said(UUID((record.key or b"").decode()), version, None, at)


async def _write(database: Database, newest: dict[UUID, _Said], found: dict[UUID, Found]) -> None:
    async with database.begin() as connection:
        held = await previews.lock(connection, newest)
        rows = []
        for preview_file_id, said in newest.items():
            before = held.get(preview_file_id)
            row = row_after_restore(before, said.event) if said.event else _buried(before, said)
            if row is None:
                if before is None and said.event:
                    found[preview_file_id] = Found.UNKNOWN
                continue
            rows.append(row)
            if before is None:
                found[preview_file_id] = Found.ADDED
            elif row.deleted_at:
                found[preview_file_id] = Found.DELETED
            elif found.get(preview_file_id) is not Found.ADDED:
                found[preview_file_id] = Found.BEHIND
        await previews.save(connection, rows)
        await requests.cancel(connection, [row.id for row in rows if row.deleted_at])


def row_after_restore(held: PreviewRow | None, event: StatusChanged) -> PreviewRow | None:
    """The row as an event says it was; None if the row is not older, or the event says too little to make one."""
    if held and held.version >= event.version:
        return None
    upload: dict[str, Any]
    if event.upload:
        upload = {
            "upload_extension": event.upload.extension,
            "uploaded_at": event.upload.uploaded_at,
            "upload_generation": event.upload.generation,
            "source": event.upload.source,
            "encoding": event.upload.encoding,
        }
    elif held:
        upload = {}
    else:
        return None
    same_name = (
        "id", "version", "fence", "name", "original_name", "extension", "revision", "position", "file_size",
        "project_id", "task_id", "person_id", "width", "height", "duration", "fps", "frame_count", "source_fps",
        "frames_duplicated", "frames_dropped",
    )  # fmt: skip
    values = {
        **{name: getattr(event, name) for name in same_name},
        **upload,
        "status": PreviewStatus(event.internal_status),
        "created_at": event.created_at or event.occurred_at,
        "failure_code": event.error.code if event.error else None,
        "failure_message": event.error.message if event.error else None,
        "failure_for_artist": event.error.for_artist if event.error else None,
        "files": tuple(event.files),
        "deleted_at": event.occurred_at if event.deleted else None,
    }
    return replace(held, **values) if held else PreviewRow(**values)


def _buried(held: PreviewRow | None, said: _Said) -> PreviewRow | None:
    if held is None or held.deleted_at or 0 < said.version <= held.version:
        return None
    return replace(held, version=said.version or held.version + 1, deleted_at=said.at)

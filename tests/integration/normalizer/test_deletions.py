"""A deleted preview: its work is cancelled, its outputs go later, and nothing old brings it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from rushes_normalizer import purging
from rushes_normalizer.workshop import PreviewWorkshop
from rushes_runtime.health import Health
from rushes_runtime.store import Unconditional, open_store
from rushes_schemas import PLACES, ObjectKind, PreviewDeleted, object_key

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.movies import ffmpeg, tools
from tests.world import World, eventually, playing, put_source, source_key, upload


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie that takes a while to encode at full size."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=96x54:rate=25:duration=120"]
    ffmpeg(*source, "-pix_fmt", "yuv420p", "-preset", "ultrafast", path)
    return path


async def _row(parts: Parts, preview_file_id: UUID) -> Any:
    rows = await parts.database.fetch("SELECT * FROM preview_file WHERE id = :id", id=preview_file_id)
    return rows[0] if rows else None


def _deletion(preview_file_id: UUID) -> PreviewDeleted:
    return PreviewDeleted(preview_file_id=preview_file_id, deleted_at=datetime.now(UTC))


def _encoders() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "ffmpeg" in each.name()]


async def _encoding() -> list[psutil.Process]:
    return _encoders()


async def test_a_deletion_kills_the_running_ffmpeg_and_the_attempt_changes_nothing(
    world: World, long_clip: Path
) -> None:
    event = upload()
    slow = world.with_settings(DEFAULT_HEIGHT="2160", DRAIN_BUDGET="1")
    async with parts_of(slow) as parts, playing(parts.intake(), parts.relay(), parts.worker()):
        await put_source(parts.store, event.preview_file_id, long_clip)
        await world.send(event)
        encoders = await eventually(_encoding)
        await world.send(_deletion(event.preview_file_id))
        await eventually(_encoding, lambda running: not running)
        assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in encoders)
        await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: any(each.deleted for each in seen))
        (request,) = await parts.database.fetch("SELECT outcome FROM request WHERE kind = 'upload'")
        row = await _row(parts, event.preview_file_id)
    assert (request.outcome, row.version, row.status) == ("deleted", 2, "processing")


async def _stored(parts: Parts, preview_file_id: UUID) -> set[ObjectKind]:
    return {
        kind
        for kind in ObjectKind
        if await parts.store.stat(PLACES[kind].bucket, object_key(kind, preview_file_id)) is not None
    }


@pytest.mark.extended
async def test_outputs_go_after_the_delay_and_the_source_stays(world: World, clip: Path) -> None:
    event = upload()
    impatient = world.with_settings(PURGE_AFTER="1.5", TOMBSTONE_AFTER="0.1")
    async with parts_of(impatient) as parts, playing(parts.intake(), parts.relay(), parts.worker(), parts.janitor()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        await eventually(lambda: _row(parts, event.preview_file_id), lambda row: row and row.status == "ready")
        made = await _stored(parts, event.preview_file_id)
        await world.send(_deletion(event.preview_file_id))
        await eventually(lambda: _row(parts, event.preview_file_id), lambda row: row.tombstone_at is not None)
        assert await _stored(parts, event.preview_file_id) == made
        row = await eventually(lambda: _row(parts, event.preview_file_id), lambda row: row.purged_at is not None)
        assert await _stored(parts, event.preview_file_id) == {ObjectKind.SOURCE_MOVIE}
        assert row.purged_at - row.updated_at >= timedelta(seconds=1.5)
        # Nothing but the deletion was said of it.
        changes = await world.statuses(event.preview_file_id)
        assert [each.version for each in changes] == [1, 2, 3]

        # A late upload does not bring it back, a new one does, and it can be deleted again.
        await world.send(upload(event.preview_file_id, uploaded_at=event.uploaded_at + timedelta(milliseconds=1)))
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM request WHERE outcome = 'stale'"))
        assert (await _row(parts, event.preview_file_id)).version == 3
        await world.send(upload(event.preview_file_id))
        await eventually(
            lambda: _row(parts, event.preview_file_id),
            lambda row: (row.status, row.deleted_at, row.tombstone_at) == ("ready", None, None),
        )
        came_back = await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) == 5)
        assert [each.internal_status for each in came_back[3:]] == ["processing", "ready"]
        assert came_back[3].files == []
        assert await _stored(parts, event.preview_file_id) == made
        await world.send(_deletion(event.preview_file_id))
        row = await eventually(lambda: _row(parts, event.preview_file_id), lambda row: row.purged_at is not None)
        assert row.tombstone_at is not None
        assert await _stored(parts, event.preview_file_id) == {ObjectKind.SOURCE_MOVIE}


async def test_purges_of_a_minute_stay_below_the_limit(world: World) -> None:
    deleted = [kept_preview(deleted_at=datetime.now(UTC)) for _ in range(5)]
    async with parts_of(world) as parts:
        await keep(parts.database, *deleted)

        async def round_() -> int:
            async with parts.database.begin() as connection:
                await purging.enqueue(connection, age=0.0, per_minute=2)
            return len(await parts.database.fetch("SELECT 1 FROM task"))

        assert await round_() == 2
        assert await round_() == 2  # they wait
        async with playing(parts.worker()):
            await eventually(
                lambda: parts.database.fetch("SELECT 1 FROM preview_file WHERE purged_at IS NOT NULL"),
                lambda rows: len(rows) == 2,
            )
        assert await round_() == 2  # they were in this minute
        await parts.database.fetch("UPDATE task SET ended_at = now() - interval '61 seconds' RETURNING 1")
        assert await round_() == 4


async def test_a_purge_waits_for_a_store_that_is_away_and_says_nothing_of_the_preview(
    world: World, tmp_path: Path
) -> None:
    row = kept_preview(deleted_at=datetime.now(UTC))
    left = tmp_path / "left"
    left.write_bytes(b"left by a job that was cut off")
    async with parts_of(world) as parts:
        key = object_key(ObjectKind.TILE, row.id)
        await parts.store.upload("pictures", key, left, content_type="image/png", condition=Unconditional())
        await keep(parts.database, row)
        async with parts.database.begin() as connection:
            await purging.enqueue(connection, age=0.0, per_minute=9)
        away = world.with_settings(STORE__ENDPOINT_URL="http://127.0.0.1:1")
        settings = away.normalizer_settings()
        async with open_store(settings.store) as store:
            workshop = PreviewWorkshop(settings, parts.database, store, tools())
            absent = Parts(settings, parts.database, store, Health(), workshop)
            async with playing(absent.worker()):
                tried = "SELECT 1 FROM task WHERE state = 'queued' AND failure_code = 'storage_unavailable'"
                await eventually(lambda: parts.database.fetch(tried))
        assert (await _row(parts, row.id)).version == row.version
        async with parts.database.begin() as connection:
            await purging.enqueue(connection, age=0.0, per_minute=9)
        async with playing(parts.worker()):
            await eventually(lambda: _row(parts, row.id), lambda now: now.purged_at is not None)
        assert await parts.store.stat("pictures", key) is None
        assert not await parts.database.fetch("SELECT 1 FROM outbox")


async def test_an_upload_that_comes_during_a_purge_is_made_after_it(world: World, clip: Path) -> None:
    row = kept_preview(deleted_at=datetime.now(UTC) - timedelta(hours=1))
    async with parts_of(world) as parts, playing(parts.intake()):
        await keep(parts.database, row)
        await put_source(parts.store, row.id, clip)
        async with parts.database.begin() as connection:
            await purging.enqueue(connection, age=0.0, per_minute=9)
        await world.send(upload(row.id))
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE lane = 'upload'"))
        assert len(await parts.database.fetch("SELECT 1 FROM task")) == 1
        async with playing(parts.worker()):
            await eventually(lambda: _row(parts, row.id), lambda now: now.status == "ready")
        assert await parts.store.stat("movies", source_key(row.id))
        assert ObjectKind.TILE in await _stored(parts, row.id)

"""Workers that are killed, paused or cut off: others do their jobs, and they change nothing when they are back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rushes_embedded.stack import Stack
from rushes_runtime.database import Database
from rushes_runtime.store import Unconditional
from rushes_schemas import ObjectKind, object_key
from sqlalchemy import make_url, text

from tests.cable import Cable, cable_to
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.processes import (
    Encode,
    all_sent,
    control,
    encoding,
    logged,
    normalizers,
    ready,
    slow,
    stage,
    upload_clip,
    worker,
)
from tests.world import World, eventually, put_source, upload

pytestmark = pytest.mark.extended


async def _gave_up(world: World, name: str) -> None:
    """The worker has found out, by its timer or by its own result, that it was fenced off."""
    await logged(world, name, "attempt_given_up", "fenced_off", "attempt_failed")


async def _everything(world: World, database: Database, preview_file_id: UUID) -> Any:
    """Row, task, requests, events, and each object's etag."""
    tables = [
        await database.fetch(f"SELECT * FROM {table} ORDER BY id") for table in ("preview_file", "request", "outbox")
    ]
    tasks = await database.fetch("SELECT id, state, fence, tries, losses, ended_at FROM task ORDER BY id")
    (row,) = await database.fetch("SELECT files FROM preview_file WHERE id = :id", id=preview_file_id)
    async with world.store() as store:
        stats = [await store.stat(stored["bucket"], stored["key"]) for stored in row.files]
    assert [each and each.etag for each in stats] == [stored["etag"] for stored in row.files]
    return tables, tasks, [each and (each.key, each.etag, each.modified) for each in stats]


@asynccontextmanager
async def _paused(world: World, slow_clip: Path) -> AsyncIterator[tuple[Encode, Callable[[], None]]]:
    async with encoding(world, slow_clip) as encode:
        os.kill(encode.worker.pid, signal.SIGSTOP)
        yield encode, partial(os.kill, encode.worker.pid, signal.SIGCONT)


@asynccontextmanager
async def _cut_from_the_database(world: World, slow_clip: Path) -> AsyncIterator[tuple[Encode, Callable[[], None]]]:
    async with _cable_to_the_database(world) as (cable, url), encoding(world, slow_clip, DATABASE_URL=url) as encode:
        cable.hold()
        yield encode, cable.release


@asynccontextmanager
async def _cable_to_the_database(world: World) -> AsyncIterator[tuple[Cable, str]]:
    """A way to the database that can be cut, and the address by it."""
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    async with cable_to(address.port) as cable:
        yield cable, address.set(port=cable.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("lost", [_paused, _cut_from_the_database], ids=lambda lost: lost.__name__[1:])
async def test_a_worker_that_is_lost_in_mid_encode_loses_its_job_and_changes_nothing_when_it_is_back(
    world: World,
    slow_clip: Path,
    lost: Callable[[World, Path], AbstractAsyncContextManager[tuple[Encode, Callable[[], None]]]],
) -> None:
    async with lost(world, slow_clip) as (encode, come_back):
        database, preview_file_id = encode.database, encode.preview_file_id
        worker(world, "second")
        row = await ready(database, preview_file_id)
        (task,) = await database.fetch("SELECT losses, fence FROM task")
        assert (task.losses, task.fence) == (1, row.fence)
        await all_sent(database)
        before = await _everything(encode.world, database, preview_file_id)
        come_back()
        await _gave_up(encode.world, "first")
        assert await _everything(encode.world, database, preview_file_id) == before


async def test_a_write_that_was_under_way_when_its_worker_was_paused_changes_nothing(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    async with normalizers(world) as database, cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:
        control(world)
        paused = worker(world, "paused", STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        await logged(world, "paused", "started")  # it tries a write before
        cable.hold_at(b"PUT ")
        preview_file_id = await upload_clip(world, slow_clip)
        await cable.held.wait()
        os.kill(paused.pid, signal.SIGSTOP)
        worker(world, "second")
        await ready(database, preview_file_id)
        await all_sent(database)
        before = await _everything(world, database, preview_file_id)
        cable.release()
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(world, "paused")
        assert await _everything(world, database, preview_file_id) == before


async def test_a_deletion_that_was_under_way_when_its_worker_was_paused_takes_nothing_of_a_new_upload(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    deleted = kept_preview(deleted_at=datetime.now(UTC) - timedelta(hours=1))
    left = world.folder / "left"
    left.write_bytes(b"an output of the deleted upload")
    impatient = world.with_settings(PURGE_AFTER="0.1")
    async with (
        normalizers(impatient) as database,
        world.store() as store,
        cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable,
    ):
        tile = object_key(ObjectKind.TILE, deleted.id)
        await store.upload("pictures", tile, left, content_type="image/png", condition=Unconditional())
        await put_source(store, deleted.id, slow_clip)
        control(impatient)
        paused = worker(impatient, "paused", STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        await logged(impatient, "paused", "started")  # its look at the store begins an upload and takes it back
        cable.hold_at(b"DELETE ")
        await keep(database, deleted)
        await cable.held.wait()
        os.kill(paused.pid, signal.SIGSTOP)
        await world.send(upload(deleted.id))
        worker(impatient, "second")
        made = "SELECT 1 FROM preview_file WHERE id = :id AND status = 'ready' AND deleted_at IS NULL AND fence > 0"
        await eventually(partial(database.fetch, made, id=deleted.id))
        await all_sent(database)
        before = await _everything(world, database, deleted.id)
        cable.release()
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(world, "paused")
        assert await _everything(world, database, deleted.id) == before


async def test_a_worker_whose_connections_are_forgotten_goes_on_by_new_ones(world: World, slow_clip: Path) -> None:
    async with _cable_to_the_database(world) as (cable, url), encoding(world, slow_clip, DATABASE_URL=url) as encode:
        cable.abandon()
        await logged(world, "first", "renewal_failed")
        await ready(encode.database, encode.preview_file_id)


async def test_a_worker_paused_in_mid_transaction_holds_its_locks_no_longer_than_its_lease(
    world: World, slow_clip: Path
) -> None:
    async with normalizers(world) as database:
        control(world)
        paused = worker(world, "paused")
        preview_file_id = await upload_clip(world, slow_clip)
        await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE state = 'running'"))
        async with database.begin() as connection:
            await connection.execute(text("SELECT 1 FROM preview_file FOR UPDATE"))
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            await eventually(lambda: database.fetch(waiting))
            os.kill(paused.pid, signal.SIGSTOP)  # its transaction gets the lock now, and nobody goes on with it
        worker(world, "second")
        await ready(database, preview_file_id)
        await all_sent(database)
        before = await _everything(world, database, preview_file_id)
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(world, "paused")
        assert await _everything(world, database, preview_file_id) == before
        assert paused.poll() is None


async def test_jobs_of_killed_workers_are_all_done_by_others(world: World, slow_clip: Path) -> None:
    slowly = slow(world)
    async with normalizers(slowly) as database:
        control(slowly)
        previews = [await upload_clip(slowly, slow_clip) for _ in range(2)]
        for number in range(2):
            doomed = worker(slowly, f"doomed-{number}")
            await stage(database, "encoding")
            os.kill(doomed.pid, signal.SIGKILL)
            await eventually(
                lambda: database.fetch("SELECT 1 FROM task WHERE state = 'running'"), lambda rows: not rows
            )
        worker(world, "last")
        for preview_file_id in previews:
            await ready(database, preview_file_id)
        (losses,) = await database.fetch("SELECT sum(losses) AS all FROM task")
        assert losses.all == 2
        await all_sent(database)
        changes = [await world.statuses(preview_file_id) for preview_file_id in previews]
    assert [[change.version for change in each] for each in changes] == [[1, 2]] * 2

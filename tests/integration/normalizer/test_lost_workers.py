"""Workers that are killed, paused or cut off: others do their jobs, and they change nothing when they are back."""

from __future__ import annotations

import os
import signal
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

from tests.cable import cable_to
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.processes import all_sent as _all_sent
from tests.integration.normalizer.processes import control as _control
from tests.integration.normalizer.processes import logged as _logged
from tests.integration.normalizer.processes import normalizers as _normalizers
from tests.integration.normalizer.processes import ready as _ready
from tests.integration.normalizer.processes import slow as _slow
from tests.integration.normalizer.processes import stage as _stage
from tests.integration.normalizer.processes import upload_clip as _upload
from tests.integration.normalizer.processes import worker as _worker
from tests.world import World, eventually, put_source, upload

pytestmark = pytest.mark.extended

LOW = object_key(ObjectKind.LOW_DEFINITION, UUID(int=1))


async def _gave_up(world: World, name: str) -> None:
    """The worker has found out, by its timer or by its own result, that it was fenced off."""
    await _logged(world, name, "attempt_given_up", "fenced_off", "attempt_failed")


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


async def test_a_worker_paused_in_mid_encode_loses_its_job_and_changes_nothing_when_it_wakes(
    world: World, slow_clip: Path
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        paused = _worker(slow, "paused")
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        os.kill(paused.pid, signal.SIGSTOP)
        _worker(world, "second")
        row = await _ready(database, preview_file_id)
        (task,) = await database.fetch("SELECT losses, fence FROM task")
        assert (task.losses, task.fence) == (1, row.fence)
        await _all_sent(database)
        before = await _everything(slow, database, preview_file_id)
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(slow, "paused")
        assert await _everything(slow, database, preview_file_id) == before


async def test_a_write_that_was_under_way_when_its_worker_was_paused_changes_nothing(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    async with _normalizers(world) as database, cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:
        _control(world)
        paused = _worker(world, "paused", STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        await _logged(world, "paused", "started")  # it tries a write before
        cable.hold_at(b"PUT ")
        preview_file_id = await _upload(world, slow_clip)
        await cable.held.wait()
        os.kill(paused.pid, signal.SIGSTOP)
        _worker(world, "second")
        await _ready(database, preview_file_id)
        await _all_sent(database)
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
        _normalizers(impatient) as database,
        world.store() as store,
        cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable,
    ):
        tile = object_key(ObjectKind.TILE, deleted.id)
        await store.upload("pictures", tile, left, content_type="image/png", condition=Unconditional())
        await put_source(store, deleted.id, slow_clip)
        _control(impatient)
        paused = _worker(impatient, "paused", STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        await _logged(impatient, "paused", "started")  # its look at the store begins an upload and takes it back
        cable.hold_at(b"DELETE ")
        await keep(database, deleted)
        await cable.held.wait()
        os.kill(paused.pid, signal.SIGSTOP)
        await world.send(upload(deleted.id))
        _worker(impatient, "second")
        made = "SELECT 1 FROM preview_file WHERE id = :id AND status = 'ready' AND deleted_at IS NULL AND fence > 0"
        await eventually(partial(database.fetch, made, id=deleted.id))
        await _all_sent(database)
        before = await _everything(world, database, deleted.id)
        cable.release()
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(world, "paused")
        assert await _everything(world, database, deleted.id) == before


async def test_a_worker_cut_from_the_database_loses_its_job_and_changes_nothing_when_it_is_back(
    world: World, slow_clip: Path
) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    slow = _slow(world)
    async with _normalizers(slow) as database, cable_to(address.port) as cable:
        _control(slow)
        cut = address.set(port=cable.port).render_as_string(hide_password=False)
        _worker(slow, "cut", DATABASE_URL=cut)
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        cable.hold()
        _worker(world, "second")
        await _ready(database, preview_file_id)
        (task,) = await database.fetch("SELECT losses FROM task")
        assert task.losses == 1
        await _all_sent(database)
        before = await _everything(slow, database, preview_file_id)
        cable.release()
        await _gave_up(slow, "cut")
        assert await _everything(slow, database, preview_file_id) == before


async def test_a_worker_whose_connections_are_forgotten_goes_on_by_new_ones(world: World, slow_clip: Path) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    slow = _slow(world)
    async with _normalizers(slow) as database, cable_to(address.port) as cable:
        _control(slow)
        through_cable = address.set(port=cable.port).render_as_string(hide_password=False)
        _worker(slow, "worker", DATABASE_URL=through_cable)
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        cable.abandon()
        await _logged(slow, "worker", "renewal_failed")
        await _ready(database, preview_file_id)


async def test_a_worker_paused_in_mid_transaction_holds_its_locks_no_longer_than_its_lease(
    world: World, slow_clip: Path
) -> None:
    async with _normalizers(world) as database:
        _control(world)
        paused = _worker(world, "paused")
        preview_file_id = await _upload(world, slow_clip)
        await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE state = 'running'"))
        async with database.begin() as connection:
            await connection.execute(text("SELECT 1 FROM preview_file FOR UPDATE"))
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            await eventually(lambda: database.fetch(waiting))
            os.kill(paused.pid, signal.SIGSTOP)  # its transaction gets the lock now, and nobody goes on with it
        _worker(world, "second")
        await _ready(database, preview_file_id)
        await _all_sent(database)
        before = await _everything(world, database, preview_file_id)
        os.kill(paused.pid, signal.SIGCONT)
        await _gave_up(world, "paused")
        assert await _everything(world, database, preview_file_id) == before
        assert paused.poll() is None


async def test_jobs_of_killed_workers_are_all_done_by_others(world: World, slow_clip: Path) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        previews = [await _upload(slow, slow_clip) for _ in range(2)]
        for number in range(2):
            doomed = _worker(slow, f"doomed-{number}")
            await _stage(database, "encoding")
            os.kill(doomed.pid, signal.SIGKILL)
            await eventually(
                lambda: database.fetch("SELECT 1 FROM task WHERE state = 'running'"), lambda rows: not rows
            )
        _worker(world, "last")
        for preview_file_id in previews:
            await _ready(database, preview_file_id)
        (losses,) = await database.fetch("SELECT sum(losses) AS all FROM task")
        assert losses.all == 2
        await _all_sent(database)
        changes = [await world.statuses(preview_file_id) for preview_file_id in previews]
    assert [[change.version for change in each] for each in changes] == [[1, 2]] * 2

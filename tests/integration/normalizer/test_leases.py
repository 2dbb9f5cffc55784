"""Leases and fences: whoever loses a job can change nothing, and whoever is healthy keeps it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from rushes_embedded.stack import Stack
from rushes_normalizer import purging, workshop
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.make import make_movie
from rushes_normalizer.publishing import Publisher
from rushes_runtime import ledger
from rushes_runtime.database import Database, is_away
from rushes_runtime.fenced_writes import LostLeaseError
from rushes_runtime.ledger import Task
from rushes_runtime.store import Unconditional
from rushes_schemas import FailureCode, ObjectKind, object_key
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tests.cable import cable_to
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.integration.normalizer.processes import all_sent as _all_sent
from tests.integration.normalizer.processes import control as _control
from tests.integration.normalizer.processes import logged as _logged
from tests.integration.normalizer.processes import normalizers as _normalizers
from tests.integration.normalizer.processes import ready as _ready
from tests.integration.normalizer.processes import slow as _slow
from tests.integration.normalizer.processes import stage as _stage
from tests.integration.normalizer.processes import upload_clip as _upload
from tests.integration.normalizer.processes import worker as _worker
from tests.movies import ffmpeg
from tests.world import World, eventually, playing, put_source, upload

pytestmark = pytest.mark.any_broker

LOW = object_key(ObjectKind.LOW_DEFINITION, UUID(int=1))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a small movie."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-pix_fmt", "yuv420p", path)
    return path


async def _publish(parts: Parts, path: Path, writer: str) -> str:
    """Write an output as somebody else; its etag."""
    path.write_text(writer)
    stored = await parts.store.upload("movies", LOW, path, content_type="video/mp4", condition=Unconditional())
    return stored.etag


async def test_a_worker_that_lost_its_job_before_it_knew_any_output_overwrites_none(
    world: World, tmp_path: Path
) -> None:
    async def lost() -> None:
        raise LostLeaseError

    async with parts_of(world) as parts:
        successors = await _publish(parts, tmp_path / "successor", "successor")
        (tmp_path / "old").write_text("the one that was lost")
        publisher = Publisher(parts.store, UUID(int=1), {}, lost, lambda _: None)
        with pytest.raises(LostLeaseError):
            await publisher.publish(ObjectKind.LOW_DEFINITION, tmp_path / "old")
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert there.etag == successors


@pytest.mark.parametrize("known", [{}, {("movies", LOW): "gone"}], ids=["no output known", "another output known"])
async def test_a_worker_that_pauses_after_it_showed_its_lease_cannot_overwrite_its_successor(
    world: World, tmp_path: Path, known: dict[tuple[str, str], str]
) -> None:
    successors: list[str] = []

    async with parts_of(world) as parts:

        async def held_until_it_pauses() -> None:
            if successors:
                raise LostLeaseError
            successors.append(await _publish(parts, tmp_path / "successor", "successor"))

        await _publish(parts, tmp_path / "before", "before")
        (tmp_path / "old").write_text("the one that pauses")
        publisher = Publisher(parts.store, UUID(int=1), known, held_until_it_pauses, lambda _: None)
        with pytest.raises(LostLeaseError):
            await publisher.publish(ObjectKind.LOW_DEFINITION, tmp_path / "old")
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert [there.etag] == successors


def _with_store(world: World, kind: str) -> World:
    return world if kind == "s3" else world.with_settings(STORE__KIND=kind, STORE__ROOT=str(world.folder / "store"))


@pytest.mark.parametrize("kind", ["s3", "local"])
async def test_a_purge_that_pauses_after_it_showed_its_lease_deletes_no_output_of_a_new_upload(
    world: World, tmp_path: Path, kind: str
) -> None:
    successors: list[str] = []

    async with parts_of(_with_store(world, kind)) as parts:

        async def held_until_it_pauses() -> None:
            if successors:
                raise LostLeaseError
            successors.append(await _publish(parts, tmp_path / "successor", "successor"))

        await _publish(parts, tmp_path / "before", "before")
        deleted = kept_preview(id=UUID(int=1), deleted_at=datetime.now(UTC))
        with pytest.raises(LostLeaseError):
            await purging.purge(parts.store, deleted, held_until_it_pauses)
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert [there.etag] == successors


@pytest.mark.parametrize("kind", ["s3", "local"])
async def test_a_purge_deletes_what_changes_while_it_holds_its_lease(world: World, tmp_path: Path, kind: str) -> None:
    late: list[str] = []

    async with parts_of(_with_store(world, kind)) as parts:

        async def held() -> None:
            if not late:
                late.append(await _publish(parts, tmp_path / "late", "by an attempt that woke up"))

        await _publish(parts, tmp_path / "before", "before")
        await purging.purge(parts.store, kept_preview(id=UUID(int=1), deleted_at=datetime.now(UTC)), held)
        assert await parts.store.stat("movies", LOW) is None


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
    world: World, clip: Path
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        paused = _worker(slow, "paused")
        preview_file_id = await _upload(slow, clip)
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
    world: World, clip: Path, stack: Stack
) -> None:
    async with _normalizers(world) as database, cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:
        _control(world)
        paused = _worker(world, "paused", STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        await _logged(world, "paused", "started")  # it tries a write before
        cable.hold_at(b"PUT ")
        preview_file_id = await _upload(world, clip)
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
    world: World, clip: Path, stack: Stack
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
        await put_source(store, deleted.id, clip)
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
    world: World, clip: Path
) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    slow = _slow(world)
    async with _normalizers(slow) as database, cable_to(address.port) as cable:
        _control(slow)
        cut = address.set(port=cable.port).render_as_string(hide_password=False)
        _worker(slow, "cut", DATABASE_URL=cut)
        preview_file_id = await _upload(slow, clip)
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


async def test_a_worker_whose_connections_are_forgotten_goes_on_by_new_ones(world: World, clip: Path) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    slow = _slow(world)
    async with _normalizers(slow) as database, cable_to(address.port) as cable:
        _control(slow)
        through_cable = address.set(port=cable.port).render_as_string(hide_password=False)
        _worker(slow, "worker", DATABASE_URL=through_cable)
        preview_file_id = await _upload(slow, clip)
        await _stage(database, "encoding")
        cable.abandon()
        await _logged(slow, "worker", "renewal_failed")
        await _ready(database, preview_file_id)


async def test_a_worker_paused_in_mid_transaction_holds_its_locks_no_longer_than_its_lease(
    world: World, clip: Path
) -> None:
    async with _normalizers(world) as database:
        _control(world)
        paused = _worker(world, "paused")
        preview_file_id = await _upload(world, clip)
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


async def test_jobs_of_killed_workers_are_all_done_by_others(world: World, clip: Path) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        previews = [await _upload(slow, clip) for _ in range(2)]
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


async def _claim_for(parts: Parts, world: World, clip: Path) -> Task:
    """A job that a worker of this test's own holds."""
    await _upload(world, clip)
    async with playing(parts.intake()):
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
    async with parts.database.begin() as connection:
        task = await ledger.claim(connection, "worker", 3, idle=True)
    assert task
    return task


async def _is_over(database: Database) -> None:
    await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE lease_until < now()"))


async def _renews_and_then_is_lost(parts: Parts, task: Task) -> None:
    """A healthy worker renews when a third of a lease has passed; once it is dead, its job is another's."""
    await asyncio.sleep(1)
    async with parts.database.begin() as connection:
        assert await ledger.renew(connection, [(task, None)], 3) == {task.id}
    await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued' AND losses = 1"))


async def test_a_janitor_that_starts_gives_every_worker_a_lease_to_renew(world: World, clip: Path) -> None:
    async with parts_of(world) as parts:
        task = await _claim_for(parts, world, clip)
        await _is_over(parts.database)
        async with playing(parts.janitor()):
            await _renews_and_then_is_lost(parts, task)


async def test_a_janitor_whose_database_hung_gives_every_worker_a_lease_to_renew(world: World, clip: Path) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    async with parts_of(world) as parts, cable_to(address.port) as cable:
        through_cable = address.set(port=cable.port).render_as_string(hide_password=False)
        async with parts_of(world.with_settings(DATABASE_URL=through_cable)) as cabled, playing(cabled.janitor()):
            await asyncio.sleep(4)  # its start is forgotten: it would expire whatever is over
            task = await _claim_for(parts, world, clip)
            cable.hold()
            await _is_over(parts.database)
            cable.release()
            await _renews_and_then_is_lost(parts, task)


async def test_a_connection_that_was_ended_while_its_process_was_paused_is_a_database_away(world: World) -> None:
    async with world.normalizer_database() as watching:
        database = Database(world.environment["DATABASE_URL"], "normalizer", lease=0.2)

        async def pause_in_mid_transaction() -> None:
            async with database.begin() as connection:
                (pid,) = (await connection.execute(text("SELECT pg_backend_pid()"))).one()
                mine = "SELECT 1 FROM pg_stat_activity WHERE pid = :pid"
                await eventually(partial(watching.fetch, mine, pid=pid), lambda rows: not rows)
                await connection.execute(text("SELECT 1"))

        with pytest.raises(DBAPIError) as failed:
            await pause_in_mid_transaction()
        await database.close()
    assert is_away(failed.value)


def _servers(stack: Stack) -> list[psutil.Process]:
    postmaster = psutil.Process(stack.postgres.pid)
    return [postmaster, *postmaster.children(recursive=True)]


async def test_a_database_that_hangs_for_longer_than_a_lease_expires_no_healthy_job(
    world: World, clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, clip)
        await _stage(database, "encoding")
        servers = _servers(stack)
        try:
            for server in servers:
                server.suspend()
            await asyncio.sleep(float(slow.environment["LEASE"]) + 2)  # the time is the fault
        finally:
            for server in reversed(servers):
                server.resume()
        await _ready(database, preview_file_id)
        tasks = await database.fetch("SELECT losses, tries, fence FROM task")
    assert [(task.losses, task.tries) for task in tasks] == [(0, 0)]


@asynccontextmanager
async def _outage(stack: Stack) -> AsyncIterator[None]:
    """The server is stopped."""
    await asyncio.to_thread(stack.postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.postgres.start)


async def test_a_database_that_is_away_for_longer_than_a_lease_costs_a_running_job_nothing(
    world: World, clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, clip)
        await _stage(database, "encoding")
        async with _outage(stack):
            await asyncio.sleep(float(slow.environment["LEASE"]) + 2)  # the time is the fault
        await _ready(database, preview_file_id)
        tasks = await database.fetch("SELECT losses, tries, fence FROM task")
    assert [(task.losses, task.tries) for task in tasks] == [(0, 0)]


async def test_connections_that_the_database_ends_again_and_again_cost_a_running_job_nothing(
    world: World, clip: Path
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, clip)
        await _stage(database, "encoding")
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        for _ in range(20):
            await database.fetch(f"SELECT pg_terminate_backend(pid) {others}")
            await asyncio.sleep(0.2)
        await _ready(database, preview_file_id)
        tasks = await database.fetch("SELECT losses, tries FROM task")
    assert [tuple(task) for task in tasks] == [(0, 0)]


async def test_a_worker_that_is_told_to_stop_while_the_database_is_away_stops(
    world: World, clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        worker = _worker(slow, "worker", DRAIN_BUDGET="0.5")
        preview_file_id = await _upload(slow, clip)
        await _stage(database, "encoding")
        async with _outage(stack):
            os.kill(worker.pid, signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait) == 0
        _worker(world, "second")
        await _ready(database, preview_file_id)


async def test_a_store_that_hangs_after_the_encode_is_unavailable_and_no_timeout(
    world: World, clip: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = upload()
    async with cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:

        async def make_then_hang(*arguments: Any, **options: Any) -> Any:
            made = await make_movie(*arguments, **options)
            cable.hold()
            return made

        monkeypatch.setattr(workshop, "make_movie", make_then_hang)
        behind = {"STORE__ENDPOINT_URL": f"http://127.0.0.1:{cable.port}", "STALL_TIMEOUT": "3"}
        async with parts_of(world.with_settings(**behind)) as parts, playing(parts.intake(), parts.worker()):
            await put_source(parts.store, event.preview_file_id, clip)
            await world.send(event)
            failed = "SELECT failure_code FROM task WHERE state = 'queued' AND failure_code IS NOT NULL"
            (row,) = await eventually(partial(parts.database.fetch, failed))
            cable.release()
    assert row.failure_code == "storage_unavailable"


@pytest.mark.parametrize("status", ["ready", "broken"])
async def test_a_result_waits_for_the_database_longer_than_the_watchdogs_patience(
    world: World, clip: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    made_it, away = asyncio.Event(), asyncio.Event()

    async def make_then_wait(*arguments: Any, **options: Any) -> Any:
        made = await make_movie(*arguments, **options)
        made_it.set()
        await away.wait()
        if status == "broken":
            raise MediaError(FailureCode.CORRUPT, "damaged")
        return made

    monkeypatch.setattr(workshop, "make_movie", make_then_wait)
    event = upload()
    async with parts_of(world.with_settings(STALL_TIMEOUT="3", LEASE="10")) as parts:
        await put_source(parts.store, event.preview_file_id, clip)
        async with playing(parts.intake()):
            await world.send(event)
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
        async with playing(parts.worker()):
            await made_it.wait()
            async with _outage(stack):
                away.set()
                await asyncio.sleep(5)  # longer than the watchdog waits for progress
            row = "SELECT status FROM preview_file WHERE status <> 'processing'"
            rows = await eventually(partial(parts.database.fetch, row))
            tasks = await parts.database.fetch("SELECT losses, tries, looks FROM task")
    assert [row.status for row in rows] == [status]
    assert [tuple(task) for task in tasks] == [(0, 0, 0)]

"""A database that hangs or is away costs a running job nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from rushes_embedded.stack import Stack
from rushes_normalizer import workshop
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.make import make_movie
from rushes_schemas import FailureCode, ObjectKind, object_key

from tests.integration.normalizer.parts import parts_of
from tests.integration.normalizer.processes import control as _control
from tests.integration.normalizer.processes import normalizers as _normalizers
from tests.integration.normalizer.processes import ready as _ready
from tests.integration.normalizer.processes import slow as _slow
from tests.integration.normalizer.processes import stage as _stage
from tests.integration.normalizer.processes import upload_clip as _upload
from tests.integration.normalizer.processes import worker as _worker
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, upload

pytestmark = pytest.mark.extended

LOW = object_key(ObjectKind.LOW_DEFINITION, UUID(int=1))


def _servers(stack: Stack) -> list[psutil.Process]:
    postmaster = psutil.Process(stack.postgres.pid)
    return [postmaster, *postmaster.children(recursive=True)]


async def test_a_database_that_hangs_for_longer_than_a_lease_expires_no_healthy_job(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, slow_clip)
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
    world: World, slow_clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        async with _outage(stack):
            await asyncio.sleep(float(slow.environment["LEASE"]) + 2)  # the time is the fault
        await _ready(database, preview_file_id)
        tasks = await database.fetch("SELECT losses, tries, fence FROM task")
    assert [(task.losses, task.tries) for task in tasks] == [(0, 0)]


async def test_connections_that_the_database_ends_again_and_again_cost_a_running_job_nothing(
    world: World, slow_clip: Path
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        _worker(slow, "worker")
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        for _ in range(20):
            await database.fetch(f"SELECT pg_terminate_backend(pid) {others}")
            await asyncio.sleep(0.2)
        await _ready(database, preview_file_id)
        tasks = await database.fetch("SELECT losses, tries FROM task")
    assert [tuple(task) for task in tasks] == [(0, 0)]


async def test_a_worker_that_is_told_to_stop_while_the_database_is_away_stops(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    slow = _slow(world)
    async with _normalizers(slow) as database:
        _control(slow)
        worker = _worker(slow, "worker", DRAIN_BUDGET="0.5")
        preview_file_id = await _upload(slow, slow_clip)
        await _stage(database, "encoding")
        async with _outage(stack):
            os.kill(worker.pid, signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait) == 0
        _worker(world, "second")
        await _ready(database, preview_file_id)


@pytest.mark.parametrize("status", ["ready", "broken"])
async def test_a_result_waits_for_the_database_longer_than_the_watchdogs_patience(
    world: World, slow_clip: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch, status: str
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
    async with parts_of(world.with_settings(STALL_TIMEOUT=str(3 * pace()), LEASE=str(10 * pace()))) as parts:
        await put_source(parts.store, event.preview_file_id, slow_clip)
        async with playing(parts.intake()):
            await world.send(event)
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
        async with playing(parts.worker()):
            await made_it.wait()
            async with _outage(stack):
                away.set()
                await asyncio.sleep(5 * pace())  # longer than the watchdog waits for progress
            row = "SELECT status FROM preview_file WHERE status <> 'processing'"
            rows = await eventually(partial(parts.database.fetch, row))
            tasks = await parts.database.fetch("SELECT losses, tries, looks FROM task")
    assert [row.status for row in rows] == [status]
    assert [tuple(task) for task in tasks] == [(0, 0, 0)]

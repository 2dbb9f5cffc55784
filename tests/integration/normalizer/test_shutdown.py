"""Shutdown: what fits is finished, the rest is another's at once, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from rushes_normalizer import workshop
from rushes_runtime import outbox
from rushes_runtime.outbox import Outgoing

from tests.integration.normalizer.parts import parts_of
from tests.integration.normalizer.processes import (
    all_sent,
    control,
    logged,
    normalizers,
    ready,
    slow,
    stage,
    upload_clip,
    worker,
)
from tests.movies import make_clip
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, upload

pytestmark = pytest.mark.extended


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a small movie."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path, "320x180", seconds=4)
    return path


async def test_a_worker_that_stops_hands_its_job_to_another_within_a_second_of_its_drain_budget(
    world: World, clip: Path
) -> None:
    budget = timedelta(seconds=1)
    slowly = slow(world)
    async with normalizers(slowly) as database:
        control(slowly)
        stopping = worker(slowly, "stopping", DRAIN_BUDGET="1")
        preview_file_id = await upload_clip(slowly, clip)
        await stage(database, "encoding")
        worker(slowly, "second", POLL_INTERVAL="0.5")
        await logged(slowly, "second", "started")
        children = psutil.Process(stopping.pid).children(recursive=True)
        (before,) = await database.fetch("SELECT fence, now() AS asked FROM task")
        os.kill(stopping.pid, signal.SIGTERM)
        again = "SELECT started_at, tries, losses FROM task WHERE state = 'running' AND fence > :fence"
        (task,) = await eventually(partial(database.fetch, again, fence=before.fence))
        assert budget <= task.started_at - before.asked <= budget + timedelta(seconds=1)
        assert (task.tries, task.losses) == (0, 0)
        assert await asyncio.to_thread(stopping.wait) == 0
        assert children
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=10 * pace())
        assert not alive
        await ready(database, preview_file_id)


async def test_a_job_is_handed_back_before_its_attempt_has_let_go(
    world: World, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def clings(*_: Any, **__: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue

    monkeypatch.setattr(workshop, "make_movie", clings)
    event = upload()
    async with parts_of(world.with_settings(DRAIN_BUDGET="0.01")) as parts:
        await put_source(parts.store, event.preview_file_id, clip)
        async with playing(parts.intake()):
            await world.send(event)
            stop = asyncio.Event()
            stopping = asyncio.create_task(parts.worker().run(stop))
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE progress->>'stage' <> 'starting'"))
        stop.set()
        (task,) = await eventually(lambda: parts.database.fetch("SELECT tries FROM task WHERE state = 'queued'"))
        assert task.tries == 0
        assert not stopping.done()
        released.set()
        await stopping


async def test_what_is_written_while_jobs_drain_is_sent_before_the_process_ends(world: World, clip: Path) -> None:
    slowly = slow(world)
    async with normalizers(slowly) as database:
        whole = slowly.process("rushes-normalizer", "run", DRAIN_BUDGET="2", POLL_INTERVAL="0.1")
        await upload_clip(slowly, clip)
        await stage(database, "encoding")
        os.kill(whole.pid, signal.SIGTERM)
        await logged(slowly, "service", "draining")
        await asyncio.sleep(1)  # a relay that stopped at the signal would be gone by now
        async with database.begin() as connection:
            await outbox.put(connection, [Outgoing("status-changed", b"late", [], b"{}")])
        assert await asyncio.to_thread(whole.wait) == 0
        unsent = await database.fetch("SELECT 1 FROM outbox WHERE sent_at IS NULL")
        (task,) = await database.fetch("SELECT state, tries, losses FROM task")
        late = [record for record in await world.records("status-changed") if record.key == b"late"]
    assert not unsent
    assert tuple(task) == ("queued", 0, 0)
    assert len(late) == 1


async def test_a_second_signal_ends_a_draining_process_at_once_and_loses_nothing(world: World, clip: Path) -> None:
    slowly = slow(world)
    async with normalizers(slowly) as database:
        control(slowly)
        stopping = worker(slowly, "stopping", DRAIN_BUDGET="600")
        preview_file_id = await upload_clip(slowly, clip)
        await stage(database, "encoding")
        children = psutil.Process(stopping.pid).children(recursive=True)
        os.kill(stopping.pid, signal.SIGTERM)
        await logged(slowly, "stopping", "draining")
        os.kill(stopping.pid, signal.SIGTERM)
        assert await asyncio.to_thread(stopping.wait) == 128 + signal.SIGTERM
        assert children
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=10 * pace())
        assert not alive
        (task,) = await database.fetch("SELECT state, tries FROM task")
        assert tuple(task) == ("running", 0)
        worker(slowly, "second")
        await ready(database, preview_file_id)
        await all_sent(database)
        changes = await world.statuses(preview_file_id)
    assert [change.version for change in changes] == [1, 2]

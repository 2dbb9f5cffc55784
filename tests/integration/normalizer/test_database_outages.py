"""A database that hangs or is away costs a running job nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from rushes_embedded.stack import Stack
from rushes_normalizer import workshop
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.make import make_movie
from rushes_schemas import FailureCode

from tests.integration.normalizer.parts import parts_of
from tests.integration.normalizer.processes import Encode, encoding, ready, worker
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, upload

pytestmark = pytest.mark.extended


def _servers(stack: Stack) -> list[psutil.Process]:
    postmaster = psutil.Process(stack.postgres.pid)
    return [postmaster, *postmaster.children(recursive=True)]


@asynccontextmanager
async def _outage(stack: Stack) -> AsyncIterator[None]:
    """The server is stopped."""
    await asyncio.to_thread(stack.postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.postgres.start)


async def _is_away(encode: Encode, stack: Stack) -> None:
    async with _outage(stack):
        await asyncio.sleep(float(encode.world.environment["LEASE"]) + 2)  # the time is the fault


async def _hangs(encode: Encode, stack: Stack) -> None:
    servers = _servers(stack)
    try:
        for server in servers:
            server.suspend()
        await asyncio.sleep(float(encode.world.environment["LEASE"]) + 2)  # the time is the fault
    finally:
        for server in reversed(servers):
            server.resume()


async def _ends_every_connection(encode: Encode, stack: Stack) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(20):
        await encode.database.fetch(f"SELECT pg_terminate_backend(pid) {others}")
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("outage", [_is_away, _hangs, _ends_every_connection], ids=lambda outage: outage.__name__[1:])
async def test_a_database_that_is_lost_for_longer_than_a_lease_costs_a_running_job_nothing(
    world: World, slow_clip: Path, stack: Stack, outage: Callable[[Encode, Stack], Awaitable[None]]
) -> None:
    async with encoding(world, slow_clip) as encode:
        await outage(encode, stack)
        await ready(encode.database, encode.preview_file_id)
        tasks = await encode.database.fetch("SELECT losses, tries FROM task")
    assert [tuple(task) for task in tasks] == [(0, 0)]


async def test_a_worker_that_is_told_to_stop_while_the_database_is_away_stops(
    world: World, slow_clip: Path, stack: Stack
) -> None:
    async with encoding(world, slow_clip, DRAIN_BUDGET="0.5") as encode:
        async with _outage(stack):
            os.kill(encode.worker.pid, signal.SIGTERM)
            assert await asyncio.to_thread(encode.worker.wait) == 0
        worker(world, "second")
        await ready(encode.database, encode.preview_file_id)


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

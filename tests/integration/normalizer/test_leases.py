"""Leases: whoever is healthy keeps its job, and whoever is not loses it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rushes_embedded.stack import Stack
from rushes_normalizer import workshop
from rushes_normalizer.media.make import make_movie
from rushes_runtime import ledger
from rushes_runtime.database import Database, is_away
from rushes_runtime.ledger import Task
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tests.cable import cable_to
from tests.integration.normalizer.parts import Parts, parts_of
from tests.integration.normalizer.processes import upload_clip as _upload
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, upload


def _lease(world: World) -> float:
    return float(world.environment["LEASE"])


async def _claim_for(parts: Parts, world: World, slow_clip: Path) -> Task:
    """A job that a worker of this test's own holds."""
    await _upload(world, slow_clip)
    async with playing(parts.intake()):
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
    async with parts.database.begin() as connection:
        task = await ledger.claim(connection, "worker", _lease(world), idle=True)
    assert task
    return task


async def _is_over(database: Database) -> None:
    await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE lease_until < now()"))


async def _renews_and_then_is_lost(parts: Parts, world: World, task: Task) -> None:
    """A healthy worker renews when a third of a lease has passed; once it is dead, its job is another's."""
    await asyncio.sleep(_lease(world) / 3)
    async with parts.database.begin() as connection:
        assert await ledger.renew(connection, [(task, None)], _lease(world)) == {task.id}
    await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued' AND losses = 1"))


async def test_a_janitor_that_starts_gives_every_worker_a_lease_to_renew(world: World, slow_clip: Path) -> None:
    async with parts_of(world) as parts:
        task = await _claim_for(parts, world, slow_clip)
        await _is_over(parts.database)
        async with playing(parts.janitor()):
            await _renews_and_then_is_lost(parts, world, task)


@pytest.mark.extended
async def test_a_janitor_whose_database_hung_gives_every_worker_a_lease_to_renew(world: World, slow_clip: Path) -> None:
    address = make_url(world.environment["DATABASE_URL"])
    assert address.port
    async with parts_of(world) as parts, cable_to(address.port) as cable:
        through_cable = address.set(port=cable.port).render_as_string(hide_password=False)
        async with parts_of(world.with_settings(DATABASE_URL=through_cable)) as cabled, playing(cabled.janitor()):
            await asyncio.sleep(_lease(world) + 1)  # its start is forgotten: it would expire whatever is over
            task = await _claim_for(parts, world, slow_clip)
            cable.hold()
            await _is_over(parts.database)
            cable.release()
            await _renews_and_then_is_lost(parts, world, task)


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


@pytest.mark.extended
async def test_a_store_that_hangs_after_the_encode_is_unavailable_and_no_timeout(
    world: World, slow_clip: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = upload()
    async with cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:

        async def make_then_hang(*arguments: Any, **options: Any) -> Any:
            made = await make_movie(*arguments, **options)
            cable.hold()
            return made

        monkeypatch.setattr(workshop, "make_movie", make_then_hang)
        behind = {"STORE__ENDPOINT_URL": f"http://127.0.0.1:{cable.port}", "STALL_TIMEOUT": str(3 * pace())}
        async with parts_of(world.with_settings(**behind)) as parts, playing(parts.intake(), parts.worker()):
            await put_source(parts.store, event.preview_file_id, slow_clip)
            await world.send(event)
            failed = "SELECT failure_code FROM task WHERE state = 'queued' AND failure_code IS NOT NULL"
            (row,) = await eventually(partial(parts.database.fetch, failed))
            cable.release()
    assert row.failure_code == "storage_unavailable"

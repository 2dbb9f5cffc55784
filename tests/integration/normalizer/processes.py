"""Normalizers as processes, and what tests wait for while they run."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from rushes_embedded.leash import Leash
from rushes_runtime.database import Database

from tests.world import World, eventually, put_source, upload


@asynccontextmanager
async def normalizers(world: World) -> AsyncIterator[Database]:
    """Everything set up; processes end with the block."""
    await world.prepare()
    database = Database(world.environment["DATABASE_URL"], "normalizer")
    try:
        yield database
    finally:
        for leash in world.processes:
            with suppress(ProcessLookupError):
                os.kill(leash.pid, signal.SIGCONT)
        world.stop_processes()
        await database.close()


async def upload_clip(world: World, clip: Path) -> UUID:
    """Store a movie and say so."""
    event = upload()
    async with world.store() as store:
        await put_source(store, event.preview_file_id, clip)
    await world.send(event)
    return event.preview_file_id


def control(world: World) -> Leash:
    """Everything but a worker."""
    return world.process("rushes-normalizer", "run", "--roles", "intake,relay,janitor", log="control")


def worker(world: World, name: str, **settings: str) -> Leash:
    """A worker with a log and a scratch folder of its own."""
    return world.process(
        "rushes-normalizer", "run", "--roles", "worker", log=name, SCRATCH=str(world.folder / name), **settings
    )


@dataclass
class Encode:
    """An encode that is under way in a worker of its own; the other roles are a process beside it."""

    world: World
    database: Database
    worker: Leash
    preview_file_id: UUID


@asynccontextmanager
async def encoding(world: World, clip: Path, **settings: str) -> AsyncIterator[Encode]:
    """Start a normalizer and an upload, and wait until its slow encode has begun. `settings` are the worker's."""
    slowly = slow(world)
    async with normalizers(slowly) as database:
        control(slowly)
        leash = worker(slowly, "first", **settings)
        preview_file_id = await upload_clip(slowly, clip)
        await stage(database, "encoding")
        yield Encode(slowly, database, leash, preview_file_id)


async def stage(database: Database, stage: str) -> Any:
    """Wait until a task says that it is in this stage."""
    return await eventually(lambda: database.fetch("SELECT * FROM task WHERE progress->>'stage' = :stage", stage=stage))


async def ready(database: Database, preview_file_id: UUID) -> Any:
    """Wait for the end of a preview, which must be a good one; its row."""
    rows = await eventually(
        lambda: database.fetch(
            "SELECT * FROM preview_file WHERE id = :id AND status <> 'processing'", id=preview_file_id
        )
    )
    assert rows[0].status == "ready", rows[0].failure_message
    return rows[0]


async def logged(world: World, name: str, *events: str) -> None:
    """Wait until a process has logged one of these events."""

    async def said() -> bool:
        log = (world.folder / f"{name}.log").read_text()
        return any(f'"{event}"' in log for event in events)

    await eventually(said)


async def all_sent(database: Database) -> None:
    """Wait until the outbox is empty."""
    await eventually(lambda: database.fetch("SELECT 1 FROM outbox WHERE sent_at IS NULL"), lambda rows: not rows)


def slow(world: World) -> World:
    """Encodes take long enough to be met in the middle."""
    return world.with_settings(DEFAULT_HEIGHT="1080", FFMPEG_THREADS="1", SLOTS="1")

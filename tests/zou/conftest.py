"""A studio that runs Kitsu, with Rushes behind it: started once for all tests."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from rushes_embedded.broker import Topic
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.leash import StartError
from rushes_embedded.postgres import Postgres
from rushes_embedded.stack import Stack

from tests.integration.kitsu.bridge import kitsu_database, logged
from tests.world import World, eventually, free_port
from tests.zou.zou_client import Client, logged_in
from tests.zou.zou_server import Zou, find_redis

WIDTH, HEIGHT, FPS = 320, 180, "25"


@dataclass
class Studio:
    """Zou, and Rushes with its bridge, over one store."""

    world: World
    zou: Zou
    stack: Stack


@pytest.fixture(scope="session")
def studio() -> Iterator[Studio]:
    """Everything started, on Apache Kafka where it can be run."""
    if missing := find_redis():
        raise StartError(missing)
    folder = Path(tempfile.mkdtemp(prefix="rushes-zou-"))
    broker: Literal["embedded", "apache-kafka"] = "embedded" if find_apache_kafka() else "apache-kafka"
    try:
        with Stack(folder / "stack", broker=broker) as stack:
            world = World.make(stack, stack.broker, folder)
            stack.broker.ensure_topics([Topic(f"{world.prefix}kitsu.dead-letters")])
            port = free_port()
            world = world.with_settings(NOMAD_PORT=str(port), NOMAD_LINGER="0")
            # A server of Zou's own: that of Rushes is restarted while Zou works.
            postgres = Postgres(folder / "zou-postgres", log=folder / "zou-postgres.log")
            try:
                postgres.start()
                with Zou(world, postgres.create_database("zoudb"), f"http://127.0.0.1:{port}") as zou:
                    asyncio.run(_start_rushes(world))
                    yield Studio(world, zou, stack)
            finally:
                world.stop_processes()
                postgres.discard()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _start_rushes(world: World) -> None:
    await world.prepare()
    async with kitsu_database(world):
        pass
    world.process("rushes-normalizer", "run", log="normalizer")
    world.process("rushes-kitsu", "serve", log="kitsu")
    world.process("rushes-kitsu", "build", log="build")
    await eventually(lambda: logged(world, "nomad_served"))


@pytest_asyncio.fixture
async def artist(studio: Studio) -> AsyncIterator[Client]:
    """Who uploads to a task of their own."""
    async with logged_in(studio.zou.address) as client:
        await client.make_task(resolution=f"{WIDTH}x{HEIGHT}", fps=FPS)
        yield client

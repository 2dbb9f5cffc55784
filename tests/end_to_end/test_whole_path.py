"""Both services as processes: from an upload to a copy on a second site, through faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rushes_embedded.stack import Stack
from rushes_runtime.database import Database
from rushes_runtime.store import LocalStore
from rushes_schemas import PreviewUploaded

from tests.movies import ffmpeg
from tests.world import World, eventually, free_port

SERVICES = ("rushes-normalizer", "rushes-syncer")


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound."""
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2"]
    ffmpeg(*source, "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)
    return path


@asynccontextmanager
async def _set_up(world: World) -> AsyncIterator[Database]:
    """Everything prepared; processes end with the block."""
    await world.prepare()
    database = Database(world.environment["DATABASE_URL"], "normalizer")
    try:
        yield database
    finally:
        world.stop_processes()
        await database.close()


async def _all_ready(database: Database, events: Sequence[PreviewUploaded]) -> None:
    ids = [event.preview_file_id for event in events]
    await eventually(
        lambda: database.fetch("SELECT id FROM preview_file WHERE status = 'ready' AND id = ANY(:ids)", ids=ids),
        lambda rows: len(rows) == len(ids),
    )


async def _one_of_each_transition(world: World, preview_file_id: UUID) -> None:
    changes = await eventually(lambda: world.statuses(preview_file_id), lambda seen: len(seen) >= 2)
    assert [(each.version, each.internal_status) for each in changes] == [(1, "processing"), (2, "ready")]


@pytest.mark.each_broker
async def test_an_upload_is_verified_announced_and_copied_and_services_stop_on_sigterm(
    bare_world: World, movie: Path
) -> None:
    world = bare_world
    partitions = ("--topics", "--partitions", "4", "--replicas", "1") if world.broker.supports.admin else ()
    for service in SERVICES:
        code, _, errors = await world.command(service, "migrate", "--store", *partitions)
        assert code == 0, errors
    async with _set_up(world) as database:
        running = [world.process(name, "run", log=name) for name in SERVICES]
        (event,) = await world.upload_all(1, movie)
        await _all_ready(database, [event])
        await _one_of_each_transition(world, event.preview_file_id)
        site = LocalStore(world.folder / "lyon")
        for bucket, kinds in {
            "movies": ["previews", "lowdef"],
            "pictures": ["original", "thumbnails", "thumbnails-square", "previews", "tiles"],
        }.items():
            for kind in kinds:
                await eventually(partial(site.stat, bucket, f"{kind}-{event.preview_file_id}"))
        assert await site.stat("movies", f"source-{event.preview_file_id}") is None
        (row,) = await database.fetch("SELECT frame_count FROM preview_file")
        assert row.frame_count == 50
        for leash in running:
            os.kill(leash.pid, signal.SIGTERM)
        assert [await asyncio.to_thread(leash.wait) for leash in running] == [0, 0]
    for name in SERVICES:
        lines = [json.loads(line) for line in (world.folder / f"{name}.log").read_text().splitlines()]
        assert lines[-1]["event"] == "stopped"


@pytest.mark.extended
async def test_the_job_of_a_killed_worker_is_done_by_another_and_its_ffmpeg_is_gone(world: World, movie: Path) -> None:
    slow = world.with_settings(DEFAULT_HEIGHT="2160", FFMPEG_THREADS="1")
    async with _set_up(slow) as database:
        slow.process("rushes-normalizer", "run", "--roles", "intake,relay,janitor", log="control")
        doomed = slow.process("rushes-normalizer", "run", "--roles", "worker", log="doomed")
        events = await slow.upload_all(1, movie)
        await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE progress->>'stage' = 'encoding'"))
        children = await _children(doomed.pid)
        assert children
        os.kill(doomed.pid, signal.SIGKILL)
        await eventually(lambda: _alive(children), lambda alive: not alive)
        world.process("rushes-normalizer", "run", "--roles", "worker", log="second")
        await _all_ready(database, events)
        (task,) = await database.fetch("SELECT losses FROM task")
        assert task.losses == 1
        await _one_of_each_transition(slow, events[0].preview_file_id)


async def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


async def _alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/exe").exists() and _state(pid) != "Z"]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


@pytest.mark.apache_kafka
async def test_two_normalizers_in_one_group_share_the_work_and_lose_nothing(world: World, movie: Path) -> None:
    async with _set_up(world) as database:
        first = world.process("rushes-normalizer", "run", log="first")
        world.process("rushes-normalizer", "run", log="second")
        events = await world.upload_all(3, movie)
        await eventually(lambda: database.fetch("SELECT 1 FROM preview_file"), lambda rows: len(rows) == 3)
        os.kill(first.pid, signal.SIGTERM)
        more = await world.upload_all(3, movie)
        await _all_ready(database, [*events, *more])
        for event in (*events, *more):
            await _one_of_each_transition(world, event.preview_file_id)


@pytest.mark.apache_kafka
async def test_a_broker_that_restarts_in_mid_flow_loses_nothing(world: World, movie: Path) -> None:
    async with _set_up(world) as database:
        world.process("rushes-normalizer", "run", log="normalizer")
        world.process("rushes-syncer", "run", log="syncer")
        before = await world.upload_all(2, movie)
        await eventually(lambda: database.fetch("SELECT 1 FROM preview_file"), lambda rows: len(rows) == 2)
        await asyncio.to_thread(world.broker.stop)
        await _all_ready(database, before)  # encoding needs no broker
        await asyncio.to_thread(world.broker.start)
        after = await world.upload_all(2, movie)
        await _all_ready(database, after)
        for event in (*before, *after):
            await _one_of_each_transition(world, event.preview_file_id)
        site = LocalStore(world.folder / "lyon")
        for event in (*before, *after):
            await eventually(partial(site.stat, "movies", f"lowdef-{event.preview_file_id}"))


async def _get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def _probe(port: int, path: str) -> Any:
    try:
        return await _get(port, path)
    except OSError:
        return None


@pytest.mark.extended
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("STORE__ENDPOINT_URL", "http://127.0.0.1:9", "the store"),
        ("STORE__SECRET_ACCESS_KEY", "wrong", "the store"),
        ("STORE__BUCKET_PREFIX", "nobody-made-", "run migrate --store"),
        ("DATABASE_URL", "postgresql+asyncpg://nobody:x@127.0.0.1:9/none", "PostgreSQL"),
        ("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9", "waiting for intake"),
        ("KAFKA__TOPIC_PREFIX", "nobody-made.", "there is no topic nobody-made.preview-uploaded"),
    ],
    ids=["endpoint down", "credentials wrong", "bucket absent", "database down", "broker down", "topics absent"],
)
async def test_a_server_that_is_away_at_the_start_is_waited_for_and_named(
    world: World, setting: str, value: str, said: str
) -> None:
    await _waits_for(world, said, **{setting: value, "STORE__CONNECT_TIMEOUT": "1"})


@pytest.mark.extended
async def test_a_store_that_may_only_be_read_is_waited_for_and_named(world: World, stack: Stack) -> None:
    reader = stack.objects.reader
    await _waits_for(
        world,
        "upload",
        STORE__ACCESS_KEY_ID=reader.access_key_id,
        STORE__SECRET_ACCESS_KEY=reader.secret_access_key,
    )


@pytest.mark.extended
async def test_a_scratch_folder_that_cannot_be_written_is_named(world: World) -> None:
    await _waits_for(world, "waiting for scratch: [Errno", SCRATCH="/proc/rushes")


async def _waits_for(world: World, said: str, **settings: str) -> None:
    """A normalizer with such settings lives, is not ready, and says what it waits for."""
    async with _set_up(world):
        port = free_port()
        service = world.process("rushes-normalizer", "run", OPERATIONS_PORT=str(port), **settings)
        answer = await eventually(lambda: _probe(port, "/startupz"), lambda seen: bool(seen and said in seen[1]))
        assert answer[0] == 503
        assert (await _probe(port, "/livez"))[0] == 200
        assert (await _probe(port, "/readyz"))[0] == 503
        assert b"rushes_tasks" in (await _probe(port, "/metrics"))[1].encode()
        assert service.poll() is None
        os.kill(service.pid, signal.SIGTERM)
        assert await asyncio.to_thread(service.wait) == 0

"""Processes and servers of Rushes are restarted while the real Zou waits for 50 movies: none becomes `broken`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import aiohttp
from rushes_embedded.leash import Leash
from rushes_kitsu.job_ids import JobId

from tests.integration.kitsu.bridge import ZOU_WAITS, kitsu_database
from tests.movies import movie
from tests.world import eventually, free_port
from tests.zou.balancer import Replica, balanced
from tests.zou.conftest import HEIGHT, WIDTH, Studio
from tests.zou.test_reconciliation import following, row
from tests.zou.zou_client import Client

MOVIES = 50


@dataclass
class Polls:
    """What became of the polls of 50 who wait as Zou does: each answer that Zou would take for the end of a movie."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)


@asynccontextmanager
async def polling(address: str, job: JobId) -> AsyncIterator[Polls]:
    """50 clients that poll a job once a second over a connection that each keeps."""
    polls = Polls()

    async def wait() -> None:
        async with aiohttp.ClientSession(timeout=ZOU_WAITS) as client:
            while True:
                try:
                    async with client.get(f"{address}/v1/job/{job}/summary") as answer:
                        polls.answers += 1
                        if answer.status != 200:
                            polls.wrong.append(f"{answer.status} {await answer.text()}")
                except (aiohttp.ClientError, TimeoutError) as error:
                    polls.wrong.append(repr(error))
                await asyncio.sleep(1)

    waiting = [asyncio.create_task(wait()) for _ in range(MOVIES)]
    try:
        yield polls
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_no_movie_of_50_is_broken_by_rolling_restarts_of_the_bridge_of_kafka_and_of_postgresql(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    world, zou, stack = studio.world, studio.zou, studio.stack
    replicas = [Replica(free_port(), free_port()) for _ in range(2)]

    def start(number: int) -> None:
        replica = replicas[number]
        ports = {"NOMAD_PORT": str(replica.port), "OPERATIONS_PORT": str(replica.operations_port)}
        running[number] = world.process("rushes-kitsu", "serve", log=f"replica-{number}", NOMAD_LINGER="3", **ports)

    running: dict[int, Leash] = {}
    upload = movie(tmp_path / "upload.mp4", frames=3, width=160, height=90)
    async with balanced(*replicas) as (address, balancer), kitsu_database(world) as database:
        start(0)
        start(1)

        async def are_ready(number: int) -> bool:
            return len(balancer.ready) == number

        await eventually(lambda: are_ready(2))
        with zou.workers_with(more=3, NOMAD_ADDR=address):
            uploading = asyncio.create_task(_uploaded(artist, upload))
            (first, *_) = await eventually(
                lambda: database.fetch("SELECT job, preview_file_id, event_id FROM dispatch ORDER BY uploaded_at DESC")
            )
            async with polling(address, JobId(*first)) as polls:
                for number in (0, 1):
                    await asyncio.to_thread(running[number].stop)
                    start(number)
                    await eventually(lambda: are_ready(2))
                await asyncio.to_thread(stack.broker.stop)
                await asyncio.to_thread(stack.broker.start)
                await asyncio.to_thread(stack.postgres.stop)
                await asyncio.to_thread(stack.postgres.start)
                previews = await uploading
                statuses = await _statuses(artist, previews)
        for process in running.values():
            await asyncio.to_thread(process.stop)
            world.processes.remove(process)
    assert statuses == ["ready"] * MOVIES
    assert (polls.wrong, polls.answers > 10 * MOVIES) == ([], True)


async def _uploaded(artist: Client, upload: Path) -> list[UUID]:
    return [await artist.upload(upload) for _ in range(MOVIES)]


async def _statuses(artist: Client, previews: list[UUID]) -> list[str]:
    """What Zou says of each once it has ended."""
    return [
        await eventually(partial(artist.status, preview), lambda status: status != "processing") for preview in previews
    ]


async def test_a_movie_whose_rq_worker_was_killed_ends_ready(studio: Studio, artist: Client, tmp_path: Path) -> None:
    normalizer, *_ = studio.world.processes
    with studio.zou.workers_with() as workers:
        os.kill(normalizer.pid, signal.SIGSTOP)
        try:
            preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=5))
            async with kitsu_database(studio.world) as database:
                await eventually(
                    lambda: database.fetch("SELECT 1 FROM dispatch WHERE preview_file_id = :id", id=preview)
                )
            _kill_session(workers[0].pid)
        finally:
            os.kill(normalizer.pid, signal.SIGCONT)
        assert await artist.status(preview) == "processing"
        with following(studio, ZOU_TOKEN=artist.token, FOLLOW_PATIENCE="3"):
            await eventually(lambda: row(artist, preview), lambda found: found == ("ready", WIDTH, HEIGHT))
    said = [line for line in (studio.world.folder / "follow.log").read_text().splitlines() if str(preview) in line]
    assert any("zou_corrected" in line for line in said)


def _kill_session(leader: int) -> None:
    """Kill an RQ worker with what runs its job, which is in a process group of its own."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(session) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)

"""What a job costs beside its encode: the worker's wall time, transfers aside, against the bare ffmpeg command."""

from __future__ import annotations

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from rushes_embedded.stack import Stack
from rushes_embedded.studio import TOPICS
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake
from rushes_normalizer.kinds import UploadKind
from rushes_normalizer.media.command import movie_command
from rushes_normalizer.media.plan import plan_movie
from rushes_normalizer.media.probe import probe
from rushes_normalizer.media.tools import Tools, find_tools
from rushes_normalizer.outcomes import follow_requests
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import EventSender, open_sender, store_upload, upload_event
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.workshop import PreviewWorkshop
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.migrations import migrate
from rushes_runtime.service import Role
from rushes_runtime.store import (
    Condition,
    Downloaded,
    IfMatch,
    ObjectStat,
    Reading,
    Store,
    Unconditional,
    Writing,
    open_store,
    place_sentinels,
)
from rushes_runtime.store.interface import Moved, SmallObjects
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_worker
from rushes_schemas import Encoding, Source
from rushes_schemas.outputs import BUCKETS

from tests.bench.movies import make_long_movie
from tests.bench.saying import say

# By the database's clock: from the claim to the transaction that ends the task.
_WALL = """
    SELECT extract(epoch FROM ended_at - started_at)::float AS seconds, state, failure_message
    FROM task WHERE subject = :subject"""


@dataclass
class TimedStore:
    """A store that adds up the seconds that a job waits for it."""

    store: Store
    name: str = "timed"
    seconds: float = 0.0

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        with self._timed():
            return await self.store.stat(bucket, key)

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        return await self.store.absent(bucket, keys)

    def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        return self.store.list(bucket, prefix)

    async def download(self, bucket: str, key: str, path: Path, moved: Moved | None = None) -> Downloaded:
        with self._timed():
            return await self.store.download(bucket, key, path, moved)

    async def upload(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        content_type: str,
        condition: Condition,
        moved: Moved | None = None,
    ) -> ObjectStat:
        with self._timed():
            return await self.store.upload(
                bucket, key, path, content_type=content_type, condition=condition, moved=moved
            )

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        await self.store.delete(bucket, key, condition=condition)

    def read(self, bucket: str, key: str) -> AbstractAsyncContextManager[Reading]:
        return self.store.read(bucket, key)

    def write(self, *where: Any, **options: Any) -> AbstractAsyncContextManager[Writing]:
        return self.store.write(*where, **options)

    async def small(self, bucket: str) -> SmallObjects:
        return await self.store.small(bucket)

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self.store.turn()

    def shares_server(self, other: Store) -> bool:
        return self.store.shares_server(other)

    async def copy_within(self, *where: Any, **options: Any) -> ObjectStat | None:
        return await self.store.copy_within(*where, **options)

    async def abort_uploads(self, bucket: str, begun_before: datetime, ours: Callable[[str], bool]) -> int:
        return await self.store.abort_uploads(bucket, begun_before, ours)

    async def ensure_bucket(self, bucket: str) -> None:
        await self.store.ensure_bucket(bucket)


@dataclass
class Times:
    """Seconds of each round."""

    bare: list[float] = field(default_factory=list)
    job: list[float] = field(default_factory=list)
    transfers: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)
    job_cpu: list[float] = field(default_factory=list)


async def measure_overhead(seconds: float, rounds: int) -> dict[str, Any]:
    """Run both in turns, each first in every second round; the figures as JSON has them."""
    tools = find_tools()
    times = Times()
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        movie = folder / "movie.mp4"
        say(f"making a movie of {seconds:g} s")
        await make_long_movie(tools, movie, seconds)
        with Stack(folder / "stack", topics=TOPICS) as stack:
            settings = _settings(stack)
            async with _working(settings, tools) as (store, database, sender):
                source = await store_upload(store.store, movie, uuid4(), "mp4", UploadKind.MOVIE)
                command = await _bare_command(settings, tools, movie, folder)
                for number in range(rounds):
                    for turn in ("bare", "job") if number % 2 == 0 else ("job", "bare"):
                        before = _cpu_of_children()
                        if turn == "bare":
                            times.bare.append(await _run_bare(command, folder))
                            times.bare_cpu.append(_cpu_of_children() - before)
                        else:
                            wall, transfers = await _run_job(store, database, sender, source)
                            times.job.append(wall - transfers)
                            times.transfers.append(transfers)
                            times.job_cpu.append(_cpu_of_children() - before)
                    say(f"round {number + 1}: bare {times.bare[-1]:.2f} s, job {times.job[-1]:.2f} s and transfers")
    return _figures(times, seconds)


def _settings(stack: Stack) -> NormalizerSettings:
    return NormalizerSettings.model_validate(
        {
            "database_url": stack.postgres.create_database("rushes"),
            "kafka": {
                "bootstrap_servers": stack.broker.bootstrap_servers,
                "check_crcs": stack.broker.supports.check_crcs,
            },
            "store": {
                "kind": "s3",
                "endpoint_url": stack.objects.endpoint_url,
                "access_key_id": stack.objects.access_key_id,
                "secret_access_key": stack.objects.secret_access_key,
            },
            "scratch": stack.folder / "scratch",
            "slots": 1,
        }
    )


@asynccontextmanager
async def _working(
    settings: NormalizerSettings, tools: Tools
) -> AsyncIterator[tuple[TimedStore, Database, EventSender]]:
    """Intake and a worker as the service wires them, but for the store, which is timed."""
    database = Database.of(settings, SCHEMA)
    stop = asyncio.Event()
    try:
        await migrate(database, MIGRATIONS, settings.instance)
        async with open_store(settings.store) as opened, open_sender(settings.kafka) as sender:
            await place_sentinels(opened, BUCKETS, settings.instance)
            store = TimedStore(opened)
            workshop = PreviewWorkshop(settings, database, store, tools)
            worker = make_worker(
                settings,
                database,
                workshop,
                Health(),
                circuits=make_circuits(settings, [NeededStore("main", store)]),
                confirm_absence_after=60,
                ended=Hint(),
            )
            intake = Intake(
                service="normalizer",
                group="bench",
                kafka=settings.kafka,
                contracts=CONTRACTS_BY_TOPIC,
                database=database,
                handler=UploadIntake(settings),
                health=Health(),
                took_in=worker.hint.give,
            )
            roles: list[Role] = [worker, intake]
            running = [asyncio.create_task(role.run(stop)) for role in roles]
            try:
                yield store, database, sender
            finally:
                stop.set()
                await asyncio.gather(*running)
    finally:
        await database.close()


async def _bare_command(settings: NormalizerSettings, tools: Tools, movie: Path, folder: Path) -> list[str]:
    """The very command that a job runs for this movie."""
    limits = settings.limits()
    facts = await probe(tools, movie, folder, limits)
    plan = plan_movie(facts, Encoding(), settings.encoding_defaults(), limits)
    return [str(tools.ffmpeg), *movie_command(plan, movie, limits)]


async def _run_bare(command: list[str], folder: Path) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, cwd=scratch, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        code = await process.wait()
        took = time.perf_counter() - began
    assert code == 0, f"ffmpeg ended with code {code}"
    return took


async def _run_job(store: TimedStore, database: Database, sender: EventSender, source: Source) -> tuple[float, float]:
    """Seconds of a job from its claim to its end, and how many of them it waited for the store."""
    store.seconds = 0.0
    envelope = upload_event(uuid4(), "mp4", source, {})
    await sender.send([envelope])
    async for _ in follow_requests(database, [envelope.event_id]):
        pass
    (task,) = await database.fetch(_WALL, subject=str(envelope.event.preview_file_id))
    assert task.state == "done", f"the job {task.state}: {task.failure_message}"
    return task.seconds, store.seconds


def _cpu_of_children() -> float:
    """Seconds of processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _figures(times: Times, seconds: float) -> dict[str, Any]:
    bare, job = statistics.median(times.bare), statistics.median(times.job)
    return {
        "overhead_ratio": round(job / bare, 3),
        "overhead": {
            "movie_seconds": seconds,
            "bare_seconds": [round(each, 2) for each in times.bare],
            "job_seconds_without_transfers": [round(each, 2) for each in times.job],
            "transfer_seconds": [round(each, 2) for each in times.transfers],
            # Of ffmpeg and ffprobe: says the same where other programs disturb the clock.
            "processor_time_ratio": round(statistics.median(times.job_cpu) / statistics.median(times.bare_cpu), 3),
        },
    }

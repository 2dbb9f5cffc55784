"""How many jobs an upload waits for, with a long bulk queue and all slots busy: `make bench-wait`.

Intake and worker are the service's own, on the embedded broker and PostgreSQL. The jobs are short: a plain file is
read, hashed and compared, and a pause stands for the encode. Uploads come one at a time, at random moments, while the
worker goes through the queue; only those count that found every slot busy when they stood in the ledger, by the time of
their transaction's commit.

max_jobs_waited: jobs that were started after that and before the upload was, the most of all trials. At most 1 is
wanted.

mean_slots_freed: jobs that ended in that time. It is 1, and what ends while the worker claims.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from rushes_embedded.stack import Stack
from rushes_embedded.studio import TOPICS
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake
from rushes_normalizer.kinds import UploadKind
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import EventSender, open_sender, store_upload, upload_event
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.transitions import Published
from rushes_normalizer.workshop import PreviewWorkshop
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.ledger import Task
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import migrate
from rushes_runtime.service import Role
from rushes_runtime.store import Store, open_store, place_sentinels
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_worker
from rushes_runtime.worker import Progress
from rushes_schemas import Source
from rushes_schemas.outputs import BUCKETS
from sqlalchemy import text

from tests.bench.saying import say
from tests.world import eventually

_BULK: Final = text("""
    WITH preview AS (
        INSERT INTO preview_file (id, status, uploaded_at, upload_extension, source, version)
        SELECT gen_random_uuid(), 'ready', now(), 'txt', CAST(:source AS jsonb), 1 FROM generate_series(1, :jobs)
        RETURNING id)
    INSERT INTO task (subject, lane, rank, payload)
    SELECT id::text, 'bulk', now() + interval '1 day', '{"encoding": null}' FROM preview""")
_BUSY: Final = "SELECT 1 FROM task WHERE state = 'running'"
_STARTED: Final = "SELECT 1 FROM task WHERE subject = :subject AND started_at IS NOT NULL"
# Intake writes the first event of an upload in the transaction that enqueues its job, and nobody changes that row here.
_WAITED: Final = """
    WITH this AS (
        SELECT id, started_at, (SELECT pg_xact_commit_timestamp(outbox.xmin) FROM outbox
                                WHERE key = convert_to(task.subject, 'UTF8') ORDER BY outbox.id LIMIT 1) AS arrived_at
        FROM task WHERE subject = :subject)
    SELECT extract(epoch FROM this.started_at - arrived_at)::float * 1000 AS milliseconds,
        (SELECT count(*) FROM task WHERE started_at > arrived_at AND started_at < this.started_at
                                     AND task.id <> this.id) AS jobs,
        (SELECT count(*) FROM task WHERE ended_at > arrived_at AND ended_at < this.started_at) AS freed,
        (SELECT count(*) FROM task WHERE started_at < arrived_at AND coalesce(ended_at > arrived_at, true)) AS busy
    FROM this"""
_LEFT: Final = "SELECT count(*) AS jobs FROM task WHERE state = 'queued' AND lane = 'bulk'"


class PausingWorkshop(PreviewWorkshop):
    """Jobs that take as long as a very short encode."""

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> Published | None:
        await asyncio.sleep(random.uniform(0.1, 0.4))
        return await super().attempt(task, progress, scratch)


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All trials; the figures as JSON has them."""
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        with Stack(folder / "stack", topics=TOPICS) as stack:
            await _note_commit_times(stack)
            settings = _settings(stack, folder, arguments.slots)
            async with _working(settings, folder, arguments.jobs) as (database, sender, source):
                waits: list[Any] = []
                sent = 0
                while len(waits) < arguments.trials:
                    sent += 1
                    wait = await _trial(database, sender, source)
                    if wait.busy == arguments.slots:
                        waits.append(wait)
                (left,) = await database.fetch(_LEFT)
    assert left.jobs > 0, "the bulk queue ran empty: fewer trials, or more jobs"
    return {
        "max_jobs_waited": max(wait.jobs for wait in waits),
        "mean_jobs_waited": round(statistics.mean(wait.jobs for wait in waits), 3),
        "mean_slots_freed": round(statistics.mean(wait.freed for wait in waits), 2),
        "median_wait_ms": round(statistics.median(wait.milliseconds for wait in waits), 1),
        "max_wait_ms": round(max(wait.milliseconds for wait in waits), 1),
        "trials": arguments.trials,
        "uploads_sent": sent,
        "slots": arguments.slots,
        "bulk_jobs": arguments.jobs,
        "bulk_jobs_left": left.jobs,
    }


async def _trial(database: Database, sender: EventSender, source: Source) -> Any:
    """Send an upload into the busy worker; what it waited for."""
    await asyncio.sleep(random.uniform(0, 0.3))  # any moment of a job
    await eventually(lambda: database.fetch(_BUSY))
    subject = uuid4()
    await sender.send([upload_event(subject, "txt", source, {})])
    await eventually(lambda: database.fetch(_STARTED, subject=str(subject)))
    (waited,) = await database.fetch(_WAITED, subject=str(subject))
    return waited


async def _note_commit_times(stack: Stack) -> None:
    """Let PostgreSQL keep the time of each commit."""
    database = Database(stack.postgres.url, "public")
    try:
        engine = await database.engine()
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("ALTER SYSTEM SET track_commit_timestamp = on"))
    finally:
        await database.close()
    await asyncio.to_thread(stack.postgres.stop)
    await asyncio.to_thread(stack.postgres.start)


def _settings(stack: Stack, folder: Path, slots: int) -> NormalizerSettings:
    return NormalizerSettings.model_validate(
        {
            "database_url": stack.postgres.create_database("rushes"),
            "kafka": {
                "bootstrap_servers": stack.broker.bootstrap_servers,
                "check_crcs": stack.broker.supports.check_crcs,
            },
            "store": {"kind": "local", "root": folder / "store"},
            "scratch": folder / "scratch",
            "slots": slots,
        }
    )


@asynccontextmanager
async def _working(
    settings: NormalizerSettings, folder: Path, jobs: int
) -> AsyncIterator[tuple[Database, EventSender, Source]]:
    """Intake and a worker that works through a bulk queue, as the service wires them."""
    database = Database.of(settings, SCHEMA)
    stop = asyncio.Event()
    try:
        await migrate(database, MIGRATIONS, settings.instance)
        async with open_store(settings.store) as store, open_sender(settings.kafka) as sender:
            await place_sentinels(store, BUCKETS, settings.instance)
            source = await _store_file(store, folder)
            async with database.begin() as connection:
                await connection.execute(_BULK, {"source": source.model_dump_json(), "jobs": jobs})
            roles = _roles(settings, database, store)
            running = [asyncio.create_task(role.run(stop)) for role in roles]
            say(f"{jobs} bulk jobs are queued")
            try:
                yield database, sender, source
            finally:
                stop.set()
                await asyncio.gather(*running)
    finally:
        await database.close()


async def _store_file(store: Store, folder: Path) -> Source:
    path = folder / "notes.txt"
    path.write_bytes(random.randbytes(1_000_000))
    return await store_upload(store, path, uuid4(), "txt", UploadKind.FILE)


def _roles(settings: NormalizerSettings, database: Database, store: Store) -> list[Role]:
    workshop = PausingWorkshop(settings, database, store, find_tools())
    circuits = make_circuits(settings, [NeededStore("main", store)])
    worker = make_worker(
        settings, database, workshop, Health(), circuits=circuits, confirm_absence_after=60, ended=Hint()
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
    return [worker, intake]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="queued bulk jobs (%(default)s)")
    parser.add_argument("--trials", type=int, default=100, help="uploads, one at a time (%(default)s)")
    parser.add_argument("--slots", type=int, default=4, help="of the worker (%(default)s)")
    arguments = parser.parse_args()
    configure_logs("error", "text")
    print(json.dumps(asyncio.run(measure(arguments))))


if __name__ == "__main__":
    main()

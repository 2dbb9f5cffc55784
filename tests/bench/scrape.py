"""Scrapes of `/metrics` with a million rows in the ledger: `make bench-scrape`.

The database is sampled meanwhile, as by the janitor. scrape_worst_ms: of `scrapes`, from the request to the last byte;
below 50 is wanted. count_seconds: one count of queue, outbox and previews; the next one waits twenty times that.
round_ms: a round between two counts. orphans_ms: the janitor's look for previews without a job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client import REGISTRY
from rushes_embedded.postgres import Postgres
from rushes_normalizer import orphans, previews
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA
from rushes_runtime.database import Database
from rushes_runtime.figures import Figures
from rushes_runtime.health import Health
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import migrate
from rushes_runtime.operations import serve_operations
from sqlalchemy import text

from tests.bench.saying import say
from tests.full_queue import fill_queue, vacuum

_PREVIEWS: Final = text("""
    INSERT INTO preview_file (id, status, version, uploaded_at, upload_extension, source, created_at, updated_at)
    SELECT subject::uuid, 'processing', 1, now(), 'mp4', '{"bucket": "movies", "key": "k"}',
        now() - random() * interval '1 day', now() - interval '1 hour'
    FROM task WHERE state = 'queued'""")


async def measure(database: Database, scrapes: int) -> dict[str, Any]:
    """The figures."""
    figures = Figures(database, previews.figures)
    began = time.monotonic()
    await figures.sample()
    counted = time.monotonic() - began
    queued = [REGISTRY.get_sample_value("rushes_tasks", {"state": "queued", "lane": "bulk", "queue": "ordinary"})]
    began = time.monotonic()
    await figures.sample()
    round_ = time.monotonic() - began
    place, looks = orphans.START, list[float]()
    for _ in range(10):
        async with database.begin() as connection:
            began = time.monotonic()
            place = await orphans.give_jobs(connection, place)
            looks.append(time.monotonic() - began)
    took = []
    async with serve_operations(Health(), "127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
        figures.forget()
        counting = asyncio.create_task(figures.sample())
        for _ in range(scrapes):
            began = time.monotonic()
            async with client.get(f"{address}/metrics") as answer:
                await answer.read()
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
        await counting
    return {
        "scrape_worst_ms": round(max(took) * 1000, 1),
        "scrape_median_ms": round(sorted(took)[len(took) // 2] * 1000, 1),
        "count_seconds": round(counted, 2),
        "round_ms": round(round_ * 1000, 1),
        "orphans_ms": round(max(looks) * 1000, 1),
        "queued_bulk": queued[0],
        "scrapes": scrapes,
    }


async def run(jobs: int, scrapes: int) -> dict[str, Any]:
    """Fill a database, and measure."""
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        postgres = Postgres(Path(folder), log=Path(folder) / "postgres.log")
        postgres.start()
        database = Database(postgres.create_database("scrape"), SCHEMA)
        try:
            await migrate(database, MIGRATIONS, "bench")
            say(f"writing {jobs} jobs and as many previews in processing")
            await fill_queue(database, jobs, twins=0)
            async with database.begin() as connection:
                await connection.execute(_PREVIEWS)
                await connection.execute(text("ANALYZE preview_file"))  # as autovacuum does within a minute
            await vacuum(database)
            return await measure(database, scrapes)
        finally:
            await database.close()
            postgres.discard()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="queued jobs, and previews (%(default)s)")
    parser.add_argument("--scrapes", type=int, default=100, help="(%(default)s)")
    arguments = parser.parse_args()
    configure_logs("warning", "text")
    print(json.dumps(asyncio.run(run(arguments.jobs, arguments.scrapes))))


if __name__ == "__main__":
    main()

"""Claims and finishes of jobs, in a short queue and in a very long one: `make bench-claim`.

Sixteen connections on one event loop claim and finish as workers do: `ledger.claim` in a transaction of its own, then
`ledger.end` in another. The queue holds jobs of all priorities and of many projects; at its head, before everything
that can be claimed, stand jobs that wait for their next look, and jobs whose preview runs. Some of those that wait come
back while the clock runs.

claim_p99_ms: at the fixed rate of `claims_per_second`, which a farm of hundreds of slots would not reach; from the
moment that a claim is due to its commit, so it includes the wait for a free connection. The median of all rounds, with
`jobs` queued. Below 20 is wanted.

growth: claim_p99_ms over the same figure with `few_jobs` queued; both are measured in turns. At most 2 is wanted.

closed_loop: the same without a pause between two claims; there PostgreSQL, the event loop and sixteen connections fight
for the processors, and the latencies say more of that fight than of the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rushes_embedded.postgres import Postgres
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA
from rushes_runtime import ledger
from rushes_runtime.database import Database
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import migrate

from tests.bench.saying import say
from tests.full_queue import fill_queue, vacuum

CONNECTIONS: Final = 16
LEASE: Final = 60.0
TWINS: Final = 100
_COUNTS: Final = """
    SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE deferred) AS waiting,
        count(*) FILTER (WHERE state = 'running') AS running, pg_table_size('task') AS table_bytes,
        pg_indexes_size('task') AS index_bytes FROM task"""


@dataclass
class Latencies:
    """Of one run, in milliseconds."""

    claims: list[float] = field(default_factory=list)
    finishes: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def p99(self) -> float:
        """Of claims."""
        return _percentile(self.claims, 0.99)

    def as_json(self) -> dict[str, float]:
        """Rounded figures."""
        return {
            "claim_p50_ms": round(_percentile(self.claims, 0.5), 2),
            "claim_p99_ms": round(self.p99(), 2),
            "claim_max_ms": round(max(self.claims), 2),
            "finish_p50_ms": round(_percentile(self.finishes, 0.5), 2),
            "finish_p99_ms": round(_percentile(self.finishes, 0.99), 2),
            "jobs_per_second": round(len(self.finishes) / self.seconds, 1),
        }


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def run(database: Database, seconds: float, rate: float | None) -> Latencies:
    """Claim and finish for a while.

    Args:
        rate: claims a second of all connections together; None: as fast as it goes.
    """
    latencies = Latencies()
    began = time.perf_counter()
    many = int(seconds * rate) if rate else None
    turn = 0

    async def work(name: str) -> None:
        nonlocal turn
        while True:
            number, turn = turn, turn + 1
            if number >= many if many is not None else time.perf_counter() - began >= seconds:
                return
            due = time.perf_counter()
            if rate:
                wait = began + number / rate - due
                due += wait
                await asyncio.sleep(max(0.0, wait))
            async with database.begin() as connection:
                task = await ledger.claim(connection, name, LEASE, idle=False)
            claimed = time.perf_counter()
            assert task is not None, "the queue is empty"
            async with database.begin() as connection:
                assert await ledger.end(connection, task)
            latencies.claims.append((claimed - due) * 1000)
            latencies.finishes.append((time.perf_counter() - claimed) * 1000)

    await asyncio.gather(*(work(f"worker-{number}") for number in range(CONNECTIONS)))
    latencies.seconds = time.perf_counter() - began
    return latencies


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both queues in turns; the figures as JSON has them."""
    sizes = {"few": arguments.few_jobs, "many": arguments.jobs}
    paced: dict[str, list[Latencies]] = {name: [] for name in sizes}
    flat_out: dict[str, list[Latencies]] = {name: [] for name in sizes}
    filled: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        postgres = Postgres(Path(folder), log=Path(folder) / "postgres.log")
        postgres.start()
        try:
            for number in range(1, arguments.rounds + 1):
                for name in sizes if number % 2 else reversed(sizes):
                    async with _queue(postgres, f"{name}_{number}", sizes[name]) as (database, queue):
                        filled[name] = queue
                        await run(database, 1.0, arguments.rate)  # connections are opened, pages are read
                        paced[name].append(await run(database, arguments.seconds, arguments.rate))
                        flat_out[name].append(await run(database, arguments.seconds / 3, None))
                        say(f"round {number}: {sizes[name]} jobs: {paced[name][-1].as_json()}")
                        say(f"         without pause: {flat_out[name][-1].as_json()}")
        finally:
            postgres.discard()
    middle = {name: _median_run(runs) for name, runs in paced.items()}
    return {
        "claim_p99_ms": round(middle["many"].p99(), 2),
        "growth": round(middle["many"].p99() / middle["few"].p99(), 2),
        "jobs": sizes["many"],
        "few_jobs": sizes["few"],
        "claims_per_second": arguments.rate,
        "connections": CONNECTIONS,
        "rounds": arguments.rounds,
        "queue": filled["many"],
        "with_jobs": middle["many"].as_json(),
        "with_few_jobs": middle["few"].as_json(),
        "closed_loop": {name: _median_run(runs).as_json() for name, runs in flat_out.items()},
    }


def _median_run(runs: list[Latencies]) -> Latencies:
    return sorted(runs, key=Latencies.p99)[(len(runs) - 1) // 2]


@asynccontextmanager
async def _queue(postgres: Postgres, name: str, jobs: int) -> AsyncIterator[tuple[Database, dict[str, int]]]:
    """A database with a queue of its own; what stands in it."""
    database = Database(postgres.create_database(name), SCHEMA, pool_size=CONNECTIONS)
    try:
        await migrate(database, MIGRATIONS, "bench")
        await fill_queue(database, jobs, twins=TWINS)
        await vacuum(database)
        (counts,) = await database.fetch(_COUNTS)
        yield database, dict(counts._mapping)
    finally:
        await database.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="queued jobs (%(default)s)")
    parser.add_argument("--few-jobs", type=int, default=10_000, help="in the short queue (%(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="claims a second, all together (%(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="of each run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the medians count (%(default)s)")
    arguments = parser.parse_args()
    configure_logs("warning", "text")
    print(json.dumps(asyncio.run(measure(arguments))))


if __name__ == "__main__":
    main()

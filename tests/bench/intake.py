"""Intake against a bare consumer that writes as many rows: `make bench-intake`.

Both read the same records from the same broker into the same PostgreSQL, in turns, each time in a new process with a
new consumer group and a new database. The bare consumer parses nothing and decides nothing: see bare_consumer.py.

intake_ratio_vs_bare: events a second of the real intake over those of the bare consumer, the median of all rounds.
At least 0.5 is wanted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from rushes_embedded.broker import Topic
from rushes_embedded.stack import Stack
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.database import Database
from rushes_runtime.kafka import make_producer
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import migrate
from rushes_schemas import Envelope, PreviewUploaded, Source

from tests.bench import bare_consumer, real_intake
from tests.bench.saying import say

# As many as `rushes-normalizer migrate --topics` makes.
PARTITIONS = 12
TOPICS = (Topic("preview-uploaded", partitions=PARTITIONS), Topic("renormalize-requested", partitions=PARTITIONS))


async def produce(settings: NormalizerSettings, events: int) -> None:
    """Publish uploads of different previews."""
    producer = make_producer(settings.kafka)
    await producer.start()
    try:
        for start in range(0, events, 1000):
            await _produce(producer, min(1000, events - start))
    finally:
        await producer.stop()


async def _produce(producer: AIOKafkaProducer, events: int) -> None:
    deliveries = []
    for _ in range(events):
        preview = uuid4()
        event = PreviewUploaded(
            preview_file_id=preview,
            extension="mov",
            uploaded_at=datetime.now(UTC),
            source=Source(bucket="movies", key=f"source-{preview}", bytes=48_211_034, etag=uuid4().hex),
            upload_generation=1,
            project_id=uuid4(),
            task_id=uuid4(),
            person_id=uuid4(),
            name="sh010_anim",
            original_name="sh010_anim_v003.mov",
            revision=3,
            position=1,
        )
        sent = Envelope(event, source="/studio/uploads")
        deliveries.append(await producer.send(sent.topic, key=sent.key(), value=sent.value(), headers=sent.headers()))
    await asyncio.gather(*deliveries)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both in turns, each first in every second round; the figures as JSON has them."""
    events: int = arguments.events
    speeds: dict[str, list[float]] = {"bare": [], "real": []}
    with (
        tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder,
        Stack(Path(folder), topics=TOPICS, broker=arguments.broker) as stack,
    ):
        say(f"publishing {events} events")
        asyncio.run(produce(_settings(stack, "postgresql+asyncpg://nobody@localhost/unused"), events))
        for number in range(1, arguments.rounds + 1):
            for name in ("bare", "real") if number % 2 else ("real", "bare"):
                settings = _settings(stack, stack.postgres.create_database(f"{name}_{number}"))
                asyncio.run(_migrate(settings))
                group = f"{name}-{number}"
                if name == "real":
                    seconds = _in_new_process(real_intake.run, settings, group, events, arguments.profile)
                else:
                    url = settings.read_database_url()
                    seconds = _in_new_process(bare_consumer.run, settings.kafka, url, group, events)
                schema = SCHEMA if name == "real" else "bare"
                rows = asyncio.run(_rows_of(settings, schema))
                assert set(rows.values()) == {events}, f"{name} wrote {rows}, not {events} of each"
                speeds[name].append(events / seconds)
                say(f"round {number}: {name} took {seconds:.1f} s, {events / seconds:.0f} events/s")
    ratios = [real / bare for real, bare in zip(speeds["real"], speeds["bare"], strict=True)]
    return {
        "intake_ratio_vs_bare": round(statistics.median(ratios), 3),
        "events_per_second": round(statistics.median(speeds["real"])),
        "bare_events_per_second": round(statistics.median(speeds["bare"])),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "rounds": arguments.rounds,
        "events": events,
        "rows_per_event": len(bare_consumer.TABLES),
        "broker": arguments.broker,
    }


def _settings(stack: Stack, url: str) -> NormalizerSettings:
    kafka = {"bootstrap_servers": stack.broker.bootstrap_servers, "check_crcs": stack.broker.supports.check_crcs}
    store = {"kind": "local", "root": stack.folder / "unused"}
    return NormalizerSettings.model_validate({"database_url": url, "kafka": kafka, "store": store})


async def _migrate(settings: NormalizerSettings) -> None:
    database = Database.of(settings, SCHEMA)
    try:
        await migrate(database, MIGRATIONS, settings.instance)
    finally:
        await database.close()


async def _rows_of(settings: NormalizerSettings, schema: str) -> Mapping[str, int]:
    database = Database.of(settings, schema)
    try:
        return {
            table: (await database.fetch(f"SELECT count(*) AS rows FROM {table}"))[0].rows
            for table in bare_consumer.TABLES
        }
    finally:
        await database.close()


def _in_new_process(work: Callable[..., float], *arguments: object) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000, help="uploads to take in (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (%(default)s)")
    parser.add_argument("--broker", choices=["embedded", "apache-kafka"], default="embedded", help="(%(default)s)")
    parser.add_argument("--profile", type=Path, help="write cProfile's figures of the last real run to this file")
    arguments = parser.parse_args()
    configure_logs("warning", "text")
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()

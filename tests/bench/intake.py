"""Intake against a bare consumer that writes as many rows: `make bench-intake`.

Both read the same records from the same broker and write to the same PostgreSQL, in turns. The bare consumer parses
nothing and decides nothing: it writes one row into each of five plain tables for each record, by batched INSERTs, and
commits its offsets after each batch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from rushes_embedded.broker import Topic
from rushes_embedded.stack import Stack
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.kafka import make_consumer, make_producer
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import migrate
from rushes_runtime.settings import KafkaSettings
from rushes_schemas import Envelope, PreviewUploaded, Source

ROWS_OF_EVENT = ("inbox", "preview_file", "request", "task", "outbox")
BARE_TABLES = """
    CREATE TABLE bare_inbox (consumer text, source text, event_id text, at timestamptz DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id));
    CREATE TABLE bare_preview (id uuid PRIMARY KEY, status text, version bigint, payload jsonb,
        at timestamptz DEFAULT now());
    CREATE TABLE bare_request (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text, preview uuid,
        kind text, task uuid);
    CREATE TABLE bare_task (id uuid PRIMARY KEY, subject text, state text, rank timestamptz, payload jsonb);
    CREATE TABLE bare_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, key bytea,
        headers bytea, value bytea);
"""


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


async def produce(kafka: KafkaSettings, events: int) -> None:
    producer = make_producer(kafka)
    await producer.start()
    project = uuid4()
    try:
        for _ in range(0, events, 1000):
            deliveries = []
            for _ in range(1000):
                preview = uuid4()
                event = PreviewUploaded(
                    preview_file_id=preview,
                    extension="mov",
                    uploaded_at=datetime.now(UTC),
                    source=Source.model_validate({"bucket": "movies", "key": f"source-{preview}", "bytes": 48_211_034}),
                    project_id=project,
                    task_id=uuid4(),
                    name="sh010_anim",
                    original_name="sh010_anim_v003.mov",
                    revision=3,
                )
                sent = Envelope(event, source="/bench")
                deliveries.append(
                    await producer.send("preview-uploaded", key=sent.key(), value=sent.value(), headers=sent.headers())
                )
            await asyncio.gather(*deliveries)
    finally:
        await producer.stop()


async def bare(kafka: KafkaSettings, url: str, group: str, events: int) -> float:
    """Seconds that the bare consumer takes."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(BARE_TABLES)
    value, headers = b"x" * 900, b"y" * 350
    began = time.perf_counter()
    consumer = make_consumer(kafka, group)
    consumer.subscribe(["preview-uploaded"])
    await consumer.start()
    taken = 0
    try:
        while taken < events:
            batches = await consumer.getmany(timeout_ms=500, max_records=kafka.batch_records)
            records = [record for batch in batches.values() for record in batch]
            if not records:
                continue
            ids = [UUID(record.key.decode()) for record in records if record.key]
            tasks = [uuid4() for _ in records]
            now = datetime.now(UTC)
            async with connection.transaction():
                for statement, rows in (
                    (
                        "INSERT INTO bare_inbox (consumer, source, event_id) VALUES ($1, $2, $3)",
                        [("bench", "/bench", str(task)) for task in tasks],
                    ),
                    (
                        "INSERT INTO bare_preview (id, status, version, payload) VALUES ($1, $2, $3, $4)",
                        [(each, "processing", 1, r.value.decode()) for each, r in zip(ids, records, strict=True)],
                    ),
                    (
                        "INSERT INTO bare_task (id, subject, state, rank, payload) VALUES ($1, $2, $3, $4, $5)",
                        [(t, str(each), "queued", now, "{}") for t, each in zip(tasks, ids, strict=True)],
                    ),
                    (
                        "INSERT INTO bare_request (event_id, preview, kind, task) VALUES ($1, $2, $3, $4)",
                        [(str(t), each, "upload", t) for t, each in zip(tasks, ids, strict=True)],
                    ),
                    (
                        "INSERT INTO bare_outbox (topic, key, headers, value) VALUES ($1, $2, $3, $4)",
                        [("status-changed", str(each).encode(), headers, value) for each in ids],
                    ),
                ):
                    await connection.executemany(statement, rows)
            await consumer.commit({partition: batch[-1].offset + 1 for partition, batch in batches.items()})
            taken += len(records)
    finally:
        await consumer.stop()
        took = time.perf_counter() - began
        await connection.close()
    return took


async def real(kafka: KafkaSettings, url: str, group: str, events: int) -> float:
    """Seconds that Rushes' intake takes."""
    settings = NormalizerSettings.model_validate(
        {"database_url": url, "kafka": kafka, "store": {"kind": "local", "root": "/nowhere"}}
    )
    database = Database.of(settings, SCHEMA)
    await migrate(database, MIGRATIONS, settings.instance)
    stop = asyncio.Event()
    handler = UploadIntake(settings)
    taken = 0

    class Counting:
        """The real handler; stops the intake after the last event."""

        async def handle(self, connection, batch):  # type: ignore[no-untyped-def]  # as the handler's own
            nonlocal taken
            refused = await handler.handle(connection, batch)
            taken += len(batch)
            return refused

    intake = Intake(
        service="normalizer",
        group=group,
        kafka=kafka,
        contracts=CONTRACTS_BY_TOPIC,
        database=database,
        handler=Counting(),
        health=Health(),
        took_in=lambda: stop.set() if taken >= events else None,
    )
    began = time.perf_counter()
    await intake.run(stop)
    took = time.perf_counter() - began
    for table in ROWS_OF_EVENT:
        (row,) = await database.fetch(f"SELECT count(*) AS rows FROM {table}")
        assert row.rows == events, f"{table} has {row.rows} rows, expected {events}"
    await database.close()
    return took


async def main(arguments: argparse.Namespace) -> None:
    configure_logs("error", "text")
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        topics = [Topic("preview-uploaded", partitions=16), Topic("renormalize-requested")]
        with Stack(Path(folder), topics=topics, broker=arguments.broker) as stack:
            kafka = KafkaSettings(
                bootstrap_servers=stack.broker.bootstrap_servers, check_crcs=stack.broker.supports.check_crcs
            )
            say(f"producing {arguments.events} events to the {stack.broker.kind} broker")
            await produce(kafka, arguments.events)
            seconds: dict[str, list[float]] = {"bare": [], "real": []}
            for number in range(arguments.rounds):
                for name, run in (("bare", bare), ("real", real)):
                    url = stack.postgres.create_database(f"{name}_{number}")
                    took = await run(kafka, url, f"{name}-{number}", arguments.events)
                    seconds[name].append(took)
                    say(f"round {number + 1}: {name} took {took:.1f} s, {arguments.events / took:.0f} events/s")
    ratios = [b / r for b, r in zip(seconds["bare"], seconds["real"], strict=True)]
    answer = {
        "intake_ratio_vs_bare": round(statistics.median(ratios), 3),
        "events_per_second": round(arguments.events / statistics.median(seconds["real"])),
        "bare_events_per_second": round(arguments.events / statistics.median(seconds["bare"])),
        "rows_per_event": len(ROWS_OF_EVENT),
        "events": arguments.events,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "broker": arguments.broker,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000, help="records, a multiple of 1000")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median ratio counts")
    parser.add_argument("--broker", choices=["embedded", "apache-kafka"], default="embedded")
    asyncio.run(main(parser.parse_args()))

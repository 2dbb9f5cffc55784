"""The yardstick of intake: an aiokafka consumer that parses nothing and decides nothing.

It writes as many rows as intake does, into tables of the same columns with a primary key and no other index, by one
multi-row INSERT for each table and batch, and commits its offsets after each batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from rushes_normalizer.previews import SCHEMA
from rushes_runtime.intake import Record
from rushes_runtime.kafka import make_consumer
from rushes_runtime.outbox import pack_headers
from rushes_runtime.settings import KafkaSettings
from rushes_schemas import Envelope, Job, StatusChanged

# The tables into which intake writes a row for each upload.
TABLES: Final = {
    "inbox": "consumer, source, event_id",
    "preview_file": "id",
    "task": "id",
    "request": "id",
    "outbox": "id",
}


def run(kafka: KafkaSettings, url: str, group: str, events: int) -> float:
    """Seconds from the first record taken to the last offset committed. Its database holds the real tables."""
    return asyncio.run(_run(kafka, url, group, events))


async def _run(kafka: KafkaSettings, url: str, group: str, events: int) -> float:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await _make_tables(connection)
    headers, value = _status_changed()
    consumer = make_consumer(kafka, group)
    consumer.subscribe([f"{kafka.topic_prefix}preview-uploaded"])
    await consumer.start()
    began, taken = 0.0, 0
    try:
        while taken < events:
            batches = await _poll(consumer, kafka.batch_records)
            records = [record for batch in batches.values() for record in batch]
            if not records:
                continue
            began = began or time.perf_counter()
            async with connection.transaction():
                for table, columns in _rows(records, group, headers, value).items():
                    await _insert(connection, table, columns)
            await consumer.commit({partition: batch[-1].offset + 1 for partition, batch in batches.items()})
            taken += len(records)
        return time.perf_counter() - began
    finally:
        await consumer.stop()
        await connection.close()


async def _make_tables(connection: Any) -> None:
    await connection.execute("CREATE SCHEMA bare")
    for table, key in TABLES.items():
        await connection.execute(
            f"CREATE TABLE bare.{table} (LIKE {SCHEMA}.{table} INCLUDING DEFAULTS INCLUDING IDENTITY);"
            f"ALTER TABLE bare.{table} ADD PRIMARY KEY ({key})"
        )


async def _poll(consumer: AIOKafkaConsumer, room: int) -> dict[TopicPartition, list[Record]]:
    """As large a batch as intake makes."""
    batches: dict[TopicPartition, list[Record]] = {}
    patience = 500
    while room > 0 and (fetched := await consumer.getmany(timeout_ms=patience, max_records=room)):
        for partition, records in fetched.items():
            batches.setdefault(partition, []).extend(records)
            room -= len(records)
        patience = 0
    return batches


def _status_changed() -> tuple[bytes, bytes]:
    """Headers and value of an event as intake puts one into the outbox."""
    preview, now = uuid4(), datetime.now(UTC)
    event = StatusChanged(
        preview_file_id=preview,
        id=preview,
        version=1,
        fence=0,
        name="sh010_anim",
        original_name="sh010_anim_v003.mov",
        extension="mp4",
        revision=3,
        file_size=48_211_034,
        status="processing",
        internal_status="processing",
        validation_status="neutral",
        project_id=preview,
        task_id=preview,
        person_id=preview,
        created_at=now,
        job=Job(state="queued", request_ids=[str(preview)], attempt=0),
        occurred_at=now,
    )
    envelope = Envelope(event, source="/rushes/normalizer", time=now)
    return pack_headers(envelope.headers()), envelope.value()


def _rows(
    records: Sequence[Record], group: str, headers: bytes, value: bytes
) -> Mapping[str, Mapping[str, tuple[str, list[Any]]]]:
    """Columns of each table, with type and values: ids of each row's own, the rest of a usual size."""
    many = len(records)
    previews = [(record.key or b"").decode() for record in records]
    tasks, events = [uuid4() for _ in records], [str(uuid4()) for _ in records]
    now = datetime.now(UTC)
    source = '{"bucket": "movies", "key": "source-00000000-0000-0000-0000-000000000000", "bytes": 48211034}'
    return {
        "inbox": {
            "consumer": ("text", [group] * many),
            "source": ("text", ["/studio/uploads"] * many),
            "event_id": ("text", events),
        },
        "preview_file": {
            "id": ("uuid", previews),
            "name": ("text", ["sh010_anim"] * many),
            "original_name": ("text", ["sh010_anim_v003.mov"] * many),
            "revision": ("integer", [3] * many),
            "extension": ("text", ["mp4"] * many),
            "file_size": ("bigint", [48_211_034] * many),
            "status": ("text", ["processing"] * many),
            "task_id": ("uuid", tasks),
            "person_id": ("uuid", tasks),
            "project_id": ("uuid", tasks),
            "uploaded_at": ("timestamptz", [now] * many),
            "upload_extension": ("text", ["mov"] * many),
            "source": ("jsonb", [source] * many),
            "version": ("bigint", [1] * many),
        },
        "task": {
            "id": ("uuid", tasks),
            "subject": ("text", previews),
            "lane": ("text", ["upload"] * many),
            "rank": ("timestamptz", [now] * many),
            "payload": ("jsonb", ['{"encoding": null}'] * many),
        },
        "request": {
            "event_id": ("text", events),
            "source": ("text", ["/studio/uploads"] * many),
            "preview_file_id": ("uuid", previews),
            "kind": ("text", ["upload"] * many),
            "task_id": ("uuid", tasks),
        },
        "outbox": {
            "topic": ("text", ["status-changed"] * many),
            "key": ("bytea", [record.key for record in records]),
            "headers": ("bytea", [headers] * many),
            "value": ("bytea", [value] * many),
        },
    }


async def _insert(connection: Any, table: str, columns: Mapping[str, tuple[str, list[Any]]]) -> None:
    arrays = ", ".join(f"${number}::{kind}[]" for number, (kind, _) in enumerate(columns.values(), 1))
    await connection.execute(
        f"INSERT INTO bare.{table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})",
        *(values for _, values in columns.values()),
    )

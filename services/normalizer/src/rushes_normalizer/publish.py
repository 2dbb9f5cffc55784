"""What an upstream service does: store an upload, and send the event for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer
from rushes_runtime.kafka import make_producer
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.store import Store, Unconditional
from rushes_schemas import PLACES, Envelope, PreviewUploaded, Source

from rushes_normalizer.hashing import sha256_of
from rushes_normalizer.kinds import UploadKind, default_source, source_kind


class EventSender:
    """Sends events and waits until the broker has them."""

    def __init__(self, producer: AIOKafkaProducer, topic_prefix: str) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix

    async def send(self, envelopes: Iterable[Envelope]) -> None:
        """Send events in order.

        Raises:
            aiokafka.errors.KafkaError: the broker did not take one of them.
        """
        deliveries = [
            await self._producer.send(
                self._topic_prefix + envelope.topic,
                key=envelope.key(),
                value=envelope.value(),
                headers=envelope.headers(),
            )
            for envelope in envelopes
        ]
        for delivery in deliveries:
            await delivery


@asynccontextmanager
async def open_sender(kafka: KafkaSettings) -> AsyncIterator[EventSender]:
    """A sender, for as long as the block runs.

    Raises:
        aiokafka.errors.KafkaError: no broker answers.
    """
    producer = make_producer(kafka)
    await producer.start()
    try:
        yield EventSender(producer, kafka.topic_prefix)
    finally:
        await producer.stop()


async def store_upload(store: Store, path: Path, preview_file_id: UUID, extension: str, kind: UploadKind) -> Source:
    """Put a file where an upload of its kind is looked for.

    Raises:
        StoreError: the store does not take it.
    """
    place = default_source(kind, extension, preview_file_id)
    stored = await store.upload(
        place.bucket,
        place.key,
        path,
        content_type=PLACES[source_kind(kind, extension)].content_type,
        condition=Unconditional(),
    )
    return place.model_copy(update={"bytes": stored.bytes, "etag": stored.etag, "sha256": await sha256_of(path)})


def upload_event(preview_file_id: UUID, extension: str, source: Source, wishes: dict[str, Any]) -> Envelope:
    """The event of a stored upload; `wishes` are optional fields of `PreviewUploaded`."""
    values = {
        "preview_file_id": preview_file_id,
        "extension": extension,
        "uploaded_at": datetime.now(UTC),
        "source": source,
        **{name: value for name, value in wishes.items() if value is not None},
    }
    return Envelope(PreviewUploaded.model_validate(values), source="/rushes/publish")

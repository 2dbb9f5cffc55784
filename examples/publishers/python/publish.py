"""Announces an upload: `python publish.py BROKERS TOPIC PREVIEW_ID EXTENSION`."""

import asyncio
import sys
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import AIOKafkaProducer
from rushes_schemas import Encoding, Envelope, PreviewUploaded


async def publish(brokers: str, topic: str, preview_id: str, extension: str) -> None:
    event = PreviewUploaded(
        preview_file_id=UUID(preview_id),
        extension=extension,
        uploaded_at=datetime.now(UTC),
        encoding=Encoding(fps="23.976"),
    )
    envelope = Envelope(event, source="/studio/uploads")
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, key=envelope.key(), value=envelope.value(), headers=envelope.headers())
    print(envelope.event_id)


asyncio.run(publish(*sys.argv[1:]))

"""Events as the bus hands them over, for an intake that a test calls itself."""

from __future__ import annotations

from aiokafka import ConsumerRecord
from rushes_schemas import Envelope, Event

from tests.integration.normalizer.parts import Parts


def bus_record(parts: Parts, event: Event, number: int) -> ConsumerRecord[bytes, bytes]:
    """The record of an event; its number is its id and its offset."""
    envelope = Envelope(event, source="/test", event_id=str(number))
    return ConsumerRecord(
        topic=parts.settings.kafka.topic_prefix + envelope.topic,
        partition=0,
        offset=number,
        timestamp=0,
        timestamp_type=0,
        key=envelope.key(),
        value=envelope.value(),
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(envelope.headers()),
    )

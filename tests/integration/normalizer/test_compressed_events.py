"""Publishers compress as their clients do by default: intake reads all that Kafka knows."""

from __future__ import annotations

from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from rushes_normalizer.previews import read_all
from rushes_schemas import Envelope

from tests.integration.normalizer.parts import parts_of
from tests.world import World, eventually, playing, upload


@pytest.mark.each_broker
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_compressed_event_is_taken_in(world: World, codec: str) -> None:
    envelopes = [Envelope(upload(name="sh010" * 40), source="/test") for _ in range(3)]
    brokers = world.broker.bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", compression_type=codec) as producer:
        for each in envelopes:
            topic = world.prefix + each.topic
            await producer.send_and_wait(topic, key=each.key(), value=each.value(), headers=each.headers())

    async with parts_of(world) as parts, playing(parts.intake()):

        async def taken_in() -> set[UUID]:
            async with parts.database.begin() as connection:
                return set(await read_all(connection, [each.event.preview_file_id for each in envelopes]))

        await eventually(taken_in, lambda ids: len(ids) == len(envelopes))
